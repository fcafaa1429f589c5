"""Every shipped recipe gives the same payloads wherever it runs, with one thread and with two."""

import pytest

from recipes_core import Recipe
from recipes_core.cache import Cache
from recipes_core.run import RunReport
from recipes_core.run.executors import open_executor
from recipes_core.run.jobs import run_jobs
from recipes_core.run.results import select_results


def recipes(examples):
    """Shipped recipes with the inputs that they name."""
    for path in sorted(examples.glob("*.yaml")):
        recipe = Recipe.load(path)
        recipe.bind(recipe.default_bindings())
        yield path.stem, recipe


def digests(examples, folder, executor, workers, n_threads):
    """Payload digest of everything that the shipped recipes make, and of all that they keep."""
    cache = Cache(folder)
    jobs = []
    for name, recipe in recipes(examples):
        recipe.use_cache(cache)
        jobs.append(recipe.job(select_results(recipe.graph, recipe.outputs), name=name))
    with open_executor(executor, workers, cache, tell=lambda text: None) as opened:
        outcomes = run_jobs(jobs, executor=opened, n_threads=n_threads)
    failed = [outcome for outcome in outcomes if not isinstance(outcome, RunReport)]
    assert not failed, failed
    keys = {(job.name, key): name for job in jobs for key, name in job.plan.names.items() if key in job.graph.producers}
    return {place: manifest.digest for place, name in keys.items() if (manifest := cache.manifest(name)) is not None}


@pytest.fixture(scope="module")
def expected(examples, tmp_path_factory):
    """Digests of a run in this process with one thread."""
    found = digests(examples, tmp_path_factory.mktemp("serial"), "serial", None, 1)
    assert len(found) > 20
    assert {recipe for recipe, _ in found} == {path.stem for path in examples.glob("*.yaml")}
    return found


def test_processes_of_one_thread(examples, tmp_path, expected):
    assert digests(examples, tmp_path / "cache", "processes", 2, None) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "workers", "n_threads"), [("serial", None, 2), ("processes", 1, None), ("dask", 2, None), ("dask", 1, None)]
)
def test_every_executor(examples, tmp_path, expected, executor, workers, n_threads):
    if executor == "dask":
        pytest.importorskip("distributed")
    assert digests(examples, tmp_path / "cache", executor, workers, n_threads) == expected
