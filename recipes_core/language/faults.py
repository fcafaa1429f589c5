"""Collects every fault of a recipe, so that a user sees all of them at once."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from recipes_core.errors import PluginError, Problem, RecipeError, RecipeInvalid
from recipes_core.language.document import Mark

MAX_SHOWN = 100
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


class Faults:
    """Problems found so far.

    Parameters
    ----------
    file : Path, optional
        The file that they are in.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, code: str, message: str, hint: str = "", *, mark: Mark | None = None, step: str | None = None) -> None:
        """Note an error."""
        self.errors.append(self._problem(code, message, hint, mark, step))

    def warn(self, code: str, message: str, hint: str = "", *, mark: Mark | None = None, step: str | None = None) -> None:
        """Note what is allowed but worth telling."""
        problem = self._problem(code, message, hint, mark, step)
        self.warnings.append(Problem(**{**problem.as_dict(), "severity": "warning"}))

    def _problem(self, code: str, message: str, hint: str, mark: Mark | None, step: str | None) -> Problem:
        file = str(self.file) if self.file else None
        line, col = (mark.line, mark.col) if mark else (None, None)
        return Problem(code, message, hint, file, line, col, step)

    def error(self) -> RecipeError:
        """What to raise: every error in the order of the file.

        Faults of plugins alone are no fault of the recipe.
        """
        problems = sorted(self.errors, key=lambda problem: (problem.line or 0, problem.col or 0))
        kind = PluginError if all(problem.code.startswith("P") for problem in problems) else RecipeInvalid
        if len(problems) > MAX_SHOWN:
            more = self._problem("R199", f"there are {len(problems) - MAX_SHOWN} more faults.", "", None, None)
            problems = [*problems[:MAX_SHOWN], more]
        return kind(problems[0].message, code=problems[0].code, hint=problems[0].hint, problems=problems)


def shown(value: Any) -> str:
    """A value for a message, shortened, the way YAML writes it where that differs from Python."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _repr.repr(value)
