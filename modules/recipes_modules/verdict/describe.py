"""A verdict with its numbers as named values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recipes_core.data import Scalars

if TYPE_CHECKING:
    from recipes_modules.verdict.check import Found
    from recipes_modules.verdict.judge import Evidence, Verdict


def values_of(found: Found, checked: tuple[Evidence, Verdict] | None) -> Scalars:
    """Everything that was measured, with units; ``verdict`` is 'not checked' where it was not."""
    drift = found.drift
    axes = "xyz" if found.method.deep else "xy"
    values: dict[str, Any] = {"verdict": "not checked", "reasons": "", "method": found.method.describe()}
    units: dict[str, str] = {}

    def add(name: str, value: Any, unit: str = "nm") -> None:
        if isinstance(value, np.ndarray):
            for axis, one in zip(axes, value, strict=False):
                add(f"{name}_{axis}", float(one), unit)
        elif value is not None and np.isfinite(value):
            values[name] = value
            if unit:
                units[name] = unit

    add("range", np.ptp(drift.correction, axis=0))
    if checked is None:
        return Scalars(_rounded(values), units=units)
    evidence, verdict = checked
    values |= {"verdict": verdict.word, "reasons": "; ".join(verdict.reasons)}
    add("error", evidence.error)
    add("error_claimed", evidence.claimed)
    add("precision", evidence.scale)
    add("molecules_effective", evidence.places, "")
    for difference in evidence.differences:
        for name in ("apart", "expected", "worst"):
            add(f"{difference.short}_{name}", getattr(difference, name))
    windows = evidence.windows
    if windows is not None:
        add("windows", len(windows.nodes), "")
        add("windows_left", windows.rms[:2])
        add("windows_expected", windows.expected[:2])
        add("windows_far", windows.far)
        add("windows_agree", windows.agree, "")
    for when, sharpness in (("before", evidence.before), ("after", evidence.after)):
        if sharpness is not None:
            add(f"nena_{when}", sharpness.nena)
            add(f"frc_{when}", sharpness.frc)
    return Scalars(_rounded(values), units=units)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six digits: linear algebra differs in the last ones with the number of its threads, and equal data give equal verdicts."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}
