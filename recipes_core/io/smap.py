"""SMAP: _sml.mat, a MATLAB 7.3 file (HDF5) with one array for each column under saveloc/loc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recipes_core.data import DataObject, Localizations
from recipes_core.data.vocabulary import canonical_names, unit_of
from recipes_core.errors import FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import Columns, Conventions
from recipes_core.io.hdf5 import answers, is_hdf5, opened, own_dataset, require_stored
from recipes_core.io.opening import loaded
from recipes_core.io.pyme_metadata import read_metadata

FORMAT = "SMAP _sml.mat"
PLACES = ("saveloc/loc", "loc")
MATLAB_HEAD = b"MATLAB 7.3"
LARGE_ERROR = 1e5
_NAMES = {
    "PSFxnm": "sigma_x", "PSFynm": "sigma_y", "xnmerr": "error_x", "ynmerr": "error_y", "zerr": "error_z", "logLikelihood": "log_likelihood"
}  # fmt: skip
_PIXELS = {"xpix", "ypix", "xpixerr", "ypixerr", "PSFxpix", "PSFypix"}


class Smap:
    """Reader of SMAP localizations."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is HDF5, maybe behind MATLAB's header, with the columns xnm, ynm and frame."""
        return (head.startswith(MATLAB_HEAD) or is_hdf5(head)) and answers(path, lambda file: _place(file) is not None)

    @staticmethod
    def open_content(
        path: Path, origin: str | None = None, pixel_size: float | str | None = None, frame_base: int | str | None = None
    ) -> FileContent:
        """The localizations.

        Parameters
        ----------
        origin : str, optional
            ``corner`` where positions count from the corner of the first pixel; SMAP does not say.
        pixel_size : float, optional
            nm; by default what the camera settings in the file say.
        frame_base : int, optional
            What the file calls the first frame; 1 by default, as MATLAB counts.
        """
        with opened(path) as file:
            place = _place(file)
            if place is None:
                raise FormatError(f"{path} holds no localizations of SMAP (saveloc/loc).")
            columns, n = _columns(path, file[place])
            size = _camera_pixel(file)
            note = _large_errors(file, columns)
            own, history = read_metadata(file, path)
        names = {
            **canonical_names([name for name in columns if name not in _NAMES]),
            **{k: v for k, v in _NAMES.items() if k in columns},
        }
        if len(set(names.values())) < len(names):
            taken = [names[name] for name in _NAMES if name in names]
            names = {name: name if name not in _NAMES and target in taken else target for name, target in names.items()}
        options = {"origin": origin, "pixel_size": pixel_size, "frame_base": frame_base}
        conventions = Conventions(frame_base=1, origin="unknown", pixel_size=size).given(options)
        metadata: dict[str, Any] = {}
        if conventions.pixel_size is not None:
            x, y = conventions.pixel_size
            metadata = {"voxelsize.x": x / 1000, "voxelsize.y": y / 1000, "voxelsize.units": "um"}
        metadata = {**own, **metadata}
        units = {names[name]: "px" if name in _PIXELS else unit_of(names[name]) for name in columns}

        def load() -> DataObject:
            values: Columns = {}
            with opened(path) as file:
                for name, source in columns.items():
                    values[names[name]] = file[source][:].reshape(-1)
            table = Localizations(conventions.to_memory(values, path), units=units, history=history)
            return loaded(table, path, FORMAT, metadata=metadata, told=conventions.told())

        dataset = Dataset("", Localizations, load, columns=units, n_rows=n)
        return FileContent(path, FORMAT, (dataset,), metadata, (*conventions.notes(units), *note))


READER = Smap()


def _own_group(file: h5py.Group, path: str) -> h5py.Group | None:
    group = file
    for part in path.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return None
        group = group[part]
        if not isinstance(group, h5py.Group):
            return None
    return group


def _place(file: h5py.File) -> str | None:
    for path in PLACES:
        group = _own_group(file, path)
        if group is not None and {"xnm", "ynm", "frame"} <= set(group):
            return path
    return None


def _columns(path: Path, group: h5py.Group) -> tuple[dict[str, str], int]:
    """Column -> dataset, for numeric ones that have a value for each localization."""
    items: dict[str, h5py.Dataset] = {}
    for name in group:
        item = own_dataset(group, name)
        if item is None or item.shape is None or item.dtype.kind not in "fiub" or "MATLAB_empty" in item.attrs:
            continue
        if item.ndim in (1, 2) and item.size in (0, max(item.shape)):
            items[name] = item
    if not {"xnm", "ynm", "frame"} <= set(items):
        raise FormatError(f"{path}: xnm, ynm or frame is no column of numbers.")
    n = items["xnm"].size
    if items["ynm"].size != n or items["frame"].size != n:
        raise FormatError(f"{path}: xnm, ynm and frame have {n}, {items['ynm'].size} and {items['frame'].size} values.")
    fitting = {name: item for name, item in items.items() if item.size == n}
    for item in fitting.values():
        require_stored(path, item)
    return {name: item.name for name, item in fitting.items()}, n


def _camera_pixel(file: h5py.File) -> tuple[float, float] | None:
    group = _own_group(file, "saveloc/file/info")
    item = own_dataset(group, "cam_pixelsize_um") if group is not None else None
    if item is None or item.shape is None or item.dtype.kind != "f" or not 1 <= item.size <= 2:
        return None
    values = item[()].reshape(-1) * 1000
    if not (np.isfinite(values) & (values > 0)).all():
        return None
    return float(values[0]), float(values[-1])


def _large_errors(file: h5py.File, columns: dict[str, str]) -> tuple[str, ...]:
    """SMAP keeps fits that did not converge, with errors of micrometres; they spoil sums and renderings."""
    source = columns.get("locprecnm")
    if source is None or file[source].size > 10**7:
        return ()
    count = int((file[source][:] > LARGE_ERROR / 100).sum())
    return (f"{count} localizations have an error (locprecnm) above 1000 nm; a filter on error_x removes them",) if count else ()
