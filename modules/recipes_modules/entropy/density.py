"""A smoothed density of localizations, in blocks of voxels where there are any. Importing this file imports numba."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
Floats32 = npt.NDArray[np.float32]

VOXELS_PER_SIGMA = 1.5
"""Fineness of the grid: voxels in a standard deviation of the kernel."""
BLOCK_2D = (0, 5, 5)
BLOCK_3D = (3, 3, 4)
"""Binary logarithm of a block's voxels along z, y, x."""
DENSE = 1 << 24
"""Grids of so many voxels are allocated without looking for empty blocks."""
MOST_PLACES = 1 << 27
MOST_VOXELS = 48 << 20
"""Voxels that are allocated at most: 200 MB a copy."""
LEAST = 3
"""Blocks of large grids that hold fewer events are left out: they are background."""
# Variance in voxels of the nearest voxel (1/12) and of the quadratic B-spline that reads the density (1/4).
_GRID_VARIANCE = 1 / 12 + 1 / 4


@numba.njit(cache=True, nogil=True)
def count_blocks(x: Any, y: Any, z: Any, frame: Any, drift: Any, origin: Any, scale: Any, bits: Any, counts: Any) -> None:
    """Count localizations in the blocks of `counts` (z, y, x)."""
    deep = len(z) > 0
    bz, by, bx = bits
    for i in range(len(x)):
        t = frame[i]
        px = int((x[i] - drift[t, 0] - origin[0]) * scale[0])
        py = int((y[i] - drift[t, 1] - origin[1]) * scale[1])
        pz = int((z[i] - drift[t, 2] - origin[2]) * scale[2]) if deep else 0
        counts[pz >> bz, py >> by, px >> bx] += 1


@numba.njit(cache=True, nogil=True)
def deposit(
    x: Any, y: Any, z: Any, weight: Any, frame: Any, drift: Any, origin: Any, scale: Any, bits: Any, table: Any, blocks: Any
) -> None:
    """Add the weight of each localization to its voxel in `blocks` (n_blocks, voxels z, y, x); `table` says which block.

    Weights are whole numbers, so that the order of the sums does not matter.
    """
    deep = len(z) > 0
    bz, by, bx = bits
    mz, my, mx = (1 << bz) - 1, (1 << by) - 1, (1 << bx) - 1
    for i in range(len(x)):
        t = frame[i]
        px = int((x[i] - drift[t, 0] - origin[0]) * scale[0])
        py = int((y[i] - drift[t, 1] - origin[1]) * scale[1])
        pz = int((z[i] - drift[t, 2] - origin[2]) * scale[2]) if deep else 0
        block = table[pz >> bz, py >> by, px >> bx]
        if block >= 0:
            blocks[block, pz & mz, py & my, px & mx] += weight[i]


@numba.njit(cache=True, nogil=True, inline="always")
def _gather(parts: Any, table: Any, bz: int, by: int, bx: int, rz: int, ry: int, rx: int, grid: Any) -> None:
    """Copy a block and what lies up to `r` voxels around it."""
    n_parts, _, sz, sy, sx = parts.shape
    nz, ny, nx = table.shape
    grid[:] = 0
    for oz in range(-1 if rz else 0, 2 if rz else 1):
        for oy in range(-1, 2):
            for ox in range(-1, 2):
                if not (0 <= bz + oz < nz and 0 <= by + oy < ny and 0 <= bx + ox < nx):
                    continue
                other = table[bz + oz, by + oy, bx + ox]
                if other < 0:
                    continue
                # Part of the other block that lies in the grid, which begins r voxels before this block.
                z0, z1 = max(0, -rz - oz * sz), min(sz, sz + rz - oz * sz)
                y0, y1 = max(0, -ry - oy * sy), min(sy, sy + ry - oy * sy)
                x0, x1 = max(0, -rx - ox * sx), min(sx, sx + rx - ox * sx)
                dz, dy, dx = oz * sz + rz, oy * sy + ry, ox * sx + rx
                for part in range(n_parts):
                    for k in range(z0, z1):
                        for j in range(y0, y1):
                            source = parts[part, other, k, j, x0:x1]
                            target = grid[k + dz, j + dy, x0 + dx : x1 + dx]
                            for i in range(x1 - x0):
                                target[i] += source[i]


@numba.njit(cache=True, nogil=True, inline="always")
def _along(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, k: Any, t: Any, out: Any) -> None:
    """Weighted sum of nine rows, the weights being symmetric about `e`."""
    t0, t1, t2, t3, t4 = t
    for i in range(len(out)):
        out[i] = t0 * e[i] + t1 * (d[i] + f[i]) + t2 * (c[i] + g[i]) + t3 * (b[i] + h[i]) + t4 * (a[i] + k[i])


@numba.njit(cache=True, nogil=True)
def smooth_blocks(parts: Any, table: Any, places: Any, first: int, last: int, taps: Any, deep: bool, out: Any) -> None:
    """Smooth blocks `first` to `last` into `out`, which has a rim of one voxel (along z in three dimensions only).

    Parameters
    ----------
    parts : array (n_parts, n_blocks, voxels z, y, x) of float32
        Added up on the way.
    table, places : arrays
        Place of a block (z, y, x) -> its index or -1, and the other way round.
    taps : tuple of 5 float32
        Half of the kernel, from its middle.
    """
    _, _, sz, sy, sx = parts.shape
    r = 5
    rz = r if deep else 0
    hz, hy, hx = sz + 2 if deep else sz, sy + 2, sx + 2
    grid = np.empty((sz + 2 * rz, sy + 2 * r, sx + 2 * r), np.float32)
    along_x = np.empty((sz + 2 * rz, sy + 2 * r, hx), np.float32)
    along_y = np.empty((sz + 2 * rz, hy, hx), np.float32)
    for block in range(first, last):
        _gather(parts, table, places[block, 0], places[block, 1], places[block, 2], rz, r, r, grid)
        for k in range(grid.shape[0]):
            for j in range(grid.shape[1]):
                v = grid[k, j]
                _along(
                    v[0:hx], v[1 : hx + 1], v[2 : hx + 2], v[3 : hx + 3], v[4 : hx + 4], v[5 : hx + 5], v[6 : hx + 6], v[7 : hx + 7],
                    v[8 : hx + 8], taps, along_x[k, j],
                )  # fmt: skip
        for k in range(grid.shape[0]):
            u = along_x[k]
            for j in range(hy):
                made = along_y[k, j] if deep else out[block, k, j]
                _along(u[j], u[j + 1], u[j + 2], u[j + 3], u[j + 4], u[j + 5], u[j + 6], u[j + 7], u[j + 8], taps, made)
        if deep:
            for k in range(hz):
                for j in range(hy):
                    w = along_y[:, j]
                    _along(
                        w[k], w[k + 1], w[k + 2], w[k + 3], w[k + 4], w[k + 5], w[k + 6], w[k + 7], w[k + 8], taps, out[block, k, j]
                    )  # fmt: skip


class TooFine(Exception):
    """The density would need more memory than it may take."""


def _half_kernel() -> tuple[np.float32, ...]:
    """Gaussian weights from the middle to the fourth voxel: with the grid's own smoothing, the kernel that was asked for."""
    values = np.exp(-0.5 * np.arange(5) ** 2 / (VOXELS_PER_SIGMA**2 - _GRID_VARIANCE))
    return tuple((values / (values[0] + 2 * values[1:].sum())).astype(np.float32))


@dataclass
class Density:
    """A smoothed density that can be read at any localization it was made of.

    Attributes
    ----------
    origin, scale : array (3,) of float32
        Corner x, y, z in nm, and voxels per nm.
    bits : tuple
        Binary logarithms of a block's voxels along z, y, x.
    table : array (z, y, x) of int32
        Index of the block at a place, -1 where there is none.
    blocks : array (n_blocks, z, y, x) of float32
        With a rim of one voxel along y and x, and along z in three dimensions.
    taps : tuple of 5 float32
        Half of the kernel along an axis, from its middle.
    """

    origin: Floats32
    scale: Floats32
    bits: tuple[int, int, int]
    table: npt.NDArray[np.int32]
    blocks: Floats32
    taps: tuple[np.float32, ...]

    @property
    def deep(self) -> bool:
        """Whether it has three dimensions."""
        return self.bits[0] > 0


def build_density(
    events: Any, drift: Floats32, kernel: tuple[float, float, float], *, deep: bool, map_: Map, n_parts: int
) -> Density:
    """Density of the events, less their drift.

    Parameters
    ----------
    events : Events
    drift : array (n_frames, 3) of float32
    kernel : (x, y, z)
        Standard deviation along each axis, nm.
    deep : bool
        Three dimensions; otherwise z takes no part.
    n_parts : int
        How many images are made side by side, at most, and added up.

    Raises
    ------
    TooFine
        Where it would take too much memory.
    """
    bits = BLOCK_3D if deep else BLOCK_2D
    axes = 3 if deep else 2
    scale = np.zeros(3)
    scale[:axes] = VOXELS_PER_SIGMA / np.array(kernel[:axes])
    low = events.low[:axes] - drift[:, :axes].max(axis=0)
    high = events.high[:axes] - drift[:, :axes].min(axis=0)
    origin = np.zeros(3, np.float32)
    origin[:axes] = low - 1 / scale[:axes]
    shape = [1, 1, 1]
    for axis in range(axes):
        voxels = int((high[axis] - origin[axis]) * scale[axis]) + 2
        shape[2 - axis] = (voxels >> bits[2 - axis]) + 1
    total = shape[0] * shape[1] * shape[2]
    if total > MOST_PLACES:
        raise TooFine
    scale32 = scale.astype(np.float32)
    ranges = events.ranges(n_parts)
    z = events.z if deep else events.z[:0]

    def part(start: int, stop: int) -> tuple[Any, ...]:
        return events.x[start:stop], events.y[start:stop], z[start:stop]

    if total << sum(bits) <= DENSE:
        table = np.arange(total, dtype=np.int32).reshape(shape)
        places = np.stack(np.unravel_index(np.arange(total), shape), axis=1)
    else:

        def count(bounds: tuple[int, int]) -> Any:
            counts = np.zeros(shape, np.int32)
            frame = events.frame[bounds[0] : bounds[1]]
            count_blocks(*part(*bounds), frame, drift, origin, scale32, bits, counts)
            return counts

        counts = sum(map_(count, ranges))
        filled = counts >= LEAST
        table = np.full(shape, -1, np.int32)
        table[filled] = np.arange(np.count_nonzero(filled), dtype=np.int32)
        places = np.argwhere(filled)
        if len(places) << sum(bits) > MOST_VOXELS:
            raise TooFine
    sizes = tuple(1 << b for b in bits)
    ranges = events.ranges(max(1, min(n_parts, (MOST_VOXELS << 1) // max(1, len(places) << sum(bits)))))
    parts = np.zeros((len(ranges), len(places), *sizes), np.float32)

    def fill(index: int) -> None:
        start, stop = ranges[index]
        deposit(
            *part(start, stop),
            events.weight[start:stop],
            events.frame[start:stop],
            drift,
            origin,
            scale32,
            bits,
            table,
            parts[index],
        )

    for _ in map_(fill, range(len(ranges))):
        pass
    taps = _half_kernel()
    pad = 1 if deep else 0
    blocks = np.empty((len(places), sizes[0] + 2 * pad, sizes[1] + 2, sizes[2] + 2), np.float32)
    step = max(1, len(places) // 64)

    def smooth(first: int) -> None:
        smooth_blocks(parts, table, places, first, min(first + step, len(places)), taps, deep, blocks)

    for _ in map_(smooth, range(0, len(places), step)):
        pass
    return Density(origin, scale32, bits, table, blocks, taps)
