"""Image stacks: lazy, read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed
from recipes_core.data.persistence import persistence
from recipes_core.errors import DataError

Array = npt.NDArray[Any]
AXES = "tzyx"


@runtime_checkable
class FrameSource(Protocol):
    """Where the pixels of a stack come from.

    A source opens its file on first use and pickles as its path, so that it can travel to another process.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, z, y, x)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    def read(self, start: int, stop: int) -> Array:
        """Frames `start` to `stop` as an array of shape (stop - start, z, y, x)."""


class LazyFrames:
    """Base of sources whose shape and type are known before a pixel is read.

    Parameters
    ----------
    shape : (t, z, y, x)
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> None:
        self._shape = shape
        self._dtype = dtype

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, z, y, x)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._dtype


class ArraySource:
    """Pixels in memory, or in a memory map."""

    def __init__(self, array: Array) -> None:
        if array.ndim == 2:
            array = array[np.newaxis, np.newaxis]
        elif array.ndim == 3:
            array = array[:, np.newaxis]
        elif array.ndim != 4:
            raise DataError(f"an image stack has axes (y, x), (t, y, x) or (t, z, y, x), not {array.ndim} of them")
        self.array = array

    @property
    def shape(self) -> tuple[int, int, int, int]:
        t, z, y, x = self.array.shape
        return t, z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read(self, start: int, stop: int) -> Array:
        view = self.array[start:stop].view()
        view.flags.writeable = False
        return view


class PlanesSource:
    """Some of the planes of another source."""

    def __init__(self, source: FrameSource, first: int, stop: int) -> None:
        self.source, self.first, self.stop = source, first, stop

    @property
    def shape(self) -> tuple[int, int, int, int]:
        t, _, y, x = self.source.shape
        return t, self.stop - self.first, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def read(self, start: int, stop: int) -> Array:
        return self.source.read(start, stop)[:, self.first : self.stop]


@dataclass(frozen=True)
class FrameAxis:
    """Which frame of the movie each image of a stack stands for.

    Image `k` is centred on frame ``start + k * step`` of the movie and covers `span` frames (`step` where not given). Binning and
    rendering over time change the axis, so that a drift measured on the images still counts in frames of the movie.
    """

    start: float = 0.0
    step: float = 1.0
    span: float | None = None

    def frames(self, n: int) -> npt.NDArray[np.float64]:
        """Centre frame of the first `n` images."""
        return self.start + self.step * np.arange(n, dtype=np.float64)

    @property
    def covered(self) -> float:
        """Frames of the movie that one image covers."""
        return self.step if self.span is None else self.span

    def binned(self, n: int) -> FrameAxis:
        """The axis after every `n` images became one."""
        return FrameAxis(self.start + self.step * (n - 1) / 2, self.step * n, self.covered * n)


class ImageStack(DataObject):
    """Images with axes (t, z, y, x); x is the column.

    Parameters
    ----------
    source : array or FrameSource
        Arrays may be (y, x), (t, y, x) or (t, z, y, x).
    time : FrameAxis, optional
        Which frame of the movie each image stands for.
    channels : sequence of str, optional
        Names of the colour channels where there are several. The z axis then holds all planes of the first channel, then all of
        the second, ...
    metadata, history : optional
        See `DataObject`. The pixel size is ``voxelsize.x``, ``.y``, ``.z`` in um.

    Raises
    ------
    DataError
        Where the planes cannot be shared out to the channels.
    """

    def __init__(
        self,
        source: npt.ArrayLike | FrameSource,
        *,
        time: FrameAxis | None = None,
        channels: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self.source: FrameSource = source if isinstance(source, FrameSource) else ArraySource(np.asarray(source))
        self.time = time or FrameAxis()
        self.channels: tuple[str, ...] = tuple(channels) if len(channels) > 1 else ()
        if self.shape[1] % self.n_channels:
            raise DataError(f"{self.shape[1]} planes cannot be shared out to {self.n_channels} channels")
        self._init_provenance(metadata, history)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(t, z, y, x)."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.source.dtype

    @property
    def n_frames(self) -> int:
        """Number of images along t."""
        return self.shape[0]

    def __len__(self) -> int:
        return self.n_frames

    @property
    def n_channels(self) -> int:
        """Number of colour channels."""
        return max(1, len(self.channels))

    def channel(self, index: int) -> ImageStack:
        """One colour channel, read when asked for."""
        if not -self.n_channels <= index < self.n_channels:
            raise DataError(f"the image has {self.n_channels} channels; there is no channel {index}.", hint="They count from 0.")
        if self.n_channels == 1:
            return self
        depth = self.shape[1] // self.n_channels
        first = index % self.n_channels * depth
        return ImageStack(
            PlanesSource(self.source, first, first + depth), time=self.time, metadata=self.metadata, history=self.history
        )

    @property
    def nbytes(self) -> int:
        """Size of all pixels in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def frame_numbers(self) -> npt.NDArray[np.float64]:
        """Frame of the movie at the centre of each image."""
        return self.time.frames(self.n_frames)

    @property
    def pixel_size(self) -> tuple[float, float, float] | None:
        """(x, y, z) in nm, or None where the metadata give no size; z is 0 where it is not given."""
        values = [self.metadata.get(f"voxelsize.{axis}") for axis in "xyz"]
        if values[0] is None or values[1] is None:
            return None
        # PYME knows no other unit than um, but some files name nm.
        scale = {"nm": 1.0, "um": 1e3, "µm": 1e3, "mm": 1e6}.get(str(self.metadata.get("voxelsize.units", "um")))
        if scale is None:
            raise DataError(f"voxelsize.units is '{self.metadata['voxelsize.units']}'; give um or nm")
        x, y, z = (float(value or 0.0) * scale for value in values)
        if not (np.isfinite([x, y, z]).all() and x > 0 and y > 0):
            raise DataError(f"the pixel size is {x:g} x {y:g} nm; give voxelsize.x and voxelsize.y in um, above 0")
        return x, y, z

    def require_pixel_size(self) -> tuple[float, float, float]:
        """`pixel_size`, or an error that says how to give it."""
        size = self.pixel_size
        if size is None:
            raise DataError(
                "the image has no pixel size.",
                hint="Give it in um: -m INPUT.voxelsize.x=0.1 -m INPUT.voxelsize.y=0.1, or under 'metadata:' of the input.",
            )
        return size

    def frames(self, start: int, stop: int) -> Array:
        """Images `start` to `stop` (exclusive) as an array (n, z, y, x) that must not be written to."""
        if not 0 <= start <= stop <= self.n_frames:
            raise IndexError(f"frames {start} to {stop} of a stack of {self.n_frames}")
        return self.source.read(start, stop)

    def blocks(self, nbytes: int = 64 * 2**20) -> Iterator[tuple[int, Array]]:
        """Go through the stack in blocks of at most `nbytes` (at least one image): ``(first frame, array)``."""
        per_frame = max(1, self.nbytes // max(1, self.n_frames))
        n = max(1, nbytes // per_frame)
        for start in range(0, self.n_frames, n):
            yield start, self.frames(start, min(start + n, self.n_frames))

    def asarray(self) -> Array:
        """All pixels as one array (t, z, y, x) in memory."""
        return self.frames(0, self.n_frames)

    def pack(self) -> Packed:
        time = {"start": self.time.start, "step": self.time.step, "span": self.time.span}
        pixels = self.source.array if isinstance(self.source, ArraySource) else self.source
        # Without channels the description is that of earlier versions, and so is the digest.
        named = {"channels": list(self.channels)} if self.channels else {}
        return Packed(type(self).__name__, {"time": time, **named}, {"pixels": pixels})

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        time, channels = FrameAxis(**spec["time"]), spec.get("channels", ())
        return cls(arrays["pixels"], time=time, channels=channels, metadata=metadata, history=history)

    def summary(self) -> str:
        t, z, y, x = self.shape
        z //= self.n_channels
        depth = f"{z} planes of " if z > 1 else ""
        colours = f", {self.n_channels} channels" if self.channels else ""
        return f"{t:,} x {depth}{y} x {x} pixels {self.dtype}{colours}"

    def __repr__(self) -> str:
        return f"<ImageStack: {self.summary()}>"

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Open an image file, or a folder or glob of TIFF files as one stack; pixels are read when asked for."""
        loaded = persistence().load(path, kind=cls, **options)
        assert isinstance(loaded, cls)
        return loaded

    def save(self, path: str | Path) -> Path:
        """Write the stack in the format that the name's ending says; return the path."""
        return persistence().save(self, path)
