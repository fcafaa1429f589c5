"""OME-Zarr images, read lazily with zarr (the extra ``zarr``): the full resolution of the first image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, ImageStack
from recipes_core.data.imagestack import LazyFrames
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import TO_NM
from recipes_core.io.extras import imported
from recipes_core.io.opening import loaded

FORMAT = "OME-Zarr"
MOST_PLANE = 2**32
MARKS = (".zattrs", "zarr.json", ".zgroup", ".zarray")
_UNITS = {**TO_NM, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "meter": 1e9, "angstrom": 0.1, "picometer": 1e-3}


class ZarrFrames(LazyFrames):
    """Frames of a zarr array; it is opened on first use.

    Parameters
    ----------
    path : Path
        Folder of the group.
    name : str
        Array in it; empty where the folder is the array.
    shape : (t, z, y, x)
    axes : str
        Of the array, such as ``tczyx``.
    dtype : dtype
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, int, int, int], axes: str, dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self.path, self.name, self.axes = path, name, axes
        self._array: Any = None

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._array is None:
            self._array = _open(imported("zarr", "zarr", f"{self.path} is a Zarr folder"), self.path, self.name)
        index = tuple(slice(start, stop) if axis == "t" else slice(None) if axis in "zyx" else 0 for axis in self.axes)
        try:
            values = np.asarray(self._array[index])
        except Exception as error:  # damaged chunks raise whatever the codec raises
            raise FormatError(f"{self.path}: frames {start} to {stop - 1} cannot be read; a chunk is damaged: {error}") from error
        kept = [axis for axis in self.axes if axis in "tzyx"]
        for position, axis in enumerate("tzyx"):
            if axis not in kept:
                values = np.expand_dims(values, position)
                kept.insert(position, axis)
        block = np.ascontiguousarray(values, self._dtype)
        block.flags.writeable = False
        return block

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}


class OmeZarr:
    """Reader of OME-Zarr folders."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is a folder with the metadata of Zarr."""
        return path.is_dir() and any((path / mark).is_file() for mark in MARKS)

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The first image of the folder, at full resolution."""
        zarr = imported("zarr", "zarr", f"{path} is a Zarr folder")
        name, axes, scale = _image(path, _open(zarr, path, ""))
        array = _open(zarr, path, name)
        shape = tuple(int(n) for n in array.shape)
        axes = axes or "tczyx"[5 - len(shape) :]
        sizes = dict(zip(axes, shape, strict=True))
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "fiub" or not {"y", "x"} <= set(sizes) or not all(shape):
            raise FormatError(f"{path}: an array of {shape} {dtype} is no image.")
        if sizes.get("c", 1) > 1:
            raise FormatError(f"{path} has {sizes['c']} channels; one is read.", hint="Save the channels one by one.")
        chunk = int(np.prod([int(n) for n in getattr(array, "chunks", shape)])) * dtype.itemsize
        plane = sizes.get("z", 1) * sizes["y"] * sizes["x"] * dtype.itemsize
        if max(chunk, plane) > MOST_PLANE:
            raise FormatError(
                f"{path}: one frame or chunk would need {max(chunk, plane) / 2**30:.0f} GiB; it is refused.", code="D211"
            )
        size = (sizes.get("t", 1), sizes.get("z", 1), sizes["y"], sizes["x"])
        source = ZarrFrames(path, name, size, axes, dtype)
        metadata = {f"voxelsize.{axis}": scale[axis] / 1000 for axis in "xyz" if axis in scale}
        if metadata:
            metadata["voxelsize.units"] = "um"  # type: ignore[assignment]

        def load() -> DataObject:
            return loaded(ImageStack(source, metadata=metadata), path, FORMAT)

        dataset = Dataset("", ImageStack, load, shape=size, dtype=str(dtype))
        return FileContent(path, FORMAT, (dataset,), metadata, files=_files(path, name))


READER = OmeZarr()


def _open(zarr: Any, path: Path, name: str) -> Any:
    try:
        found = zarr.open(str(path), mode="r")
        return found[name] if name else found
    except Exception as error:  # zarr raises many kinds
        raise FormatError(f"{path} is damaged, or no Zarr that can be read: {str(error)[:200]}") from error


def _image(path: Path, root: Any) -> tuple[str, str, dict[str, float]]:
    """Array of the full resolution, its axes, and nm per pixel."""
    if hasattr(root, "shape"):
        return "", "", {}
    attributes = dict(root.attrs)
    about = attributes.get("ome", attributes)
    scales = about.get("multiscales") if isinstance(about, Mapping) else None
    first = scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else None
    datasets = first.get("datasets") if first else None
    if not first or not isinstance(datasets, list) or not datasets or not isinstance(datasets[0], dict):
        raise FormatError(f"{path} holds no OME image (multiscales).")
    name = str(datasets[0].get("path", ""))
    if not name or ".." in Path(name).parts or Path(name).is_absolute():
        raise FormatError(
            f"{path}: the image is said to be in '{name[:60]}', which leads out of the folder; it is refused.", code="D211"
        )
    axes = [item if isinstance(item, dict) else {"name": str(item)} for item in first.get("axes") or []]
    names = "".join(str(item.get("name", "?"))[:1] for item in axes)
    if axes and (len(set(names)) < len(names) or set(names) - set("tczyx")):
        raise FormatError(f"{path}: axes '{names}' are not known.")
    return name, names, _scale(axes, names, [datasets[0], first])


def _scale(axes: list[dict[str, Any]], names: str, holders: list[dict[str, Any]]) -> dict[str, float]:
    factors = np.ones(len(names))
    known = False
    for holder in holders:
        for item in holder.get("coordinateTransformations") or []:
            values = item.get("scale") if isinstance(item, dict) else None
            if (
                isinstance(values, list)
                and len(values) == len(names)
                and all(isinstance(v, (int, float)) and 0 < v < 1e12 for v in values)
            ):
                factors, known = factors * np.array(values, float), True
    if not known:
        return {}
    found = {}
    for name, axis, factor in zip(names, axes, factors, strict=True):
        unit = _UNITS.get(str(axis.get("unit", "")).lower())
        if name in "xyz" and unit is not None:
            found[name] = float(factor * unit)
    return found


def _files(path: Path, name: str) -> tuple[Path, ...]:
    """The files behind the image: metadata of the group, and all of the array."""
    own = [path / mark for mark in MARKS if (path / mark).is_file()]
    folder = path / name if name else path
    return tuple(dict.fromkeys([*own, *sorted(item for item in folder.rglob("*") if item.is_file())]))
