"""Any fit by its name, with the settings that the movie itself brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traits.api import TraitError

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError, did_you_mean
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, FilePath, Float, Input, Int, MapOf, Output, Parameter, Str
from recipes_modules.localize.base import FitModule

DEFAULT = "LatGaussFitFR"
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
    # PYME reads the misspelt one.
    "fiducial_size": ("Analysis.FiducalSize", "Analysis.FiducialSize"),
}
"""Parameter -> PYME's keys for it, the first that is there counts."""
MAPS = {
    "variance_map": "Camera.VarianceMapID", "dark_map": "Camera.DarkMapID", "flatfield_map": "Camera.FlatfieldMapID"
}  # fmt: skip
_NONE = ("", "<none>", "none")


class _Plain(Parameter):
    """A value of a kind that the fit itself checks."""

    def expected(self) -> str:
        return "a value that the fit takes"

    def coerce(self, value: Any) -> Any:
        if isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return tuple(self.coerce(item) for item in value)
        raise ValueError(value)


class Localize(ModuleBase):
    """Localizes with the fit that `type` names; what the recipe leaves out comes from the movie's own ``Analysis.*`` metadata.

    The order is: what the recipe says, what the metadata say (PYME's keys, misspellings included), the fit's default. The log tells what
    came from the metadata. Other parameters of a fit go into `settings`.
    """

    spreads = True

    input_image = Input(ImageStack, "input", desc="the movie")
    output_localizations = Output(Localizations, "Localizations", desc="one row a fitted spot")
    output_fiducials = Output(Table, "fiducials", diagnostic=True, desc="tracks of fiducial markers, for Locs_Fiducials")

    type = Str("", desc=f"name of the fit, such as GaussMLE; empty: Analysis.FitModule, else {DEFAULT}")
    threshold = Float(None, low=0.0, unit="noise", desc="least height of a spot")
    detection = Choice(("matched", "bandpass"), None, desc="filter matched to the PSF, or PYME's difference of Gaussians")  # type: ignore[arg-type]
    start_at = Int(None, low=0, unit="frame", desc="earlier frames are left out")
    background = Str(None, desc="frames that make the background, from the current one on (a Python slice)")
    percentile = Float(None, low=0.0, high=1.0, desc="part of these frames that lies below the background; 0: their mean")
    subtract_background = Bool(None, desc="the fit takes this background as known")
    debounce_radius = Float(None, low=0.0, unit="pixel", desc="of spots nearer to each other only the brightest stays")
    roi_half_size = Int(None, low=1, high=30, unit="pixel", desc="a fit takes 2 n + 1 pixels along x and y")
    psf_sigma_guess = Float(None, low=1.0, unit="nm", desc="width (standard deviation) of a spot")
    variance_map = FilePath("", desc="image of the variance of each pixel's read noise, electrons^2")
    dark_map = FilePath("", desc="image of each pixel's counts in the dark, ADU")
    flatfield_map = FilePath("", desc="image by which counts above the dark are multiplied, 1 in the mean")
    track_fiducials = Bool(None, desc="follow fiducial markers: makes output_fiducials")
    settings = MapOf(_Plain(None), desc="further parameters of the fit by name")

    def check(self) -> Iterator[str]:
        if self.type:
            try:
                yield from self._made(fit_named(self.type), self._given()).check()
            except (DataError, TraitError) as error:
                yield str(error)

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        values = self._given()
        found = from_metadata(input_image.metadata)
        name = self.type or str(found.pop("type", ("", DEFAULT))[1])
        kind = fit_named(name)
        taken = {
            parameter: value
            for parameter, (_, value) in found.items()
            if parameter not in values and parameter in kind.parameters()
        }
        if taken:
            told = ", ".join(f"{parameter}: {value} ({found[parameter][0]})" for parameter, value in taken.items())
            ctx.say(f"{name}; from the movie's metadata: {told}")
        for parameter, key in MAPS.items():
            file = input_image.metadata.get(key)
            if isinstance(file, str) and file.lower() not in _NONE and parameter not in values:
                ctx.warn(f"the metadata name a map in {key}: '{file}'; it is not used unless {parameter} names its file")
        try:
            fit = self._made(kind, {**taken, **values})
        except TraitError as error:
            raise DataError(
                f"the movie's metadata give {name} a value that it cannot take: {error}",
                code="D523",
                hint="Give it in the recipe.",
            ) from error
        faults = list(fit.check())
        if faults:
            raise DataError(f"{name}: " + "; ".join(faults), code="D523")
        return fit.run(ctx, input_image)

    def _given(self) -> dict[str, Any]:
        own = {name: value for name, value in self.parameter_values().items() if name not in ("type", "settings")}
        return {name: value for name, value in own.items() if value is not None and value != ""} | dict(self.settings)

    @staticmethod
    def _made(kind: type[FitModule], values: Mapping[str, Any]) -> FitModule:
        unknown = [name for name in values if name not in kind.parameters()]
        if unknown:
            raise DataError(
                f"{kind.name()} has no parameter '{unknown[0]}'.",
                code="D523",
                hint=did_you_mean(unknown[0], list(kind.parameters())),
            )
        return kind(**values)


def fit_named(name: str) -> type[FitModule]:
    """The fit of that name; a dotted name may stand for its last part, as in PYME.

    Raises
    ------
    DataError
        D523 where there is none; names those there are.
    """
    import recipes_modules

    short = name.rpartition(".")[2]
    fits = [ref.target.partition(":")[2] for ref in recipes_modules.MODULES if "localize" in ref.target]
    found = getattr(recipes_modules, short) if short in fits else None
    if isinstance(found, type) and issubclass(found, FitModule):
        return found
    known = [each for each in fits if issubclass(getattr(recipes_modules, each), FitModule)]
    raise DataError(f"there is no fit '{name}'.", code="D523", hint=did_you_mean(short, known, what="fits"))


def from_metadata(metadata: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Parameter -> key and value, for what PYME's keys in the metadata say; ``type`` is the name of the fit."""
    found: dict[str, tuple[str, Any]] = {}
    for parameter, keys in KEYS.items():
        for key in keys:
            value = metadata.get(key)
            if value is not None and value != "":
                found[parameter] = (key, _value(parameter, key, value))
                break
    if "threshold" in found and "detection" not in found:
        # PYME knows no other detection, and its thresholds mean nothing to another.
        found["detection"] = (found["threshold"][0], "bandpass")
    if metadata.get("Analysis.FitModule"):
        found["type"] = ("Analysis.FitModule", str(metadata["Analysis.FitModule"]))
    return found


def _value(parameter: str, key: str, value: Any) -> Any:
    if parameter == "background":
        if key.endswith("NumBGFrames"):
            return f"-{int(value)}:0"
        if isinstance(value, str):
            return value.strip("()[] ").replace(",", ":").replace(" ", "")
        first, stop = value
        return f"{int(first)}:{int(stop)}"
    if parameter in ("subtract_background", "snr_threshold", "track_fiducials"):
        return bool(value)
    if parameter in ("start_at", "roi_half_size", "fiducial_roi_size"):
        return int(value)
    return value
