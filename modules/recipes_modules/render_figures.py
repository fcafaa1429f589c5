"""Figures that compare renderings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recipes_core.data import Figure, ImageStack, Localizations, Panel, Picture
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Choice, Float, Input, Output, Range, Str
from recipes_modules.render import View, render, view_of


class Render_Compare(ModuleBase):
    """Shows renderings of two tables side by side, with the same field and contrast, and below them a detail of both.

    The detail is the square of edge `detail` that holds most localizations of the second table.
    """

    input_before = Input(Localizations, "Localizations", requires=("x", "y"), desc="shown on the left")
    input_after = Input(Localizations, "corrected_localizations", requires=("x", "y"), desc="shown on the right")
    output_figure = Output(Figure, "before_after", desc="two renderings and two details")

    method = Choice(("histogram", "gaussian"), "gaussian", desc="count localizations, or draw each with its precision")
    pixel_size = Range(0.1, 100_000.0, 20.0, unit="nm", desc="of the overview; the detail is four times finer")
    sigma = Float(0.0, low=0.0, unit="nm", desc="width of all Gaussians; 0 takes the standard errors error_x and error_y")
    detail = Float(2000.0, low=1.0, unit="nm", desc="edge of the detail")
    label_before = Str("before", desc="title on the left")
    label_after = Str("after", desc="title on the right")

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", *(("error_x", "error_y") if self.method == "gaussian" and not self.sigma else ()))

    def run(self, ctx: Context, input_before: Localizations, input_after: Localizations) -> Figure:
        tables = (input_before, input_after)
        view = view_of(input_after, self.pixel_size, None)
        overviews = [render(ctx, table, view, self.method, self.sigma) for table in tables]
        close = self._detail(overviews[1], view)
        details = [render(ctx, table, close, self.method, self.sigma) for table in tables]
        panels = []
        for images, seen, what in ((overviews, view, ""), (details, close, "detail ")):
            limits = _limits(images[1])
            for image, label in zip(images, (self.label_before, self.label_after), strict=True):
                panels.append(Panel([Picture(image, seen.pixel, limits)], title=what + label))
        return Figure(panels, n_columns=2, panel_size=(4.6, 4.6))

    def _detail(self, image: npt.NDArray[np.float32], view: View) -> View:
        size = max(1, min(round(self.detail / view.pixel), *view.shape))
        sums = np.pad(np.cumsum(np.cumsum(image, axis=0, dtype=np.float64), axis=1), ((1, 0), (1, 0)))
        held = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
        row, column = np.unravel_index(int(np.argmax(held)), held.shape)
        edge = size * view.pixel
        pixel = view.pixel / 4
        n = max(1, round(edge / pixel))
        return View(view.x0 + float(column) * view.pixel, view.y0 + float(row) * view.pixel, pixel, (n, n))


class Image_Compare(ModuleBase):
    """Shows two image series side by side, each as its mean over time, with the same contrast.

    What moves from image to image is blurred in the mean, so the sharper one is the one that drifts less.
    """

    input_before = Input(ImageStack, "input", desc="shown on the left")
    input_after = Input(ImageStack, "drift_corrected_image", desc="shown on the right")
    output_figure = Output(Figure, "before_after", desc="the two means")

    label_before = Str("before", desc="title on the left")
    label_after = Str("after", desc="title on the right")

    def run(self, ctx: Context, input_before: ImageStack, input_after: ImageStack) -> Figure:
        means = [_mean_over_time(stack) for stack in (input_before, input_after)]
        limits = _limits(means[1])
        panels = []
        for mean, stack, label in zip(means, (input_before, input_after), (self.label_before, self.label_after), strict=True):
            size = stack.pixel_size
            panels.append(Panel([Picture(mean, size[0] if size else None, limits)], title=label))
        return Figure(panels, n_columns=2, panel_size=(4.6, 4.6))


def _mean_over_time(stack: ImageStack) -> npt.NDArray[np.float32]:
    total = np.zeros(stack.shape[2:], np.float64)
    for _, block in stack.blocks():
        total += np.nan_to_num(block).sum(axis=(0, 1), dtype=np.float64)
    return (total / max(1, stack.n_frames * stack.shape[1])).astype(np.float32)


def _limits(image: npt.NDArray[np.float32]) -> tuple[float, float]:
    filled = image[image > 0]
    return 0.0, float(np.percentile(filled, 99)) if filled.size else 1.0
