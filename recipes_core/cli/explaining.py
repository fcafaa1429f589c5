"""What a run would do, and why; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli.running import Choices
from recipes_core.cli.session import Session, refuse_collisions
from recipes_core.plan import Plan, planned_json


def explain_sessions(sessions: Sequence[Session], choices: Choices, state: dict[str, Any], show: str) -> None:
    """Print the plans; `state` receives their steps."""
    refuse_collisions(
        {
            session.name: session.destinations(session.layout(choices.output_dir), session.select(choices.targets))
            for session in sessions
        }
    )
    for session in sessions:
        plan = _plan(session, choices)
        state["steps"] += [{**step, **({"file": session.name} if session.name else {})} for step in planned_json(plan)]
        if show == "none":
            continue
        faults.echo_problems(session.warnings)
        if session.name:
            click.echo(click.style(session.name, bold=True))
        click.echo(plan.explain())


def _plan(session: Session, choices: Choices) -> Plan:
    forced = set(session.recipe.steps) if choices.verify else session.forced(choices.force)
    return session.recipe.plan(session.select(choices.targets).targets, forced=forced)
