"""Errors and exit codes.

::

    RecipeError
    ├── UsageError           exit 2: unknown option, name or key, no such file
    ├── RecipeInvalid        exit 3: the recipe is wrong; carries every problem found
    ├── DataError            exit 3: the data are wrong
    │   ├── FormatError          a file cannot be read as what it claims to be
    │   ├── ColumnError          a column is missing (also a KeyError)
    │   └── NotCacheable         an object that the cache cannot hold
    ├── ExecutionError       exit 1
    │   ├── ModuleFailed         a module raised; carries step and cause
    │   ├── WorkerLost           two worker processes died at a step
    │   └── ResultDiffers        made again, a result came out another one
    ├── PluginError          exit 4
    ├── EnvironmentFault     exit 5: a folder cannot be written, no space left
    │   └── CacheUnwritable      the cache cannot be written; runs go on without it
    └── Cancelled            exit 130
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal, Self


class ExitCode(IntEnum):
    """What the command line returns; part of the public contract."""

    OK = 0
    MODULE = 1
    USAGE = 2
    INVALID = 3
    PLUGIN = 4
    ENVIRONMENT = 5
    CANCELLED = 130


@dataclass(frozen=True)
class Problem:
    """One fault, with the place where a user can mend it.

    Parameters
    ----------
    code : str
        Stable short code such as ``R203`` (listed in docs/errors.md).
    message : str
        What is wrong, in one sentence.
    hint : str
        What to do, or the nearest right name.
    file, line, col : optional
        Place in the recipe file; `line` and `col` count from 1.
    step : str, optional
        Step of the recipe that is concerned.
    """

    code: str
    message: str
    hint: str = ""
    file: str | None = None
    line: int | None = None
    col: int | None = None
    step: str | None = None
    severity: Literal["error", "warning"] = "error"

    def place(self) -> str:
        """``file:line:col`` as far as it is known."""
        parts = [self.file or "", *(str(n) for n in (self.line, self.col) if n is not None)]
        return ":".join(part for part in parts if part)

    def __str__(self) -> str:
        head = " ".join(part for part in (self.place(), self.code) if part)
        who = f"step '{self.step}': " if self.step else ""
        tail = f" {self.hint}" if self.hint else ""
        return f"{head} {who}{self.message}{tail}".strip()

    def as_dict(self) -> dict[str, Any]:
        """The problem as ``--json`` prints it."""
        return asdict(self)


class RecipeError(Exception):
    """Base of every error that this project raises on purpose.

    Parameters
    ----------
    message : str
        One clear sentence.
    code : str
        Stable short code.
    hint : str
        What to do about it.
    problems : sequence of Problem
        Where there are several faults or a place in a file is known.
    """

    exit_code = ExitCode.MODULE
    default_code = "E000"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        hint: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self._problems = tuple(problems)
        super().__init__(message)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every fault that this error reports; at least one."""
        return self._problems or (Problem(self.code, self.message, self.hint),)

    def relocated(self, problems: Iterable[Problem]) -> Self:
        """The same error with other problems, such as ones that know their place in the recipe."""
        other = copy.copy(self)
        other._problems = tuple(problems)
        return other

    def __str__(self) -> str:
        if self._problems:
            return "\n".join(str(problem) for problem in self._problems)
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not pickle by themselves; they must cross processes.
        return (_rebuild, (type(self), self.__dict__.copy(), self.args))


def _rebuild(cls: type[RecipeError], state: dict[str, Any], args: tuple[Any, ...]) -> RecipeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(RecipeError):
    """The command or call itself is wrong."""

    exit_code = ExitCode.USAGE
    default_code = "U100"


class RecipeInvalid(RecipeError):
    """The recipe has faults; `problems` lists all of them."""

    exit_code = ExitCode.INVALID
    default_code = "R100"


class DataError(RecipeError):
    """The data do not allow what was asked."""

    exit_code = ExitCode.INVALID
    default_code = "D100"


class FormatError(DataError):
    """A file cannot be read as what it claims to be."""

    default_code = "D200"


class ColumnError(DataError, KeyError):
    """A table lacks a column."""

    default_code = "D300"

    __str__ = RecipeError.__str__


class NotCacheable(DataError):
    """An object that cannot be stored as plain arrays; it can be used, but not kept in the cache."""

    default_code = "D500"


class ExecutionError(RecipeError):
    """A run did not finish."""

    exit_code = ExitCode.MODULE
    default_code = "X100"


class ModuleFailed(ExecutionError):
    """A module raised an error that it did not foresee."""

    default_code = "X200"


class WorkerLost(ExecutionError):
    """A worker process died at a step, and a second one too."""

    default_code = "X210"


class ResultDiffers(ExecutionError):
    """A result that was made again is not the same."""

    default_code = "X150"


class PluginError(RecipeError):
    """A plugin cannot be used."""

    exit_code = ExitCode.PLUGIN
    default_code = "P100"


class EnvironmentFault(RecipeError):
    """The machine does not allow it: no permission, no space."""

    exit_code = ExitCode.ENVIRONMENT
    default_code = "V100"


class CacheUnwritable(EnvironmentFault):
    """The cache cannot be written: no permission, no space, or of another version."""

    default_code = "V300"


class Cancelled(RecipeError):
    """The user stopped the run."""

    exit_code = ExitCode.CANCELLED
    default_code = "C130"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where nothing is near.

    Examples
    --------
    >>> nearest("binsise", ["binsize", "step"])
    'binsize'
    """
    names = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], *, what: str = "known") -> str:
    """A hint that names the nearest right name, or lists all where there are few.

    Examples
    --------
    >>> did_you_mean("binsise", ["binsize", "step"])
    "Did you mean 'binsize'?"
    """
    names = sorted(set(known))
    best = nearest(name, names)
    if best is not None:
        return f"Did you mean '{best}'?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"{what[:1].upper()}{what[1:]}: {shown}."
