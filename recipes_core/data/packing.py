"""Data as plain arrays and a description: what the store keeps of an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recipes_core.errors import NotCacheable

if TYPE_CHECKING:
    from recipes_core.data.imagestack import FrameSource

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Packed:
    """An object taken apart.

    Parameters
    ----------
    kind : str
        Name under which its type is registered (`recipes_core.plugins.DatatypeRef`).
    spec : dict
        What is not an array, as plain values: None, bool, int, float, str, and lists and dicts of them.
    arrays : dict
        Name -> array or, for pixels that are read block by block, `FrameSource`; the order counts.
    """

    kind: str
    spec: dict[str, Any]
    arrays: dict[str, Array | FrameSource]


def plain_array(values: npt.ArrayLike, what: str) -> Array:
    """The values as an array that needs no pickle.

    Objects that are all text become fixed-width text.

    Raises
    ------
    NotCacheable
        Where they are of a type that can only be stored as Python objects.
    """
    array = np.asarray(values)
    if not array.dtype.hasobject:
        if array.dtype.itemsize == 0:
            raise NotCacheable(f"{what} is of type {array.dtype}, which holds nothing", hint="Use numbers or text.")
        return array
    original = array.ravel().tolist()
    if array.dtype.names is None and all(isinstance(item, str) for item in original):
        text = array.astype("U") if original else array.astype("U1")
        # Fixed-width text loses NULs at its end.
        if text.ravel().tolist() == original:
            return text
    raise NotCacheable(
        f"{what} holds Python objects ({_named_types(original)}), not numbers or text",
        hint="Convert it with astype() to a number or to text.",
    )


def _named_types(items: list[Any]) -> str:
    return ", ".join(sorted({type(item).__name__ for item in items})[:4]) or "none"


def as_array(value: Array | FrameSource, what: str) -> Array:
    """An array of a packed object; raises TypeError where it is a source of frames."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{what} is {type(value).__name__}, not an array")
    return value


def take_apart(value: Any, arrays: dict[str, Any], known: Mapping[str, type]) -> Any:
    """Nested dataclasses and sequences as plain values.

    Parameters
    ----------
    value : object
        None, bool, number, text, array, a sequence of them, or a dataclass of a known type.
    arrays : dict
        Receives the arrays, named by number.
    known : mapping
        Name -> dataclass, for every type that may occur.

    Raises
    ------
    NotCacheable
        Where a value is of another type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = plain_array(value, f"array {name}")
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [take_apart(item, arrays, known) for item in value]
    if is_dataclass(value) and known.get(type(value).__name__) is type(value):
        parts = {item.name: take_apart(getattr(value, item.name), arrays, known) for item in fields(value)}
        return {"is": type(value).__name__, "with": parts}
    raise NotCacheable(f"a {type(value).__name__} has no place in a stored figure", hint="Use numbers, text or arrays.")


def put_together(plain: Any, arrays: Mapping[str, Any], known: Mapping[str, type]) -> Any:
    """Inverse of `take_apart`; sequences become tuples."""
    if isinstance(plain, list):
        return tuple(put_together(item, arrays, known) for item in plain)
    if isinstance(plain, dict):
        if "array" in plain:
            return arrays[plain["array"]]
        parts = {name: put_together(item, arrays, known) for name, item in plain["with"].items()}
        return known[plain["is"]](**parts)
    return plain
