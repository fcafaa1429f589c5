"""Numbers from images: objects, frames, points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recipes_core.data import Figure, ImageStack, Localizations, Panel, Picture, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Choice, Input, Int, ListOf, Output, Str
from recipes_modules.image_base import Array, per_frame, require_same, skimage

# Names that PYME's recipes know -> scikit-image's of today.
SHAPE = {
    "area": "area",
    "perimeter": "perimeter",
    "major_axis_length": "axis_major_length",
    "minor_axis_length": "axis_minor_length",
    "eccentricity": "eccentricity",
    "orientation": "orientation",
    "equivalent_diameter": "equivalent_diameter_area",
    "convex_area": "area_convex",
    "filled_area": "area_filled",
    "solidity": "solidity",
    "extent": "extent",
    "euler_number": "euler_number",
}
INTENSITY = {"mean_intensity": "intensity_mean", "max_intensity": "intensity_max", "min_intensity": "intensity_min"}
_MOST_MARKS = 5000


class Measure2D(ModuleBase):
    """Measures the objects of a label image: position, shape, and intensity in a second image (needs the extra `image`).

    A row is an object of one plane of one frame. Positions are in nm, areas and lengths in pixels, with scikit-image's names as they
    were when PYME's recipes were written; `x` and `y` are the centre of the object's pixels, `integrated_intensity` their sum.
    """

    version = 1

    inputLabels = Input(ImageStack, "labels", desc="labels; 0 is no object")
    inputIntensity = Input(ImageStack, "data", optional=True, desc="images in which the intensities are measured")
    outputName = Output(Localizations, "measurements", desc="a row an object")
    output_figure = Output(Figure, "measured_objects", diagnostic=True, desc="the objects' centres on the first frame")

    measureContour = Bool(True, affects_result=False, desc="accepted for old recipes; tables hold no outlines")

    def run(self, ctx: Context, inputLabels: ImageStack, inputIntensity: ImageStack | None) -> dict[str, Any]:
        if inputIntensity is not None:
            require_same(inputLabels, inputIntensity, "the image of intensities")
        size = inputLabels.require_pixel_size()
        parts: list[dict[str, Array]] = []

        def measured(frame: int, volume: Array) -> list[dict[str, Array]]:
            intensity = None if inputIntensity is None else inputIntensity.frames(frame, frame + 1)[0]
            return [
                _objects(plane, None if intensity is None else intensity[z], frame, z, size) for z, plane in enumerate(volume)
            ]

        for made in per_frame(ctx, inputLabels, measured):
            parts += made
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        if inputLabels.shape[1] == 1:
            columns.pop("z", None)
        columns["x"] += float(inputLabels.metadata.get("Origin.x", 0.0))
        columns["y"] += float(inputLabels.metadata.get("Origin.y", 0.0))
        table = Localizations(
            columns, units={"area": "px^2", "perimeter": "px", "orientation": "rad"}, metadata=inputLabels.metadata
        )
        if not len(table):
            ctx.warn("no frame has an object: all labels are 0")
        made_outputs: dict[str, Any] = {"outputName": table}
        if ctx.wanted("output_figure"):
            shown = inputIntensity if inputIntensity is not None else inputLabels
            rows = np.asarray(table["frame"]) == 0
            origin = [float(inputLabels.metadata.get(f"Origin.{axis}", 0.0)) for axis in "xy"]
            marks = np.column_stack([(table[axis][rows] - origin[k]) / size[k] for k, axis in enumerate("xy")])[:_MOST_MARKS]
            picture = Picture(shown.frames(0, 1)[0, 0], pixel_size=size[0], colour_map="gray", marks=(marks,))
            made_outputs["output_figure"] = Figure(
                [Panel([picture], title=f"{len(marks)} objects of frame 0")], panel_size=(6.0, 6.0)
            )
        return made_outputs


def _objects(labels: Array, intensity: Array | None, frame: int, z: int, size: tuple[float, float, float]) -> dict[str, Array]:
    """Columns of the objects of one plane."""
    numbers = np.rint(np.maximum(labels, 0)).astype(np.int32)
    wanted = ["label", "centroid", *SHAPE.values(), *(INTENSITY.values() if intensity is not None else ())]
    found = skimage("measure").regionprops_table(
        numbers, None if intensity is None else intensity.astype(np.float64), properties=wanted
    )
    n = len(found["label"])
    columns = {
        "x": found["centroid-1"] * size[0],
        "y": found["centroid-0"] * size[1],
        "z": np.full(n, z * size[2]),
        "frame": np.full(n, frame, np.int64),
        "label": found["label"].astype(np.int32),
        **{name: found[today] for name, today in SHAPE.items()},
    }
    if intensity is not None:
        columns |= {name: found[today] for name, today in INTENSITY.items()}
        columns["integrated_intensity"] = columns["mean_intensity"] * columns["area"]
    return columns


class AddMetadataToMeasurements(ModuleBase):
    """Adds entries of an image's metadata to a table, as columns of one value.

    Columns hold numbers: a word or sentence goes into the table's metadata as ``Measurements.NAME``, and its column is NaN.
    """

    version = 1

    inputMeasurements = Input(Table, "measurements", desc="table", aliases=("inputMeasurments",))
    inputImage = Input(ImageStack, "input", desc="image with the metadata")
    outputName = Output(Table, "annotatedMeasurements", like="inputMeasurements", desc="table with more columns")

    keys = Str("SampleNotes", desc="names of the new columns, separated by blanks")
    metadataKeys = Str("Sample.Notes", desc="the metadata entry of each, separated by blanks")

    def check(self) -> Any:
        if len(self.keys.split()) != len(self.metadataKeys.split()):
            yield f"keys names {len(self.keys.split())} columns and metadataKeys {len(self.metadataKeys.split())} entries"

    def run(self, ctx: Context, inputMeasurements: Table, inputImage: ImageStack) -> Table:
        columns: dict[str, Array] = {}
        kept: dict[str, Any] = {}
        for name, key in zip(self.keys.split(), self.metadataKeys.split(), strict=True):
            value = inputImage.metadata.get(key)
            if value is None:
                ctx.warn(f"the image has no metadata '{key}'; column {name} is NaN")
            number = math.nan
            if isinstance(value, (bool, int, float)):
                number = float(value)
            elif value is not None:
                kept[f"Measurements.{name}"] = str(value)
                ctx.say(f"{key} is no number and stands as Measurements.{name} in the table's metadata; column {name} is NaN")
            columns[name] = np.full(len(inputMeasurements), number)
        table = inputMeasurements.with_columns(columns)
        return table.with_provenance(metadata={**inputMeasurements.metadata, **kept})


class StatisticsByFrame(ModuleBase):
    """Mean, spread and range of the pixels of each frame, or of those that a mask marks."""

    version = 1

    input_name = Input(ImageStack, "input", desc="images")
    mask = Input(ImageStack, "", desc="which pixels count: those above 0.5; one frame of it may stand for all")
    output_name = Output(Table, "cluster_metrics", desc="a row a frame")

    def run(self, ctx: Context, input_name: ImageStack, mask: ImageStack | None) -> Table:
        if mask is not None and mask.n_frames != 1:
            require_same(input_name, mask, "the mask")

        def told(frame: int, volume: Array) -> tuple[float, ...]:
            values = volume.astype(np.float64)
            if mask is not None:
                at = frame if mask.n_frames > 1 else 0
                values = values[np.broadcast_to(mask.frames(at, at + 1)[0] > 0.5, values.shape)]
            if not values.size:
                return (math.nan,) * 6
            return tuple(float(f(values)) for f in (np.mean, np.var, np.std, np.median, np.min, np.max))

        rows = np.array(list(per_frame(ctx, input_name, told))).reshape(-1, 6)
        empty = int(np.count_nonzero(np.isnan(rows[:, 0])))
        if empty:
            ctx.warn(f"the mask marks nothing in {empty:,} frames; their rows are NaN")
        names = ("mean", "variance", "std", "median", "min", "max")
        frames = np.arange(len(rows))
        return Table({"frame": frames, **{name: rows[:, k] for k, name in enumerate(names)}}, metadata=input_name.metadata)


class IntensityAtPoints(ModuleBase):
    """Sum or mean of the pixels within several radii around points."""

    version = 1

    inputImage = Input(ImageStack, "input", desc="images")
    inputPositions = Input(
        Table, "objPostiions", requires=("x", "y"), desc="points; their frame where there is one, else the first"
    )
    outputName = Output(Table, "fitResults", like="inputPositions", desc="points with a column a radius: r3, r5, ...")

    radii = ListOf(Int(1, low=0), (3, 5, 7, 9, 11), unit="px", desc="radii")
    mode = Choice(("sum", "mean"), "sum", desc="sum or mean of the pixels")

    def run(self, ctx: Context, inputImage: ImageStack, inputPositions: Table) -> Table:
        from recipes_modules.image_points import on_pixels

        frame, z, y, x = on_pixels(inputImage, inputPositions)
        columns = {f"r{radius}": np.full(len(inputPositions), np.nan) for radius in self.radii}
        outside = 0
        for at in np.unique(frame[frame >= 0]):
            image = inputImage.frames(int(at), int(at) + 1)[0].astype(np.float64)
            for row in np.flatnonzero(frame == at):
                for radius in self.radii:
                    values = _disc(image[z[row]], y[row], x[row], radius)
                    if values is None:
                        outside += 1
                    else:
                        columns[f"r{radius}"][row] = values.sum() if self.mode == "sum" else values.mean()
            ctx.progress(float(at) + 1, inputImage.n_frames)
        outside += int(np.count_nonzero(frame < 0)) * len(self.radii)
        if outside:
            ctx.warn(f"{outside:,} discs reach beyond the images; their values are NaN")
        return inputPositions.with_columns(columns)


def _disc(plane: Array, y: int, x: int, radius: int) -> Array | None:
    if y < radius or x < radius or y + radius >= plane.shape[0] or x + radius >= plane.shape[1]:
        return None
    part = plane[y - radius : y + radius + 1, x - radius : x + radius + 1]
    yy, xx = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return part[yy**2 + xx**2 <= radius**2]


class ExtractROIs(ModuleBase):
    """Cuts small images out around positions, and tells where in them each position lies."""

    version = 1

    input_series = Input(ImageStack, "series", desc="images")
    input_positions = Input(
        Table, "positions", requires=("x", "y"), desc="positions; their frame where there is one, else the first"
    )
    output_relative_positions = Output(
        Table, "relative_positions", desc="the positions that fit, in nm from the centre pixel of their image"
    )
    output_rois = Output(ImageStack, "roi_stack", desc="an image a position")

    roi_half_size = Int(7, low=0, unit="px", desc="images reach so far to either side of the pixel of the position")

    def run(self, ctx: Context, input_series: ImageStack, input_positions: Table) -> dict[str, Any]:
        from recipes_modules.image_points import on_pixels

        half, size = self.roi_half_size, input_series.require_pixel_size()
        frame, z, y, x = on_pixels(input_series, input_positions)
        ny, nx = input_series.shape[2:]
        fits = (frame >= 0) & (x >= half) & (y >= half) & (x + half < nx) & (y + half < ny)
        rows = np.flatnonzero(fits)
        if not len(rows):
            raise DataError("no position has room for an image around it.", code="D440", hint="Set roi_half_size smaller.")
        if len(rows) < len(frame):
            ctx.say(f"{len(frame) - len(rows):,} positions lie too near to the edge and were left out")
        rois = ctx.scratch.array((len(rows), 1, 2 * half + 1, 2 * half + 1), input_series.dtype)
        order = np.argsort(frame[rows], kind="stable")
        volume, at = None, -1
        for done, k in enumerate(order):
            row = rows[k]
            if volume is None or frame[row] != at:
                at = int(frame[row])
                volume = input_series.frames(at, at + 1)[0]
            rois[k, 0] = volume[z[row], y[row] - half : y[row] + half + 1, x[row] - half : x[row] + half + 1]
            ctx.progress(done + 1, len(order))
        chosen = input_positions.select(rows)
        origin = [float(input_series.metadata.get(f"Origin.{axis}", 0.0)) for axis in "xy"]
        moved = chosen.with_columns(
            {"x": chosen["x"] - origin[0] - x[rows] * size[0], "y": chosen["y"] - origin[1] - y[rows] * size[1]}
        )
        return {"output_relative_positions": moved, "output_rois": ImageStack(rois, metadata=input_series.metadata)}


class LabelsFromImage(ModuleBase):
    """Gives each point the label of the pixel on which it lies, and how many points have that label."""

    version = 1

    inputName = Input(Table, "input", requires=("x", "y"), desc="points")
    inputImage = Input(ImageStack, "labeled", desc="labels; the first frame counts")
    outputName = Output(Table, "labeled_points", like="inputName", desc="points with label and count")

    label_key_name = Str("objectID", desc="column with the label; 0: none")
    label_count_key_name = Str("NEvents", desc="column with the number of points of that label")
    minimum_localizations = Int(1, low=1, desc="labels with fewer points become 0")

    def run(self, ctx: Context, inputName: Table, inputImage: ImageStack) -> Table:
        from recipes_modules.image_points import on_pixels

        _, z, y, x = on_pixels(inputImage, inputName, first_frame=True)
        volume = np.rint(np.maximum(inputImage.frames(0, 1)[0], 0)).astype(np.int64)
        nz, ny, nx = volume.shape
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        labels = np.zeros(len(inputName), np.int64)
        labels[inside] = volume[z[inside], y[inside], x[inside]]
        counts = np.bincount(labels)
        counts[0] = 0
        labels[counts[labels] < self.minimum_localizations] = 0
        found = len(np.unique(labels[labels > 0]))
        ctx.say(f"{np.count_nonzero(labels):,} of {len(labels):,} points lie on {found:,} labels")
        if not found:
            ctx.warn("no point lies on a label: do image and points have one origin, and is the pixel size right?")
        return inputName.with_columns(
            {self.label_key_name: labels.astype(np.int32), self.label_count_key_name: np.where(labels > 0, counts[labels], 0)}
        )
