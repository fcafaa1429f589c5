"""The camera: from its counts to photoelectrons and their noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data.cameras import PRESET_KEY, with_preset
from recipes_core.errors import DataError

Map = npt.NDArray[np.float32]

KEYS = {
    "offset": "Camera.ADOffset",
    "electrons_per_count": "Camera.ElectronsPerCount",
    "em_gain": "Camera.TrueEMGain",
    "noise_factor": "Camera.NoiseFactor",
    "read_noise": "Camera.ReadNoise",
}
"""Field of `Camera` -> PYME's key in the metadata."""
MEANING = {
    "Camera.ADOffset": "counts in the dark",
    "Camera.ElectronsPerCount": "electrons per count",
    "Camera.TrueEMGain": "1 without EM register",
    "Camera.NoiseFactor": "1; 1.41 with EM register",
    "Camera.ReadNoise": "electrons",
    "voxelsize.x": "um",
    "voxelsize.y": "um",
}
EXAMPLE = {
    "Camera.ADOffset": 100,
    "Camera.ElectronsPerCount": 0.45,
    "Camera.TrueEMGain": 1,
    "Camera.NoiseFactor": 1,
    "Camera.ReadNoise": 1.5,
    "voxelsize.x": 0.1,
    "voxelsize.y": 0.1,
}


@dataclass(frozen=True, eq=False)
class Camera:
    """What turns counts (ADU) into photoelectrons.

    Attributes
    ----------
    offset : float or array (y, x)
        Counts in the dark, ADU.
    electrons_per_count : float
        Electrons behind the EM register (where there is one) for one count.
    em_gain : float
        True gain of the EM register; 1 where there is none.
    noise_factor : float
        By which the EM register widens shot noise: 1.41 for EMCCDs, else 1.
    read_noise : float
        Standard deviation, electrons behind the EM register.
    variance : array (y, x), optional
        Read noise squared of each pixel in electrons^2, in place of `read_noise`.
    dark : array (y, x), optional
        Counts in the dark of each pixel, ADU, in place of `offset`.
    flat : array (y, x), optional
        By which counts above the dark are multiplied; 1 in the mean.
    pixel_size : (x, y)
        nm, in the sample.
    origin : (x, y)
        First pixel of the movie on the sensor, from 0.
    """

    offset: float | Map
    electrons_per_count: float
    em_gain: float = 1.0
    noise_factor: float = 1.0
    read_noise: float = 0.0
    variance: Map | None = None
    dark: Map | None = None
    flat: Map | None = None
    pixel_size: tuple[float, float] = (100.0, 100.0)
    origin: tuple[int, int] = (0, 0)

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, Any],
        *,
        shape: tuple[int, int],
        dark: npt.ArrayLike | None = None,
        variance: npt.ArrayLike | None = None,
        flat: npt.ArrayLike | None = None,
        offset: float | None = None,
    ) -> Camera:
        """The camera that a movie's metadata describe.

        Parameters
        ----------
        metadata : mapping
            PYME's keys: ``Camera.ADOffset``, ``.ElectronsPerCount``, ``.TrueEMGain``, ``.NoiseFactor``, ``.ReadNoise`` and
            ``voxelsize.x``, ``.y`` (um).
        shape : (y, x)
            Of the frames.
        dark, variance, flat : array (y, x), optional
            Maps of the frame, or of the whole sensor: they are cut at the region that the metadata name.
        offset : float, optional
            Counts in the dark in place of ``Camera.ADOffset``, such as `camera_setup.dark_level` finds.

        Raises
        ------
        DataError
            D510 where keys are missing (all of them are named), D511 where a value makes no sense, D512 where a map does not fit.
        """
        origin = roi_origin(metadata, shape)
        region = origin if roi_named(metadata) else None
        maps = {
            name: None if values is None else fit_map(values, shape, region, name)
            for name, values in (("dark", dark), ("variance", variance), ("flat", flat))
        }
        known = with_preset(metadata)
        if maps["dark"] is not None:
            # A map of the offset says more than one number for all pixels.
            known["Camera.ADOffset"] = float(np.mean(maps["dark"]))
        elif offset is not None:
            known["Camera.ADOffset"] = offset
        if maps["variance"] is not None:
            known["Camera.ReadNoise"] = float(np.sqrt(np.median(maps["variance"])))
        pixel_size = _pixel_size(known)
        missing = [key for key in KEYS.values() if known.get(key) is None]
        if pixel_size is None:
            missing += [key for key in ("voxelsize.x", "voxelsize.y") if known.get(key) is None]
        if missing:
            raise DataError(missing_text(missing, known.get(PRESET_KEY)), code="D510", hint=missing_hint(missing))
        assert pixel_size is not None
        values = {name: _number(key, known[key]) for name, key in KEYS.items()}
        _check_values(values)
        return cls(**values, **maps, pixel_size=pixel_size, origin=origin)  # type: ignore[arg-type]

    def to_electrons(self, frames: npt.NDArray[Any]) -> Map:
        """Photoelectrons of counts.

        Parameters
        ----------
        frames : array (..., y, x)
            ADU.

        Returns
        -------
        array (..., y, x), float32
            Photoelectrons before the EM register; below 0 where noise took a pixel below the offset.
        """
        electrons: Map = np.subtract(frames, self.level, dtype=np.float32)
        electrons *= self.scale
        return electrons

    @property
    def level(self) -> np.float32 | Map:
        """What `to_electrons` subtracts: the dark map or the offset, ADU."""
        return np.asarray(self.offset if self.dark is None else self.dark, np.float32)[()]

    @property
    def scale(self) -> np.float32 | Map:
        """What `to_electrons` multiplies by: photoelectrons per count, with the flat field."""
        one = np.float32(self.electrons_per_count / self.em_gain)
        return one if self.flat is None else np.asarray(self.flat * one, np.float32)

    @property
    def counts_per_electron(self) -> float:
        """ADU for one photoelectron, in the mean."""
        return self.em_gain / self.electrons_per_count

    def variance_map(self, shape: tuple[int, int]) -> Map:
        """Variance of the read noise, in units of photoelectrons^2 before the EM register, (y, x) float32.

        The flat field counts: it multiplies the noise of a pixel too.
        """
        base = np.full(shape, self.read_noise**2, np.float32) if self.variance is None else np.array(self.variance, np.float32)
        base /= np.float32(self.em_gain**2)
        if self.flat is not None:
            base *= self.flat**2
        return base

    def metadata(self) -> dict[str, Any]:
        """The camera in PYME's keys."""
        found: dict[str, Any] = {key: getattr(self, name) for name, key in KEYS.items()}
        found["Camera.ADOffset"] = float(np.mean(self.offset))
        x, y = self.pixel_size
        return found | {"voxelsize.x": x / 1000, "voxelsize.y": y / 1000, "voxelsize.units": "um"}

    def __str__(self) -> str:
        maps = [name for name in ("dark", "variance", "flat") if getattr(self, name) is not None]
        told = "dark map" if self.dark is not None else f"{float(np.mean(self.offset)):.6g} ADU"
        noise = "variance map" if self.variance is not None else f"{self.read_noise:.4g} e-"
        gain = f", EM gain {self.em_gain:g}" if self.em_gain != 1 else ""
        flat = ", flat field" if "flat" in maps else ""
        return f"offset {told}, {self.electrons_per_count:.4g} e- per count{gain}, read noise {noise}{flat}"


def missing_text(missing: list[str], preset: str | None = None) -> str:
    """What is missing, as a sentence."""
    told = ", ".join(f"{key} ({MEANING[key]})" for key in missing)
    if preset is not None and KEYS["em_gain"] in missing:
        told += f"; the camera '{preset}' has an EM register, whose gain only you know"
    return f"the movie's metadata do not describe its camera; missing: {told}."


def missing_hint(missing: list[str]) -> str:
    """How to give what is missing."""
    inline = ", ".join(f"{key}: {EXAMPLE[key]}" for key in missing)
    return (
        f"Give them under the input, 'metadata: {{{inline}}}' with the values of your camera's data sheet, or on the command line, "
        f"-m INPUT.{missing[0]}={EXAMPLE[missing[0]]}; 'camera: NAME' (-m INPUT.camera=NAME) takes typical values of a model."
    )


def roi_origin(metadata: Mapping[str, Any], shape: tuple[int, int]) -> tuple[int, int]:
    """First pixel of a movie on the sensor (x, y) from 0: ``ROIOriginX`` counts from 0, ``ROIPosX`` from 1; 0 where neither is given.

    Raises
    ------
    DataError
        D511 where it is no whole number of at least 0, or the metadata give the region another size than the movie has.
    """
    found = []
    for axis, size in (("X", shape[1]), ("Y", shape[0])):
        zero, one = metadata.get(f"Camera.ROIOrigin{axis}"), metadata.get(f"Camera.ROIPos{axis}")
        key = f"Camera.ROIOrigin{axis}" if zero is not None else f"Camera.ROIPos{axis}"
        value = zero if zero is not None else (None if one is None else _number(key, one) - 1)
        start = 0.0 if value is None else _number(key, value)
        if start < 0 or start != int(start):
            raise DataError(
                f"{key} is {metadata[key]}: no pixel of a sensor.", code="D511", hint="Give the first pixel's number."
            )
        length = metadata.get(f"Camera.ROI{'Width' if axis == 'X' else 'Height'}")
        if value is not None and length is not None and int(_number("Camera.ROIWidth", length)) != size:
            raise DataError(
                f"the metadata say that the region is {length} pixels along {axis.lower()}; the movie has {size}.",
                code="D511",
                hint="Correct Camera.ROIWidth and Camera.ROIHeight, or leave them out.",
            )
        found.append(int(start))
    return found[0], found[1]


def roi_named(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata say where on the sensor a movie lies."""
    return any(metadata.get(f"Camera.ROI{kind}{axis}") is not None for kind in ("Origin", "Pos") for axis in "XY")


def fit_map(values: npt.ArrayLike, shape: tuple[int, int], origin: tuple[int, int] | None, name: str) -> Map:
    """A map of the frame: as it is where it has the frame's shape, else cut out of the sensor's at `origin`, if that is known.

    Raises
    ------
    DataError
        D512 where the map does not hold the region, or values that a map of this kind cannot have.
    """
    # The origin counts only for maps larger than the frame: one of the frame's own shape was cut already.
    array = np.asarray(values, np.float32)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise DataError(
            f"the {name} map has shape {np.shape(values)}; a map is one image.", code="D512", hint="Average the frames first."
        )
    if array.shape != tuple(shape):
        x, y = origin or (0, 0)
        cut = array[y : y + shape[0], x : x + shape[1]]
        if cut.shape != tuple(shape):
            raise DataError(
                f"the {name} map of {array.shape[0]} x {array.shape[1]} pixels does not hold the movie's region: {shape[0]} x "
                f"{shape[1]} from row {y}, column {x}.",
                code="D512",
                hint="Give the map of the whole sensor and the region as Camera.ROIOriginX and .ROIOriginY, from 0, or a map of the "
                "movie's own shape.",
            )
        if origin is None:
            raise DataError(
                f"the {name} map has {array.shape[0]} x {array.shape[1]} pixels, the movie {shape[0]} x {shape[1]}, and the metadata do "
                "not say which region of the sensor the movie shows.",
                code="D512",
                hint="Give its first column and row as Camera.ROIOriginX and .ROIOriginY, from 0 (or Camera.ROIPosX and .ROIPosY, from 1).",
            )
        array = cut
    _check_map(array, name)
    return np.ascontiguousarray(array)


def _check_map(array: Map, name: str) -> None:
    lowest = {"dark": -np.inf, "variance": 0.0, "flat": 1e-30}[name]
    bad = int(np.count_nonzero(~(np.isfinite(array) & (array >= lowest))))
    if bad:
        raise DataError(
            f"the {name} map has {bad:,} pixels that are "
            + (
                "not finite."
                if name == "dark"
                else "not finite or below 0."
                if name == "variance"
                else "not finite or not above 0."
            ),
            code="D512",
            hint="Replace them, for instance by the median of their neighbours"
            + ("; give dead pixels a high variance." if name == "variance" else "."),
        )
    if name == "flat" and not 0.5 < float(np.median(array)) < 2:
        raise DataError(
            f"the flat map has the median {float(np.median(array)):.4g}; it multiplies counts and is 1 in the mean.",
            code="D512",
            hint="Divide the map by its mean, and turn it over (1 / map) where it holds the sensor's response.",
        )


def _number(key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, bool) or not np.isfinite(number):
        raise DataError(
            f"{key} is {value!r}, not a number.", code="D511", hint=f"For example -m INPUT.{key}={EXAMPLE.get(key, 1)}."
        )
    return number


def _check_values(values: Mapping[str, float]) -> None:
    wrong = []
    if values["electrons_per_count"] <= 0:
        wrong.append(f"{KEYS['electrons_per_count']} is {values['electrons_per_count']:g}, not above 0")
    if values["em_gain"] < 1:
        wrong.append(f"{KEYS['em_gain']} is {values['em_gain']:g}, below 1")
    if not 1 <= values["noise_factor"] <= 2:
        wrong.append(f"{KEYS['noise_factor']} is {values['noise_factor']:g}, not from 1 to 2")
    if values["read_noise"] < 0:
        wrong.append(f"{KEYS['read_noise']} is {values['read_noise']:g}, below 0")
    if wrong:
        raise DataError(
            f"the metadata describe no camera: {'; '.join(wrong)}.",
            code="D511",
            hint="Correct them under 'metadata:' of the input or with -m.",
        )


def _pixel_size(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    from recipes_core.data import ImageStack

    size = ImageStack(np.zeros((1, 1), np.uint8), metadata=metadata).pixel_size
    return None if size is None else (size[0], size[1])
