"""What a format means by its numbers, and how they become ours: nm, frames from 0, positions from the centre of the first pixel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data.vocabulary import BY_NAME
from recipes_core.errors import DataError, FormatError

Columns = dict[str, npt.NDArray[Any]]

TO_NM = {
    "nm": 1.0,
    "pm": 1e-3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "mm": 1e6,
    "m": 1e9,
    "nanometer": 1.0,
    "micrometer": 1e3,
}
PIXELS = ("px", "pixel", "pixels", "pix")
ORIGINS = ("centre", "corner", "unknown")
OPTIONS = ("pixel_size", "unit", "frame_base", "origin", "swap_xy")
LARGEST_FRAME = 2**53
LENGTHS = frozenset(name for name, column in BY_NAME.items() if column.unit == "nm")
CORNER_NOTE = "positions count from the corner of the first pixel; give ?pixel_size=NM to have them counted from its centre"


@dataclass(frozen=True)
class Conventions:
    """What the numbers of a file mean.

    Parameters
    ----------
    unit : str
        Of lengths in the plane: ``nm``, ``um``, ``m``, ``px`` ...
    units : mapping
        Column in memory -> unit of lengths that have another one.
    frame_base : int
        What the format calls the first frame.
    origin : str
        What 0 is: ``centre`` or ``corner`` of the first pixel, or ``unknown``.
    pixel_size : (x, y), optional
        nm.
    swap_xy : bool
        Whether the file calls rows x.
    """

    unit: str = "nm"
    units: Mapping[str, str] = field(default_factory=dict)
    frame_base: int = 0
    origin: str = "centre"
    pixel_size: tuple[float, float] | None = None
    swap_xy: bool = False

    def given(self, options: Mapping[str, Any]) -> Conventions:
        """The same with what the user says of the file.

        Raises
        ------
        DataError
            Where an option has no value that makes sense.
        """
        changed: dict[str, Any] = {}
        if options.get("unit") is not None:
            changed["unit"], changed["units"] = known_unit(str(options["unit"])), {}
        if options.get("frame_base") is not None:
            changed["frame_base"] = _frame_base(options["frame_base"])
        if options.get("origin") is not None:
            changed["origin"] = _origin(str(options["origin"]))
        if options.get("pixel_size") is not None:
            size = length(options["pixel_size"])
            changed["pixel_size"] = (size, size)
        if options.get("swap_xy") is not None:
            changed["swap_xy"] = str(options["swap_xy"]).lower() in ("1", "true", "yes")
        return replace(self, **changed)

    def notes(self, columns: Collection[str]) -> tuple[str, ...]:
        """What the user should know before the data are read."""
        if self.origin == "corner" and self.pixel_size is None and "x" in columns:
            return (CORNER_NOTE,)
        if self.origin == "unknown" and "x" in columns:
            return ("the format does not say what position 0 is; positions stay as they are (?origin=corner shifts them)",)
        return ()

    def told(self) -> dict[str, Any]:
        """What is recorded in the history of what was read: only what differs from ours."""
        found: dict[str, Any] = {}
        units = sorted({self.unit, *self.units.values()} - {"nm"})
        if units:
            found["unit"] = ", ".join(units)
        if self.pixel_size is not None:
            found["pixel_size"] = list(self.pixel_size)
        if self.frame_base:
            found["frame_base"] = self.frame_base
        if self.origin == "corner":
            found["origin"] = "corner" + ("" if self.pixel_size is None else ", shifted by half a pixel")
        elif self.origin != "centre":
            found["origin"] = self.origin
        if self.swap_xy:
            found["swap_xy"] = True
        return found

    def to_memory(self, columns: Columns, where: object) -> Columns:
        """Columns with our units, frames and origin.

        Parameters
        ----------
        columns : mapping
            Under their names in memory.
        where : object
            The file, for messages.
        """
        result: Columns = {}
        for name, values in columns.items():
            if name == "frame":
                result[name] = whole_frames(values, self.frame_base, where)
            else:
                result[name] = self._scaled(name, values, where)
        if self.origin == "corner" and self.pixel_size is not None:
            for index, axis in enumerate("xy"):
                if axis in result:
                    result[axis] = result[axis] - self.pixel_size[index] / 2
        return _swapped(result) if self.swap_xy else result

    def _scaled(self, name: str, values: npt.NDArray[Any], where: object) -> npt.NDArray[Any]:
        unit = self.units.get(name)
        if unit is None:
            # Heights are in nm in every format that counts in pixels.
            in_plane = name in LENGTHS and not (self.unit in PIXELS and name in ("z", "error_z", "dz"))
            unit = self.unit if in_plane else "nm"
        if unit == "nm":
            return values
        return times(values, self.factor(unit, name, where))

    def factor(self, unit: str, name: str, where: object) -> float:
        """nm in one `unit` of a column."""
        if unit not in PIXELS:
            return TO_NM[unit]
        if self.pixel_size is None:
            raise no_pixel_size(where)
        return self.pixel_size[1 if name == "y" or name.endswith("_y") or name == "dy" else 0]


def times(values: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Values times a factor, floats in the precision that they have."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values * values.dtype.type(factor) if values.dtype.kind == "f" else values * factor


def no_pixel_size(where: object) -> FormatError:
    """The error of a file that counts in pixels."""
    name = getattr(where, "name", str(where))
    return FormatError(
        f"{where} counts in pixels, and their size is not known.", code="D230", hint=f"Give it in nm: {name}?pixel_size=130."
    )


def whole_frames(values: npt.NDArray[Any], base: int, where: object) -> npt.NDArray[Any]:
    """Frames counted from 0; integers where all are whole.

    Where a format counts from 1 and the file holds a frame 0, the file was written by a program that counts from 0, and stays.
    """
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if values.size and not (np.abs(values[finite]) < LARGEST_FRAME).all():
            at = int(np.argmax(finite & ~(np.abs(np.where(finite, values, 0)) < LARGEST_FRAME)))
            raise FormatError(f"{where}: row {at + 1} is of frame {values[at]:g}; that is no number of a frame.")
        if finite.all() and np.array_equal(values, np.rint(values)):
            values = values.astype(np.int64)
    if not base or not len(values):
        return values
    first = np.nanmin(values) if values.dtype.kind == "f" and np.isfinite(values).any() else values.min()
    if first < base:
        return values
    return values - values.dtype.type(base) if values.dtype.kind in "iu" else values - base


def frame_note(first: float | None, base: int) -> tuple[str, ...]:
    """What to say where the first rows show that frames are not counted as the format does."""
    if first is None or not base or not first < base:
        return ()
    return (f"the format counts frames from {base}, but this file has frame {first:g}: they are taken as counted from 0",)


def length(value: Any, name: str = "pixel_size") -> float:
    """A length in nm above 0."""
    try:
        size = float(value)
    except (TypeError, ValueError):
        size = np.nan
    if not (np.isfinite(size) and size > 0):
        raise DataError(f"{name} must be a length in nm above 0, not {value!r}.", code="D230")
    return size


def known_unit(text: str) -> str:
    """The unit that a text means.

    Raises
    ------
    DataError
        Where it is none of a length.
    """
    name = text.strip().lower()
    if name in PIXELS:
        return "px"
    if name in TO_NM:
        return name
    raise DataError(f"'{text}' is no unit of a length.", code="D231", hint="Possible: nm, um, mm, m, px.")


def _frame_base(value: Any) -> int:
    if str(value) not in ("0", "1"):
        raise DataError(f"frame_base is what the file calls its first frame, 0 or 1, not {value!r}.", code="D231")
    return int(value)


def _origin(text: str) -> str:
    name = text.strip().lower().replace("center", "centre")
    if name not in ORIGINS:
        raise DataError(f"origin is 'centre' or 'corner' of the first pixel, not {text!r}.", code="D231")
    return name


def _swapped(columns: Columns) -> Columns:
    pairs = {"x": "y", "error_x": "error_y", "sigma_x": "sigma_y", "dx": "dy", "x_cr": "y_cr"}
    other = {**pairs, **{b: a for a, b in pairs.items()}}
    return {
        other.get(name, name) if other.get(name, name) in columns or name in other else name: v for name, v in columns.items()
    }
