"""Drift from chunks of localizations that are registered with one another, as locan's Drift does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes_core.data import Drift, Figure, Localizations, Table
from recipes_core.errors import DataError
from recipes_core.module import Context, ModuleBase
from recipes_core.ports import Bool, Bounds, Choice, Float, Input, Int, ListOf, Output
from recipes_modules.transform_figures import transformations_figure
from recipes_modules.transform_tables import make_table

if TYPE_CHECKING:
    from recipes_modules.registration.chunks import Chunks
    from recipes_modules.registration.transform import Transformation

FEW_PAIRS = 0.5


class _Chunked(ModuleBase):
    """What registration by iterative closest point and by cross-correlation have in common."""

    input_localizations = Input(
        Localizations, "Localizations", requires=("x", "y", "frame"), desc="localizations that show the drift"
    )
    output_drift = Output(Drift, "drift", desc="correction to add, one value a chunk, 0 for the first")
    output_transformations = Output(Table, "transformations", desc="matrix and offset of each chunk, with its frames")
    output_figure = Output(Figure, "transformations_figure", desc="matrix and offset elements over frames")

    chunks = ListOf(Bounds(), desc="frames of each chunk: [first, last], both included; instead of chunk_size and n_chunks")
    chunk_size = Int(
        None, low=10, unit="localization",
        desc="localizations in a chunk; 10 000 where neither chunks nor n_chunks says otherwise",
    )  # fmt: skip
    n_chunks = Int(None, low=2, high=1_000_000, desc="number of chunks of equal size; instead of chunk_size")
    order = Choice(
        ("successive", "alternating"), "successive",
        desc="alternating: row i belongs to chunk i modulo the number of chunks, which shows how exact the registration is",
    )  # fmt: skip
    target = Choice(("first", "previous"), "first", desc="what each chunk is moved onto: the first chunk, or the one before it")
    flatten_z = Bool(False, desc="ignore z; otherwise the drift along z is measured too")

    def check(self) -> Iterator[str]:
        given = [name for name in ("chunks", "chunk_size", "n_chunks") if getattr(self, name)]
        if len(given) > 1:
            yield f"{' and '.join(given)} are given; only one of them can say how the table is cut"
        if len(self.chunks) == 1:
            yield "chunks names one chunk; at least two are needed"
        if self.chunks and self.order == "alternating":
            yield "order alternating takes chunk_size or n_chunks, not chunks"
        for earlier, later in zip(self.chunks, self.chunks[1:], strict=False):
            if later[0] <= earlier[1]:
                yield f"chunks must follow one another without overlap, and [{later[0]:g}, {later[1]:g}] does not"

    def required_columns(self, port: str) -> tuple[str, ...]:
        return ("x", "y", "frame") if self.flatten_z else ("x", "y", "z", "frame")

    def run(self, ctx: Context, input_localizations: Localizations) -> dict[str, Any]:
        from recipes_modules.registration.chunks import Cut, cut_chunks

        alternating = self.order == "alternating"
        cut = Cut(self.chunks, self.chunk_size, self.n_chunks, alternating)
        chunks = cut_chunks(input_localizations, cut, deep=self._deep(ctx, input_localizations))
        _tell(ctx, chunks, len(input_localizations), named=bool(self.chunks))
        found = self._first_has_error(ctx, chunks, self._register(ctx, chunks))
        kept = np.array([one.found for one in found])
        if np.count_nonzero(kept) < 2:
            raise DataError(
                "no chunk could be registered with the others.", code="D420", hint=self._advice + " Or make chunks larger."
            )
        if not kept.all():
            lost = np.flatnonzero(~kept)
            first, last = chunks.first_frames(), chunks.last_frames()
            named = ", ".join(f"{first[i]} to {last[i]}" for i in lost[:5]) + (", ..." if len(lost) > 5 else "")
            ctx.warn(f"{len(lost)} of {len(found)} chunks were not found in their target and are left out (frames {named})")
        table = make_table(chunks, found)
        made: dict[str, Any] = {"output_transformations": table, "output_drift": self._drift(ctx, table, chunks.dimensions)}
        if ctx.wanted("output_figure"):
            made["output_figure"] = transformations_figure(table)
        return made

    _advice = ""

    def _deep(self, ctx: Context, table: Localizations) -> bool:
        if self.flatten_z:
            return False
        z = table["z"]
        if not np.any(z != z[:1]):
            ctx.say("all localizations have the same z, so no drift along z is measured")
            return False
        return True

    def _drift(self, ctx: Context, table: Table, dimensions: int) -> Drift:
        offset = np.column_stack([table[f"offset_{axis}"] for axis in "xyz"[:dimensions]])
        error = np.column_stack([table[f"error_offset_{axis}"] for axis in "xyz"[:dimensions]])
        measured = float(table["frame_first"].min()), float(table["frame_last"].max())
        if self.order == "alternating":
            ctx.warn(
                "alternating chunks all cover the whole movie: their transformations say how exact the registration is, not how the "
                "sample drifts; output_drift is 0"
            )
            middle = [float(np.mean(table["frame"]))]
            return Drift(middle, np.zeros((1, dimensions)), error=offset.std(axis=0, ddof=1)[np.newaxis], measured=measured)
        return Drift(table["frame"], offset, error=error, measured=measured)

    def _register(self, ctx: Context, chunks: Chunks) -> list[Transformation]:
        raise NotImplementedError(f"{type(self).__name__} does not register")

    def _first_has_error(self, ctx: Context, chunks: Chunks, found: Sequence[Transformation]) -> list[Transformation]:
        """The first chunk is where it is, but its own localizations too say only so exactly where the structure lies."""
        from dataclasses import replace

        good = [i for i in range(1, len(found)) if found[i].found]
        if not good:
            return [replace(found[0], found=False), *found[1:]]
        back = self._backwards(ctx, chunks, good[0], found[good[0]])
        return [replace(found[0], error=back.error, facts=back.facts), *found[1:]]

    def _backwards(self, ctx: Context, chunks: Chunks, other: int, transformation: Transformation) -> Transformation:
        raise NotImplementedError(f"{type(self).__name__} does not register")


class Locs_ICP(_Chunked):
    """Drift of localizations by iterative closest point, chunk by chunk.

    The table is cut into chunks. Each localization of a chunk is paired with the nearest one of its target, and the chunk is moved
    so that the distances of the pairs have the least squares (Besl and McKay 1992, doi:10.1109/34.121791), again and again until
    it stays; the pairs are looked for at places on both sides, which halves the error of the plain iteration. Each chunk begins where
    the one before it ended. The result is, for each chunk, a matrix and an offset: corrected = matrix (position - centre) + centre +
    offset, where the centre is the mean position of all localizations. The matrix is the unit matrix unless `motion` allows more;
    a growth comes out slightly too small, for pairs of nearest neighbours draw points together.

    It needs no bins, which suits filaments and sparse chunks. On dense blobs `Locs_CC` is more exact: in their middle each point
    has a neighbour nearby wherever the chunk is, so most pairs say little.

    The standard errors come from how the ways to the neighbours scatter among 40 parts of each chunk. They are those of the chunk's
    own localizations; what the target's localizations add is common to all. With `target: previous`, small errors add up.

    Rows with NaN take no part.
    """

    version = 1

    motion = Choice(
        ("translation", "rotation", "similarity"), "translation",
        desc="what a chunk may do: move, also turn, or also grow (similarity); stages only move",
    )  # fmt: skip
    max_distance = Float(100.0, low=1e-6, unit="nm", desc="pairs farther apart do not count")
    iterations = Int(100, low=1, high=100_000, desc="most steps for one chunk")
    tolerance = Float(0.2, low=1e-9, unit="nm", desc="the search ends when its steps are shorter")
    points = Int(
        10_000, low=0, unit="localization",
        desc="so many localizations of a chunk, evenly spaced, look for neighbours among all of the target's; 0: all",
    )  # fmt: skip

    _advice = "Set max_distance higher."

    def _register(self, ctx: Context, chunks: Chunks) -> list[Transformation]:
        from recipes_modules.registration.icp import Target, register
        from recipes_modules.registration.transform import unit

        settings = self._settings(ctx)
        found = [unit(chunks.dimensions)]
        last = 0
        target = Target(chunks.points(0))
        for index in range(1, len(chunks)):
            if self.target == "previous":
                step = register(target, chunks.points(index), unit(chunks.dimensions), settings)
                one = found[last].after(step)
            else:
                one = register(target, chunks.points(index), found[last], settings)
            found.append(one)
            if one.found:
                last = index
                target = Target(chunks.points(index)) if self.target == "previous" else target
            ctx.progress(index, len(chunks) - 1)
        self._say(ctx, found[1:])
        return found

    def _backwards(self, ctx: Context, chunks: Chunks, other: int, transformation: Transformation) -> Transformation:
        from recipes_modules.registration.icp import Target, register

        settings = self._settings(ctx)
        return register(Target(chunks.points(other)), chunks.points(0), transformation.inverse(), settings)

    def _settings(self, ctx: Context) -> Any:
        from recipes_modules.registration.icp import Settings

        return Settings(self.motion, self.max_distance, self.iterations, self.tolerance, self.points, ctx.n_threads)

    def _say(self, ctx: Context, found: Sequence[Transformation]) -> None:
        good = [one for one in found if one.found]
        slow = sum(not one.facts["converged"] for one in good)
        if slow:
            ctx.warn(f"{slow} of {len(good)} chunks still moved after {self.iterations} iterations; set iterations higher")
        lonely = sum(one.facts["pairs"] < FEW_PAIRS for one in good)
        if lonely:
            ctx.warn(
                f"in {lonely} of {len(good)} chunks most localizations have no neighbour within {self.max_distance:g} nm; set "
                "max_distance higher, or make chunks larger"
            )


class Locs_CC(_Chunked):
    """Drift of localizations by cross-correlation, chunk by chunk.

    The table is cut into chunks. Each chunk is rendered as a histogram and correlated with that of its target, and the highest point
    of the correlation, found between the bins, is its shift. The result is an offset for each chunk: corrected = position + offset
    (and a unit matrix, so that results have the form of `Locs_ICP`).

    With z, the shift along x and y is found first, in projection. Then what lies in the same columns of the field is correlated
    along z.

    A chunk whose correlation has no peak that stands out (six standard deviations above the median), or whose peak lies at the end
    of the range, is left out with a warning.

    The standard errors come from how the slope of the correlation scatters among 40 parts of each chunk (a sandwich estimator). They
    are those of each chunk's own localizations; what the target's localizations add is common to all.

    Rows with NaN take no part. For redundant comparisons of all chunks see `Locs_RCC`.
    """

    version = 1

    bin_size = Float(10.0, low=0.01, high=10_000.0, unit="nm", desc="bin of the histograms along x and y")
    bin_size_z = Float(20.0, low=0.01, high=10_000.0, unit="nm", desc="bin along z")
    smoothing = Float(
        1.0, low=0.5, high=100.0, unit="bin", desc="standard deviation of the Gaussian by which the correlation is smoothed"
    )
    max_shift = Float(500.0, low=0.01, unit="nm", desc="largest shift against the target that is looked for")
    upsampling = Int(
        0, low=0, high=1_000_000,
        desc="the shift is found to one part in so many of a bin; 1 gives whole bins, 0 does not round",
    )  # fmt: skip

    _advice = "Set max_shift or bin_size higher."

    def check(self) -> Iterator[str]:
        yield from super().check()
        if self.max_shift < 2 * self.bin_size:
            yield f"max_shift must be at least two bins ({2 * self.bin_size:g} nm)"

    def _register(self, ctx: Context, chunks: Chunks) -> list[Transformation]:
        from recipes_modules.registration.transform import unit

        found = [unit(chunks.dimensions)]
        if self.target == "first":
            correlator = self._correlator(chunks, 0)
            for one in ctx.map(lambda index: correlator.register(chunks.points(index)), range(1, len(chunks))):
                found.append(one)
                ctx.progress(len(found) - 1, len(chunks) - 1)
            return found
        steps = ctx.map(lambda index: self._correlator(chunks, index - 1).register(chunks.points(index)), range(1, len(chunks)))
        last = 0
        for index, step in enumerate(steps, 1):
            if last < index - 1:
                step = self._correlator(chunks, last).register(chunks.points(index))
            found.append(found[last].after(step))
            last = index if step.found else last
            ctx.progress(index, len(chunks) - 1)
        return found

    def _backwards(self, ctx: Context, chunks: Chunks, other: int, transformation: Transformation) -> Transformation:
        return self._correlator(chunks, other).register(chunks.points(0))

    def _correlator(self, chunks: Chunks, target: int) -> Any:
        from recipes_modules.registration.correlate import Correlator, Settings

        settings = Settings(self.bin_size, self.bin_size_z, self.smoothing, self.max_shift, self.upsampling)
        return Correlator(chunks, chunks.points(target), settings)


def _tell(ctx: Context, chunks: Chunks, n: int, *, named: bool) -> None:
    if chunks.n_left_out:
        where = "are not finite or lie in no chunk" if named else "have NaN"
        ctx.say(f"{chunks.n_left_out:,} of {n:,} localizations {where} and took no part")
    if chunks.n_missing:
        ctx.warn(f"{chunks.n_missing} chunks hold fewer than 10 localizations and were left out")
    if (chunks.frames < 0).any():
        ctx.warn(f"the frames begin at {chunks.frames.min()}; negative frames are taken as they are")
    sizes = chunks.sizes
    ctx.say(f"{len(chunks)} chunks of {sizes.min():,} to {sizes.max():,} localizations")
