"""Parts of one long step: kept while it runs, and spread over an executor."""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes_core.cache.canonical import digest_of
from recipes_core.cache.store import Cache, block_key
from recipes_core.data import DataObject
from recipes_core.data.block import Block
from recipes_core.errors import CacheUnwritable, ExecutionError
from recipes_core.run.executors.base import Executor, Here

if TYPE_CHECKING:
    from recipes_core.module.context import Reads
    from recipes_core.run.following import Following

MOST_READ = 16 * 2**20
Named = tuple[int | str, Any]
"""An item with its number or name."""
MOST_BYTES = 2**20
"""Arrays up to this size travel with an item."""


class BlockStore:
    """Results of the items of one step, in the cache until the step is done.

    Parameters
    ----------
    cache : Cache
    key : str
        Of the step; empty where items are named by all that their results follow from, and so outlive the step.
    step, module : str
        For those who look into the cache.
    """

    def __init__(self, cache: Cache, key: str, step: str, module: str) -> None:
        self.cache = cache
        self.key = key
        self.step = step
        self.module = module
        self._names: set[str] = set()

    def get(self, keep: str, index: int | str) -> Any:
        """The result of an item; None where there is none."""
        name = self._name(keep, index)
        found = self.cache.load(name) if self.cache.has(name) else None
        return dict(found.arrays) if isinstance(found, Block) else found

    def has(self, keep: str, index: int | str) -> bool:
        """Whether there is a result of an item."""
        return self.cache.has(self._name(keep, index))

    def put(self, keep: str, index: int | str, result: Any) -> None:
        """Keep the result of an item; a cache that cannot be written costs time only."""
        if not isinstance(result, (DataObject, Mapping)):
            raise ExecutionError(
                f"ctx.map(..., keep='{keep}') keeps mappings from name to array and DataObjects, not {type(result).__name__}",
                code="X112",
            )
        value = result if isinstance(result, DataObject) else Block(result)
        try:
            self.cache.publish(self._name(keep, index), value, step=self.step, module=self.module, port="block", seconds=0.0)
        except CacheUnwritable:
            return

    def clear(self) -> None:
        """Remove the results, the step is done; those with names of their own stay until the cache is full."""
        if not self.key:
            return
        for name in self._names:
            try:
                self.cache.remove(name)
            except CacheUnwritable:
                return
        self._names.clear()

    def _name(self, keep: str, index: int | str) -> str:
        name = block_key(self.key, keep, index)
        self._names.add(name)
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        return _store, (str(self.cache.root), self.key, self.step, self.module)


def _store(root: str, key: str, step: str, module: str) -> BlockStore:
    return BlockStore(Cache(Path(root)), key, step, module)


def named_items(
    items: Iterable[Any], reads: Callable[[Any], Reads], following: Following, step: str
) -> Iterator[tuple[str, Any]]:
    """Items with the digest of all that their results follow from."""
    for item in items:
        part = reads(item)
        place = (step, part.start, part.stop)
        content = following.digests.get(place) if following.growing else None
        if content is None:
            content = _frames_digest(part)
            if following.growing:
                following.digests[place] = content
        yield digest_of([part.says, content]), item


def _frames_digest(part: Reads) -> str:
    from blake3 import blake3

    _, nz, ny, nx = part.stack.shape
    step = max(1, MOST_READ // max(1, nz * ny * nx * part.stack.dtype.itemsize))
    hasher = blake3(repr((nz, ny, nx, part.stack.dtype.str)).encode())
    for start in range(part.start, part.stop, step):
        frames = part.stack.frames(start, min(start + step, part.stop))
        hasher.update(np.ascontiguousarray(frames).data.cast("B"))
    return str(hasher.hexdigest())


def kept(function: Callable[[Any], Any], store: BlockStore, keep: str, numbered: Named) -> Any:
    """The result of an item: what was kept of it, else computed now and kept."""
    index, item = numbered
    found = store.get(keep, index)
    if found is None:
        found = function(item)
        store.put(keep, index, found)
    return found


@dataclass(frozen=True)
class _BlockSpec:
    function: Callable[[Any], Any]
    item: Any
    index: int | str
    keep: str
    store: BlockStore | None


def run_block(packed: bytes, here: Here) -> Any:
    """Compute one item elsewhere; what is kept travels through the cache."""
    spec: _BlockSpec = pickle.loads(packed)  # noqa: S301 - from the process that submitted it
    result = spec.function(spec.item)
    if spec.store is None:
        return _Value(result)
    spec.store.put(spec.keep, spec.index, result)
    return None if spec.store.has(spec.keep, spec.index) else _Value(result)


@dataclass(frozen=True)
class _Value:
    """A result that is here, whatever it is."""

    value: Any


class CannotTravel(Exception):
    """A function or an item that only this process knows, or that is too large."""


def packed_block(function: Callable[[Any], Any], item: Any, index: int | str, keep: str, store: BlockStore | None) -> bytes:
    """An item and what is to be done with it, for `run_block`.

    Raises
    ------
    CannotTravel
        Where the function is no module's own, or large arrays would have to be sent.
    """
    stream = io.BytesIO()
    try:
        _Light(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(_BlockSpec(function, item, index, keep, store))
    except CannotTravel:
        raise
    except Exception as error:  # objects raise what they like when they are pickled
        raise CannotTravel(f"{type(error).__name__}: {error}") from error
    return stream.getvalue()


class _Light(pickle.Pickler):
    """Refuses large arrays before they are copied, and what lives in the main script."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray) and obj.nbytes > MOST_BYTES:
            raise CannotTravel(f"an array of {obj.nbytes / 2**20:.0f} MB would have to be sent with each block")
        if getattr(obj, "__module__", None) == "__main__":
            raise CannotTravel(f"{getattr(obj, '__qualname__', obj)} is defined in the main script or a notebook")
        return NotImplemented


class Spread:
    """Applies functions to items on an executor.

    Parameters
    ----------
    executor : Executor
    what : str
        What people call the step.
    stays : callable
        Told once why items stay in this process, where they do.
    n_threads : int
        Threads for these.
    """

    def __init__(self, executor: Executor, what: str, stays: Callable[[str], None], n_threads: int) -> None:
        self.executor = executor
        self.what = what
        self.stays = stays
        self.n_threads = n_threads
        self._told = False

    def map(self, function: Callable[[Any], Any], items: Iterable[Named], keep: str, store: BlockStore | None) -> Iterator[Any]:
        """Results in the order of the items; few are under way at a time."""
        pending: deque[tuple[Named, Future[Any] | None]] = deque()
        here = partial(kept, function, store, keep) if store is not None else partial(_plainly, function)
        at_once = 2 * self.executor.n_slots
        with ThreadPoolExecutor(self.n_threads) as threads:
            try:
                for numbered in items:
                    pending.append((numbered, self._start(function, numbered, keep, store, threads, here)))
                    if len(pending) > at_once:
                        yield _taken(*pending.popleft(), here)
                while pending:
                    yield _taken(*pending.popleft(), here)
            finally:
                for _, future in pending:
                    if future is not None:
                        future.cancel()

    def _start(
        self, function: Callable[[Any], Any], numbered: Named, keep: str, store: BlockStore | None, threads: ThreadPoolExecutor,
        here: Callable[[Named], Any],
    ) -> Future[Any] | None:  # fmt: skip
        if store is not None and store.has(keep, numbered[0]):
            return None
        try:
            packed = packed_block(function, numbered[1], numbered[0], keep, store)
        except CannotTravel as why:
            if not self._told:
                self._told = True
                self.stays(str(why))
            return threads.submit(lambda: _Value(here(numbered)))
        return self.executor.submit(run_block, packed, self.what)


def _taken(numbered: Named, future: Future[Any] | None, here: Callable[[Named], Any]) -> Any:
    found: _Value | None = future.result() if future is not None else None
    # What is kept travels through the cache; where it got lost there, it is computed here.
    return here(numbered) if found is None else found.value


def _plainly(function: Callable[[Any], Any], numbered: Named) -> Any:
    return function(numbered[1])
