"""Astigmatic calibrations of other programs: PYME's JSON and Picasso's YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import Table
from recipes_core.errors import DataError

SUFFIXES = (".json", ".yaml", ".yml")
_POINTS = 201
_RELATIVE_ERROR = 0.02


def read_calibration(path: Path, pixel: tuple[float, float] | None) -> tuple[Table, str]:
    """A calibration that PYME or Picasso wrote, as a table of z, sigma_x and sigma_y in nm, and what is to be said of it.

    PYME: a list with one set of curves a channel, of which the first is taken, over its ``zRange``. Picasso: polynomials of the widths in
    camera pixels over z; its magnification factor multiplies z.

    Parameters
    ----------
    path : Path
    pixel : (x, y), optional
        nm; Picasso's calibration needs it.

    Raises
    ------
    DataError
        D551 where the file holds no calibration of theirs.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            content = json.loads(text)
        else:
            import yaml

            content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a calibration: {error}", code="D551") from error
    except Exception as error:  # YAML's errors are no ValueErrors
        raise DataError(f"{path} is no YAML: {str(error).splitlines()[0]}", code="D551") from error
    if isinstance(content, Mapping) and "X Coefficients" in content:
        return _picasso(path, content, pixel)
    channels = content if isinstance(content, list) else [content]
    if channels and all(isinstance(item, Mapping) and {"z", "sigmax", "sigmay"} <= set(item) for item in channels):
        return _pyme(path, channels)
    raise DataError(
        f"{path} is no astigmatic calibration of PYME (a list with z, sigmax and sigmay) or Picasso (X and Y Coefficients).",
        code="D551",
        hint="Give such a file, or a table with the columns z, sigma_x and sigma_y.",
    )


def _numbers(path: Path, values: Any, name: str) -> Any:
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise DataError(f"{path}: '{name}' is no list of numbers.", code="D551")
    return found


def _pyme(path: Path, channels: list[Mapping[str, Any]]) -> tuple[Table, str]:
    from recipes_modules.localize.astigmatism import fit_spline

    first = channels[0]
    z, *widths = (_numbers(path, first[name], name) for name in ("z", "sigmax", "sigmay"))
    if any(len(width) != len(z) for width in widths) or len(np.unique(z)) < 8:
        raise DataError(f"{path}: z, sigmax and sigmay are no curves of at least 8 places.", code="D551")
    low, high = z.min(), z.max()
    if "zRange" in first:
        ends = _numbers(path, first["zRange"], "zRange")
        low, high = max(low, float(ends.min())), min(high, float(ends.max()))
    at = np.linspace(low, high, _POINTS)
    # The curves are measured ones; a spline takes out their noise, as in PYME.
    curves = [fit_spline(z, width, np.maximum(_RELATIVE_ERROR * width, 1e-3), at) for width in widths]
    told = f"PYME's calibration {path.name}, z from {low:.0f} to {high:.0f} nm"
    if len(channels) > 1:
        told += f"; the first of its {len(channels)} channels"
    return _table(at, *curves), told


def _picasso(path: Path, content: Mapping[str, Any], pixel: tuple[float, float] | None) -> tuple[Table, str]:
    if pixel is None:
        raise DataError(
            f"{path.name} is Picasso's: its widths count in camera pixels, whose size the localizations do not tell.",
            code="D551",
            hint="Give voxelsize.x and voxelsize.y in um in the metadata of the localizations.",
        )
    cx, cy = (_numbers(path, content.get(f"{axis} Coefficients"), f"{axis} Coefficients") for axis in "XY")
    step, planes, scale = (
        _positive(path, content, name, default)
        for name, default in (("Step size in nm", None), ("Number of frames", None), ("Magnification factor", 1.0))
    )
    planes /= _positive(path, content, "Frames per step", 1.0)
    reach = 0.5 * step * max(planes - 1, 1)
    at = np.linspace(-reach, reach, 2 * _POINTS + 1)
    x, y = np.polyval(cx, at), np.polyval(cy, at)
    # Polynomials of the sixth order turn round beyond what was measured; z counts from where the curves cross.
    middle = len(at) // 2
    rises = np.diff(x - y) * np.sign(np.diff(x - y)[middle]) > 0
    usable = (x > 0) & (y > 0) & np.append(rises, rises[-1])
    first, last = middle, middle
    while first > 0 and usable[first - 1]:
        first -= 1
    while last < len(at) - 1 and usable[last + 1]:
        last += 1
    kept = slice(first, last + 1)
    made = _table(at[kept] * scale, x[kept] * pixel[0], y[kept] * pixel[1])
    ends = f"z from {at[first] * scale:.0f} to {at[last] * scale:.0f} nm, magnification factor {scale:g} included"
    return made, f"Picasso's calibration {path.name}, {ends}"


def _positive(path: Path, content: Mapping[str, Any], name: str, default: float | None) -> float:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0 or not np.isfinite(value):
        raise DataError(f"{path}: '{name}' is {value!r}, no number above 0.", code="D551")
    return float(value)


def _table(z: Any, x: Any, y: Any) -> Table:
    return Table({"z": z, "sigma_x": x, "sigma_y": y}, units=dict.fromkeys(("z", "sigma_x", "sigma_y"), "nm"))
