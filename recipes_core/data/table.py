"""Tables of columns, and tables of localizations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed, plain_array
from recipes_core.data.persistence import persistence
from recipes_core.data.vocabulary import can_provide, canonical_names, resolve, unit_of
from recipes_core.errors import ColumnError, DataError, did_you_mean

if TYPE_CHECKING:
    import pandas

Array = npt.NDArray[Any]


class Table(DataObject):
    """Named columns of equal length.

    Parameters
    ----------
    columns : mapping of str to array
        One-dimensional arrays of one length; they are not copied.
    units : mapping, optional
        Unit of a column; the vocabulary's where not given.
    metadata, history : optional
        See `DataObject`.

    Raises
    ------
    DataError
        Where a column is not one-dimensional or the lengths differ.

    Notes
    -----
    ``table["t"]`` finds a column under any name that the vocabulary knows for it; the exact name wins. ``len(table)`` is the
    number of rows, iteration goes over the names of the columns.
    """

    def __init__(
        self,
        columns: Mapping[str, npt.ArrayLike],
        *,
        units: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self._columns: dict[str, Array] = {str(name): np.asarray(values) for name, values in columns.items()}
        self._check_shapes()
        self.units: dict[str, str] = {name: unit_of(name) for name in self._columns}
        self.units.update(units or {})
        self._init_provenance(metadata, history)

    def _check_shapes(self) -> None:
        lengths = {}
        for name, values in self._columns.items():
            if values.ndim != 1:
                raise DataError(f"column '{name}' has {values.ndim} dimensions; a column has one")
            lengths[name] = len(values)
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise DataError(f"the columns of a table have one length, these have {told}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self._columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def __len__(self) -> int:
        return self.n_rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def keys(self) -> tuple[str, ...]:
        """Names of the columns, so that ``dict(table)`` works."""
        return self.columns

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and can_provide(name, self._columns)

    def __getitem__(self, name: str) -> Array:
        found = resolve(name, self._columns)
        if found is not None:
            return self._columns[found]
        if can_provide(name, self._columns):
            # Programs that fit two widths have no single one; the mean serves filters on the width.
            return np.asarray((self["sigma_x"] + self["sigma_y"]) / 2)
        raise ColumnError(f"the table has no column '{name}'.", hint=did_you_mean(name, self._columns, what="its columns"))

    def get(self, name: str, default: Any = None) -> Any:
        """The column, or `default` where there is none."""
        return self[name] if name in self else default  # noqa: SIM401 - this is what get is made of

    def require(self, *names: str) -> None:
        """Raise `ColumnError` unless every column is there."""
        for name in names:
            if name not in self:
                self[name]

    def with_columns(self, columns: Mapping[str, npt.ArrayLike], *, units: Mapping[str, str] | None = None) -> Self:
        """A copy with columns added or replaced; a known alias replaces the column it stands for."""
        merged: dict[str, npt.ArrayLike] = dict(self._columns)
        for name, values in columns.items():
            merged[resolve(name, self._columns) or name] = values
        new_units = {**{name: unit for name, unit in self.units.items() if name in merged}, **(units or {})}
        return type(self)(merged, units=new_units, metadata=self.metadata, history=self.history)

    def select(self, rows: npt.ArrayLike | slice) -> Self:
        """The rows named by a mask, indices or a slice."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        chosen = {name: values[index] for name, values in self._columns.items()}
        return type(self)(chosen, units=self.units, metadata=self.metadata, history=self.history)

    def only(self, names: Iterable[str]) -> Self:
        """The table with just these columns, in this order."""
        chosen = {name: self[name] for name in names}
        units = {name: self.units.get(resolve(name, self._columns) or name, "") for name in chosen}
        return type(self)(chosen, units=units, metadata=self.metadata, history=self.history)

    def read_only(self) -> Self:
        views = {}
        for name, values in self._columns.items():
            view = values.view()
            view.flags.writeable = False
            views[name] = view
        other = self.with_provenance()
        other._columns = views
        return other

    def pack(self) -> Packed:
        arrays: dict[str, Any] = {name: plain_array(values, f"column '{name}'") for name, values in self._columns.items()}
        return Packed(type(self).__name__, {"columns": list(arrays), "units": dict(self.units)}, arrays)

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        columns = {name: arrays[name] for name in spec["columns"]}
        return cls(columns, units=spec["units"], metadata=metadata, history=history)

    def finite_rows(self, *names: str) -> Array:
        """Mask of the rows in which every named column is finite."""
        mask = np.ones(self.n_rows, dtype=bool)
        for name in names:
            mask &= np.isfinite(self[name])
        return mask

    def summary(self) -> str:
        return f"{self.n_rows:,} rows x {len(self._columns)} columns"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}: {', '.join(self.columns)}>"

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Read a table from a file of any known format.

        Parameters
        ----------
        path : path
            A ``?table=NAME`` behind the name selects one of several tables.
        **options
            What the format's reader takes, such as ``pixel_size`` in nm.

        Raises
        ------
        FormatError
            Where the file is damaged or of no known format.
        """
        loaded = persistence().load(path, kind=cls, **options)
        assert isinstance(loaded, cls)
        return loaded

    def save(self, path: str | Path) -> Path:
        """Write the table in the format that the name's ending says; return the path."""
        return persistence().save(self, path)

    def to_dataframe(self) -> pandas.DataFrame:
        """The table as a pandas DataFrame; units and metadata are in its ``attrs``."""
        import pandas

        frame = pandas.DataFrame(dict(self._columns))
        frame.attrs.update(units=dict(self.units), metadata=dict(self.metadata))
        return frame

    @classmethod
    def from_dataframe(
        cls,
        frame: pandas.DataFrame,
        *,
        units: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """A table from a pandas DataFrame with columns in this project's units; known names become canonical."""
        names = canonical_names([str(name) for name in frame.columns])
        columns = {names[str(name)]: frame[name].to_numpy() for name in frame.columns}
        return cls(
            columns,
            units=units or {k: v for k, v in frame.attrs.get("units", {}).items() if k in columns},
            metadata=metadata or frame.attrs.get("metadata"),
        )


class Localizations(Table):
    """A table of localizations: x and y in nm, and a frame counted from 0.

    Columns and units are those of `recipes_core.data.vocabulary`. Positions are measured from the centre of the first pixel.
    """

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Frame of each localization as integers."""
        values = self["frame"]
        if values.dtype.kind == "f":
            rounded = np.rint(values)
            if values.size and not np.array_equal(rounded, values):
                raise DataError("column 'frame' holds numbers that are not whole")
            values = rounded
        return values.astype(np.int64, copy=False)

    def summary(self) -> str:
        if "frame" not in self or not self.n_rows:
            return f"{self.n_rows:,} localizations"
        frames = self["frame"]
        return f"{self.n_rows:,} localizations in frames {int(np.nanmin(frames))} to {int(np.nanmax(frames))}"
