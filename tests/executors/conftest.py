"""Helpers of the tests of executors."""

import time
from collections.abc import Iterator

import pytest

from recipes_core import Recipe
from recipes_core.cache import Cache
from recipes_core.run import Listener
from recipes_core.run.executors import open_executor
from recipes_core.run.jobs import run_jobs
from recipes_core.run.results import select_results


class Heard(Listener):
    """Writes down what it is told."""

    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        if name in ("run_started", "step_started", "progress", "message", "warning", "step_finished", "run_finished"):
            return lambda *content: self.events.append((name, *content))
        return object.__getattribute__(self, name)

    def of(self, kind):
        """Events of one kind."""
        return [event[1:] for event in self.events if event[0] == kind]


@pytest.fixture
def cache(tmp_path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def log(tmp_path) -> str:
    """A file that modules write to."""
    return str(tmp_path / "log.txt")


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()


@pytest.fixture(scope="session")
def processes(tmp_path_factory) -> Iterator:
    """Two worker processes; they serve any cache."""
    with open_executor("processes", 2, Cache(tmp_path_factory.mktemp("unused"))) as executor:
        yield executor


@pytest.fixture(params=["serial", "processes"])
def executor(request):
    """Each of the quick executors."""
    return request.getfixturevalue("processes") if request.param == "processes" else None


@pytest.fixture
def job(cache):
    """Make a job of modules."""

    def make(*modules, name="", prepare=lambda recipe: None):
        recipe = Recipe(modules, name=name or "recipe", cache=cache)
        prepare(recipe)
        return recipe.job(select_results(recipe.graph, recipe.outputs), name=name)

    return make


def value_of(job, key):
    """The object behind a key of a job that has run."""
    return job.space.get(job.plan.names[key])


def run(jobs, executor, **options):
    """Run jobs."""
    return run_jobs(jobs, executor=executor, **options)


def wait_for(condition, seconds=60):
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
