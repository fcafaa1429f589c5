"""Drift files as the cross-correlation drift plugin writes them: .npz with `tIndex` (frame) and `drift` (nm, to be added).

Ours also hold the measured range, standard errors, whether every frame is given, the pixel size, history and record. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Drift
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.opening import loaded
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

FORMAT = "drift .npz"
MOST_BYTES = 2**30
_DATE = (1980, 1, 1, 0, 0, 0)


class DriftNpz:
    """Reader of drift .npz files."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is a zip archive of .npy files."""
        if not head.startswith(b"PK"):
            return False
        if path.suffix.lower() == ".npz":
            return True
        try:
            with zipfile.ZipFile(path) as archive:
                return "drift.npy" in archive.namelist()
        except zipfile.BadZipFile:
            return False

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The drift in the file."""
        arrays = _read_arrays(path)
        missing = [name for name in ("tIndex", "drift") if name not in arrays]
        if missing:
            raise FormatError(
                f"{path} has no array '{missing[0]}'; a drift file holds tIndex and drift, this one: {', '.join(arrays)}"
            )
        drift = _drift(path, arrays)

        def load() -> DataObject:
            return loaded(drift, path, FORMAT)

        return FileContent(path, FORMAT, (Dataset("", Drift, load, n_rows=len(drift), shape=drift.correction.shape),))


READER = DriftNpz()


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise FormatError(f"{path} would unpack to more than 1 GiB; that is no drift file.")
            for member in archive.infolist():
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(path, member.filename, stream.read())
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise FormatError(f"{path} is damaged or cut off: {error}") from error
    return arrays


def _read_array(path: Path, name: str, content: bytes) -> npt.NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # The plugin's own files were written by Python 2, which numpy mentions each time.
            warnings.simplefilter("ignore", UserWarning)
            array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError) as error:
        if "allow_pickle" in str(error):
            raise FormatError(f"{path}: '{name}' holds Python objects; they are refused, nothing was executed.") from error
        raise FormatError(f"{path}: '{name}' is damaged: {error}") from error
    return array


def _drift(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> Drift:
    for name in ("tIndex", "drift"):
        if arrays[name].dtype.kind not in "fiu":
            raise FormatError(f"{path}: '{name}' holds no numbers but {arrays[name].dtype}")
    history = history_from_json(str(arrays["history"])) if "history" in arrays else ()
    return Drift(
        arrays["tIndex"],
        arrays["drift"],
        error=arrays.get("error"),
        measured=_measured(path, arrays),
        exact=bool(_values(path, arrays, "exact", 1)[0]) if "exact" in arrays else False,
        metadata=_kept(from_json(str(arrays["metadata"]))) if "metadata" in arrays else None,
        history=history,
    )


def _measured(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[float, float] | None:
    if "measured" not in arrays:
        return _around(arrays["tIndex"])
    first, last = _values(path, arrays, "measured", 2)
    return float(first), float(last)


def _values(path: Path, arrays: Mapping[str, npt.NDArray[Any]], name: str, n: int) -> npt.NDArray[Any]:
    values = arrays[name].reshape(-1)
    if len(values) != n or values.dtype.kind not in "fiub":
        raise FormatError(f"{path}: '{name}' has {len(values)} values of {values.dtype}, not {n} number{'s' * (n > 1)}.")
    return values


def _kept(metadata: Any) -> dict[str, Any]:
    """What says how large a pixel is: formats that count in pixels need it."""
    if not isinstance(metadata, Mapping):
        return {}
    return {
        name: value for name, value in metadata.items() if name.startswith("voxelsize.") and isinstance(value, (int, float, str))
    }


def _around(frames: npt.NDArray[Any]) -> tuple[float, float] | None:
    """What the plugin measured, which its files do not say: windows as long as the distance of their knots lie around these."""
    if frames.ndim != 1 or len(frames) < 2:
        return None
    half = (float(np.median(np.diff(frames))) - 1) / 2
    return (float(frames[0]) - half, float(frames[-1]) + half) if half > 0 else None


def write(obj: Drift, path: Path, record: Mapping[str, Any]) -> None:
    """Write a drift; the same drift gives the same bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "tIndex": obj.frames,
        "drift": obj.correction,
        "measured": np.array(obj.measured),
        "exact": np.array(obj.exact),
        "history": np.array(history_to_json(obj.history)),
    }
    if obj.error is not None:
        arrays["error"] = obj.error
    if _kept(obj.metadata):
        arrays["metadata"] = np.array(to_json(_kept(obj.metadata)))
    if record:
        arrays["record"] = np.array(to_json(record))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # the same on every system
            member.external_attr = 0o644 << 16
            archive.writestr(member, buffer.getvalue())
