"""Keys of steps: what their results follow from, as a digest that is the same in every process.

The rng of a step follows from the recipe's seed and the step's name; for modules that draw random numbers both are in the key.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from blake3 import blake3

from recipes_core.cache.canonical import digest_of
from recipes_core.graph import Graph
from recipes_core.module import ModuleBase
from recipes_core.plan.model import StepIdentity
from recipes_core.plugins import registry
from recipes_core.ports import FilePath, FilePaths

SCHEMA = 1
"""Raise it when keys are made in another way: everything in all caches is then made again."""

FileDigest = Callable[[str], str]


def identity_of(graph: Graph, step: str, seed: int, digest: FileDigest) -> StepIdentity:
    """What the results of a step depend on now.

    Parameters
    ----------
    digest : callable
        Name of a file -> digest of its content, empty where there is none.
    """
    module = graph.steps[step].module
    kind = type(module)
    counting, files = _parameters(kind)
    inputs = tuple((port, key) for port, key in graph.inputs_of(step) if graph.is_connected(step, port, key))
    return StepIdentity(
        module_name(kind),
        kind.version,
        {name: getattr(module, name) for name in counting},
        {name: _content(getattr(module, name), digest) for name in files},
        inputs,
        seed if kind.uses_seed else None,
        code_of(kind),
    )


def step_key(identity: StepIdentity, step: str, taken: Iterable[tuple[str, str, str]]) -> str:
    """The key of a step.

    Parameters
    ----------
    taken : iterable of (port, key, object's name)
        Keys themselves do not count: what stands behind them does.
    """
    values = {name: value for name, value in identity.parameters.items() if name not in identity.files}
    random = None if identity.seed is None else [identity.seed, step]
    behind = [[port, name] for port, _, name in taken if name]
    return _digest([SCHEMA, identity.module, identity.version, identity.code, values, dict(identity.files), random, behind])


def _digest(value: Any) -> str:
    # Most values are plain, and the encoder in C is several times as fast; it refuses what has no place in JSON.
    try:
        text = _plain_json(value)
    except (TypeError, ValueError):
        return digest_of(value)
    return blake3(text.encode("ascii")).hexdigest()


_plain_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def port_key(step: str, port: str) -> str:
    """Name of the object that a step of this key makes at a port."""
    return blake3(f"{step} {port}".encode()).hexdigest()


@cache
def _parameters(kind: type[ModuleBase]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the parameters that count, and of those among them that name files."""
    declared = {name: parameter for name, parameter in kind.parameters().items() if parameter.affects_result}
    return tuple(declared), tuple(name for name, parameter in declared.items() if isinstance(parameter, (FilePath, FilePaths)))


def _content(value: Any, digest: FileDigest) -> str:
    """One digest for a file parameter; names do not count, only what the files hold."""
    if isinstance(value, str):
        return digest(value) if value else ""
    return digest_of([digest(name) for name in value or ()])


@cache
def module_name(kind: type[ModuleBase]) -> str:
    """Full name of a module; for one that is not registered the place of its class."""
    found = registry().full_name(kind)
    return found if "." in found else f"{kind.__module__}:{kind.__qualname__}"


@cache
def code_of(kind: type[ModuleBase]) -> str:
    """Digest of the source of a module that is not registered: two of them may share a name, and nobody counts their versions."""
    if "." in registry().full_name(kind):
        return ""
    try:
        return digest_of(inspect.getsource(kind))
    except (OSError, TypeError):
        code = kind.run.__code__
        return digest_of([code.co_code.hex(), repr(code.co_consts), list(code.co_names)])
