"""Typical values of common cameras: ``camera: NAME`` under an input.

The numbers are typical ones of data sheets for the readout that is named. Cameras of one model differ, and other readouts have
other numbers: what the camera's own performance sheet or a calibration says is to be given as metadata, which win over these.
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
    """

    name: str
    readout: str
    electrons_per_count: float | None
    offset: float | None
    read_noise: float
    em: bool = False

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
    CameraPreset("iXon Ultra 897", "EM amplifier, 17 MHz, most sensitive pre-amplifier", 5.0, 200.0, 80.0, em=True),
    CameraPreset("iXon3 897", "EM amplifier, 10 MHz, most sensitive pre-amplifier", 5.0, 100.0, 50.0, em=True),
    CameraPreset("iXon Ultra 888", "EM amplifier, 10 MHz, most sensitive pre-amplifier", 4.0, 500.0, 45.0, em=True),
    CameraPreset("Evolve 512", "EM port, 10 MHz; offset and gain differ from camera to camera", None, None, 60.0, em=True),
    CameraPreset("ImagEM X2", "EM amplifier, 11 MHz; gain differs with the sensitivity setting", None, None, 25.0, em=True),
)
_SCMOS = (
    CameraPreset("ORCA-Flash4.0 V2", "standard scan", 0.46, 100.0, 1.0),
    CameraPreset("ORCA-Flash4.0 V3", "standard scan", 0.46, 100.0, 1.0),
    CameraPreset("ORCA-Fusion", "standard scan", 0.24, 100.0, 1.0),
    CameraPreset("ORCA-Fusion BT", "standard scan", 0.24, 100.0, 1.0),
    CameraPreset("ORCA-Quest", "standard scan", 0.107, 200.0, 0.43),
    CameraPreset("Prime 95B", "16 bit, combined gain", 1.2, 100.0, 1.6),
    CameraPreset("Prime BSI", "16 bit, high dynamic range", 0.7, 100.0, 1.6),
    CameraPreset("Kinetix", "sensitivity mode, 12 bit", 0.25, 100.0, 1.2),
    CameraPreset("Kinetix dynamic range", "dynamic range mode, 16 bit", 0.23, 100.0, 1.6),
    CameraPreset("Zyla 4.2", "16 bit (low noise and high well capacity), 200 MHz, rolling", 0.46, 100.0, 0.9),
    CameraPreset("Zyla 5.5", "16 bit (low noise and high well capacity), 200 MHz, rolling", 0.46, 100.0, 0.9),
    CameraPreset("Sona 4.2B-11", "16 bit, high dynamic range", 1.3, 100.0, 1.6),
    CameraPreset("pco.edge 4.2", "rolling shutter, slow scan", 0.46, 100.0, 0.9),
    CameraPreset("pco.edge 5.5", "rolling shutter, slow scan", 0.46, 100.0, 1.1),
)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


PRESETS: Mapping[str, CameraPreset] = {preset.name: preset for preset in (*_EMCCD, *_SCMOS)}
_ALIASES = {
    "ixon897": "iXon Ultra 897",
    "ixon888": "iXon Ultra 888",
    "orcaflash40": "ORCA-Flash4.0 V3",
    "orcafusionbt": "ORCA-Fusion BT",
    "zyla42plus": "Zyla 4.2",
    "primebsiexpress": "Prime BSI",
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
