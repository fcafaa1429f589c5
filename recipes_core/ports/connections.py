"""Ports: where data enter and leave a module.

The value of a port is the key under which the data stand in the recipe's namespace.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, ClassVar

from traits.api import TraitError, TraitType

from recipes_core.data.history import DataObject

_declared = itertools.count()


class Port(TraitType):
    """Base of `Input` and `Output`; traits keep the order in which a class declares them.

    Parameters
    ----------
    data_type : type
        What travels here; `DataObject` takes anything.
    default_key : str
        Key where the recipe writes none; ``''`` leaves the port unconnected.
    desc : str
        One line for people.
    aliases : iterable of str
        Old names that recipes may still use.
    """

    direction: ClassVar[str] = ""

    def __init__(
        self,
        data_type: type[DataObject],
        default_key: Any = "",
        *,
        desc: str = "",
        aliases: Iterable[str] = (),
        **metadata: Any,
    ) -> None:
        self.data_type = data_type
        self.aliases = tuple(aliases)
        self.description = desc
        self.order = next(_declared)
        super().__init__(default_key, desc=desc, **metadata)

    def expected(self) -> str:
        """What a value must be, for people."""
        return "a key: a word without line breaks"

    def coerce(self, value: Any) -> Any:
        """The value in its stored form; ValueError where it is not allowed."""
        if not isinstance(value, str) or value != value.strip() or any(ord(letter) < 32 for letter in value):
            raise ValueError(value)
        return str(value)

    def validate(self, obj: Any, name: str, value: Any) -> Any:
        try:
            return self.coerce(value)
        except ValueError:
            text = f"{type(obj).__name__}.{name} must be {self.expected()}, not {value!r}"
            raise TraitError(text) from None  # type: ignore[no-untyped-call]


class Input(Port):
    """Where data enter.

    Parameters
    ----------
    requires : iterable of str
        Columns that a table must have; any known name of a column counts.
    optional : bool
        The module also runs without it.
    many : bool
        Takes a list of keys; `run` receives a list.
    deprecated : bool
        Kept for old recipes: connected only where a recipe writes its key.
    """

    direction = "input"

    def __init__(
        self,
        data_type: type[DataObject],
        default_key: str | Iterable[str] = "",
        *,
        requires: Iterable[str] = (),
        optional: bool = False,
        many: bool = False,
        deprecated: bool = False,
        desc: str = "",
        aliases: Iterable[str] = (),
    ) -> None:
        self.requires = tuple(requires)
        # A port without a default key is one that may be left unconnected: PYME's rule.
        self.optional = optional or deprecated or not default_key
        self.deprecated = deprecated
        self.many = many
        if many:
            default_key = (default_key,) if isinstance(default_key, str) and default_key else tuple(default_key)
        super().__init__(data_type, default_key, desc=desc, aliases=aliases)

    def expected(self) -> str:
        return "a list of keys" if self.many else super().expected()

    def coerce(self, value: Any) -> Any:
        if not self.many:
            return super().coerce(value)
        keys = [value] if isinstance(value, str) else value
        if not isinstance(keys, (list, tuple)):
            raise ValueError(value)
        return tuple(super(Input, self).coerce(key) for key in keys if key != "")


class Output(Port):
    """Where data leave.

    Parameters
    ----------
    like : str
        Name of the input whose type and columns this output has.
    adds : iterable of str
        Columns that come on top of those of `like`.
    columns : iterable of str
        Columns of a table that is made from nothing.
    diagnostic : bool
        Made only where something asks for it: for looking into the method.
    deprecated : bool
        Made only where something asks for it: kept for old recipes.
    """

    direction = "output"

    def __init__(
        self,
        data_type: type[DataObject],
        default_key: str = "",
        *,
        like: str = "",
        adds: Iterable[str] = (),
        columns: Iterable[str] = (),
        diagnostic: bool = False,
        deprecated: bool = False,
        desc: str = "",
        aliases: Iterable[str] = (),
    ) -> None:
        self.like = like
        self.adds = tuple(adds)
        self.columns = tuple(columns)
        self.diagnostic = diagnostic
        self.deprecated = deprecated
        super().__init__(data_type, default_key, desc=desc, aliases=aliases)

    @property
    def on_demand(self) -> bool:
        """Whether it is made only where something asks for it."""
        return self.diagnostic or self.deprecated
