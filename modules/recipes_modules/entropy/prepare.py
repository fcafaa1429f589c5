"""From a table to what the compiled loops want. Importing this file imports numba."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_modules.entropy.density import Map
from recipes_modules.entropy.events import Events, make_events
from recipes_modules.entropy.ordering import in_order

Floats32 = npt.NDArray[np.float32]

MOST_FRAMES = 20_000_000
MOST_CHANNELS = 64


@dataclass
class Prepared:
    """Events and where they come from.

    Attributes
    ----------
    events : Events
    first : int
        Frame of the movie that is frame 0 of the events.
    ratio : float
        Precision along z over that along x.
    n_left_out, n_channels : int
        Rows with NaN; channels.
    """

    events: Events
    first: int
    ratio: float
    n_left_out: int
    n_channels: int


def prepare(table: Localizations, *, deep: bool, channel: str, map_: Map) -> Prepared:
    """Take the rows with finite coordinates out of a table, in the order of frames, and link them.

    Parameters
    ----------
    deep : bool
        Whether z counts.
    channel : str
        Column that tells channels apart; none where empty.

    Raises
    ------
    DataError
        Where the localizations cannot show a drift.
    """
    names = ["x", "y", *(["z"] if deep else []), *([channel] if channel else [])]
    rows = table.finite_rows(*names, "frame")
    n = int(np.count_nonzero(rows))
    if not n:
        raise DataError(
            "no localization has finite coordinates." if len(rows) else "the table has no localizations.", code="D410"
        )
    if n < 2:
        raise DataError(f"drift cannot be measured from {n} localization.", code="D410")
    errors = [name for name in ("error_x", "error_y", "error_z") if name in table]
    chosen = table.only([*names, "frame", *errors])
    if n < len(rows):
        chosen = chosen.select(rows)
    frames = chosen["frame"] if chosen["frame"].dtype.kind in "iu" else chosen.frames
    first, last = int(frames.min()), int(frames.max())
    check_length(first, last)
    order = None if in_order(frames) else np.argsort(frames, kind="stable")

    def column(name: str) -> Floats32:
        values = np.asarray(chosen[name])
        sample = values[:: max(1, n // 100_000)]
        # The middle, not the mean: what lies far away must not cost the others their digits.
        near: Floats32 = (values - np.median(sample).astype(values.dtype)).astype(np.float32, copy=False)
        return near if order is None else near[order]

    x, y = column("x"), column("y")
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        raise DataError("all localizations have the same position, so nothing shows a drift.", code="D415")
    z = column("z") if deep else np.empty(0, np.float32)
    if deep and np.ptp(z) == 0:
        raise DataError("all localizations have the same z.", code="D415", hint="Set flatten_z to ignore z.")
    precision = _precision(chosen, [name for name in errors if name != "error_z"])
    precision = precision if order is None or not len(precision) else precision[order]
    channels, n_channels = _channels(chosen, channel)
    channels = channels if order is None or not len(channels) else channels[order]
    frame = np.subtract(frames, first, dtype=np.int64).astype(np.int32)
    frame = frame if order is None else frame[order]
    ratio = _ratio(chosen) if deep else 1.0
    events = make_events(x, y, z, frame, precision, channels, last - first + 1, map_)
    return Prepared(events, first, ratio, len(rows) - n, n_channels)


def check_length(first: int, last: int) -> None:
    """Raise DataError where a movie from frame `first` to `last` shows no drift, or is too long to be one."""
    length = last - first + 1
    if length == 1:
        raise DataError(
            f"the localizations cover 1 frame ({first:,}).",
            code="D411",
            hint="A drift needs localizations from many frames; look at the column 'frame'.",
        )
    if length > MOST_FRAMES:
        raise DataError(
            f"the localizations cover {length:,} frames ({first:,} to {last:,}); at most {MOST_FRAMES:,} are allowed.",
            code="D413",
            hint="Look for wrong numbers in the column 'frame'.",
        )


def _precision(table: Localizations, names: list[str]) -> Floats32:
    """Standard error of each localization, what is missing replaced by the median; empty where it is not known."""
    known = [np.asarray(table[name], dtype=np.float32) for name in names]
    if not known:
        return np.empty(0, np.float32)
    good = np.ones(len(known[0]), bool)
    for column in known:
        good &= np.isfinite(column) & (column > 0)
    values = known[0] if len(known) == 1 else np.sqrt((known[0] ** 2 + known[1] ** 2) / 2)
    if not good.any():
        return np.empty(0, np.float32)
    if not good.all():
        values = np.where(good, values, np.median(values[good]))
    # An error bar that is far too small must not outweigh all the others.
    return np.maximum(values, np.float32(np.median(values[:: max(1, len(values) // 100_000)]) / 10))


def _ratio(table: Localizations) -> float:
    if not ("error_z" in table and "error_x" in table):
        return 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nanmedian(np.asarray(table["error_z"]) / np.asarray(table["error_x"]))
    return float(np.clip(ratio, 1.0, 4.0)) if np.isfinite(ratio) else 2.0


def _channels(table: Localizations, name: str) -> tuple[npt.NDArray[np.int32], int]:
    if not name:
        return np.empty(0, np.int32), 1
    values, which = np.unique(table[name], return_inverse=True)
    if len(values) > MOST_CHANNELS:
        raise DataError(
            f"column '{name}' holds {len(values):,} different numbers; at most {MOST_CHANNELS} channels are allowed.",
            code="D420",
            hint="Name a column that numbers the channels in channel_column.",
        )
    return which.astype(np.int32), len(values)
