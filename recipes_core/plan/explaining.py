"""Plans as text and as JSON."""

from __future__ import annotations

from typing import Any

from recipes_core.plan.model import Plan, PlannedStep, StepState

_NOTABLE = 0.05
"""Seconds below which times are not worth telling."""


def explain(plan: Plan) -> str:
    """A line a step with its state, why it runs and how long it took before, and a closing count."""
    if not plan.steps:
        return "nothing to do"
    width = max(len(step.step) for step in plan.steps)
    rows = [(f"{step.step:<{width}}  {step.state.value:<10}  {step.reason}".rstrip(), _time(step)) for step in plan.steps]
    wide = max(len(text) for text, time in rows if time) if any(time for _, time in rows) else 0
    lines = [f"{text:<{wide}}  {time}".rstrip() for text, time in rows]
    lines += [f"missing input: {key}" for key in plan.missing]
    return "\n".join([*lines, _closing(plan)])


def _time(step: PlannedStep) -> str:
    if step.seconds is None or step.seconds < _NOTABLE:
        return ""
    if step.state is StepState.RUN:
        return f"about {seconds_text(step.seconds)}"
    return f"{seconds_text(step.seconds)} saved" if step.state in (StepState.CACHED, StepState.CURRENT) else ""


def _closing(plan: Plan) -> str:
    counts = [f"{len(plan.to_run)} to run"]
    for state in (StepState.CACHED, StepState.CURRENT, StepState.WRITE, StepState.UNNEEDED, StepState.BLOCKED):
        n = sum(1 for _ in plan.in_state(state))
        if n:
            counts.append(f"{n} {state.value}" if state is not StepState.WRITE else f"{n} to write")
    text = ", ".join(counts)
    times = [step.seconds for step in plan.to_run]
    known = [seconds for seconds in times if seconds is not None]
    if known and sum(known) >= _NOTABLE:
        unknown = f", {len(times) - len(known)} not known" if len(known) < len(times) else ""
        text += f"; about {seconds_text(sum(known))} by earlier runs{unknown}"
    return text


def seconds_text(seconds: float) -> str:
    """A time for people.

    Examples
    --------
    >>> seconds_text(75.0)
    '1 min 15 s'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def planned_json(plan: Plan) -> list[dict[str, Any]]:
    """The steps of a plan for ``--json``."""
    return [
        {
            "step": step.step,
            "module": step.module,
            "state": step.state.value,
            "reason": step.reason,
            "reasons": [reason.as_dict() for reason in step.reasons],
            "seconds": step.seconds or 0.0,
        }
        for step in plan.steps
    ]
