"""Typical values of common cameras: ``camera: NAME`` under an input.

The numbers are typical ones of data sheets for the readout that is named. Cameras of one model differ, and other readouts have
other numbers: what the camera's own performance sheet or a calibration says is to be given as metadata, which win over these. Only
cameras are here whose values stand in documents that were looked up, or agree with cameras that others have measured (`doubt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipes_core.errors import UsageError, did_you_mean

PRESET_KEY = "Camera.Preset"
"""Metadata key of a preset's name."""


@dataclass(frozen=True)
class CameraPreset:
    """Typical values of a camera.

    Attributes
    ----------
    name : str
    readout : str
        To which the values belong.
    electrons_per_count : float or None
        Electrons (behind the EM register) for one count; None where it depends too much on settings to have a typical value.
    offset : float or None
        Counts in the dark.
    read_noise : float
        Electrons (behind the EM register); median of the pixels for sCMOS.
    em : bool
        Whether it has an EM register: its gain must then be given.
    doubt : str
        Where the values stand in no document of the maker that was looked up: what is known of them instead.
    """

    name: str
    readout: str
    electrons_per_count: float | None
    offset: float | None
    read_noise: float
    em: bool = False
    doubt: str = ""

    def metadata(self) -> dict[str, Any]:
        """The values in PYME's keys; without the EM gain where there is a register, and without what is not known."""
        values: dict[str, Any] = {
            "Camera.ADOffset": self.offset,
            "Camera.ElectronsPerCount": self.electrons_per_count,
            "Camera.ReadNoise": self.read_noise,
            "Camera.NoiseFactor": 1.41 if self.em else 1.0,
            "Camera.TrueEMGain": None if self.em else 1.0,
        }
        return {key: value for key, value in values.items() if value is not None}


_EMCCD = (
    # Manual of the iXon Ultra, version 1.1, sections 3.1.2 and 3.7. Electrons per count are on the sheet of each camera.
    CameraPreset(
        "iXon Ultra 897", "EM amplifier, 10 MHz; electrons per count are on the camera's own sheet", None, 200.0, 50.0, em=True
    ),
)
_ORCA = "three cameras of this series had 0.42 to 0.47 electrons per count, offsets of 100 to 102, and noise of 1.0 (median)"
_SCMOS = (
    # Conversion factor and offset as data analysis software quotes them; noise: median of the pixels. Three cameras (versions not stated)
    # in python-microscopy's list of measured ones: 0.47, 0.47 and 0.417 electrons, offset 100, 100 and 101.8, noise 1.65 and 1.63 (root
    # mean square, it seems) and 1.0 (median).
    CameraPreset("ORCA-Flash4.0 V2", "standard scan", 0.46, 100.0, 1.0, doubt=_ORCA),
    CameraPreset("ORCA-Flash4.0 V3", "standard scan", 0.46, 100.0, 1.0, doubt=_ORCA),
    # Hardware manual of the Zyla, version 2.0, tables 4 and 5, and figure 10 (5.5 at its fastest).
    CameraPreset(
        "Zyla 4.2", "16 bit (low noise and high well capacity), rolling; the offset is on the camera's own sheet", 0.45, None, 1.4
    ),
    CameraPreset(
        "Zyla 5.5", "16 bit (low noise and high well capacity), rolling; the offset is on the camera's own sheet", 0.45, None, 1.4
    ),
)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


PRESETS: Mapping[str, CameraPreset] = {preset.name: preset for preset in (*_EMCCD, *_SCMOS)}
_ALIASES = {
    "ixon897": "iXon Ultra 897",
    "orcaflash40": "ORCA-Flash4.0 V3",
    "zyla42plus": "Zyla 4.2",
}
_BY_PLAIN = {_plain(name): preset for name, preset in PRESETS.items()} | {
    alias: PRESETS[name] for alias, name in _ALIASES.items()
}


def camera_preset(name: str) -> CameraPreset:
    """The preset of a name; case, blanks and punctuation do not count.

    Raises
    ------
    UsageError
        U190 where there is none.
    """
    found = _BY_PLAIN.get(_plain(str(name)))
    if found is None:
        raise UsageError(
            f"there is no camera '{name}'.",
            code="U190",
            hint=f"{did_you_mean(str(name), PRESETS, what='cameras')} For another one give its values under 'metadata:'.",
        )
    return found


def with_preset(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with the values of the camera that ``Camera.Preset`` names beneath them."""
    name = metadata.get(PRESET_KEY)
    if name is None:
        return dict(metadata)
    preset = _BY_PLAIN.get(_plain(str(name)))
    # A file may name a preset that this version does not know: its own values are all there is then.
    return {**(preset.metadata() if preset else {}), **metadata}
