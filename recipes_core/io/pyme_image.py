"""PYME image series: .h5 with /ImageData (frames, X, Y)."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, FrameAxis, ImageStack
from recipes_core.data.imagestack import LazyFrames
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.hdf5 import DAMAGED, answers, is_hdf5, opened, own_attribute, own_dataset, require_stored
from recipes_core.io.hdf5_chunks import can_unpack, read_frames, require_bounded
from recipes_core.io.hdf5_writing import created
from recipes_core.io.opening import loaded
from recipes_core.io.pyme_metadata import read_metadata, write_metadata

FORMAT = "PYME image series"
DATA = "ImageData"
_START, _STEP, _SPAN = "Recipes.FrameStart", "Recipes.FrameStep", "Recipes.FrameSpan"


class PymeFrames(LazyFrames):
    """Frames of /ImageData, turned from (X, Y) to (y, x); the file is opened on first use.

    Parameters
    ----------
    path : Path
    name : str
        Dataset.
    n_planes : int
        Planes along z that follow each other for each time.
    """

    def __init__(self, path: Path, name: str = DATA, n_planes: int = 1) -> None:
        self.path, self.name, self.n_planes = path, name, n_planes
        with opened(path) as file:
            item = file[name]
            n, nx, ny = item.shape if item.ndim == 3 else (1, *item.shape)
            super().__init__((n // n_planes, n_planes, ny, nx), np.dtype(item.dtype))
        self._item: h5py.Dataset | None = None

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        if self._item is None:
            file = h5py.File(self.path, "r")
            weakref.finalize(self, file.close)
            self._item = file[self.name]
        try:
            frames = self._frames(self._item, start * self.n_planes, stop * self.n_planes)
        except FormatError:
            raise
        except DAMAGED as error:
            raise FormatError(
                f"{self.path}: frames {start} to {stop - 1} cannot be read; the file is damaged: {error}"
            ) from error
        _, _, ny, nx = self._shape
        block = np.ascontiguousarray(frames.transpose(0, 2, 1)).reshape(stop - start, self.n_planes, ny, nx)
        block.flags.writeable = False
        return block

    def _frames(self, item: h5py.Dataset, start: int, stop: int) -> npt.NDArray[Any]:
        if item.ndim == 2:
            require_bounded(self.path, item)
            return np.asarray(item[:])[np.newaxis]
        if can_unpack(item):
            return read_frames(self.path, item, start, stop)
        require_bounded(self.path, item, start, stop)
        return np.asarray(item[start:stop])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_item": None}


class PymeImage:
    """Reader of .h5 image series."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is HDF5 with image data."""
        return is_hdf5(head) and answers(path, lambda file: DATA in file or "PZFImageData" in file)

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The image series."""
        with opened(path) as file:
            if DATA not in file:
                raise FormatError(
                    f"{path} holds PZF-compressed frames, which are not read.",
                    hint="Save it from PYME as .tif or as uncompressed .h5.",
                )
            item = own_dataset(file, DATA)
            if item is None or item.ndim != 3 or item.dtype.kind not in "fiub":
                raise FormatError(f"{path}: /{DATA} is no series of images (frames, X, Y).")
            require_stored(path, item, lazy=True)
            n_planes = _planes(path, item)
            metadata, history = read_metadata(file, path)
            shape, dtype = item.shape, str(item.dtype)
        time = FrameAxis(float(metadata.pop(_START, 0.0)), float(metadata.pop(_STEP, 1.0)), metadata.pop(_SPAN, None))

        def load() -> DataObject:
            return loaded(ImageStack(PymeFrames(path, DATA, n_planes), time=time, history=history), path, FORMAT, "", metadata)

        size = (shape[0] // n_planes, n_planes, shape[2], shape[1])
        return FileContent(path, FORMAT, (Dataset("", ImageStack, load, shape=size, dtype=dtype),), metadata)


READER = PymeImage()


def _planes(path: Path, item: h5py.Dataset) -> int:
    sizes = {axis: _size(path, item, axis) for axis in "CZ"}
    if sizes["C"] > 1:
        raise FormatError(f"{path} has {sizes['C']} colour channels; one is read.", hint="Save the channels one by one.")
    order = own_attribute(item, "DimOrder", "XYZTC")
    order = order.decode() if isinstance(order, bytes) else str(order)
    if sizes["Z"] > 1 and not order.startswith("XYZ"):
        raise FormatError(f"{path} has its axes in the order {order}; XYZTC is read.")
    if sizes["Z"] < 1 or item.shape[0] % sizes["Z"]:
        raise FormatError(f"{path}: {item.shape[0]} frames are no multiple of {sizes['Z']} planes.")
    return sizes["Z"]


def _size(path: Path, item: h5py.Dataset, axis: str) -> int:
    value = np.asarray(own_attribute(item, f"Size{axis}", 1))
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 <= value.item() < 2**31:
        raise FormatError(f"{path}: Size{axis} of the images is no number of planes.")
    return int(value.item())


def write(obj: ImageStack, path: Path, record: Mapping[str, Any]) -> None:
    """Write a series frame by frame."""
    nt, nz, ny, nx = obj.shape
    if obj.dtype.kind not in "fiub":
        raise DataError(f"images of type {obj.dtype} cannot be written as PYME .h5")
    dtype = np.dtype(np.uint8) if obj.dtype.kind == "b" else obj.dtype
    with created(path) as (file, check):
        item = file.create_dataset(
            DATA, (nt * nz, nx, ny), dtype, chunks=(1, nx, ny), maxshape=(None, nx, ny), shuffle=True, compression="gzip",
            compression_opts=1, track_times=False,
        )  # fmt: skip
        for name, value in {"DimOrder": "XYZTC", "SizeC": 1, "SizeZ": nz, "SizeT": nt}.items():
            item.attrs[name] = np.bytes_(value) if isinstance(value, str) else value
        for start, block in obj.blocks():
            planes = block.reshape(-1, ny, nx).transpose(0, 2, 1)
            item[start * nz : start * nz + len(planes)] = planes
            check()
        own = {_START: obj.time.start, _STEP: obj.time.step}
        if obj.time.span is not None:
            own[_SPAN] = obj.time.span
        write_metadata(file, {**obj.metadata, **own}, obj.history, record)
