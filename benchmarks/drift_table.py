"""The table of `python -m benchmarks drift`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.drift_plan import Entry


@dataclass
class Row:
    """What was measured of one method."""

    entry: Entry
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    ratio: float | None = None
    cpu_ratio: float | None = None
    error: str = ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take the answer of a worker."""
        self.seconds.append(answer["seconds"])
        self.cpu.append(answer["cpu"])
        self.said = list(answer["said"])
        for name, values in (("peak", self.peak), ("added", self.added)):
            if answer[name] is not None:
                values.append(answer[name])

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "label": self.entry.label, "tool": self.entry.tool, "settings": self.entry.settings, "seconds": self.seconds,
            "cpu_seconds": self.cpu, "peak_MiB": max(self.peak, default=None), "added_MiB": max(self.added, default=None),
            "against": self.entry.against, "time_ratio": self.ratio, "cpu_ratio": self.cpu_ratio,
            "warnings": self.said, "error": self.error, **self.result,
        }  # fmt: skip


def _each(values: Iterable[float] | None, digits: int) -> str:
    return "-" if values is None else " / ".join(f"{value:.{digits}f}" for value in values)


def table(title: str, axes: str, limit: Mapping[str, float], best: Mapping[str, float], rows: Iterable[Row]) -> str:
    """Text of the table of one data set."""
    lines = [
        "",
        title,
        f"oracle {_each((limit[axis] for axis in axes), 3)} nm along {', '.join(axes)}; "
        f"with the best step {_each((best[axis] for axis in axes), 3)}",
        f"{'method':22} {'s':>8} {'cpu s':>8} {'time ratio':>11}  {'RMSE nm':22} {'RMSE / oracle':18} {'with mean':20} "
        f"{'worst nm':20} {'>20nm':>6}  {'error / bar':18} {'MiB':>6} {'added':>6}",
    ]
    for row in rows:
        if row.error:
            lines.append(f"{row.entry.label:22} failed: {row.error}")
            continue
        if not row.seconds:
            continue
        measured = row.entry.settings.get("deep", True) or row.entry.tool == "ours"
        shown = axes if measured and ("3D" in row.entry.label or row.entry.label.startswith("COMET")) else axes[:2]
        n = len(shown)
        ratio = "" if row.ratio is None else _each((row.ratio, row.cpu_ratio or 0.0), 2)
        over = [value / limit[axis] for value, axis in zip(row.result["rmse"], shown, strict=False)]
        bars = row.result["bars"]
        found = row.result
        lines.append(
            f"{row.entry.label:22} {row.median:8.2f} {statistics.median(row.cpu):8.2f} {ratio:>11}  {_each(found['rmse'][:n], 2):22} "
            f"{_each(over, 2):18} {_each(found['raw'][:n], 2):20} {_each(found['worst'][:n], 1):20} {found['far']:6d}  "
            f"{_each(bars and bars[:n], 2):18} {max(row.peak, default=float('nan')):6.0f} {max(row.added, default=float('nan')):6.0f}"
        )
        lines += [f"    said: {text}" for text in row.said[:3]]
    against = {row.entry.label: row.entry.against for row in rows if row.ratio is not None}
    if against:
        lines.append(
            "time ratio (by the clock / of the processors): " + ", ".join(f"{label} to {peer}" for label, peer in against.items())
        )
    return "\n".join(lines)
