"""Drift of localizations at minimum entropy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recipes_core.data import Drift, Figure, Localizations
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Float, Input, Output, Str
from recipes_modules.drift_figures import drift_figure


class Locs_Entropy(ModuleBase):
    """Drift of localizations at minimum entropy, frame by frame, with an error bar for each.

    Undoing the right drift makes an image sharp: the entropy of its density becomes least, as in DME (Cnossen et al. 2021,
    doi:10.1364/OE.426620). Here the smoothed density of all localizations, each one's own contribution left out, tells for every
    localization which way it should move; the localizations of a frame together measure its drift, and a Kalman smoother joins the
    frames (Harvey 1989, doi:10.1017/CBO9781107049994). This is repeated with ever narrower kernels, until narrower ones tell less.

    There is nothing to choose: the first kernel follows from the extent of the field, so that drift by micrometres is found; the last
    one, how rough the drift is along each axis, and where it jumps are learned from the data. Localizations of one molecule in
    successive frames are put together first. `error_x` and `error_y` weigh localizations where they are there.

    The result has a value and a standard error for each frame from the first to the last that holds localizations. It is zero at the
    first; standard errors are those against the mean of the whole movie. Frames without localizations get what their neighbours
    suggest, with larger errors. Rows with NaN take no part, a row that repeats another counts once; frames may be in any order and
    negative.

    A step of the drift within a frame is found and reported. Beads that are always there count as localizations, with more weight;
    molecules that stay on for long count as one event each. Where localizations are too few for a structure to show, or show none, a
    warning says that the drift is doubtful.
    """

    version = 1

    input_for_correction = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations that show the drift"
    )
    output_drift = Output(Drift, "drift", desc="correction to add, one value a frame")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames")

    flatten_z = Bool(False, desc="ignore z; otherwise the drift along z is measured too")
    channel_column = Str("", desc="column that numbers colour channels: each has a structure of its own, all have one drift")
    start_kernel = Float(
        None, low=1.0, high=100_000.0, unit="nm", desc="first kernel, about the range of the drift; null: from the field's extent"
    )

    def check(self) -> Iterator[str]:
        if self.channel_column in ("x", "y", "z", "frame"):
            yield f"channel_column cannot be '{self.channel_column}'"

    def required_columns(self, port: str) -> tuple[str, ...]:
        names = super().required_columns(port)
        if not self.flatten_z:
            names = (*names, "z")
        return (*names, self.channel_column) if self.channel_column else names

    def run(self, ctx: Context, input_for_correction: Localizations) -> dict[str, Any]:
        from recipes_modules.entropy.drift import measure_drift

        drift = measure_drift(
            ctx, input_for_correction, deep=not self.flatten_z, channel=self.channel_column, start=self.start_kernel
        )
        made: dict[str, Any] = {"output_drift": drift}
        if ctx.wanted("output_drift_plot"):
            made["output_drift_plot"] = drift_figure([drift], title="Drift at minimum entropy")
        return made
