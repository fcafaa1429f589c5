"""Picasso movies: .raw, the pixels one after the other, and a .yaml beside that says their type and size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from recipes_core.data import DataObject, FrameAxis, ImageStack
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import length
from recipes_core.io.opening import loaded
from recipes_core.io.picasso_yaml import RECORD, YAML_KEY, beside, first, read_yaml
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

FORMAT = "Picasso movie (.raw)"
NEEDED = ("Data Type", "Frames", "Height", "Width")
_CAMERA = {"Baseline": "Camera.ADOffset", "Sensitivity": "Camera.ElectronsPerCount", "Gain": "Camera.TrueEMGain"}


class RawFrames:
    """Frames of a .raw file, read where they stand.

    Parameters
    ----------
    path : Path
    shape : (t, z, y, x)
    dtype : dtype
        In the byte order of the file.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> None:
        self.path, self._shape, self._stored = path, shape, dtype

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._stored.newbyteorder("=")

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        count = int(np.prod(self._shape[1:]))
        with self.path.open("rb") as stream:
            values = np.fromfile(stream, self._stored, (stop - start) * count, offset=start * count * self._stored.itemsize)
        if len(values) < (stop - start) * count:
            raise FormatError(f"{self.path} became shorter while it was read.", code="D220")
        block = values.astype(self.dtype, copy=False).reshape(stop - start, *self._shape[1:])
        block.flags.writeable = False
        return block


class PicassoRaw:
    """Reader of Picasso movies."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is named .raw and a .yaml beside says the type and size of the pixels."""
        if path.suffix.lower() != ".raw" or not path.is_file():
            return False
        try:
            documents, _ = read_yaml(beside(path))
        except FormatError:
            return False
        return bool(documents) and all(key in documents[0] for key in NEEDED)

    @staticmethod
    def open_content(path: Path, pixel_size: float | str | None = None) -> FileContent:
        """The movie.

        Parameters
        ----------
        pixel_size : float, optional
            nm; by default that of the .yaml file.
        """
        documents, text = read_yaml(beside(path))
        dtype = _dtype(path, documents[0])
        sizes = [documents[0][key] for key in NEEDED[1:]]
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**31 for n in sizes):
            raise FormatError(f"{beside(path)}: Frames, Height and Width are no sizes: {sizes}.")
        frames, height, width = sizes
        stored, needed = path.stat().st_size, frames * height * width * dtype.itemsize
        if stored < needed:
            whole = stored // (height * width * dtype.itemsize)
            raise FormatError(
                f"{path} is cut off: {whole} of {frames} frames can be read.", code="D220", hint="Copy the file again."
            )
        metadata = _metadata(documents, text, pixel_size)
        history = history_from_json(str(first(documents, "History") or ""))
        shape = (frames, 1, height, width)

        def load() -> DataObject:
            stack = ImageStack(RawFrames(path, shape, dtype), time=_time(documents), metadata=metadata, history=history)
            return loaded(stack, path, FORMAT)

        notes = () if stored == needed else (f"the file is {stored - needed} bytes longer than {beside(path).name} says",)
        dataset = Dataset("", ImageStack, load, shape=shape, dtype=str(dtype))
        return FileContent(path, FORMAT, (dataset,), metadata, notes, (path, beside(path)))

    @staticmethod
    def read_record(path: Path) -> Any:
        """The record that `write` stored."""
        text = first(read_yaml(beside(path))[0], RECORD)
        return from_json(text) if isinstance(text, str) else None


READER = PicassoRaw()


def _dtype(path: Path, document: Mapping[str, Any]) -> np.dtype[Any]:
    try:
        dtype = np.dtype(str(document["Data Type"])[:20])
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiu":
        raise FormatError(f"{beside(path)}: 'Data Type' is {str(document['Data Type'])[:40]}, which is no type of pixels.")
    return dtype.newbyteorder(">" if document.get("Byte Order") == ">" else "<")


def _metadata(documents: list[dict[str, Any]], text: str, given: float | str | None) -> dict[str, Any]:
    # Simulated movies say it under the camera.
    value = given if given is not None else first(documents, "Pixelsize") or first(documents, "Camera.Pixelsize")
    metadata: dict[str, Any] = {}
    if value is not None:
        size = length(value)
        metadata |= {"voxelsize.x": size / 1000, "voxelsize.y": size / 1000, "voxelsize.units": "um"}
    for key, name in _CAMERA.items():
        number = first(documents, key)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            metadata[name] = number
    metadata[YAML_KEY] = text
    return metadata


def _time(documents: list[dict[str, Any]]) -> FrameAxis:
    told = first(documents, "Time")
    if isinstance(told, list) and len(told) == 3 and all(isinstance(n, (int, float)) for n in told[:2]):
        return FrameAxis(float(told[0]), float(told[1]), told[2] if isinstance(told[2], (int, float)) else None)
    return FrameAxis()


def write(obj: ImageStack, path: Path, record: Mapping[str, Any]) -> None:
    """Write a movie of one plane, and its .yaml.

    Raises
    ------
    DataError
        Where the stack has several planes along z, which Picasso's format cannot hold.
    """
    n, nz, height, width = obj.shape
    if nz != 1 or obj.dtype.kind not in "fiu":
        raise DataError(f"Picasso movies hold one plane of numbers for each frame; this has {nz} of {obj.dtype}.")
    stored = obj.dtype.newbyteorder("<")
    with path.open("wb") as stream:
        for _, block in obj.blocks():
            stream.write(np.ascontiguousarray(block, stored).tobytes())
    own: dict[str, Any] = {"Byte Order": "<", "Data Type": obj.dtype.name, "Frames": n, "Height": height, "Width": width}
    if obj.pixel_size:
        own["Pixelsize"] = float(obj.pixel_size[0])
    for key, name in _CAMERA.items():
        if isinstance(obj.metadata.get(name), (int, float)):
            own[key] = obj.metadata[name]
    own |= {
        "Generated by": "smlm-recipes",
        "History": history_to_json(obj.history),
        "Time": [obj.time.start, obj.time.step, obj.time.span],
    }
    if record:
        own[RECORD] = to_json(record)
    text = yaml.safe_dump(own, sort_keys=False, allow_unicode=True)
    earlier = str(obj.metadata.get(YAML_KEY, "")).strip()
    # Picasso reads the movie's type and size from the first document.
    beside(path).write_text(f"{text}---\n{earlier}\n" if earlier else text, encoding="utf-8", newline="\n")
