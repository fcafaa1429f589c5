"""Which steps can run in another process, and what is sent of them."""

from __future__ import annotations

import os
import pickle
import sys

from recipes_core.errors import CacheUnwritable, NotCacheable
from recipes_core.module import ModuleBase
from recipes_core.plan import PlannedStep
from recipes_core.plan.keys import module_name
from recipes_core.run.nodes import FileSource, NodeSpec, files_of, names_taken
from recipes_core.run.runner import Runner


class Stays(Exception):
    """A step that must run in this process; the text says why, and is empty where that is of no interest."""


def node_spec(planned: PlannedStep, runner: Runner) -> NodeSpec:
    """A step as plain values; what only this process has of its inputs is put into the cache.

    Raises
    ------
    Stays
        Where the step cannot travel.
    """
    space = runner.space
    module = runner.graph.steps[planned.step].module
    if space.cache is None or not space.keeps:
        raise Stays("")
    if type(module).spreads:
        raise Stays("")
    _require_importable(type(module))
    sources = _sources(planned, runner)
    spec = NodeSpec(
        planned,
        module_name(type(module)),
        module.parameter_values(),
        {**module.input_keys(), **module.output_keys()},
        runner.seed,
        os.path.abspath(space.cache.root),  # noqa: PTH100 - links stay as they are, they may lead elsewhere on other machines
        sources,
        files_of(space.stamps_of(runner.files_behind(planned))),
        os.getcwd(),  # noqa: PTH109
    )
    try:
        pickle.dumps(spec)
    except Exception as error:  # what parameters of a third party raise
        raise Stays(f"its parameters cannot be sent ({error})") from error
    return spec


def _require_importable(kind: type[ModuleBase]) -> None:
    if kind.__module__ == "__main__":
        raise Stays("its module is defined in the main script or a notebook")
    found: object = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not kind:
        raise Stays("its module is defined inside a function")


def _sources(planned: PlannedStep, runner: Runner) -> dict[str, FileSource]:
    sources = {}
    for name, key in names_taken(planned):
        if key in runner.graph.producers:
            _put_into_cache(name, key, runner, made=True)
            continue
        bound = runner.space.source_of(key)
        if bound is not None:
            sources[key] = FileSource.of(bound)
        else:
            _put_into_cache(name, key, runner, made=False)
    return sources


def _put_into_cache(name: str, key: str, runner: Runner, *, made: bool) -> None:
    space = runner.space
    assert space.cache is not None
    if space.cache.has(name) or (made and not space.in_memory(name)):
        return  # what is nowhere is found to be lost by the worker
    try:
        value = runner.object(name, key)
        step = runner.graph.producers[key].step if made else key
        space.cache.publish(name, value, step=step, module="" if made else "given", port=key, seconds=0.0)
    except CacheUnwritable as error:
        space.unkept = str(error)
        raise Stays("") from error
    except NotCacheable as error:
        raise Stays(f"'{key}' cannot be put into the cache") from error
