"""Drift of localizations without settings, and whether it can be believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Drift, Figure, Localizations, Scalars
from recipes_core.errors import DataError, ExecutionError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Input, Int, Output, Str
from recipes_modules.drift_apply import shifted
from recipes_modules.drift_figures import drift_figure, path_figure

if TYPE_CHECKING:
    from recipes_modules.verdict.check import Found
    from recipes_modules.verdict.judge import Evidence, Verdict

Floats = npt.NDArray[np.float64]
Checked = tuple["Evidence", "Verdict"]

FALLBACK = "aim"
FALLBACK_FROM = 0.9
"""Where its progress begins, for it is seldom needed."""
NOTHING_FOUND = ("D420", "D421")
ESTIMATE = 0.35
"""Part of the time that the estimate takes, for the progress."""


class Locs_Drift(ModuleBase):
    """Measures the drift of localizations, undoes it, and says whether it can be believed.

    Nothing needs to be set. With `method: auto` the drift is measured at minimum entropy (see `Locs_Entropy`), which goes from coarse
    to fine and chooses its resolution in space and time from the data; where that finds nothing, or what does not hold, adaptive
    intersection maximization (see `Locs_AIM`) is tried with settings from the number of localizations a frame and their
    precision. z takes part where the table has it.

    Then the result is checked. The drift is measured again from each of two random halves of the molecules, and from the left and the
    right half of the field: they must agree as well as their error bars say. Stretches of the corrected movie are compared with each
    other. Precision (NeNA) and resolution (FRC) are measured before and after. The verdict is

    - good: all agree, and the drift's error is below half of the precision of a localization;
    - doubtful, with a warning: something speaks against it, or it cannot be checked;
    - failed, which is an error unless `allow_failed` is set: the drift is wrong, or cannot be told from noise.

    The check takes about as long as the estimate, on large data less, and its time is told apart; `verify: false` leaves it out.
    It shows whether the localizations agree with each other. What all of them have in common, such as frames that are counted wrongly
    throughout, it cannot see.
    """

    version = 1
    uses_seed = True

    input_localizations = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations, not merged, in any order"
    )
    output_drift = Output(Drift, "drift", desc="correction to add, one value a frame")
    output_localizations = Output(
        Localizations,
        "corrected_localizations",
        like="input_localizations",
        adds=("dx", "dy", "dz"),
        desc="corrected localizations",
    )
    output_verdict = Output(Scalars, "verdict", desc="good, doubtful or failed, why, and all that was measured")
    output_drift_plot = Output(Figure, "drift_plot", diagnostic=True, desc="the drift over frames, with its standard error")
    output_path_plot = Output(Figure, "path_plot", diagnostic=True, desc="the way of the sample in x and y, coloured by time")
    output_before_after = Output(Figure, "before_after", diagnostic=True, desc="renderings before and after the correction")
    output_check_plot = Output(
        Figure, "check_plot", diagnostic=True, desc="drifts of parts of the data, and what is left after it"
    )

    method = Choice(("auto", "entropy", "aim", "rcc"), "auto", desc="how the drift is measured; auto: the best that holds")
    flatten_z = Bool(None, optional=True, desc="ignore z, or not; null: z takes part where the table has it")
    channel_column = Str("", desc="column that numbers colour channels, which have one drift; for entropy and auto")
    segmentation = Int(None, low=1, unit="frame", desc="length of segments (aim) or windows (rcc); null: from the data")
    verify = Bool(True, aliases=("check",), desc="check whether the drift can be believed")
    allow_failed = Bool(False, desc="go on with a drift that failed its check")

    def check(self) -> Iterator[str]:
        if self.channel_column in ("x", "y", "z", "frame"):
            yield f"channel_column cannot be '{self.channel_column}'"
        if self.channel_column and self.method in ("aim", "rcc"):
            yield f"method {self.method} does not tell channels apart: leave channel_column out, or set method to entropy"

    def required_columns(self, port: str) -> tuple[str, ...]:
        names = super().required_columns(port)
        if self.flatten_z is False:
            names = (*names, "z")
        return (*names, self.channel_column) if self.channel_column else names

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.verdict.describe import values_of

        table = input_localizations
        deep = self._deep(ctx, table)
        precision = _precision(table)
        wanted = ("entropy", FALLBACK) if self.method == "auto" else (self.method,)
        if self.channel_column:
            wanted = wanted[:1]
        best: tuple[Found, Localizations, Checked | None] | None = None
        problem: DataError | None = None
        for k, name in enumerate(wanted):
            part = (FALLBACK_FROM * k, FALLBACK_FROM if k + 1 < len(wanted) else 1.0)
            try:
                found, corrected, checked = self._attempt(ctx, table, name, precision, part, deep=deep)
            except DataError as error:
                if error.code not in NOTHING_FOUND:
                    raise
                problem = problem or error
                continue
            if best is None or _rank(checked) < _rank(best[2]):
                best = found, corrected, checked
            if _rank(checked)[0] < 2:
                break
        if best is None:
            assert problem is not None
            raise problem
        found, corrected, checked = best
        self._tell(ctx, found, checked)
        made: dict[str, Any] = {
            "output_drift": found.drift,
            "output_localizations": corrected,
            "output_verdict": values_of(found, checked),
        }
        return made | self._figures(ctx, table, made, found, checked)

    def _deep(self, ctx: Context, table: Localizations) -> bool:
        if self.flatten_z is not None:
            return not self.flatten_z
        if "z" not in table:
            return False
        z = np.asarray(table["z"])
        known = np.isfinite(z)
        if not known.any() or np.ptp(z[known]) == 0:
            ctx.say("all localizations have the same z: the drift along z was not measured")
            return False
        return True

    def _attempt(
        self, ctx: Context, table: Localizations, name: str, precision: Floats, part: tuple[float, float], *, deep: bool
    ) -> tuple[Found, Localizations, Checked | None]:
        """Measure the drift by one method, undo it, and check it."""
        from recipes_modules.entropy.prepare import check_length
        from recipes_modules.verdict.check import Found, check
        from recipes_modules.verdict.methods import Within, choose

        begin, end = part
        middle = begin + (end - begin) * (ESTIMATE if self.verify else 1.0)
        start = time.perf_counter()
        frames = np.asarray(table["frame"], dtype=np.float64)
        finite = frames[np.isfinite(frames)]
        length = int(np.ptp(finite)) + 1 if len(finite) else 0
        if len(finite) > 1:
            check_length(int(finite.min()), int(finite.max()))
        near = float(precision[:2].max()) or (_nearest(ctx, table) if name != "entropy" else 0.0)
        method = choose(name, len(finite), length, near, deep=deep, channel=self.channel_column, segmentation=self.segmentation)
        inner = Within(ctx, begin, middle)
        drift = method(inner, table)
        found = Found(drift, method, tuple(inner.warnings), tuple(inner.messages))
        estimated = time.perf_counter()
        quiet = Within(ctx, middle, end)
        corrected = shifted(table, drift, quiet)
        if not self.verify:
            return found, corrected, None
        start_check = time.perf_counter()
        checked = check(quiet, table, corrected, found, precision)
        ctx.say(
            f"{method.describe()}: estimate {estimated - start:.1f} s, check {time.perf_counter() - start_check:.1f} s, "
            f"verdict {checked[1].word}"
        )
        return found, corrected, checked

    def _tell(self, ctx: Context, found: Found, checked: Checked | None) -> None:
        from recipes_modules.verdict.judge import DOUBTFUL, FAILED, GOOD

        for message in found.messages:
            ctx.say(message)
        word, reasons = (checked[1].word, checked[1].reasons) if checked is not None else ("", ())
        for warning in found.warnings:
            if checked is not None and word == GOOD and warning in checked[0].doubts:
                ctx.say(f"{warning} - the check does not bear this out")
            elif warning not in reasons:
                ctx.warn(warning)
        if word == FAILED and not self.allow_failed:
            raise ExecutionError(
                f"the drift failed its check: {'; '.join(reasons)}.",
                code="X220",
                hint="Look at the localizations and their frames; set allow_failed: true to go on with this drift and see its figures.",
            )
        if word in (DOUBTFUL, FAILED):
            ctx.warn(f"the drift {'is doubtful' if word == DOUBTFUL else 'failed its check'}: {'; '.join(reasons)}")
        elif reasons:
            ctx.say(f"the drift is good: {reasons[0]}")

    def _figures(
        self, ctx: Context, table: Localizations, made: dict[str, Any], found: Found, checked: Checked | None
    ) -> dict[str, Any]:
        from recipes_modules.check_figures import before_after_figure, check_figure

        drift = found.drift
        title = f"Drift: {checked[1].word}" if checked is not None else "Drift"
        figures: dict[str, Any] = {}
        if ctx.wanted("output_drift_plot"):
            figures["output_drift_plot"] = drift_figure((), drift, title=title)
        if ctx.wanted("output_path_plot"):
            figures["output_path_plot"] = path_figure(drift)
        if ctx.wanted("output_before_after"):
            figures["output_before_after"] = before_after_figure(ctx, table, made["output_localizations"])
        if ctx.wanted("output_check_plot") and checked is not None:
            figures["output_check_plot"] = check_figure(drift, *checked)
        return figures


def _rank(checked: Checked | None) -> tuple[int, float]:
    """Lower is better: 0 for what is believed, 1 for what is doubted, 2 for what failed; then the error in precisions."""
    from recipes_modules.verdict.judge import DOUBTFUL, FAILED

    if checked is None:
        return 0, 0.0
    evidence, verdict = checked
    return {DOUBTFUL: 1, FAILED: 2}.get(verdict.word, 0), float((evidence.error / evidence.scale)[: evidence.axes].max())


def _precision(table: Localizations) -> Floats:
    """Typical standard error along x, y and z as the table claims it, nm; 0 where it claims none."""
    found = np.zeros(3)
    for axis, name in enumerate(("error_x", "error_y", "error_z")):
        if name in table:
            values = np.asarray(table[name])
            good = values[np.isfinite(values) & (values > 0)]
            found[axis] = np.median(good) if len(good) else 0.0
    return found


def _nearest(ctx: Context, table: Localizations) -> float:
    """Precision by nearest neighbours, nm; 20 where it cannot be told."""
    from recipes_modules.quality import nena
    from recipes_modules.verdict.sharpness import NEAREST, thinned

    few = thinned(table, NEAREST)
    try:
        return float(nena(few["x"], few["y"], few["frame"], mapper=ctx.map).precision)
    except DataError:
        return 20.0
