"""Any fit by its name, with the settings that the movie itself brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traits.api import TraitError

from recipes_core.data import ImageStack, Localizations, Table
from recipes_core.errors import DataError, did_you_mean
from recipes_core.module import Context, ModuleBase
from recipes_core.module.lookup import modules_named
from recipes_core.ports import Bool, Choice, FilePath, Float, Input, Int, MapOf, Output, Parameter, Str
from recipes_modules.localize.base import FitModule
from recipes_modules.localize.pyme_keys import own_name, settings_of

DEFAULT = "LatGaussFitFR"


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
        found = settings_of(input_image.metadata, own_name(self.type))
        name = self.type or str(input_image.metadata.get("Analysis.FitModule") or DEFAULT)
        kind = fit_named(name)
        taken = {
            parameter: value
            for parameter, (_, value) in found.values.items()
            if parameter not in values and parameter in kind.parameters()
        }
        called = name if name == kind.name() else f"{name}, here {kind.name()}"
        if taken:
            told = ", ".join(f"{parameter}: {value} ({found.values[parameter][0]})" for parameter, value in taken.items())
            ctx.say(f"{called}; from the movie's metadata: {told}")
        elif called != name:
            ctx.say(called)
        if found.notes:
            ctx.warn("of the movie's metadata is not used: " + "; ".join(found.notes))
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

    short = own_name(name)
    fits = [ref.target.partition(":")[2] for ref in recipes_modules.MODULES if "localize" in ref.target]
    found = getattr(recipes_modules, short) if short in fits else None
    if isinstance(found, type) and issubclass(found, FitModule):
        return found
    for other in modules_named(name):
        if issubclass(other, FitModule):
            return other
    known = [each for each in fits if issubclass(getattr(recipes_modules, each), FitModule)]
    raise DataError(f"there is no fit '{name}'.", code="D523", hint=did_you_mean(short, known, what="fits"))
