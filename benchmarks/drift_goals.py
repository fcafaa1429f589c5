"""What each method should reach on each data set, and one table that says which of it is reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A bound on what one method does on one data set.

    Attributes
    ----------
    data, label : str
        Name of the data set, and of the entry.
    error : tuple of float
        Root mean square error along x, y (and z), nm, without the mean; 0 where there is no bound.
    raw : bool
        The error is that with the mean.
    of_oracle : float
        Bound on the error over that of the oracle, or 0.
    far : int or None
        Frames that may be off by more than 20 nm.
    time : float
        Over that of the peer, or 0.
    memory : float
        Peak of the process, MB, or 0.
    bars : float
        How far the root mean square of error over error bar may be from 1, or 0.
    """

    data: str
    label: str
    error: tuple[float, ...] = ()
    raw: bool = False
    of_oracle: float = 0.0
    far: int | None = None
    time: float = 0.0
    memory: float = 0.0
    bars: float = 0.0


def _both(data: str, deep: bool = False, **bounds: Any) -> list[Goal]:
    """The same for the method itself and for the one that needs no choice."""
    return [Goal(data, f"{name}{' 3D' * deep}", **bounds) for name in ("Locs_Entropy", "Locs_Drift")]


GOALS: tuple[Goal, ...] = (
    *(
        goal
        for data in ("tutorial", "tutorial_locan")
        for goal in (Goal(data, "Locs_CC linear", (0.15, 0.10), raw=True, time=0.25), Goal(data, "Locs_ICP linear", time=0.25))
    ),
    *(goal for data in ("tutorial", "tutorial_locan") for goal in _both(data, error=(0.25, 0.20), time=0.25)),
    Goal("filaments_1m", "Locs_AIM 100", (1.9, 1.4), time=1 / 3, bars=0.15),
    Goal("filaments_1m", "Locs_RCC 500", (3.5, 2.7), time=0.1),
    *_both("filaments_1m", error=(1.3, 1.0), time=0.7, bars=0.15),
    *_both("filaments_1m", deep=True, error=(0.0, 0.0, 0.75), bars=0.15),
    *_both("aim_5", error=(2.3, 2.3)),
    *_both("aim_50", error=(0.8, 0.8)),
    *_both("fast", of_oracle=1.5, far=0),
    *_both("fast_filaments", of_oracle=1.5, far=0),
    *_both("fast_filaments", deep=True, of_oracle=1.5, far=0),
    *_both("jump", far=5),
    *_both("jump", deep=True, far=5),
    Goal("filaments_10m", "Locs_AIM 100", (0.90, 0.85), time=1 / 3),
    *_both("filaments_10m", error=(0.60, 0.58), time=0.35, memory=2500.0),
    *_both("filaments_10m", deep=True, error=(0.60, 0.58, 0.60), time=0.5, memory=2500.0),
)


def compared(results: Mapping[str, Any]) -> str:
    """A line for each goal that was measured; `results` as `drift.measure` returns them under 'data'."""
    lines = ["", f"{'data':15} {'method':18} {'what':22} {'measured':>22}  {'goal':>18}"]
    for goal in GOALS:
        found = next((row for row in results.get(goal.data, {}).get("methods", ()) if row["label"] == goal.label), None)
        if found is None:
            continue
        if "rmse" not in found:
            lines.append(f"{goal.data:15} {goal.label:18} failed: {found['error']}")
            continue
        for what, measured, bound, held in _each(goal, found, results[goal.data]["oracle"]):
            lines.append(f"{goal.data:15} {goal.label:18} {what:22} {measured:>22}  {bound:>18}{'' if held else '  NOT REACHED'}")
    return "\n".join(lines) if len(lines) > 2 else ""


def _each(goal: Goal, found: Mapping[str, Any], oracle: Mapping[str, float]) -> Iterable[tuple[str, str, str, bool]]:
    """What, measured, bound, and whether it holds."""
    if goal.error:
        values = found["raw" if goal.raw else "rmse"][: len(goal.error)]
        held = all(not bound or round(value, _digits(bound)) <= bound for value, bound in zip(values, goal.error, strict=False))
        yield "with mean, nm" if goal.raw else "RMSE, nm", _told(values), _told(goal.error), held
    deep = goal.label.endswith("3D")
    if goal.of_oracle:
        over = [value / limit for value, limit in zip(found["rmse"], oracle.values(), strict=False)][: 3 if deep else 2]
        yield "RMSE over oracle", _told(over), f"{goal.of_oracle:.2f}", max(over) <= goal.of_oracle
    if goal.far is not None:
        yield "frames off by > 20 nm", str(found["far"]), str(goal.far), found["far"] <= goal.far
    if goal.time and found["time_ratio"] is not None:
        told = f"{found['time_ratio']:.2f} (cpu {found['cpu_ratio']:.2f})"
        yield "time over peer's", told, f"{goal.time:.2f}", found["time_ratio"] <= goal.time
    if goal.memory and found["peak_MiB"] is not None:
        megabytes = found["peak_MiB"] * 2**20 / 1e6
        yield "peak memory, MB", f"{megabytes:.0f}", f"{goal.memory:.0f}", megabytes <= goal.memory
    if goal.bars and found["bars"]:
        bars = found["bars"][: 3 if deep else 2]
        yield "error over error bar", _told(bars), f"1 +- {goal.bars:.2f}", all(abs(bar - 1) <= goal.bars for bar in bars)


def _digits(bound: float) -> int:
    """Decimals with which a goal is given; a measurement is not held to more."""
    return 1 if round(bound, 1) == bound else 2


def _told(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.2f}" if value else "-" for value in values)
