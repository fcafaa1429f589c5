"""What PYME writes about an analysis into a movie's metadata, as parameters of the fits here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recipes_core.errors import DataError

KEYS: Mapping[str, tuple[str, ...]] = {
    "threshold": ("Analysis.DetectionThreshold",),
    "detection": ("Analysis.DetectionFilter",),
    "start_at": ("Analysis.StartAt",),
    "background": ("Analysis.BGRange", "Analysis.NumBGFrames"),
    "percentile": ("Analysis.PCTBackground",),
    # PYME's own presets write the second form, which PYME itself does not read.
    "subtract_background": ("Analysis.subtractBackground", "Analysis.SubtractBackground"),
    "debounce_radius": ("Analysis.DebounceRadius",),
    "clump_radius": ("Analysis.ClumpRejectRadius",),
    "lowpass": ("Analysis.DetectionRadiusLowpass",),
    "highpass": ("Analysis.DetectionRadiusHighpass",),
    "snr_threshold": ("Analysis.SNRThreshold",),
    "roi_half_size": ("Analysis.ROISize",),
    "psf_sigma_guess": ("Analysis.PSFSigmaGuess",),
    "track_fiducials": ("Analysis.TrackFiducials",),
    "fiducial_roi_size": ("Analysis.FiducialROISize",),
}
"""Parameter -> PYME's keys for it, the first that is there counts."""
OWN_KEYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "GaussMultiFitSR": {"psf_sigma_guess": ("Analysis.PSFSigma",), "residual_max": ("Analysis.ResidualMax",)},
}
"""Likewise, for fits that PYME gives keys of their own."""
NAMES = {"gaussmultifitsr": "GaussMultiFitSR", "astiggaussgpufitfr": "AstigGaussMLE"}
"""PYME's names of fits that have another one here; in small letters."""
ELSEWHERE: Mapping[str, str] = {
    "Analysis.FiducialThreshold": "PYME multiplies three frames of DriftIndices; here fiducial_threshold counts noise of one",
    "Analysis.DriftIndices": "beads are looked for in frames spread over each stretch of the movie",
    "Analysis.FiducalSize": "fiducial_size is the width of a bead's image, not of the bead",
    "Analysis.FiducialSize": "fiducial_size is the width of a bead's image, not of the bead",
    "Analysis.DetectionFilterSize": "of PYME's fit on graphics cards; detection has lowpass and highpass",
    "Analysis.GuessPSFSigmaPix": "of PYME's fit on graphics cards; see psf_sigma_guess",
}
"""Keys that count in PYME, for what here is another matter."""
WITHOUT_EFFECT = frozenset(
    f"Analysis.{name}"
    for name in (
        "FitModule", "InterpModule", "EstimatorModule", "AxialShift", "AxialShifts", "FitShifts", "PoissonML", "ColourRatio", "AstigmatismMapID",
        "GPUPCTBackground", "ChunkSize", "DebugLevel", "DataFileID", "DataFileURI", "resultname", "name", "astigmatism_calibration_used",
        "BleachProfile", "valid", "PSFSigma", "ResidualMax", "PSFSigmaGuess",
    )
)  # fmt: skip
"""Keys of other fits, of the place of files, of later steps: they change nothing in a fit of Gaussians."""


@dataclass(frozen=True)
class Settings:
    """What the metadata say.

    Attributes
    ----------
    fit : str
        Name of the fit; empty where none is named.
    values : dict
        Parameter -> key and value.
    notes : list of str
        Keys that are there and not taken, with the reason.
    """

    fit: str = ""
    values: dict[str, tuple[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def settings_of(metadata: Mapping[str, Any], fit: str = "") -> Settings:
    """The settings of an analysis in a movie's metadata.

    Parameters
    ----------
    metadata : mapping
    fit : str
        Name of the fit that is to be made; empty for the one that the metadata name.

    Raises
    ------
    DataError
        D523 where a value is none that its key can have.
    """
    fit = fit or own_name(str(metadata.get("Analysis.FitModule") or ""))
    keys = {**KEYS, **OWN_KEYS.get(fit, {})}
    found: dict[str, tuple[str, Any]] = {}
    for parameter, names in keys.items():
        for key in names:
            value = metadata.get(key)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                found[parameter] = (key, _value(parameter, key, value))
                break
    if "threshold" in found and "detection" not in found:
        # PYME knows no other detection, and its thresholds mean nothing to another.
        found["detection"] = (found["threshold"][0], "bandpass")
    return Settings(fit, found, list(_notes(metadata, fit, found, keys)))


def own_name(name: str) -> str:
    """The name that a fit of PYME has here; a dotted name may stand for its last part."""
    short = name.rpartition(".")[2]
    return NAMES.get(short.casefold(), short)


def _notes(metadata: Mapping[str, Any], fit: str, found: Mapping[str, Any], keys: Mapping[str, tuple[str, ...]]) -> list[str]:
    tracked = bool(found.get("track_fiducials", ("", False))[1])
    notes = [
        f"{key}: {metadata[key]} ({reason})"
        for key, reason in ELSEWHERE.items()
        if key in metadata and (("Fiduc" not in key and "Drift" not in key) or tracked)
    ]
    if "Analysis.FitBackground" in metadata and not _truth("Analysis.FitBackground", metadata["Analysis.FitBackground"]):
        notes.append("Analysis.FitBackground: false (the fits here always fit what is left of the background)")
    axis = str(metadata.get("PRI.Axis", "none"))
    if axis.casefold() not in ("none", ""):
        notes.append(f"PRI.Axis: {axis} (there is no detection of double spots)")
    if fit == "GaussMultiFitSR" and found.get("threshold", ("",))[0]:
        notes.append(
            f"{found['threshold'][0]}: PYME's fit has a detection of its own, which finds fewer spots; here it is the band-pass's"
        )
    taken = {key for names in keys.values() for key in names} | WITHOUT_EFFECT | set(ELSEWHERE) | {"Analysis.FitBackground"}
    unknown = sorted(key for key in metadata if key.startswith("Analysis.") and key.count(".") == 1 and key not in taken)
    return notes + [f"{key}: {metadata[key]} (not known)" for key in unknown]


def _value(parameter: str, key: str, value: Any) -> Any:
    try:
        return _read(parameter, key, value)
    except (TypeError, ValueError):
        raise DataError(
            f"the movie's metadata give {key} as {value!r}, which says nothing about {parameter}.",
            code="D523",
            hint=f"Give {parameter} in the recipe.",
        ) from None


def _read(parameter: str, key: str, value: Any) -> Any:
    if parameter == "background":
        if key.endswith("NumBGFrames"):
            return f"-{_whole(value)}:0"
        if isinstance(value, str):
            value = value.strip("()[] ").replace(":", ",").split(",")
        first, stop = value
        return f"{_whole(first)}:{_whole(stop)}"
    if parameter == "detection":
        return str(value)
    if parameter in ("subtract_background", "snr_threshold", "track_fiducials"):
        return _truth(key, value)
    if parameter in ("start_at", "roi_half_size", "fiducial_roi_size"):
        # PYME's fit on graphics cards has a half size of 7.5: 16 pixels.
        return int(float(value))
    return float(value)


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _truth(key: str, value: Any) -> bool:
    """True or false, in the ways in which files of text hold it."""
    if isinstance(value, (str, bytes)):
        text = (value.decode() if isinstance(value, bytes) else value).strip().casefold()
        if text not in ("true", "false", "1", "0", "1.0", "0.0"):
            raise DataError(
                f"the movie's metadata give {key} as '{text}', which is neither true nor false.", code="D523", hint="Correct it."
            )
        return text in ("true", "1", "1.0")
    return bool(value)
