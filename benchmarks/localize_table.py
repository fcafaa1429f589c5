"""The table of `python -m benchmarks localize`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UNITS = {"detection": "frames/s", "fits": "fits/s", "whole": "locs/s", "dense": "frames/s"}
SCORES = ("jaccard", "recall", "precision", "rmse_per_axis", "bound_efficiency", "calibration_x", "calibration_y")


def show(rows: Iterable[Any], files: Mapping[str, Any], first: Mapping[str, float], load: float) -> str:
    """Text of the tables."""
    lines = [f"load of the machine at the end {load:.1f}"]
    rows = list(rows)
    for group in dict.fromkeys(row.group for row in rows):
        lines += ["", *_group(group, [row for row in rows if row.group == group])]
    if files:
        lines += ["", "| files | rows | largest difference of x, y |", "|---|---|---|"]
        for label, found in files.items():
            told = found.get("error") or f"{found['rows']} of {found['of']} | {found['largest_nm']:.4f} nm"
            lines.append(f"| {label} | {told} |")
    if first:
        lines += ["", f"first run ever (nothing compiled) {first['first']:.1f} s; the next {first['second']:.1f} s (goal 15 s)"]
    return "\n".join(lines)


def _group(group: str, rows: list[Any]) -> list[str]:
    if group == "memory":
        head = ["| peak memory | MiB | goal |", "|---|---|---|"]
        return head + [f"| {row.label} | {_or_error(row, _peak)} | 400 |" for row in rows]
    if group == "whole":
        head = [
            "| whole | cores | locs/s | cpu s | goal | Jaccard | recall | precision | RMSE nm | efficiency | MAD of z, x / y |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        return head + [f"| {row.label} | {row.cores} | {_or_error(row, _whole)} |" for row in rows]
    if group == "dense":
        head = [
            "| dense | frames/s per core | of a long movie | Jaccard | recall | precision | RMSE nm |",
            "|---|---|---|---|---|---|---|",
        ]
        return head + [f"| {row.label} | {_or_error(row, _dense)} |" for row in rows]
    head = [f"| {group} | {UNITS[group]} per core | goal |", "|---|---|---|"]
    return head + [f"| {row.label} | {_or_error(row, _rate)} | {row.goal} |" for row in rows]


def _or_error(row: Any, text: Any) -> str:
    if row.error:
        return f"failed: {row.error}"
    return str(text(row)) if row.answers else "-"


def _peak(row: Any) -> str:
    return f"{row.best('peak'):.0f}"


def _rate(row: Any) -> str:
    return f"{row.rate:,.0f}"


def _whole(row: Any) -> str:
    jaccard, recall, precision, rmse, efficiency, x, y = (row.scores.get(name, float("nan")) for name in SCORES)
    return (
        f"{row.rate:,.0f} | {row.best('cpu'):.2f} | {row.goal} | {jaccard:.3f} | {recall:.3f} | {precision:.3f} | {rmse:.1f} | "
        f"{efficiency:.3f} | {x:.2f} / {y:.2f}"
    )


def _dense(row: Any) -> str:
    best = row.answers[0]
    scores = " | ".join(f"{best[name]:.3f}" for name in ("jaccard", "recall", "precision"))
    return f"{row.rate:.1f} | {best['longer']:.1f} | {scores} | {best['rmse_per_axis']:.1f}"
