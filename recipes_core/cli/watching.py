"""Following the files of a recipe."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli import options as opt
from recipes_core.cli.assignments import Assignments
from recipes_core.cli.running import Choices, run_sessions
from recipes_core.cli.session import Session, open_sessions
from recipes_core.errors import Cancelled, RecipeError
from recipes_core.io.opening import being_written
from recipes_core.run.following import Following

_LOOK_EVERY = 0.2
_FRESH = 5.0
"""Seconds after which a file that nobody has touched is taken for finished when watching begins."""
_SHARE = 3.0
"""A file that grows is looked at again after so many times as long as the last run took, so that most of the time nothing runs twice."""

State = dict[str, tuple[int, int, int] | None]
"""Path -> size, time of the last change, inode; None where it is not there."""


def watch(
    recipe_file: str,
    input_file: str | None,
    assignments: Assignments,
    *,
    each: str | None,
    quiet_time: float,
    growing_time: float,
    once: bool,
    **choices: Any,
) -> None:
    """Run now, and again after each change, until Ctrl-C."""
    cache = opt.open_cache()
    chosen = Choices(keep_going=True, **choices)
    watcher = _Watcher(recipe_file, each, quiet_time, growing_time)
    runs = 0
    while True:
        before = watcher.state()
        sessions: Sequence[Session] = []
        following = watcher.following
        started = time.monotonic()
        try:
            if not runs and not following.growing:
                # Whether an input is complete does not count before it is known whether it is still being written.
                with being_written():
                    watcher.sessions = open_sessions(recipe_file, input_file, assignments, each, cache, following)
                fresh = watcher.found_growing(before | watcher.state())
                if fresh:
                    _tell_growing(fresh)
                    continue
            with being_written() if following.growing else contextlib.nullcontext():
                sessions = open_sessions(recipe_file, input_file, assignments, each, cache, following)
                watcher.sessions = sessions
                before |= watcher.state()
                run_sessions(sessions, chosen, cache, {"steps": [], "outputs": {}})
        except Cancelled:
            raise
        except RecipeError as error:
            # A file that is being edited or written is not right all the time; one that was never there is a mistake.
            if not runs and not Path(recipe_file).exists():
                raise
            faults.echo_problems(error.problems)
        watcher.took = time.monotonic() - started
        runs += 1
        if once and runs > 1 and not following.growing:
            return
        click.echo(click.style("watching; Ctrl-C ends", dim=True))
        change = watcher.wait(before)
        for path in change.paths:
            click.echo(f"changed: {path}")
        _tell_growing(change.growing)


def _tell_growing(paths: Collection[str]) -> None:
    for path in sorted(paths):
        click.echo(f"still being written: {path}; what is there is taken")


@dataclass(frozen=True)
class _Change:
    """What has happened: files that changed, and which of them are not finished."""

    paths: list[str]
    growing: frozenset[str] = frozenset()


class _Watcher:
    """Looks at the files of a recipe.

    Parameters
    ----------
    recipe_file : str
    each : str or None
        Of the command line.
    quiet_time : float
        Seconds without a change after which a file counts as finished.
    growing_time : float
        Seconds after which an input that only grows is taken as far as it is there.
    """

    def __init__(self, recipe_file: str, each: str | None, quiet_time: float, growing_time: float) -> None:
        self.recipe_file = recipe_file
        self.each = each
        self.quiet_time = quiet_time
        self.growing_time = growing_time
        self.sessions: Sequence[Session] = ()
        self.following = Following()
        self.took = 0.0

    def wait(self, before: State) -> _Change:
        """Wait until something has changed and is finished, or has grown for long enough."""
        after_growth = bool(self.following.growing)
        began = None if not after_growth else time.monotonic()
        still_since, last = time.monotonic(), before
        while True:
            now = self.state()
            moment = time.monotonic()
            if now != last:
                began = began or moment
                still_since, last = moment, now
            # Whoever writes a movie pauses between frames; after it has grown once, more patience.
            quiet = self.quiet_time if not after_growth else max(self.quiet_time, 2.0)
            if began is not None and moment - still_since >= quiet:
                self._take(frozenset())
                return _Change(_differ(before, now))
            if began is not None and moment - began >= max(self.growing_time, _SHARE * self.took):
                grown = self._only_grown(before, now)
                if grown and moment - still_since < quiet:
                    self._take(grown)
                    return _Change(_differ(before, now), grown)
            time.sleep(min(_LOOK_EVERY, self.quiet_time / 2))

    def found_growing(self, before: State) -> frozenset[str]:
        """Inputs that are being written when watching begins."""
        newest = max((state[1] for path, state in before.items() if state and path in self._inputs()), default=0)
        if time.time() - newest / 1e9 > _FRESH:
            return frozenset()
        time.sleep(max(self.quiet_time, 1.0))
        grown = self._only_grown(before, self.state())
        if grown:
            self._take(grown)
        return grown

    def _take(self, growing: frozenset[str]) -> None:
        # What was read of a file counts for as long as it does nothing but grow.
        kept = self.following.digests if growing and growing == self.following.growing else {}
        self.following = Following(growing, kept)

    def _only_grown(self, before: State, now: State) -> frozenset[str]:
        """Real paths of what has changed, where these are inputs that have only become longer."""
        inputs = self._inputs()
        grown = set()
        for path in _differ(before, now):
            old, new = before.get(path), now.get(path)
            longer = old is not None and new is not None and new[0] > old[0] and new[2] == old[2]
            added = old is None and new is not None and any(Path(other).parent == Path(path).parent for other in inputs)
            if not longer and not (added and path in inputs):
                return frozenset()
            if path not in inputs:
                return frozenset()
            grown.add(os.path.realpath(path))
        return frozenset(grown)

    def _inputs(self) -> set[str]:
        return {str(path.absolute()) for session in self.sessions for item in session.bound for path in item.files}

    def state(self) -> State:
        """Every file that a run depends on: the recipe, inputs, files of parameters, and what the pattern of --each finds."""
        found = {str(Path(self.recipe_file).absolute())}
        if self.each:
            pattern = self.each.partition("=")[2].partition("?table=")[0]
            found |= {str(Path(path).absolute()) for path in glob.glob(pattern, recursive=True)}
        found |= self._inputs()
        for session in self.sessions:
            found |= {str(path) for path in session.recipe.parameter_files()}
        return _state(found)


def _differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [path for path in dict.fromkeys((*before, *now)) if before.get(path) != now.get(path)]


def _state(files: Iterable[str]) -> State:
    state: State = {}
    for path in files:
        try:
            stat = Path(path).stat()
            state[path] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        except OSError:
            state[path] = None
    return state
