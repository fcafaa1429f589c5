"""How faults reach a person, a pipe or a program."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from recipes_core.cli.stopping import final_code
from recipes_core.errors import ExitCode, Problem, RecipeError


def problem_line(problem: Problem) -> str:
    """A problem as one line for people, coloured where the terminal allows it."""
    colour = "yellow" if problem.severity == "warning" else "red"
    head = click.style(" ".join(part for part in (problem.place(), problem.severity, problem.code) if part), fg=colour)
    who = f"step '{problem.step}': " if problem.step else ""
    return f"{head}: {who}{problem.message}" + (f" {problem.hint}" if problem.hint else "")


def echo_problems(problems: Iterable[Problem]) -> None:
    """Print problems on stderr, each once."""
    for line in dict.fromkeys(problem_line(problem) for problem in problems):
        click.echo(line, err=True)


def document(
    exit_code: int, *, steps: Any = (), outputs: Any = None, problems: Iterable[Problem] = (), **more: Any
) -> dict[str, Any]:
    """The one document that ``--json`` prints."""
    found = [problem.as_dict() for problem in problems]
    return {"exit": int(exit_code), "steps": list(steps), "outputs": dict(outputs or {}), "problems": found, **more}


def print_json(content: Any) -> None:
    """Print a document on stdout."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


@contextmanager
def reported(*, as_json: bool = False, verbose: bool = False, state: dict[str, Any] | None = None) -> Iterator[None]:
    """Turn errors into messages and exit codes.

    Parameters
    ----------
    as_json : bool
        Print one document instead of lines.
    verbose : bool
        Also print the traceback of errors in modules.
    state : dict, optional
        ``steps`` and ``outputs`` so far, for the document.
    """
    try:
        yield
    except RecipeError as error:
        _finish(error.problems, error.exit_code, as_json, state, error if verbose else None)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        _finish((Problem("C130", "cancelled."),), ExitCode.CANCELLED, as_json, state, None)
    except BrokenPipeError:
        raise
    except Exception as error:  # a fault of this program: still one line, and the way to see more
        hint = "This is a fault of the program itself; run again with -v and report what it prints."
        problem = Problem("X900", f"{type(error).__name__}: {error}.", hint)
        _finish((problem,), ExitCode.MODULE, as_json, state, error if verbose else None)


def _finish(
    problems: Iterable[Problem], code: int, as_json: bool, state: dict[str, Any] | None, error: BaseException | None
) -> NoReturn:
    if error is not None:
        traceback.print_exception(error.__cause__ or error, file=sys.stderr)
    code = final_code(code)
    if as_json:
        print_json(document(code, problems=problems, **(state or {})))
    else:
        echo_problems(problems)
    sys.exit(code)
