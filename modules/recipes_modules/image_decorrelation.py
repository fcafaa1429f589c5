"""Resolution of images by decorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes_core.data import Figure, ImageStack, Panel, Scalars, Series
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Input, Int, Output

TOO_FINE = 0.9
"""Part of the highest frequency beyond which the pixels, not the image, limit the result."""


class Decorrelation(ModuleBase):
    """Resolution of an image by decorrelation analysis (Descloux et al. 2019, doi:10.1038/s41592-019-0515-7).

    It needs one image and no parameters, and tells up to which frequency the image holds more than noise. Render with pixels of at most
    a third of the expected resolution. Of a series each frame is measured, up to `most_frames` of them spread over it; the result is
    their median. A rendering with Gaussians holds no noise beyond their width: render counts (histogram) instead.
    """

    version = 1

    input_image = Input(ImageStack, "rendered", desc="image, such as a rendering of localizations")
    output_resolution = Output(Scalars, "decorrelation", desc="resolution, and how much of the image is signal")
    output_plot = Output(Figure, "decorrelation_plot", desc="correlation over frequency for each filter")

    most_frames = Int(20, low=1, high=100_000, desc="frames of a series that are measured")

    def run(self, ctx: Context, input_image: ImageStack) -> dict[str, Any]:
        from recipes_modules.quality.decorrelation import decorrelation

        size = input_image.require_pixel_size()
        if abs(size[0] - size[1]) > 1e-6 * size[0]:
            ctx.warn(f"pixels of {size[0]:g} x {size[1]:g} nm are not square: the resolution is told in widths")
        frames = np.unique(
            np.linspace(0, input_image.n_frames - 1, min(self.most_frames, input_image.n_frames)).round().astype(int)
        )

        def one(frame: int) -> Any:
            volume = input_image.frames(frame, frame + 1)[0]
            return decorrelation(volume.sum(axis=0, dtype=np.float64), size[0])

        found = []
        for done, result in enumerate(ctx.map(one, [int(frame) for frame in frames]), 1):
            found.append(result)
            ctx.progress(done, len(frames))
        resolutions = np.array([result.resolution for result in found])
        middle = found[int(np.argsort(resolutions)[(len(found) - 1) // 2])]
        if middle.frequency > TOO_FINE:
            ctx.warn(
                f"the resolution of {middle.resolution:.1f} nm is that of the pixels of {size[0]:g} nm; render with smaller ones"
            )
        values: dict[str, Any] = {"resolution": middle.resolution, "snr": middle.snr, "pixel": size[0], "n_frames": len(found)}
        if len(found) > 1:
            values |= {"lowest": float(resolutions.min()), "highest": float(resolutions.max())}
        units = dict.fromkeys(("resolution", "pixel", "lowest", "highest"), "nm")
        made: dict[str, Any] = {"output_resolution": Scalars(values, units=units)}
        if ctx.wanted("output_plot"):
            made["output_plot"] = Figure([decorrelation_panel(middle, size[0])], title="Decorrelation", panel_size=(7.0, 3.6))
        return made


def decorrelation_panel(found: Any, pixel: float) -> Panel:
    """Curves of all filters with their maxima; frequencies in 1/um."""
    q = found.radii * 1000 / (2 * pixel)
    step = max(1, len(found.radii) // 400)
    content = [
        Series("line", q[::step], curve[::step], colour="#b9c8d8", label="high-pass filtered" if k == 1 else "")
        for k, curve in enumerate(found.curves)
        if k
    ]
    content.append(Series("line", q[::step], found.curves[0][::step], label="image", colour=0))
    known = np.isfinite(found.maxima[:, 0])
    places = found.maxima[known]
    content.append(Series("points", places[:, 0] * 1000 / (2 * pixel), places[:, 1], label="maxima", colour=1))
    top = float(found.curves.max())
    content.append(Series("line", np.full(2, 1000 / found.resolution), np.array([0.0, top]), colour=1, style="dotted"))
    note = f"resolution {found.resolution:.1f} nm"
    return Panel(content, x_label="spatial frequency (1/um)", y_label="correlation", note=note)
