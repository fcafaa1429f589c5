"""Modules that write results under names of the recipe's own, as PYME's output modules do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recipes_core.data import DataObject, Document, Figure, ImageStack, Table, Tables
from recipes_core.errors import DataError
from recipes_core.module import Context, WriterModule
from recipes_core.ports import Bool, Choice, FilePath, Float, Input, MapOf, Parameter, Str

_PATTERN = "name of the file; {{output_dir}} and {{file_stub}} are filled in{}"
_SCHEMES = ("File", "pyme-cluster://", "pyme-cluster:// - aggregate")


class Literal(Parameter):
    """A number, a word or true or false."""

    kind = "value"

    def expected(self) -> str:
        return "a number, text, or true or false"

    def coerce(self, value: Any) -> Any:
        if not isinstance(value, (bool, int, float, str)):
            raise ValueError(value)
        return value


class OutputModule(WriterModule):
    """Base of modules whose purpose is a file called as `filePattern` says."""

    path_parameter = "filePattern"

    scheme = Choice(
        _SCHEMES, "File", affects_result=False, desc="where files are: on this machine; PYME's cluster is not supported"
    )

    def check(self) -> Iterator[str]:
        if self.scheme != "File":
            yield f"scheme '{self.scheme}' needs PYME's cluster; write File, or leave it out"


class CSVOutput(OutputModule):
    """Writes a table as text, with a line of names and a comma between values."""

    version = 1
    suffix = ".csv"

    inputName = Input(Table, "output", desc="table")
    filePattern = Str("{output_dir}/{file_stub}.csv", desc=_PATTERN.format(""))


class ImageOutput(OutputModule):
    """Writes images: .tif (OME-TIFF), PYME's .h5, or .png to look at, as the name's ending says."""

    version = 1
    suffix = ".tif"

    inputName = Input(ImageStack, "output", desc="images")
    filePattern = Str("{output_dir}/{file_stub}.tif", desc=_PATTERN.format(""))
    extraMetadata = MapOf(Literal(""), {}, desc="entries that the file's metadata get besides")

    def content(self, inputs: Mapping[str, Any]) -> DataObject:
        stack: ImageStack = inputs["inputName"]
        return stack.with_provenance(metadata={**stack.metadata, **self.extraMetadata})


class RGBImageOutput(OutputModule):
    """Writes a picture to look at: up to three channels as red, green and blue, eight bits each.

    Of a series each pixel is the brightest of all frames and planes. Each channel is scaled by itself.
    """

    version = 1
    suffix = ".png"
    writes = ImageStack

    inputName = Input(ImageStack, "output", desc="images with one to three channels")
    filePattern = Str("{output_dir}/{file_stub}.png", desc=_PATTERN.format(""))

    scaling = Choice(
        ("min-max", "percentile"), "min-max", desc="what becomes black and white: lowest and highest value, or percentiles"
    )
    scaling_factor = Float(0.95, low=1e-6, high=1.0, desc="part of the pixels (percentile) or of the range (min-max) up to white")
    zoom = Float(1.0, low=0.01, high=100.0, desc="factor by which the picture is larger than the image")
    colorblindFriendly = Bool(False, desc="cyan, magenta and yellow instead of red, green and blue")

    def content(self, inputs: Mapping[str, Any]) -> DataObject:
        stack: ImageStack = inputs["inputName"]
        if stack.n_channels > 3:
            raise DataError(
                f"a picture has three colours, the image {stack.n_channels} channels.", code="D440", hint="Use ExtractChannel."
            )
        colours = np.stack([self._scaled(stack.channel(k)) for k in range(stack.n_channels)])
        if self.colorblindFriendly and len(colours) > 1:
            mixed = np.zeros((3, *colours.shape[1:]))
            for k, channel in enumerate(colours):
                # Cyan, magenta and yellow are what is left of white without red, green or blue.
                for other in range(3):
                    if other != k:
                        mixed[other] = np.maximum(mixed[other], channel)
            colours = mixed
        pixels = np.asarray(colours * 255 + 0.5, np.uint8)
        names = ("red", "green", "blue")[: len(pixels)]
        return ImageStack(pixels[np.newaxis], channels=names, metadata=stack.metadata, history=stack.history)

    def _scaled(self, channel: ImageStack) -> Any:
        top = None
        for _, block in channel.blocks():
            high = block.max(axis=(0, 1)).astype(np.float64)
            top = high if top is None else np.maximum(top, high)
        assert top is not None
        if self.zoom != 1:
            from scipy.ndimage import zoom

            top = zoom(top, self.zoom, order=0 if self.zoom > 1 else 1, mode="nearest", grid_mode=True)
        if self.scaling == "percentile":
            rest = 100 * (1 - self.scaling_factor) / 2
            low, high = np.percentile(top, [rest, 100 - rest])
        else:
            low = top.min()
            high = low + (top.max() - low) * self.scaling_factor
        return np.clip((top - low) / (high - low if high > low else 1.0), 0.0, 1.0)


class HDFOutput(OutputModule):
    """Writes one or several tables to one .hdf file.

    `inputVariables` says which keys, and what the table of each is called in the file: ``{filtered_localizations: Localizations}``.
    """

    version = 1
    suffix = ".hdf"
    writes = Tables

    input_tables = Input(Table, (), many=True, desc="tables; inputVariables names them, and where it is given it counts")
    filePattern = Str("{output_dir}/{file_stub}.hdf", desc=_PATTERN.format(""))
    inputVariables = MapOf(Str(""), {}, desc="key: name of its table in the file; an empty name is the key itself")
    extraMetadata = MapOf(Literal(""), {}, desc="entries that the file's metadata get besides")

    def input_keys(self) -> dict[str, Any]:
        """The keys that inputVariables names, or those of the port."""
        return {"input_tables": tuple(self.inputVariables) or self.input_tables}

    def check(self) -> Iterator[str]:
        yield from super().check()
        names = [name or key for key, name in self.inputVariables.items()]
        if len(set(names)) < len(names):
            yield "inputVariables gives one name to two tables"
        if not names and not self.input_tables:
            yield "inputVariables names no table"

    def content(self, inputs: Mapping[str, Any]) -> DataObject:
        keys = self.input_keys()["input_tables"]
        names = [self.inputVariables.get(key) or key for key in keys]
        tables = dict(zip(names, inputs["input_tables"], strict=True))
        first = next(iter(tables.values()))
        return Tables(tables, metadata={**first.metadata, **self.extraMetadata})


class PlotOutput(OutputModule):
    """Writes a figure as .pdf, .png or .svg."""

    version = 1

    inputName = Input(Figure, "output", desc="figure")
    filePattern = Str("{output_dir}/{file_stub}.pdf", desc=_PATTERN.format("; the format says its ending"))
    format = Choice(("pdf", "png", "svg"), "pdf", desc="format")

    def destination(self) -> str:
        name = str(self.filePattern)
        stem, dot, ending = name.rpartition(".")
        return f"{stem if dot and ending.lower() in ('pdf', 'png', 'svg') else name}.{self.format}"


class ReportOutput(OutputModule):
    """Writes a page with results: numbers, figures, images and tables, and how they were made. It needs nothing else to be opened.

    A page of one's own is a Jinja template that gets `data` (the first result; of a table its columns), `namespace` (results by key)
    and `recipe_context`; it runs without access to Python or to files.
    """

    version = 1
    suffix = ".html"
    writes = Document

    inputName = Input(DataObject, "output", desc="what the page is about")
    input_results = Input(DataObject, (), many=True, desc="further results, in the order in which they are shown")
    filePattern = Str("{output_dir}/{file_stub}.html", desc=_PATTERN.format(""))

    title = Str("", desc="title of the page; the file's name where empty")
    text = Str("", desc="what is said of the results; blank lines part paragraphs")
    template = FilePath("", desc="page of one's own (Jinja), relative to the recipe; the built-in one where empty")

    def run(self, ctx: Context, **inputs: Any) -> Any:
        return {}

    def content(self, inputs: Mapping[str, Any]) -> DataObject:
        parts = {self.inputName: inputs["inputName"]}
        parts |= dict(zip(self.input_results, inputs["input_results"], strict=True))
        template = Path(self.template).read_text(encoding="utf-8") if self.template else ""
        return Document(self.title, parts, text=self.text, template=template)
