"""Which results a run leaves, and where."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes_core import io
from recipes_core.data import Drift
from recipes_core.errors import EnvironmentFault, Problem, RecipeInvalid, UsageError, did_you_mean
from recipes_core.graph import Graph
from recipes_core.module import WriterModule


@dataclass(frozen=True)
class Selection:
    """What is to be saved.

    Parameters
    ----------
    keys : mapping
        Key -> pattern of the file's name; ``''`` for the default.
    writers : tuple of str
        Steps that write files of their own.
    """

    keys: Mapping[str, str]
    writers: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Everything that must be current before it can be saved."""
        return (*self.keys, *self.writers)


def select_results(graph: Graph, outputs: Mapping[str, str], targets: Iterable[str] = ()) -> Selection:
    """Decide what is saved: the targets asked for, else ``outputs:``, else what nothing takes and every drift.

    Raises
    ------
    UsageError
        Where a target is no key and no step.
    """
    asked = tuple(targets)
    if not asked:
        keys = dict(outputs) or dict.fromkeys((*graph.sinks(), *_drifts(graph)), "")
        return Selection(keys, graph.writers())
    keys, writers = {}, []
    for target in asked:
        graph.check_target(target)
        if target in graph.producers or target in graph.free_inputs:
            keys[target] = outputs.get(target, "")
        elif isinstance(graph.steps[target].module, WriterModule):
            writers.append(target)
        else:
            keys.update((key, outputs.get(key, "")) for key in _regular_keys(graph, target))
    return Selection(keys, tuple(writers))


def _drifts(graph: Graph) -> tuple[str, ...]:
    return tuple(
        key
        for key, place in graph.producers.items()
        if issubclass(graph.output_port(place).data_type, Drift) and not graph.output_port(place).on_demand
    )


def _regular_keys(graph: Graph, step: str) -> list[str]:
    module = graph.steps[step].module
    ports = module.outputs()
    return [key for port, key in module.output_keys().items() if key and not ports[port].on_demand]


@dataclass(frozen=True)
class Destination:
    """One file to be written: the object behind `key`, to `path`; `label` is the key or the writing step, `writer` its module."""

    label: str
    key: str
    path: Path
    writer: WriterModule | None = None


class Layout:
    """Names the files of results.

    Parameters
    ----------
    output_dir : Path
        Files whose names are relative go here and may not leave it.
    file_stub : str
        Beginning of default names.
    """

    def __init__(self, output_dir: Path, file_stub: str) -> None:
        self.output_dir = output_dir.absolute()
        self.file_stub = file_stub

    def path(self, pattern: str, key: str, suffix: str, who: str) -> Path:
        """The file for a pattern; `suffix` is added where the name has none that a writer knows."""
        name = self._fill(pattern or "{file_stub}_{key}", key, who)
        target = Path(name)
        relative = not target.is_absolute()
        target = self.output_dir / target if relative else target
        if not pattern or not io.known_suffix(target):
            target = target.with_name(target.name + suffix)
        if relative and not target.resolve().is_relative_to(self.output_dir.resolve()):
            raise RecipeInvalid(
                f"{who}: the file '{pattern}' would lie outside the output folder.",
                code="R371",
                hint="Give a name inside it, or an absolute path.",
            )
        return target

    def _fill(self, pattern: str, key: str, who: str) -> str:
        values = {
            "output_dir": str(self.output_dir),
            "file_stub": self.file_stub,
            "key": key.replace("/", "_").replace("\\", "_"),
        }
        parts = []
        try:
            for text, name, spec, conversion in string.Formatter().parse(pattern):
                parts.append(text)
                if name is None:
                    continue
                # Plain names only: format strings can otherwise reach attributes.
                if name not in values or spec or conversion:
                    hint = did_you_mean(name, values, what="what can be filled in")
                    raise RecipeInvalid(f"{who}: '{{{name}}}' in '{pattern}' is not known.", code="R372", hint=hint)
                parts.append(values[name])
        except ValueError as error:
            raise RecipeInvalid(f"{who}: the file name '{pattern}' has a brace too many or too few.", code="R372") from error
        return "".join(parts)

    def destinations(self, graph: Graph, selection: Selection, kind_of: Callable[[str], Any]) -> list[Destination]:
        """Every file that the selection leaves.

        Parameters
        ----------
        kind_of : callable
            Key -> type, or the object itself.

        Raises
        ------
        RecipeInvalid
            Where two results would go to one file or a name is not allowed.
        """
        found = []
        for key, pattern in selection.keys.items():
            suffix = io.default_suffix(kind_of(key))
            found.append(Destination(key, key, self.path(pattern, key, suffix, f"outputs: {key}")))
        for step in selection.writers:
            module = graph.steps[step].module
            assert isinstance(module, WriterModule)
            key = next((key for _, key in graph.inputs_of(step)), "")
            if not key:
                raise RecipeInvalid(f"step '{step}' has nothing to write.", code="R374", hint="Say which keys it takes.")
            path = self.path(module.destination(), key, module.suffix, f"step '{step}'")
            found.append(Destination(step, key, path, module))
        self._refuse_collisions(found)
        for destination in found:
            kind = destination.writer.writes if destination.writer is not None else None
            io.check_writable_as(kind or kind_of(destination.key), destination.path)
        return found

    @staticmethod
    def _refuse_collisions(found: list[Destination]) -> None:
        seen: dict[str, Destination] = {}
        problems = []
        for destination in found:
            # Not all file systems tell upper from lower case.
            folded = str(destination.path).casefold()
            if folded in seen:
                message = f"'{seen[folded].label}' and '{destination.label}' would both be written to {destination.path.name}."
                problems.append(Problem("R373", message, "Give one of them another name."))
            seen[folded] = destination
        if problems:
            raise RecipeInvalid(problems[0].message, problems=problems)


def check_folder(folder: Path) -> None:
    """Raise EnvironmentFault unless files can be made in a folder; it is made where it does not exist."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise EnvironmentFault(
            f"the output folder {folder} cannot be written: {error.strerror or error}.",
            code="V110",
            hint="Name another one with -o.",
        ) from error


def stub_of(path: str | Path) -> str:
    """Name of a file without its ending, for naming results.

    Examples
    --------
    >>> stub_of("data/cell7.ome.tif")
    'cell7'
    """
    name = Path(str(path).partition("?")[0]).name
    for suffix in (".ome.tif", ".ome.tiff"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem or "results"


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise UsageError at the first name that is not known."""
    known = tuple(known)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, what=f"its {what}s") or f"The recipe has no free {what}."
            raise UsageError(f"the recipe has no {what} '{name}'.", code="U121", hint=hint)
