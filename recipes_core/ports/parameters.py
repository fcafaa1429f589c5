"""Parameters of modules: typed, bounded, documented, coerced only where nothing can be lost.

Values are stored in a form that cannot be changed in place (tuples, `FrozenDict`), so that no change escapes the engine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

from traits.api import DefaultValue, TraitError, TraitType

_declared = itertools.count()


class FrozenDict(dict[str, Any]):
    """A dict that refuses to be changed: assign a new one to the parameter instead."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the value of a parameter cannot be changed in place; assign a new dict to the parameter")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


class Parameter(TraitType):
    """Base of all parameter types.

    Parameters
    ----------
    default : object
        Value where the recipe writes none.
    desc : str
        One line for people.
    unit : str
        Unit of a number.
    affects_result : bool
        False for what cannot change a result (number of workers, debugging); such parameters stay out of keys.
    deprecated : bool
        Accepted for old recipes, without effect.
    optional : bool
        Whether None (YAML ``null``) is allowed.
    aliases : iterable of str
        Old names that recipes may still use.
    """

    kind: ClassVar[str] = "value"
    # Traits would copy a default that is a dict into an ordinary one, which can be changed in place.
    default_value_type = DefaultValue.constant

    def __init__(
        self,
        default: Any,
        *,
        desc: str = "",
        unit: str = "",
        affects_result: bool = True,
        deprecated: bool = False,
        optional: bool = False,
        aliases: Iterable[str] = (),
    ) -> None:
        self.description = desc
        self.unit = unit
        self.affects_result = affects_result and not deprecated
        self.deprecated = deprecated
        self.optional = optional or default is None
        self.aliases = tuple(aliases)
        self.order = next(_declared)
        super().__init__(None if default is None else self.coerce(default), desc=desc)

    def expected(self) -> str:
        """What a value must be, for people."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it expects")

    def coerce(self, value: Any) -> Any:
        """The value in its stored form; ValueError where it is not allowed."""
        raise NotImplementedError(f"{type(self).__name__} does not coerce")

    def accept(self, value: Any) -> Any:
        """`coerce`, with None where it is allowed."""
        return None if value is None and self.optional else self.coerce(value)

    def validate(self, obj: Any, name: str, value: Any) -> Any:
        try:
            return self.accept(value)
        except ValueError:
            text = f"{type(obj).__name__}.{name} must be {self.expected()}, not {value!r}"
            raise TraitError(text) from None  # type: ignore[no-untyped-call]


class _Number(Parameter):
    def __init__(self, default: Any, *, low: float | None = None, high: float | None = None, **options: Any) -> None:
        self.low, self.high = low, high
        super().__init__(default, **options)

    def _bounds(self) -> str:
        if self.low is not None and self.high is not None:
            return f" from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f" of at least {self.low:g}"
        return f" of at most {self.high:g}" if self.high is not None else ""

    def _inside(self, value: Any) -> Any:
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ValueError(value)
        return value


def _finite(value: Any) -> float:
    """A number that is no truth value; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(value)
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(value) from error
    if not math.isfinite(number):
        raise ValueError(value)
    return number


class Int(_Number):
    """A whole number; 11.0 is accepted, "11" and true are not."""

    kind = "integer"

    def expected(self) -> str:
        return "a whole number" + self._bounds()

    def coerce(self, value: Any) -> int:
        number = _finite(value)
        if number != int(number):
            raise ValueError(value)
        # Not by way of the float: whole numbers beyond 2**53 would change.
        return int(self._inside(int(value if isinstance(value, Integral) else number)))


class Float(_Number):
    """A finite number; "2" and true are not accepted."""

    kind = "number"

    def expected(self) -> str:
        return "a number" + self._bounds()

    def coerce(self, value: Any) -> float:
        return float(self._inside(_finite(value)))


def Range(low: float, high: float, default: float, **options: Any) -> Int | Float:
    """A bounded number: whole where both bounds and the default are written without a decimal point."""
    whole = all(isinstance(number, int) for number in (low, high, default))
    return (Int if whole else Float)(default, low=low, high=high, **options)


class Bool(Parameter):
    """true or false, nothing else."""

    kind = "boolean"

    def expected(self) -> str:
        return "true or false"

    def coerce(self, value: Any) -> bool:
        if type(value).__name__ not in ("bool", "bool_"):
            raise ValueError(value)
        return bool(value)


class Str(Parameter):
    """Text."""

    kind = "string"

    def expected(self) -> str:
        return "text"

    def coerce(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        return str(value)


class Choice(Parameter):
    """One of several words; upper and lower case count as the same."""

    kind = "choice"

    def __init__(self, choices: Iterable[str], default: str, **options: Any) -> None:
        self.choices = tuple(choices)
        super().__init__(default, **options)

    def expected(self) -> str:
        return "one of " + ", ".join(self.choices)

    def coerce(self, value: Any) -> str:
        if isinstance(value, str):
            for choice in self.choices:
                if choice.casefold() == value.casefold():
                    return choice
        raise ValueError(value)


class ListOf(Parameter):
    """A list whose items are of one type; stored as a tuple."""

    kind = "list"

    def __init__(self, item: Parameter, default: Iterable[Any] | None = (), *, length: int | None = None, **options: Any) -> None:
        self.item, self.length = item, length
        super().__init__(None if default is None else tuple(default), **options)

    def expected(self) -> str:
        size = f"{self.length} items" if self.length is not None else "items"
        return f"a list of {size}, each {self.item.expected()}"

    def coerce(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or (self.length is not None and len(value) != self.length):
            raise ValueError(value)
        return tuple(self.item.accept(item) for item in value)


class MapOf(Parameter):
    """A mapping from words to values of one type; stored as a `FrozenDict`."""

    kind = "mapping"

    def __init__(self, item: Parameter, default: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.item = item
        super().__init__(default or {}, **options)

    def expected(self) -> str:
        return f"a mapping whose values are each {self.item.expected()}"

    def coerce(self, value: Any) -> FrozenDict:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ValueError(value)
        return FrozenDict({name: self.item.accept(item) for name, item in value.items()})


class Bounds(Parameter):
    """A pair [low, high] with low <= high; null or an infinite number leaves a side open."""

    kind = "bounds"

    def __init__(self, default: Any = (None, None), **options: Any) -> None:
        super().__init__(default, **options)

    def expected(self) -> str:
        return "a pair [low, high] of numbers with low at most high"

    def coerce(self, value: Any) -> tuple[float, float]:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ValueError(value)
        sides = []
        for side, open_end in zip(value, (-math.inf, math.inf), strict=True):
            number = open_end if side is None else side
            if isinstance(number, bool) or not isinstance(number, Real) or math.isnan(number):
                raise ValueError(value)
            sides.append(float(number))
        if sides[0] > sides[1]:
            raise ValueError(value)
        return sides[0], sides[1]


class FilePath(Str):
    """A file that the module reads: relative to the recipe file; ``''`` for none. Its content counts in keys."""

    kind = "file"

    def expected(self) -> str:
        return "the name of a file"


class FilePaths(ListOf):
    """Several files that the module reads; see `FilePath`. Empty names are left out."""

    kind = "files"

    def __init__(self, default: Iterable[str] = (), **options: Any) -> None:
        super().__init__(FilePath(""), default, **options)

    def expected(self) -> str:
        return "a list of names of files"

    def coerce(self, value: Any) -> tuple[Any, ...]:
        names = [value] if isinstance(value, str) else value
        return tuple(name for name in super().coerce(names) if name)


def map_paths(parameter: Parameter, value: Any, change: Callable[[str], str]) -> Any:
    """The value of a file parameter with `change` applied to each name; any other value as it is."""
    if isinstance(parameter, FilePath):
        return change(value) if value else value
    if isinstance(parameter, FilePaths):
        return tuple(change(name) for name in value)
    return value
