"""Following the files of a recipe."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments
from recipes_core.cli.running import Choices, run_sessions
from recipes_core.cli.session import Session, open_sessions
from recipes_core.errors import Cancelled, RecipeError

_LOOK_EVERY = 0.2

State = dict[str, tuple[int, int, int] | None]


def watch(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    *,
    each: str | None,
    quiet_time: float,
    once: bool,
    **choices: Any,
) -> None:
    """Run now, and again after each change, until Ctrl-C."""
    cache = opt.open_cache()
    chosen = Choices(keep_going=True, **choices)
    runs = 0
    while True:
        before = _state(_files(recipe_file, each, ()))
        sessions: list[Session] = []
        try:
            sessions = open_sessions(recipe_file, input_file, assignments, each, cache)
            before |= _state(_files(recipe_file, each, sessions))
            run_sessions(sessions, chosen, cache, {"steps": [], "outputs": {}})
        except Cancelled:
            raise
        except RecipeError as error:
            # A file that is being edited or written is not right all the time; one that was never there is a mistake.
            if not runs and not Path(recipe_file).exists():
                raise
            faults.echo_problems(error.problems)
        runs += 1
        if once and runs > 1:
            return
        click.echo(click.style("watching; Ctrl-C ends", dim=True))
        for path in _wait(recipe_file, each, sessions, before, quiet_time):
            click.echo(f"changed: {path}")


def _wait(recipe_file: str, each: str | None, sessions: Iterable[Session], before: State, quiet_time: float) -> list[str]:
    """Wait for a change and then for quiet; return what changed."""
    kept = list(sessions)
    while True:
        now = _state(_files(recipe_file, each, kept))
        if _differ(before, now):
            break
        time.sleep(_LOOK_EVERY)
    still_since, last = time.monotonic(), now
    while time.monotonic() - still_since < quiet_time:
        time.sleep(min(_LOOK_EVERY, quiet_time / 2))
        now = _state(_files(recipe_file, each, kept))
        if now != last:
            still_since, last = time.monotonic(), now
    return _differ(before, now)


def _differ(before: State, now: State) -> list[str]:
    return [path for path in dict.fromkeys((*before, *now)) if before.get(path) != now.get(path)]


def _files(recipe_file: str, each: str | None, sessions: Iterable[Session]) -> set[str]:
    """Every file that a run depends on: the recipe, inputs, files of parameters, and what the pattern of --each finds."""
    found = {str(Path(recipe_file).absolute())}
    if each:
        pattern = each.partition("=")[2].partition("?table=")[0]
        found |= {str(Path(path).absolute()) for path in glob.glob(pattern, recursive=True)}
    for session in sessions:
        found |= {str(path.absolute()) for item in session.bound for path in item.files}
        found |= {str(path) for path in session.recipe.parameter_files()}
    return found


def _state(files: Iterable[str]) -> State:
    state: State = {}
    for path in files:
        try:
            stat = Path(path).stat()
            state[path] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        except OSError:
            state[path] = None
    return state
