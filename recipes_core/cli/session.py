"""A recipe whose inputs are bound, and where its results go: what one run on the command line is about."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from recipes_core.cache.store import Cache
from recipes_core.cli.assignments import Assignments
from recipes_core.data import DataObject
from recipes_core.errors import Problem, RecipeInvalid, UsageError, did_you_mean
from recipes_core.graph import data_flow
from recipes_core.plan import Plan
from recipes_core.recipe import Recipe
from recipes_core.run.binding import Bound, bind_input, bind_named
from recipes_core.run.following import Following
from recipes_core.run.results import Destination, Layout, Selection, refuse_unknown, select_results

ALL = "*"
"""Stands for every step after ``--force``."""


class Session:
    """A recipe whose inputs are bound.

    Parameters
    ----------
    recipe : Recipe
    recipe_file, input_file : str
        As they were typed.
    bound : list of Bound
    name : str
        Which file of ``--each`` it is about; empty for a run of its own.
    """

    def __init__(self, recipe: Recipe, recipe_file: str, input_file: str | None, bound: list[Bound], name: str = "") -> None:
        self.recipe = recipe
        self.recipe_file = recipe_file
        self.input_file = input_file
        self.bound = bound
        self.name = name
        self.warnings = [problem for problem in recipe.problems if problem.severity == "warning"]
        self.warnings += [Problem("W120", note, file=str(item.path), severity="warning") for item in bound for note in item.notes]

    @classmethod
    def open(
        cls,
        recipe_file: str,
        input_file: str | None,
        assignments: Assignments,
        *,
        cache: Cache | None = None,
        name: str = "",
        following: Following | None = None,
    ) -> Session:
        """Load a recipe and bind its inputs: those named with -i, then INPUT, then what the recipe itself names.

        Parameters
        ----------
        cache : Cache, optional
            Where results are kept; in memory alone where not given.
        following : Following, optional
            Where files that are still being written are followed.
        """
        recipe = Recipe.load(recipe_file, assignments.overrides())
        files = assignments.files()
        replaced = {key: recipe.take_from_outside(key) for key, path in files.items() if path and key in recipe.graph.producers}
        graph = recipe.graph
        refuse_unknown(files, recipe.inputs, "input")
        for key, path in files.items():
            if not path and recipe.inputs[key].required:
                raise UsageError(f"-i {key}=: only an optional input can be left out; '{key}' is needed", code="U133")
        bound = [bind_named(graph, key, path) for key, path in files.items() if path]
        if input_file:
            bound += bind_input(graph, input_file, files)
        given = {item.key for item in bound} | set(files)
        defaults = recipe.default_bindings(skip=given)
        metadata = assignments.metadata_of(recipe.inputs)
        if cache is not None:
            recipe.use_cache(cache, name)
        recipe.follow(following)
        recipe.bind([item.with_metadata(metadata.get(item.key, {})) for item in (*bound, *defaults)])
        session = cls(recipe, recipe_file, input_file, [*bound, *defaults], name)
        session._note_left_defaults(defaults, bound)
        for key, step in replaced.items():
            message = f"'{key}' is read from {Path(files[key]).name}; step '{step}' does not make it."
            session.warnings.append(Problem("W111", message, severity="warning"))
        return session

    def _note_left_defaults(self, defaults: list[Bound], bound: list[Bound]) -> None:
        for item in defaults if bound else ():
            message = f"input '{item.key}' still comes from the recipe: {item.path.name}."
            optional = not self.recipe.inputs[item.key].required
            hint = f"Replace it with -i {item.key}=FILE" + (f" or leave it out with -i {item.key}=." if optional else ".")
            self.warnings.append(Problem("W110", message, hint, severity="warning"))

    def layout(self, output_dir: str | Path | None) -> Layout:
        """Where results go: -o, else RECIPE_results in the current folder."""
        folder = Path(output_dir) if output_dir else Path.cwd() / f"{Path(self.recipe_file).stem}_results"
        return Layout(folder, self.name or self.recipe.file_stub(self.input_file))

    def select(self, targets: Iterable[str]) -> Selection:
        """What to save."""
        return select_results(self.recipe.graph, self.recipe.outputs, targets)

    def forced(self, asked: Iterable[str]) -> set[str]:
        """Steps that ``--force`` names."""
        steps = self.recipe.steps
        for step in asked:
            if step != ALL and step not in steps:
                raise UsageError(
                    f"the recipe has no step '{step}'.", code="U122", hint=did_you_mean(step, steps, what="its steps")
                )
        return set(steps) if ALL in asked else set(asked)

    def destinations(self, layout: Layout, selection: Selection) -> list[Destination]:
        """The files that a run will leave, as far as types are known; raises where one could not be written."""
        known, _ = data_flow(self.recipe.graph, {item.key: item.known() for item in self.bound})
        kinds = {key: known[key].kind for key in known}
        telling = {key: pattern for key, pattern in selection.keys.items() if kinds.get(key, DataObject) is not DataObject}
        return layout.destinations(self.recipe.graph, Selection(telling, selection.writers), kinds.__getitem__)

    def plan(self, targets: Iterable[str], force: Iterable[str] = ()) -> Plan:
        """What a run would do."""
        return self.recipe.plan(self.select(targets).targets, forced=self.forced(force))


def open_sessions(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    each: str | None,
    cache: Cache | None,
    following: Following | None = None,
) -> list[Session]:
    """One session, or one for each file of ``--each NAME=GLOB``.

    Raises
    ------
    UsageError
        Where the pattern finds no file, or two of them have the same name.
    """
    if not each:
        return [Session.open(recipe_file, input_file, assignments, cache=cache, following=following)]
    key, equals, pattern = each.partition("=")
    if not equals or not key or not pattern:
        raise UsageError(f"--each {each}: write --each NAME=GLOB", code="U130", hint="For example --each movie='data/*.tif'.")
    query = pattern.partition("?table=")
    files = sorted(glob.glob(query[0], recursive=True))
    if not files:
        raise UsageError(f"--each {each}: no file fits the pattern.", code="U136")
    names = _names([Path(name) for name in files])
    sessions = []
    for name, path in zip(names, files, strict=True):
        one = replace(assignments, inputs=(*assignments.inputs, f"{key}={path}{query[1]}{query[2]}"))
        sessions.append(Session.open(recipe_file, input_file, one, cache=cache, name=name, following=following))
    return sessions


def _names(paths: list[Path]) -> list[str]:
    """Short names that differ: the stem, with the folder before it where stems are equal."""
    from recipes_core.run.results import stub_of

    stems = [stub_of(path) for path in paths]
    return [stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}" for stem, path in zip(stems, paths, strict=True)]


def refuse_collisions(files: dict[str, list[Destination]]) -> None:
    """Raise RecipeInvalid where two files of ``--each`` would be saved under one name."""
    seen: dict[str, str] = {}
    problems = []
    for name, destinations in files.items():
        for destination in destinations:
            other = seen.setdefault(str(destination.path).casefold(), name)
            if other != name:
                message = f"the results of '{other}' and '{name}' would both be written to {destination.path.name}."
                hint = "Put {file_stub} into that name: under 'outputs:', or in the step that saves it (save_path: \"{file_stub}_drift\")."
                problems.append(Problem("R373", message, hint))
    if problems:
        raise RecipeInvalid(problems[0].message, problems=problems)
