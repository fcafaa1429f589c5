"""Found positions against true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, ImageStack, Localizations, Scalars, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Int, ListOf, Output, Range

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NO_TRUTH = 0.1
"""Where recall and precision are below, the truth is likely that of another movie."""
HALF_PIXEL = 0.2
"""A mean difference within this part of half a pixel is told to be one."""


class Evaluate_Localizations(ModuleBase):
    """Compares localizations with the truth: what was found, how far off, and whether the errors are what they say.

    Positions of one frame are matched within `radius`, as many as possible and then at the least sum of distances (`optimal`), or
    the nearest first (`greedy`). Efficiency is that of the SMLM challenge (Sage et al. 2019, doi:10.1038/s41592-019-0364-4).
    Isolated molecules, bright ones without a neighbour and off the edge, show how good the fit itself is: their mean square error is
    compared with the Cramér-Rao bound of one spot, and their errors with the standard errors that the table gives.
    """

    input_localizations = Input(Localizations, "FitResults", requires=("x", "y", "frame"), desc="what was found")
    input_truth = Input(Localizations, "truth", requires=("x", "y", "frame"), desc="what is there, frame by frame")
    input_image = Input(ImageStack, optional=True, desc="the movie, for the figure of frames and for border")
    output_scores = Output(Scalars, "scores", desc="Jaccard index, recall, precision, errors in nm, efficiencies, calibration")
    output_table = Output(
        Table, "matches", desc="matched pairs: rows of both tables, where the true one is, differences in nm",
        columns=("found", "truth", "frame", "x", "y", "dx", "dy", "distance", "isolated"),
    )  # fmt: skip
    output_figure = Output(Figure, "scores_figure", desc="errors, errors over what the table says of them, recall over photons")
    output_frames = Output(Figure, "frames_figure", diagnostic=True, desc="frames of the movie with found and true positions")

    radius = Float(250.0, low=0.001, unit="nm", desc="largest distance of a match in the plane")
    matching = Choice(("optimal", "greedy"), "optimal", desc="most pairs at the least distances, or the nearest first")
    dimensions = Int(2, low=2, high=3, desc="3: z counts in matches and scores")
    axial_radius = Float(500.0, low=0.001, unit="nm", desc="largest distance of a match along z, in 3 dimensions")
    min_photons = Float(0.0, low=0.0, unit="photon", desc="dimmer molecules of the truth do not count, found or not")
    border = Float(0.0, low=0.0, unit="nm", desc="strip along the edge of the movie that does not count")
    isolation = Float(1000.0, low=0.0, unit="nm", desc="isolated: no other molecule of the frame within this distance")
    isolated_photons = Float(300.0, low=0.0, unit="photon", desc="isolated: at least as bright")
    bound_half_size = Range(1, 50, 3, unit="pixel", desc="Cramér-Rao bound: the fit sees 2 n + 1 pixels a side")
    bound_widths = Range(0, 2, 1, desc="Cramér-Rao bound: widths of the spot that are fitted")
    frames = ListOf(Int(0, low=0), (), unit="frame", desc="shown in the figure; empty: four of the movie")

    def run(
        self, ctx: Context, input_localizations: Localizations, input_truth: Localizations, input_image: ImageStack | None
    ) -> dict[str, Any]:
        from recipes_modules.localize.matching import match

        axes = "xyz"[: self.dimensions]
        found, truth = self._side(ctx, input_localizations, axes, "localizations"), self._side(ctx, input_truth, axes, "truth")
        if not len(truth.rows):
            raise DataError("the truth has no rows.", code="D530", hint="Give the table that was simulated with the movie.")
        pairs = match(
            found.places, found.frame, truth.places, truth.frame, radius=self.radius,
            axial=self.axial_radius if self.dimensions == 3 else None, method=self.matching,
        )  # fmt: skip
        edges = _edges(input_image, input_truth.metadata)
        counts_truth = self._counts(truth, edges)
        if "photons" in input_truth and self.min_photons > 0:
            counts_truth &= np.asarray(input_truth["photons"])[truth.rows] >= self.min_photons
        # A position that belongs to a molecule that does not count is neither right nor wrong.
        counts_found = self._counts(found, edges)
        counts_found[pairs.found] = counts_truth[pairs.truth]
        kept = counts_truth[pairs.truth]
        i, j, distance = pairs.found[kept], pairs.truth[kept], pairs.distance[kept]
        errors = found.places[i] - truth.places[j]
        alone = self._alone(truth, input_truth, edges, input_truth.metadata)
        scores = self._scores(int(counts_found.sum()), int(counts_truth.sum()), errors, axes)
        scores |= self._fit_scores(found, truth, i, j, errors, alone[j], axes)
        self._doubts(ctx, scores, found, truth, errors, input_truth.metadata)
        ctx.say(_sentence(scores))
        columns: dict[str, Any] = {
            "found": found.rows[i], "truth": truth.rows[j], "frame": truth.frame[j].astype(np.int32),
            **{axis: truth.places[j, k] for k, axis in enumerate(axes)},
            **{f"d{axis}": errors[:, k] for k, axis in enumerate(axes)}, "distance": distance, "isolated": alone[j],
        }  # fmt: skip
        if "photons" in input_truth:
            columns["photons"] = np.asarray(input_truth["photons"])[truth.rows[j]]
        made: dict[str, Any] = {
            "output_scores": Scalars(scores, units={name: _unit(name) for name in scores}),
            "output_table": Table(columns, units={f"d{axis}": "nm" for axis in axes} | {"distance": "nm"}),
        }
        if ctx.wanted("output_figure"):
            from recipes_modules.evaluate_figures import scores_figure

            told = [_told(found.table, f"error_{axis}", found.rows[i]) for axis in axes]
            seen = np.zeros(len(truth.rows), bool)
            seen[j] = True
            photons = None if "photons" not in input_truth else np.asarray(input_truth["photons"], float)[truth.rows]
            made["output_figure"] = scores_figure(
                errors, told, alone[j], scores, None if photons is None else photons[counts_truth], seen[counts_truth]
            )
        if ctx.wanted("output_frames"):
            wrong = np.zeros(len(input_localizations), bool)
            wrong[found.rows[counts_found]] = True
            wrong[found.rows[i]] = False
            made["output_frames"] = self._frames_figure(input_image, input_localizations, input_truth, wrong)
        return made

    def _side(self, ctx: Context, table: Localizations, axes: str, what: str) -> _Side:
        if "z" in axes and "z" not in table:
            raise DataError(f"the {what} have no z.", code="D530", hint="Set dimensions: 2.")
        good = table.finite_rows(*axes, "frame")
        if not good.all():
            ctx.say(f"{np.count_nonzero(~good):,} rows of the {what} have no place and are left out")
        rows = np.flatnonzero(good)
        frame = np.rint(np.asarray(table["frame"])[rows]).astype(np.int64)
        return _Side(table, rows, np.column_stack([np.asarray(table[axis], np.float64)[rows] for axis in axes]), frame)

    def _counts(self, side: _Side, edges: Edges | None) -> Mask:
        """Rows that are not in the strip along the edge."""
        if self.border <= 0:
            return np.ones(len(side.rows), bool)
        if edges is None:
            raise DataError(
                "border is measured from the edge of the movie, which is not known.", code="D530",
                hint="Connect input_image, or give the truth's metadata ImageBounds.x0, .x1, .y0, .y1 in nm.",
            )  # fmt: skip
        return _within(side.places, edges, self.border)

    def _alone(self, truth: _Side, table: Localizations, edges: Edges | None, metadata: Mapping[str, Any]) -> Mask:
        """Bright ones without a neighbour, and so far from the edge that a fit sees them whole."""
        from recipes_modules.localize.scores import isolated

        alone = isolated(truth.places, truth.frame, self.isolation) if self.isolation > 0 else np.ones(len(truth.rows), bool)
        if "photons" in table:
            alone &= np.asarray(table["photons"])[truth.rows] >= self.isolated_photons
        size = ImageStack(np.zeros((1, 1), np.uint8), metadata=metadata).pixel_size
        if edges is not None and size is not None:
            alone &= _within(truth.places, edges, self.bound_half_size * max(size[:2]))
        return alone

    def _scores(self, n_found: int, n_truth: int, errors: Floats, axes: str) -> dict[str, Any]:
        from recipes_modules.localize.scores import ALPHA_AXIAL, detection_scores, efficiency, error_scores

        scores: dict[str, Any] = {"found": n_found, "true": n_truth, "matched": len(errors)}
        scores |= detection_scores(len(errors), n_found, n_truth) | error_scores(errors, axes)
        if len(errors):
            scores["efficiency"] = efficiency(scores["jaccard"], scores["rmse_lateral"])
            if "z" in axes:
                scores["efficiency_lateral"] = scores["efficiency"]
                scores["efficiency_axial"] = efficiency(scores["jaccard"], scores["rmse_z"], ALPHA_AXIAL)
                scores["efficiency"] = (scores["efficiency_lateral"] + scores["efficiency_axial"]) / 2
        return scores

    def _fit_scores(
        self, found: _Side, truth: _Side, i: Ints, j: Ints, errors: Floats, alone: Mask, axes: str
    ) -> dict[str, Any]:  # fmt: skip
        """Scores of isolated molecules: errors against the bound and against what the table says of them."""
        from recipes_modules.localize.scores import bound_efficiency, spread_of_scores

        scores: dict[str, Any] = {"isolated": int(alone.sum())}
        if not scores["isolated"]:
            return scores
        scores["isolated_rmse"] = float(np.sqrt(np.mean(errors[alone, :2] ** 2)))
        bound = self._bound(truth, j[alone])
        if bound is not None:
            scores["isolated_bound"] = float(np.sqrt(np.mean(bound**2)))
            scores["bound_efficiency"] = bound_efficiency(errors[alone, :2], bound)
        for axis, values in zip(axes, errors.T, strict=True):
            told = _told(found.table, f"error_{axis}", found.rows[i])
            if told is not None:
                scores[f"calibration_{axis}"] = spread_of_scores(values[alone], told[alone])
                scores[f"calibration_all_{axis}"] = spread_of_scores(values, told)
        return scores

    def _bound(self, truth: _Side, rows: Ints) -> Floats | None:
        """Cramér-Rao bounds of x and y in nm; None where the truth does not say enough."""
        from recipes_modules.localize.bound import position_bound
        from recipes_modules.localize.camera import Camera

        table = truth.table
        names = [("photons",), ("background",), ("sigma_x", "sigma"), ("sigma_y", "sigma")]
        held = [next((name for name in options if name in table), None) for options in names]
        if any(name is None for name in held):
            return None
        photons, background, sigma_x, sigma_y = (np.asarray(table[str(name)], np.float64)[truth.rows[rows]] for name in held)
        if not np.isfinite([sigma_x, sigma_y]).all():
            return None
        try:
            told = {key: value for key, value in table.metadata.items() if not key.startswith("Camera.ROI")}
            camera = Camera.from_metadata(told, shape=(1, 1))
        except DataError:
            return None
        pixel = np.array(camera.pixel_size)
        bound = position_bound(
            truth.places[rows, 0] / pixel[0], truth.places[rows, 1] / pixel[1], photons, background, sigma_x / pixel[0],
            sigma_y / pixel[1], variance=(camera.read_noise / camera.em_gain) ** 2, excess=camera.noise_factor**2,
            half=self.bound_half_size, widths=self.bound_widths,
        )  # fmt: skip
        return np.asarray(bound * pixel)

    def _doubts(self, ctx: Context, scores: dict[str, Any], found: _Side, truth: _Side, errors: Floats, metadata: Any) -> None:
        """Warn of what looks like another numbering of frames or another origin, not like errors of a fit."""
        if scores["jaccard"] < 0.3 and len(found.rows):
            from recipes_modules.localize.matching import match

            told = False
            for step in (-1, 1):
                moved = match(found.places, found.frame + step, truth.places, truth.frame, radius=self.radius, method="greedy")
                if len(moved) > 3 * len(errors) + 10:
                    told = True
                    ctx.warn(
                        f"few positions match, but many would with frames counted {'one more' if step > 0 else 'one less'}: check from "
                        "which number the frames of the two tables count"
                    )
            if not told and len(found.rows) > 20 and scores["precision"] < NO_TRUTH and scores["recall"] < NO_TRUTH:
                ctx.warn(
                    f"only {len(errors)} of {len(found.rows):,} positions lie at one of the truth: is it the truth of this movie, in nm, and "
                    "with frames from 0?"
                )
        size = ImageStack(np.zeros((1, 1), np.uint8), metadata=metadata).pixel_size
        if size is None or len(errors) < 20:
            return
        mean = np.mean(errors[:, :2], axis=0)
        half = np.array(size[:2]) / 2
        if (np.abs(np.abs(mean) - half) < HALF_PIXEL * half).all():
            ctx.warn(
                f"positions differ by half a pixel in the mean ({mean[0]:.1f}, {mean[1]:.1f} nm): one table measures from the centre of "
                "the first pixel, the other from its corner"
            )

    def _frames_figure(self, movie: ImageStack | None, found: Localizations, truth: Localizations, wrong: Mask) -> Figure:
        from recipes_modules.localize_figures import frame_figure

        if movie is None:
            raise DataError("a figure of frames needs the movie.", code="D531", hint="Connect input_image.")
        chosen = self.frames or np.unique(np.linspace(0, movie.n_frames - 1, 6).round().astype(int)[1:-1]).tolist()
        return frame_figure(movie, chosen, found, truth, wrong=wrong, title="Found (circles; blue: wrong) and true (dots)")


@dataclass(frozen=True)
class _Side:
    """The usable rows of a table."""

    table: Localizations
    rows: Ints
    places: Floats
    frame: Ints


Edges = tuple[Floats, Floats]
"""Lowest and highest (x, y) of the movie, nm."""


def _edges(movie: ImageStack | None, metadata: Mapping[str, Any]) -> Edges | None:
    if movie is not None and movie.pixel_size is not None:
        x, y, _ = movie.pixel_size
        return np.array([-x / 2, -y / 2]), np.array([(movie.shape[3] - 0.5) * x, (movie.shape[2] - 0.5) * y])
    bounds = [metadata.get(f"ImageBounds.{name}") for name in ("x0", "y0", "x1", "y1")]
    if any(not isinstance(value, (int, float)) for value in bounds):
        return None
    return np.array(bounds[:2], float), np.array(bounds[2:], float)


def _within(places: Floats, edges: Edges, margin: float) -> Mask:
    return np.asarray(((places[:, :2] >= edges[0] + margin) & (places[:, :2] <= edges[1] - margin)).all(axis=1))


def _told(table: Localizations, name: str, rows: Ints) -> Floats | None:
    """Standard errors; NaN where they are not above 0."""
    if name not in table:
        return None
    values = np.asarray(table[name], np.float64)[rows]
    return np.where(values > 0, values, np.nan)


def _unit(name: str) -> str:
    if name.startswith(("rmse", "mean")) or name in ("isolated_rmse", "isolated_bound"):
        return "nm"
    return "%" if name.startswith("efficiency") else ""


def _sentence(scores: dict[str, Any]) -> str:
    text = f"Jaccard {scores['jaccard']:.3f}, recall {scores['recall']:.3f}, precision {scores['precision']:.3f}"
    if "rmse_per_axis" in scores:
        text += f", RMSE {scores['rmse_per_axis']:.1f} nm an axis"
        text += f", z {scores['rmse_z']:.1f} nm" if "rmse_z" in scores else ""
        text += f", efficiency {scores['efficiency']:.1f}%"
    if "bound_efficiency" in scores:
        text += f"; isolated {scores['isolated_rmse']:.2f} nm against a bound of {scores['isolated_bound']:.2f} nm"
    return text
