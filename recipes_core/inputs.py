"""What a recipe is given: objects and files behind its free inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from traits.api import Any as AnyTrait

from recipes_core.data import DataObject, HistoryEntry
from recipes_core.errors import DataError, RecipeInvalid
from recipes_core.graph import check_flow
from recipes_core.ports import FilePath, FilePaths
from recipes_core.run import Given
from recipes_core.run.binding import Bound, bind_named
from recipes_core.run.results import refuse_unknown
from recipes_core.structure import Structure


class Inputs(Structure):
    """A structure whose free inputs can be given objects and files."""

    _bound = AnyTrait()

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._bound = {}

    def source_of(self, key: str) -> str:
        """The file behind an input; empty where it has none."""
        return str(self._bound[key].path) if key in self._bound else ""

    def load_inputs(self, files: Mapping[str, str | Path]) -> None:
        """Give inputs from files; a file is read when a step first needs it.

        Raises
        ------
        UsageError
            Where the recipe has no such input or the file does not exist.
        DataError
            Where the file does not fit.
        """
        refuse_unknown(files, self.inputs, "input")
        self.bind([bind_named(self.graph, key, path) for key, path in files.items()])

    def bind(self, bound: Iterable[Bound]) -> None:
        """Give inputs that are already matched to datasets, and check that types and columns fit all steps."""
        new = {item.key: self._with_declared_metadata(item) for item in bound}
        known = {key: item.known() for key, item in {**self._bound, **new}.items() if key in self.inputs}
        problems = check_flow(self.graph, known)
        if problems:
            raise RecipeInvalid(problems[0].message, problems=problems)
        for item in new.values():
            self._put_bound(item)
        if new:
            self._changed()

    def _put_bound(self, item: Bound) -> None:
        self._bound[item.key] = item
        self._space.give(item.key, Given(load=item.load, label=item.path.name, files=item.files, part=item.part(), source=item))

    def default_bindings(self, skip: Collection[str] = ()) -> list[Bound]:
        """Inputs whose files the recipe itself names, except those that have been given and those in `skip`."""
        wanted = {
            name: spec.path
            for name, spec in self._declared_inputs.items()
            if spec.path and not self._space.has_given(name) and name not in skip and name in self.inputs
        }
        return [bind_named(self.graph, name, path) for name, path in wanted.items()]

    def _give_defaults(self) -> None:
        """Bind the recipe's own files without setting off a run."""
        for item in self.default_bindings():
            self._put_bound(self._with_declared_metadata(item))
            self._revision += 1

    def _with_declared_metadata(self, item: Bound) -> Bound:
        declared = self._declared_inputs.get(item.key)
        if declared is None or not declared.metadata:
            return item
        return item.with_metadata({**declared.metadata, **item.metadata})

    def give(self, key: str, value: DataObject) -> None:
        """Give a free input an object; the same as assigning to the namespace."""
        refuse_unknown([key], self.inputs, "input")
        kind = self.inputs[key].kind
        if not isinstance(value, kind):
            raise DataError(f"input '{key}' takes {kind.__name__}, not {type(value).__name__}", code="D120")
        if not value.history:
            value = value.with_provenance(history=(HistoryEntry(key, "given", inputs={"object": type(value).__name__}),))
        self._bound.pop(key, None)
        self._space.give(key, Given(value))
        self._changed()

    def take_back(self, key: str) -> None:
        """Leave a free input without an object again."""
        refuse_unknown([key], self.inputs, "input")
        self._bound.pop(key, None)
        self._space.take_back(key)
        self._changed()

    def parameter_files(self) -> list[Path]:
        """Files that parameters of the steps name."""
        found = []
        for module in self.steps.values():
            for name, parameter in module.parameters().items():
                value = getattr(module, name)
                if isinstance(parameter, FilePath) and value:
                    found.append(Path(value.partition("?")[0]))
                elif isinstance(parameter, FilePaths):
                    found += [Path(item.partition("?")[0]) for item in value or ()]
        return found

    def inputs_record(self) -> dict[str, dict[str, Any]]:
        """For records of runs and results: input -> the file that stands behind it, and the name of its content."""
        found = {}
        for key in self.inputs:
            if self._space.has_given(key):
                item = self._bound.get(key)
                found[key] = {"content": self._space.given_content(key)}
                if item is not None:
                    query = "&".join(f"{name}={value}" for name, value in item.options.items())
                    found[key] |= {"path": str(item.path) + (f"?{query}" if query else ""), "metadata": dict(item.metadata)}
        return found
