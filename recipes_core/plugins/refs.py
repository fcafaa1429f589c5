"""Light references: what a plugin registers, imported only when it is used.

This file and whatever registers with it must import nothing heavy: ``recipe modules list`` reads only references.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from recipes_core.errors import PluginError


@dataclass(frozen=True)
class _Ref:
    name: str
    target: str

    def load(self) -> Any:
        """Import what is referred to.

        Raises
        ------
        PluginError
            Where the import fails.
        """
        package, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(package), attribute)
        except Exception as error:  # whatever a third party's import raises
            raise PluginError(f"'{self.name}' ({self.target}) cannot be imported: {error}", code="P120") from error


@dataclass(frozen=True)
class ModuleRef(_Ref):
    """A module.

    Parameters
    ----------
    name : str
        Full name: ``namespace.Name``.
    target : str
        ``package.file:Class``.
    summary : str
        One line for lists.
    aliases : tuple of str
        Old full or short names that recipes may still use.
    """

    summary: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The last dotted part."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class DatatypeRef(_Ref):
    """A type that may stand under ``inputs: {NAME: {type: ...}}``.

    `suffix` is the ending of the file in which a result of this type is saved by default.
    """

    suffix: str = ""


@dataclass(frozen=True)
class ReaderRef(_Ref):
    """A file format that can be read.

    The target has ``sniff(path, head) -> bool``, which decides by content (`head`: the first 4096 bytes; empty for a folder),
    and ``open_content(path, **options) -> FileContent``. Where its writer stores the record that it is handed, it also has
    ``read_record(path) -> mapping or None``, which gives that back without executing anything.
    """

    summary: str = ""
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WriterRef(_Ref):
    """A file format that can be written.

    The target is ``write(obj, path, record)``; `path` is a temporary name that the engine puts in place afterwards.
    `record` is a mapping of plain values that the file should carry where its format can.

    Parameters
    ----------
    suffixes : tuple of str
        Endings that choose it; the longest match wins.
    types : tuple of str
        Names of the data types that it can write.
    companions : tuple of str
        Endings of further files that are written beside the first (Picasso's ``.yaml``); where one is not written this time, an
        earlier one of that name is removed with the file that it belonged to.
    """

    suffixes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    summary: str = ""
    companions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExecutorRef(_Ref):
    """A way to run the steps of recipes elsewhere: ``recipe run --executor NAME``.

    The target is called with the keywords ``address`` (what stands behind ``NAME:``, or empty), ``jobs`` (or None), ``cache`` and
    ``tell`` (receives lines for the user), and returns a `recipes_core.run.executors.base.Executor`.

    Parameters
    ----------
    takes_address : bool
        Whether ``NAME:ADDRESS`` may be written.
    """

    summary: str = ""
    takes_address: bool = False
