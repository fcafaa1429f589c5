"""TIFF and OME-TIFF, read lazily: one file, a folder or a glob of files as one stack."""

from __future__ import annotations

import glob
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, FrameAxis, HistoryEntry, ImageStack
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.ome import read_ome
from recipes_core.io.opening import is_glob, loaded
from recipes_core.io.tiff_frames import JoinedFrames, TiffFrames, open_tiff

FORMAT = "TIFF"
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGEST_PIXEL_UM = 20.0
_UNIT_UM = {
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "\\u00b5m": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "inch": 25_400.0,
    "pixel": None,
}


class Tiff:
    """Reader of TIFF files."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it begins like TIFF, or is a folder or glob with such files."""
        return head.startswith(_SIGNATURES) or bool(not head and (path.is_dir() or is_glob(path)) and _files(path))

    @staticmethod
    def open_content(path: Path, *, incomplete: str = "") -> FileContent:
        """The stack; several files become one.

        Parameters
        ----------
        path : Path
        incomplete : str
            ``1``: of files that are cut off, or still being written, the frames that are there are taken.
        """
        files = _files(path) if path.is_dir() or is_glob(path) else [path]
        parts = _inspect_all(files, incomplete.lower() in ("1", "true", "yes"))
        files = [part.source.path for part in parts]
        first = parts[0]
        for file, part in zip(files, parts, strict=True):
            if (part.source.shape[1:], part.source.dtype) != (first.source.shape[1:], first.source.dtype):
                raise FormatError(
                    f"{file.name} has {_size(part.source)}, but {files[0].name} has {_size(first.source)}; one stack needs one size."
                )
        source = first.source if len(parts) == 1 else JoinedFrames([part.source for part in parts])
        metadata = dict(first.metadata)

        def load() -> DataObject:
            stack = ImageStack(source, time=first.time, channels=first.channels, metadata=metadata, history=first.history)
            return loaded(stack, path, FORMAT)

        dataset = Dataset("", ImageStack, load, shape=source.shape, dtype=str(source.dtype))
        behind = tuple(dict.fromkeys(file for part in parts for file in part.files))
        notes = tuple(note for part in parts for note in part.notes)
        return FileContent(path, first.format, (dataset,), metadata, files=behind, notes=notes)


READER = Tiff()


class _Part:
    """What a file says of itself."""

    def __init__(
        self,
        source: TiffFrames,
        metadata: dict[str, Any],
        annotation: dict[str, Any],
        form: str,
        files: tuple[Path, ...],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.source, self.format, self.files, self.notes = source, form, files, notes
        self.metadata = {**metadata, **_mapping(annotation.get("metadata"))}
        time = annotation.get("time")
        known = isinstance(time, list) and len(time) == 3 and all(isinstance(n, (int, float)) for n in time[:2])
        self.time = FrameAxis(float(time[0]), float(time[1]), time[2]) if known and time is not None else FrameAxis()
        entries = annotation.get("history")
        entries = entries if isinstance(entries, list) else []
        self.history = tuple(HistoryEntry.from_dict(entry) for entry in entries if isinstance(entry, dict) and "step" in entry)
        self.channels: tuple[str, ...] = ()

    def name_channels(self, n: int) -> None:
        """Give channels the names that the metadata know, else numbers."""
        if n > 1:
            named = self.metadata.get("ChannelNames")
            names = list(named) if isinstance(named, (list, tuple)) else []
            self.channels = tuple(str(name) for name in (names if len(names) == n else (f"channel{k}" for k in range(n))))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [item for item in path.iterdir() if item.suffix.lower() in SUFFIXES and item.is_file()]
    else:
        found = [Path(name) for name in glob.glob(str(path)) if Path(name).is_file()]
    return sorted(
        found, key=lambda item: [int(part) if part.isdigit() else part.casefold() for part in re.split(r"(\d+)", item.name)]
    )


def _inspect_all(files: Sequence[Path], incomplete: bool) -> list[_Part]:
    """What the files say, without those whose pages another one of them already leads to (Micro-Manager, OME)."""
    parts: list[_Part] = []
    covered: set[Path] = set()
    for file in files:
        if file.absolute() not in covered:
            parts.append(_inspect(file, incomplete))
            if len(parts[-1].files) > 1:
                covered.update(item.absolute() for item in parts[-1].files)
    return parts


def _size(source: TiffFrames) -> str:
    return " x ".join(str(n) for n in source.shape[1:]) + f" {source.dtype}"


def _inspect(path: Path, incomplete: bool) -> _Part:
    try:
        with open_tiff(path) as tiff:
            if not tiff.series:
                raise FormatError(f"{path} holds no image that can be read; it is damaged or cut off.")
            series = tiff.series[0]
            shape, pages = _layout(path, series)
            behind = _broken_chain(tiff, series)
            if behind is not None:
                pages = _without_pages(series, shape, behind, pages)
                shape = (len(pages) // shape[1], *shape[1:])
            declared = len(pages)
            readable = _readable(tiff, series, shape, declared)
            notes: tuple[str, ...] = ()
            if readable < declared or behind is not None:
                # Of a chain that breaks off nobody knows how long it was.
                told = declared if readable < declared and (behind is None or declared > len(series.pages)) else None
                pages = pages[: readable // shape[1] * shape[1]]
                if not incomplete or not len(pages):
                    raise _cut_off(path, readable, told)
                shape = (len(pages) // shape[1], *shape[1:])
                lost = f"{told - len(pages)} are lost" if told else "how many are lost it does not tell"
                notes = (f"{path.name} is cut off: {len(pages)}{f' of {told}' if told else ''} frames are taken, {lost}",)
            metadata, annotation = _metadata(tiff)
            part = _Part(
                TiffFrames(path, shape, np.dtype(series.dtype), pages),
                metadata,
                annotation,
                "OME-TIFF" if tiff.is_ome else FORMAT,
                _behind(path, series),
                notes,
            )
            part.name_channels(dict(zip(series.axes, series.shape, strict=True)).get("C", 1))
            return part
    except FormatError:
        raise
    except Exception as error:  # tifffile raises nearly anything on damaged files
        raise FormatError(f"{path} is damaged or cut off: {error}") from error


def _behind(path: Path, series: Any) -> tuple[Path, ...]:
    """The file itself, and those that a series of several files (OME-TIFF, NDTiff) takes its pages from."""
    if not series.is_multifile:
        return (path,)
    own = path.absolute()
    others = {Path(page.parent.filehandle.path) for page in series.pages if page is not None} - {own}
    if series.kind == "ndtiff":
        others.add(own.with_name("NDTiff.index"))
    return (path, *sorted(others))


def _layout(path: Path, series: Any) -> tuple[tuple[int, int, int, int], npt.NDArray[np.int64]]:
    """Shape (t, z, y, x), and the page of each plane."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if not all(sizes.values()):
        raise FormatError(f"{path} holds an image without pixels; it is damaged or cut off.")
    if sizes.get("S", 1) > 1:
        raise FormatError(
            f"{path} is a colour image with {sizes['S']} samples a pixel; a movie has one.", hint="Save one of its channels."
        )
    if np.dtype(series.dtype).kind not in "fiub":
        raise FormatError(f"{path} holds pixels of type {series.dtype}, which are not read.")
    leading = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    if not series.parent.is_ome and not any(axis != "Z" and n > 1 for axis, n in leading):
        # ImageJ calls the frames of a movie slices unless told otherwise; only OME says what it means.
        leading = [("T", n) for _, n in leading]
    order = np.arange(math.prod(n for _, n in leading)).reshape([n for _, n in leading])
    # The planes of a frame: all of the first channel, then all of the next.
    depth = [index for kind in "CZ" for index, (axis, _) in enumerate(leading) if axis == kind]
    order = np.moveaxis(order, depth, range(order.ndim - len(depth), order.ndim))
    nz = math.prod(leading[index][1] for index in depth)
    flat = order.reshape(-1).astype(np.int64)
    return (len(flat) // nz, nz, sizes["Y"], sizes["X"]), flat


def _readable(tiff: Any, series: Any, shape: tuple[int, ...], declared: int) -> int:
    """How many of the planes that a file declares are whole."""
    length = tiff.filehandle.size
    if series.dataoffset is not None:
        size = shape[2] * shape[3] * np.dtype(series.dtype).itemsize
        return int(min(declared, max(0, (length - series.dataoffset) // size)))
    return _whole_pages(series, declared, length)


def _broken_chain(tiff: Any, series: Any) -> int | None:
    """Where the next page should be, in a file that does not reach so far; None where its pages are complete.

    Only of files whose pages are counted by going through them: the others tell themselves how many they have.
    """
    if series.kind not in ("uniform", "generic"):
        return None
    handle, form = tiff.filehandle, tiff.tiff
    handle.seek(tiff.pages[len(tiff.pages) - 1].offset)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(tags * form.tagsize, 1)
    link = handle.read(form.offsetsize)
    if len(link) < form.offsetsize:
        return int(handle.size)
    (place,) = struct.unpack(form.offsetformat, link)
    return int(place) if place >= handle.size else None


def _without_pages(series: Any, shape: tuple[int, ...], behind: int, pages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pages of a file that has all frames first and then, lost, what describes them: as many as there is room for."""
    if len(series.pages) > 1 or series.dataoffset is None:
        return pages
    size = shape[2] * shape[3] * np.dtype(series.dtype).itemsize
    return np.arange(max(1, (behind - series.dataoffset) // size), dtype=np.int64)


def _cut_off(path: Path, readable: int, declared: int | None) -> FormatError:
    hint = "Copy the file again from where it was recorded"
    told = (
        f"{readable} of {declared} frames can be read."
        if declared is not None
        else f"{readable} frames can be read; how many are lost it does not tell."
    )
    return FormatError(
        f"{path} is cut off: {told}",
        code="D220",
        hint=f"{hint}, or write '{path.name}?incomplete=1' to take those that are there." if readable else f"{hint}.",
    )


def _whole_pages(series: Any, declared: int, length: int) -> int:
    def whole(index: int) -> bool:
        page = series.pages[index]
        if page is None:
            return False
        return all(start + count <= length for start, count in zip(page.dataoffsets, page.databytecounts, strict=False))

    if declared <= len(series.pages) and whole(declared - 1):
        return declared
    low, high = 0, min(declared, len(series.pages))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if whole(middle) else (low, middle)
    return low


def _metadata(tiff: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    metadata: dict[str, Any] = {}
    annotation: dict[str, Any] = {}
    if tiff.is_ome and tiff.ome_metadata:
        metadata, annotation = read_ome(tiff.ome_metadata)
    if "voxelsize.x" not in metadata:
        metadata |= _micromanager_pixel(tiff) or _resolution(tiff)
    if "voxelsize.x" in metadata:
        metadata["voxelsize.units"] = "um"
    return metadata, annotation


def _micromanager_pixel(tiff: Any) -> dict[str, Any]:
    """The pixel size that Micro-Manager was told (um); 0 where it was not."""
    if not tiff.is_micromanager or "MicroManagerMetadata" not in tiff.pages[0].tags:
        return {}
    about = tiff.pages[0].tags["MicroManagerMetadata"].value
    size = about.get("PixelSizeUm") if isinstance(about, dict) else None
    if not isinstance(size, (int, float)) or not 0 < size <= _LARGEST_PIXEL_UM:
        return {}
    return {"voxelsize.x": float(size), "voxelsize.y": float(size)}


def _resolution(tiff: Any) -> dict[str, Any]:
    page = tiff.pages[0]
    imagej = tiff.imagej_metadata or {}
    named = str(imagej.get("unit", "")).strip().lower()
    code = int(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else 2
    scale = _UNIT_UM.get(named) if named else {2: 25_400.0, 3: 10_000.0}.get(code)
    found: dict[str, Any] = {}
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        if tag not in page.tags or scale is None:
            return {}
        number, denominator = page.tags[tag].value
        if not number or not denominator:
            return {}
        found[f"voxelsize.{axis}"] = scale * denominator / number
    # 72 dpi and the like are what programs write that know no pixel size.
    if max(found.values()) > _LARGEST_PIXEL_UM:
        return {}
    spacing = imagej.get("spacing")
    if isinstance(spacing, (int, float)) and spacing > 0:
        found["voxelsize.z"] = float(spacing) * scale if scale else 0.0
    return found
