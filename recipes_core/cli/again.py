"""``recipe run RESULT``: make a result again as the record inside it says, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recipes_core import io
from recipes_core.cli import faults
from recipes_core.cli.assignments import Assignments
from recipes_core.cli.show import listener_for
from recipes_core.errors import DataError, FormatError, Problem, ResultDiffers, UsageError
from recipes_core.recipe import Recipe
from recipes_core.run.binding import bind_named
from recipes_core.run.jobs import run_jobs
from recipes_core.run.results import Layout, Selection, refuse_unknown
from recipes_core.versions import versions


def make_again(
    result_file: str, assignments: Assignments, output_dir: str | None, state: dict[str, Any], show: str
) -> list[Problem]:
    """Run the recipe of a result anew, without the cache, and compare the payload; write it to `output_dir` where one is given.

    Parameters
    ----------
    assignments : Assignments
        Where the inputs are now (-i); other parameters would make another result and are refused.

    Returns
    -------
    list of Problem
        Warnings: versions that differ.

    Raises
    ------
    ResultDiffers
        Where the payload comes out another one.
    DataError
        Where an input is not the one that the result was made from.
    """
    record = _checked(io.read_record(result_file), result_file)
    if assignments.parameters or assignments.metadata:
        raise UsageError(
            f"{Path(result_file).name} is made again with its own parameters; -p and -m are of no use here.", code="U174"
        )
    warnings = _other_versions(record)
    recipe = Recipe.from_yaml(record["recipe"], base=_base(record, Path(result_file)))
    recipe.seed = int(record["seed"])
    _bind(recipe, record, assignments, Path(result_file))
    key = str(record["key"])
    recipe.graph.check_target(key)
    if show != "none":
        faults.echo_problems(warnings)
    selection = Selection({key: ""})
    job = recipe.job(selection)
    outcome = run_jobs(
        [job], executor=None, listener=listener_for(show), n_threads=None, keep_going=False, finished=lambda *_: None
    )[0]
    if isinstance(outcome, BaseException):
        raise outcome
    digest = recipe.digest_of(key)
    if output_dir:
        saved = recipe.write(selection, Layout(Path(output_dir), Path(result_file).name.split(".")[0]))
        state["outputs"] = {item.label: str(item.path) for item in saved}
    _compare(record, digest, key, result_file)
    if show not in ("none", "quiet"):
        click.echo(f"\n'{key}' made again: the same, bit for bit (payload {digest[:12]})")
    return warnings


def _checked(record: dict[str, Any] | None, file: str) -> dict[str, Any]:
    kinds = {"recipe": str, "key": str, "seed": int, "inputs": dict, "digest": str}
    for name, kind in kinds.items():
        if record is None or not isinstance(record.get(name), kind):
            raise FormatError(
                f"{file}: its record has no '{name}', so it cannot be made again.", hint="Results of this version on have one."
            )
    assert record is not None
    return record


def _other_versions(record: dict[str, Any]) -> list[Problem]:
    then, now = record.get("versions"), versions()
    if not isinstance(then, dict):
        return []
    changed = [f"{name} {then[name]} -> {number}" for name, number in now.items() if name in then and then[name] != number]
    if not changed:
        return []
    return [Problem("W140", f"made with other versions: {', '.join(changed)}.", severity="warning")]


def _base(record: dict[str, Any], result: Path) -> Path:
    folder = record.get("folder")
    return Path(folder) if isinstance(folder, str) and Path(folder).is_dir() else result.absolute().parent


def _bind(recipe: Recipe, record: dict[str, Any], assignments: Assignments, result: Path) -> None:
    files = assignments.files()
    refuse_unknown(files, recipe.inputs, "input")
    for key, told in record["inputs"].items():
        if key not in recipe.inputs or not isinstance(told, dict):
            continue
        place = files.get(key) or _find(key, str(told.get("path", "")), result)
        metadata = told.get("metadata")
        bound = bind_named(recipe.graph, key, place)
        recipe.bind([bound.with_metadata(metadata if isinstance(metadata, dict) else {})])
        content = recipe.inputs_record()[key]["content"]
        if content != told.get("content"):
            raise DataError(
                f"input '{key}': {place} is not the file that {result.name} was made from; its content differs.",
                code="D141",
                hint=f"Give the right one with -i {key}=FILE.",
            )


def _find(key: str, path: str, result: Path) -> str:
    """Where an input is now: where it was, beside the result, or in the current folder."""
    if not path:
        raise DataError(
            f"input '{key}' was an object in memory; {result.name} does not say which file it came from.",
            code="D142",
            hint=f"Give it with -i {key}=FILE.",
        )
    name, mark, query = path.partition("?")
    for place in (Path(name), result.absolute().parent / Path(name).name, Path.cwd() / Path(name).name):
        if place.exists():
            return f"{place}{mark}{query}"
    raise DataError(
        f"input '{key}': there is no file {name}, nor {Path(name).name} beside the result.",
        code="D142",
        hint=f"Say where it is with -i {key}=FILE.",
    )


def _compare(record: dict[str, Any], digest: str, key: str, file: str) -> None:
    if digest != record["digest"]:
        raise ResultDiffers(
            f"'{key}' of {Path(file).name}, made again, is another one: payload {digest[:12]} instead of {record['digest'][:12]}.",
            hint="Compare the versions; with -o DIR the new one is kept for a look.",
        )
