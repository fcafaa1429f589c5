"""Modules that write a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from recipes_core.data.history import DataObject
from recipes_core.errors import ExecutionError
from recipes_core.module.base import ModuleBase
from recipes_core.module.context import Context


class WriterModule(ModuleBase):
    """Base of modules whose purpose is a file.

    A writer computes nothing: it names what is to be written and where, and the engine writes it when results are saved, as
    a whole or not at all. The first input holds what is written.

    Attributes
    ----------
    path_parameter : str
        Parameter with the file's name: relative to the output folder; ``{file_stub}`` and ``{output_dir}`` are replaced.
    suffix : str
        Ending that is added where the name has none that a writer knows.
    writes : type, optional
        Type of what `content` makes, where that is another than the first input's.
    """

    path_parameter: ClassVar[str] = "save_path"
    suffix: ClassVar[str] = ""
    writes: ClassVar[type[DataObject] | None] = None

    def destination(self) -> str:
        """The file's name as the recipe gives it."""
        return str(getattr(self, self.path_parameter))

    def content(self, inputs: Mapping[str, Any]) -> DataObject:
        """What is written, made when it is saved: the first input, unless a subclass says otherwise.

        Parameters
        ----------
        inputs : mapping
            Port -> object, a list of them for ports that take many, None where nothing is connected.
        """
        first = next(iter(inputs.values()))
        found = first[0] if isinstance(first, list) else first
        assert isinstance(found, DataObject)
        return found

    def run(self, ctx: Context, **inputs: Any) -> Any:
        """Writers make nothing; old recipes may ask for a token output, which is the input itself."""
        demanded = [port for port in self.outputs() if ctx.wanted(port)]
        first = inputs[next(iter(self.inputs()))]
        if first is None or first == []:
            raise ExecutionError(f"{self.name()} has nothing to write")
        return dict.fromkeys(demanded, first)
