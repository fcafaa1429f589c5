"""Opens the executor that a name stands for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recipes_core.cache.store import Cache
from recipes_core.errors import UsageError, did_you_mean
from recipes_core.plugins import registry
from recipes_core.run.executors.base import Executor

SERIAL = "serial"


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


@contextmanager
def open_executor(
    text: str = SERIAL, jobs: int | None = None, cache: Cache | None = None, *, tell: Callable[[str], None] = _tell
) -> Iterator[Executor | None]:
    """Open an executor; workers end with the context.

    Parameters
    ----------
    text : str
        ``serial``, ``processes``, ``dask``, ``dask:ADDRESS``, or the name of one that a plugin registers.
    jobs : int, optional
        How many workers.
    cache : Cache
        Through which data move.
    tell : callable
        Receives what a user should know, such as the address of a dashboard.

    Yields
    ------
    Executor or None
        None for ``serial``.

    Raises
    ------
    UsageError
        Where there is no such executor, or the cache is off.
    EnvironmentFault
        Where the workers do not fit: other versions, another folder.
    """
    name, _, address = text.partition(":")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one is needed.", code="U180")
    if name == SERIAL and not address:
        yield None
        return
    ref = registry().executors.get(name)
    if ref is None or (address and not ref.takes_address):
        known = (SERIAL, *registry().executors)
        raise UsageError(f"there is no executor '{text}'.", code="U181", hint=did_you_mean(text, known, what="the executors"))
    if cache is None or not cache.writable:
        raise UsageError(
            f"the executor '{name}' moves data through the cache, which is off.",
            code="U182",
            hint="Leave out --no-cache, or name another folder in RECIPES_CACHE.",
        )
    opened: Executor = ref.load()(address=address, jobs=jobs, cache=cache, tell=tell)
    try:
        yield opened
    except BaseException:
        opened.cancel()
        raise
    finally:
        opened.close()
