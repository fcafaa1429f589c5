"""The executor `dask`: workers of a Dask cluster, here or elsewhere."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from recipes_core.cache.store import Cache
from recipes_core.errors import Cancelled, EnvironmentFault, WorkerLost
from recipes_core.module.context import available_threads
from recipes_core.owner import own_name
from recipes_core.run.executors.base import Executor, Work
from recipes_core.run.executors.checks import differences, look_at_worker, missing_modules
from recipes_core.run.executors.faults import Fault

_PATIENCE = 30.0
_MOST_DEATHS = 1
_COUNT_EVERY = 2.0
_BEGUN = "begun"
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Dask(Executor):
    """Workers of a Dask cluster.

    Parameters
    ----------
    address : str
        Of a scheduler; a cluster of its own on this machine where empty.
    jobs : int, optional
        Tasks that run at the same time: workers of the own cluster; at most as many as a running one has threads.
    cache : Cache
        Folder that all workers must see under the same name.
    tell : callable
        Receives the dashboard's address.

    Raises
    ------
    EnvironmentFault
        Where no scheduler or worker is found, or a worker does not fit: other versions, another folder.
    """

    def __init__(self, address: str, jobs: int | None, cache: Cache, tell: Callable[[str], None]) -> None:
        distributed = _distributed()
        self._closing = contextlib.ExitStack()
        self._topic = f"recipe-{uuid.uuid4().hex}"
        self._futures: dict[str, Any] = {}
        self._done: dict[str, Future[Any]] = {}
        self._counted = (-_COUNT_EVERY, 1)
        self._jobs = jobs
        self._n_threads: dict[str, int] = {}
        try:
            if address:
                self._client = self._closing.enter_context(_connected(address, distributed))
            else:
                n_workers = jobs or available_threads()
                self._client = self._closing.enter_context(_own_cluster(n_workers, distributed))
            self._check(cache)
        except BaseException:
            self._closing.close()
            raise
        self._client.subscribe_topic(self._topic, self._hear)
        tell(_dashboard(self._client))

    def _hear(self, event: tuple[Any, Any]) -> None:
        content = pickle.loads(event[1])  # noqa: S301 - from workers that run this program
        if content[0] == _BEGUN:
            self._begin(content[1])
        else:
            self.on_event(content)

    def _begin(self, key: str) -> None:
        """A task that has begun is not cancelled any more when nothing new shall begin."""
        done = self._done.get(key)
        if done is not None and not done.running() and not done.done():
            done.set_running_or_notify_cancel()

    @property
    def n_slots(self) -> int:
        if time.monotonic() - self._counted[0] > _COUNT_EVERY:
            self._counted = (time.monotonic(), self._count())
        return self._counted[1]

    def _count(self) -> int:
        there = sum(int(worker["nthreads"]) for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())
        return max(1, min(there, self._jobs or there))

    def submit(self, work: Work, argument: Any, what: str, near: str = "") -> Future[Any]:
        done: Future[Any] = Future()
        task = pickle.dumps((work, argument), protocol=pickle.HIGHEST_PROTOCOL)
        key = f"{what.replace(' ', '-')}-{uuid.uuid4().hex}"
        remote = self._client.submit(_run, task, self._topic, self._n_threads, key=key, pure=False)
        self._futures[key], self._done[key] = remote, done
        remote.add_done_callback(lambda _: self._settle(key, remote, done, what))
        return _linked(done, remote)

    def _settle(self, key: str, remote: Any, done: Future[Any], what: str) -> None:
        self._futures.pop(key, None)
        self._done.pop(key, None)
        if done.done():
            return
        error: BaseException | None = None
        try:
            ok, content = remote.result(timeout=_PATIENCE)
        except (CancelledError, TimeoutError):
            error = Cancelled("cancelled")
        except Exception as found:  # the library's own errors
            error = _named(found, what)
        else:
            answer = pickle.loads(content)  # noqa: S301 - from workers that run this program
            if ok:
                done.set_result(answer)
                return
            error = answer.error()
        done.set_exception(error)

    def prepare(self, modules: Sequence[tuple[str, int, str]]) -> None:
        for worker, missing in self._client.run(missing_modules, list(modules)).items():
            if missing:
                raise EnvironmentFault(
                    f"the worker {worker} has no module '{missing[0]}' of the version that is used here.",
                    code="V331",
                    hint="Install the same versions of smlm-recipes and of plugins on all machines.",
                )

    def cancel(self) -> None:
        with contextlib.suppress(Exception):  # a cluster that is gone needs no cancelling
            self._client.cancel(list(self._futures.values()), force=True)
        self._futures.clear()

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it is no use any more
            self._client.unsubscribe_topic(self._topic)
        self._closing.close()

    def _check(self, cache: Cache) -> None:
        """Refuse workers that would make other results, or put them elsewhere."""
        token = cache.root / f".{own_name()}.token"
        try:
            token.parent.mkdir(parents=True, exist_ok=True)
            token.write_text(token.name, encoding="utf-8")
            looked = self._client.run(look_at_worker, os.path.abspath(token), on_error="return")  # noqa: PTH100
        except OSError as error:
            raise EnvironmentFault(
                f"the cache in {cache.root} cannot be written: {error.strerror or error}.",
                code="V312",
                hint="Data move through it.",
            ) from error
        finally:
            token.unlink(missing_ok=True)
        for worker, found in looked.items():
            differing = differences(found, token, cache.root)
            if differing:
                raise EnvironmentFault(
                    f"the Dask worker {worker} does not fit: {differing[0]}.", code=differing[1], hint=differing[2]
                )
        self._n_threads = _shared_out(looked, self._client.scheduler_info(n_workers=-1)["workers"])


def _shared_out(looked: dict[str, Any], workers: dict[str, Any]) -> dict[str, int]:
    """Threads for a task of each worker, so that a machine's processors are used once."""
    at_once: dict[str, int] = {}
    for worker, found in looked.items():
        at_once[found["host"]] = at_once.get(found["host"], 0) + workers[worker]["nthreads"]
    return {worker: max(1, found["processors"] // at_once[found["host"]]) for worker, found in looked.items()}


def _linked(done: Future[Any], remote: Any) -> Future[Any]:
    """Cancelling one cancels the other."""
    done.add_done_callback(lambda settled: remote.cancel() if settled.cancelled() else None)
    return done


def _named(error: Exception, what: str) -> Exception:
    if type(error).__name__ == "KilledWorker":
        return WorkerLost(
            f"the Dask worker of {what} ended twice without a result.",
            hint="Most likely the memory did not suffice: use fewer workers a machine, or smaller data.",
        )
    return EnvironmentFault(f"Dask failed at {what}: {type(error).__name__}: {error}.", code="V335")


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise EnvironmentFault(
            "the executor 'dask' needs Dask, which is not installed.", code="V400", hint="pip install 'smlm-recipes[dask]'"
        ) from error
    return distributed


@contextlib.contextmanager
def _connected(address: str, distributed: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"no Dask scheduler answers at {address}.",
            code="V333",
            hint="Start one with 'dask scheduler'; it prints its address.",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise EnvironmentFault(
                f"the Dask scheduler at {address} has no workers.", code="V334", hint=f"Start some with 'dask worker {address}'."
            ) from error
        yield client


@contextlib.contextmanager
def _own_cluster(n_workers: int, distributed: Any) -> Iterator[Any]:
    import dask

    settings = {
        # A second death of a worker at one task is no coincidence.
        "distributed.scheduler.allowed-failures": _MOST_DEATHS,
        # Dask has its workers give every larger array back to the system at once; to get it anew takes a third of their time.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_LIMITS, "1"),
        "distributed.worker.profile.enabled": False,
    }
    with (
        dask.config.set(settings), distributed.LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50,
            memory_limit=0, preload=["recipes_core.run.executors.dask_worker"],
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


def _dashboard(client: Any) -> str:
    try:
        import bokeh  # noqa: F401
    except ImportError:
        return "Dask runs without its dashboard (pip install bokeh)"
    return f"Dask's dashboard: {client.dashboard_link}"


# -- on the workers ----------------------------------------------------------------------------------------------------------------


class _Here:
    """A Dask worker as tasks see it."""

    def __init__(self, topic: str, n_threads: dict[str, int]) -> None:
        from distributed import get_worker

        self._worker = get_worker()
        self._topic = topic
        self.key = self._worker.get_current_task()
        self._looked = 0.0
        self.n_threads = n_threads.get(self._worker.address, 1)
        self.name = str(self._worker.address)

    def tell(self, event: tuple[Any, ...]) -> None:
        self._worker.log_event(self._topic, pickle.dumps(event))

    def cancelled(self) -> bool:
        now = time.monotonic()
        if now - self._looked < 0.2:
            return False
        self._looked = now
        task = self._worker.state.tasks.get(self.key)
        return task is None or task.state == "cancelled"


def _run(task: bytes, topic: str, n_threads: dict[str, int]) -> tuple[bool, bytes]:
    """Carry out a task; whether it went well, and what it returned or raised."""
    here = _Here(topic, n_threads)
    here.tell((_BEGUN, here.key))
    work, argument = pickle.loads(task)  # noqa: S301 - from the client that this worker was started for
    try:
        with limited(here.n_threads):
            return True, pickle.dumps(work(argument, here), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever it is, the client waits for an answer
        return False, pickle.dumps(Fault.of(error))


@contextlib.contextmanager
def limited(n_threads: int) -> Iterator[None]:
    """Hold libraries to a number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n_threads):
        yield


def open_dask(*, address: str, jobs: int | None, cache: Cache, tell: Callable[[str], None]) -> Dask:
    """The executor for ``--executor dask`` and ``--executor dask:ADDRESS``."""
    return Dask(address, jobs, cache, tell)
