"""Drift: the correction to add, over frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed
from recipes_core.data.persistence import persistence
from recipes_core.errors import DataError

Floats = npt.NDArray[np.float64]


class Drift(DataObject):
    """What must be added to coordinates to undo a drift.

    Parameters
    ----------
    frames : array (n,)
        Frames at which the correction is known, increasing.
    correction : array (n, 3) or (n, 2)
        x, y, z in nm; z is 0 where it is not given.
    error : array (n, 3) or (n, 2), optional
        Standard error of each value, nm.
    measured : (first, last), optional
        The range of frames that was looked at: from the first frame of the first window to the last of the last. The first
        and last of `frames` where not given.
    exact : bool
        True for a drift that is given at every frame of the measured range (an interpolated or simulated one): it is used as
        it is. False for knots that still want interpolation.

    Raises
    ------
    DataError
        Where shapes differ, values are not finite or frames do not increase.
    """

    def __init__(
        self,
        frames: npt.ArrayLike,
        correction: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
        measured: tuple[float, float] | None = None,
        exact: bool = False,
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self.frames: Floats = np.asarray(frames, dtype=np.float64)
        if self.frames.ndim != 1 or not len(self.frames):
            raise DataError("a drift needs at least one frame")
        self.correction: Floats = self._three(correction, "correction")
        self.error: Floats | None = None if error is None else self._three(error, "error")
        if not (np.isfinite(self.frames).all() and np.isfinite(self.correction).all()):
            raise DataError("a drift holds numbers that are not finite")
        if (np.diff(self.frames) <= 0).any():
            raise DataError("the frames of a drift must increase")
        first, last = measured if measured is not None else (self.frames[0], self.frames[-1])
        self.measured = (min(float(first), float(self.frames[0])), max(float(last), float(self.frames[-1])))
        self.exact = bool(exact)
        self._init_provenance(metadata, history)

    def _three(self, values: npt.ArrayLike, name: str) -> Floats:
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or array.shape[0] != len(self.frames) or array.shape[1] not in (2, 3):
            raise DataError(f"the {name} of a drift at {len(self.frames)} frames has shape {array.shape}, not (n, 3)")
        if array.shape[1] == 2:
            array = np.column_stack([array, np.zeros(len(array))])
        return array

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, frames: npt.ArrayLike) -> Floats:
        """Correction at any frames.

        Linear between knots. From the outer knots to the ends of the measured range the slope of the outer segment goes on;
        beyond the measured range the value is held.

        Parameters
        ----------
        frames : array (n,)

        Returns
        -------
        array (n, 3), nm
        """
        wanted = np.clip(np.asarray(frames, dtype=np.float64), *self.measured)
        if len(self.frames) == 1:
            return np.repeat(self.correction, len(wanted), axis=0)
        knots, values = self._with_ends()
        return np.column_stack([np.interp(wanted, knots, values[:, axis]) for axis in range(3)])

    def _with_ends(self) -> tuple[Floats, Floats]:
        knots, values = [self.frames], [self.correction]
        first, last = self.measured
        for inner, end, outer in ((0, 1, first), (-1, -2, last)):
            span = outer - self.frames[inner]
            if span == 0:
                continue
            slope = (self.correction[inner] - self.correction[end]) / (self.frames[inner] - self.frames[end])
            at = 0 if inner == 0 else len(knots)
            knots.insert(at, np.array([outer]))
            values.insert(at, (self.correction[inner] + slope * span)[np.newaxis])
        return np.concatenate(knots), np.concatenate(values)

    def relative_to(self, frame: float) -> Drift:
        """The same drift, zero at `frame`."""
        shift = self.at([frame])[0]
        other = self.with_provenance()
        other.correction = self.correction - shift
        return other

    def rmse(self, truth: Drift, frames: npt.ArrayLike | None = None) -> Floats:
        """Root mean square difference per axis over `frames` (every frame of the truth), mean removed.

        Returns
        -------
        array (3,), nm
        """
        first, last = truth.measured
        wanted = np.arange(np.ceil(first), np.floor(last) + 1) if frames is None else np.asarray(frames, dtype=float)
        difference = self.at(wanted) - truth.at(wanted)
        return np.asarray(np.std(difference, axis=0))

    def read_only(self) -> Self:
        other = self.with_provenance()
        for name in ("frames", "correction", "error"):
            values = getattr(self, name)
            if values is not None:
                view = values.view()
                view.flags.writeable = False
                setattr(other, name, view)
        return other

    def pack(self) -> Packed:
        arrays: dict[str, Any] = {"frames": self.frames, "correction": self.correction}
        if self.error is not None:
            arrays["error"] = self.error
        return Packed(type(self).__name__, {"measured": list(self.measured), "exact": self.exact}, arrays)

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        first, last = spec["measured"]
        return cls(
            arrays["frames"],
            arrays["correction"],
            error=arrays.get("error"),
            measured=(first, last),
            exact=spec["exact"],
            metadata=metadata,
            history=history,
        )

    def summary(self) -> str:
        span = np.ptp(self.correction, axis=0)
        ranges = ", ".join(f"{axis} {value:.0f}" for axis, value in zip("xyz", span, strict=True) if value or axis != "z")
        what = "frames" if self.exact else "knots"
        return f"{len(self):,} {what} from {self.measured[0]:g} to {self.measured[1]:g}, range {ranges} nm"

    def __repr__(self) -> str:
        return f"<Drift: {self.summary()}>"

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a drift file of any known format."""
        loaded = persistence().load(path, kind=cls)
        assert isinstance(loaded, cls)
        return loaded

    def save(self, path: str | Path) -> Path:
        """Write the drift in the format that the name's ending says; return the path."""
        return persistence().save(self, path)
