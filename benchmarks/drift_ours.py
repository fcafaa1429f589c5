"""Our own drift modules for `benchmarks.drift_worker`: chains of modules that end in a drift."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import recipes_modules
from recipes_core.data import Drift, Localizations, Scalars
from recipes_core.module import Context

_tables: dict[tuple[int, int], Localizations] = {}


def _table(columns: dict[str, Any]) -> Localizations:
    """The table, made once for a data set: reading it is not what is measured."""
    key = (id(columns.get("x")), len(columns["x"]))
    if key not in _tables:
        _tables.clear()
        _tables[key] = Localizations(columns)
    return _tables[key]


def chain(
    columns: dict[str, Any], n_frames: int, *, modules: list[tuple[str, dict[str, Any]]], threads: int | None = None
) -> dict[str, Any]:
    """Run modules one after the other; each takes the table, or the last object of the type that its input wants.

    Returns
    -------
    dict
        curve (n_frames, 3): correction to add; frames, correction, error: the last drift with standard errors; said: warnings and verdicts.
    """
    table = _table(columns)
    start = time.perf_counter()
    made: list[Any] = [table]
    said: list[str] = []
    for name, parameters in modules:
        module = getattr(recipes_modules, name)(**parameters)
        given: dict[str, Any] = {}
        for port, declared in module.inputs().items():
            fitting = [item for item in made if isinstance(item, declared.data_type)]
            if fitting and not declared.deprecated:
                given[port] = fitting[-1]
        wanted = [port for port, declared in module.outputs().items() if not declared.on_demand]
        ctx = Context(name, n_threads=threads, wanted=wanted)
        made += module.apply(**given, ctx=ctx).values()
        said += ctx.warnings
        said += [f"verdict {item['verdict']}" for item in made if isinstance(item, Scalars) and "verdict" in item.keys()]
    drifts = [item for item in made if isinstance(item, Drift)]
    seconds = time.perf_counter() - start
    known = next((item for item in reversed(drifts) if item.error is not None), None)
    result = {"curve": drifts[-1].at(np.arange(n_frames)), "seconds": seconds, "said": said}
    if known is not None:
        result |= {"frames": known.frames, "correction": known.correction, "error": known.error}
    return result


METHODS = {"chain": chain}
