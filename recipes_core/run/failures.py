"""Errors of steps as users see them: with the step and its place in the recipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from recipes_core.errors import Cancelled, DataError, ExecutionError, ModuleFailed, Problem, RecipeError
from recipes_core.graph import Graph
from recipes_core.plan import PlannedStep


def step_failure(graph: Graph, planned: PlannedStep, error: BaseException | None) -> RecipeError:
    """The error of a step.

    Parameters
    ----------
    error : exception
        What the module raised.
    """
    if isinstance(error, (KeyboardInterrupt, Cancelled)):
        return Cancelled(f"cancelled in step '{planned.step}'")
    if isinstance(error, RecipeError):
        return error.relocated(_place(graph, planned, problem) for problem in error.problems)
    if isinstance(error, MemoryError):
        message, hint = "the memory of this machine does not suffice.", "Use smaller windows, a coarser pixel or fewer threads."
    else:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        message, hint = f"{planned.module} failed: {text}.", "Run again with -v to see where."
    return ModuleFailed(message, problems=[graph.problem("X200", message, hint, step=planned.step)])


def _place(graph: Graph, planned: PlannedStep, problem: Problem) -> Problem:
    if problem.line is not None or problem.step:
        return problem
    return graph.problem(problem.code, problem.message, problem.hint, step=planned.step)


def together(failures: Sequence[RecipeError]) -> RecipeError:
    """Several failures of one run as one error, of the kind of the first."""
    if len(failures) == 1:
        return failures[0]
    found = failures[0].relocated(problem for failure in failures for problem in failure.problems)
    found.__cause__ = failures[0].__cause__
    return found


def missing_inputs(graph: Graph, missing: Collection[str], present: Collection[str]) -> RecipeError:
    """The error for free inputs that were not given: which there are, their types and who takes them."""
    problems = []
    for key in missing:
        free = graph.free_inputs.get(key)
        if free is None:
            return ExecutionError(f"'{key}' is not there", code="X130")
        takers = ", ".join(f"{place.step}.{place.port}" for place in free.consumers)
        place = free.consumers[0] if free.consumers else None
        message = f"input '{key}' ({free.kind.__name__}, taken by {takers}) is missing."
        given = [name for name in present if name in graph.free_inputs]
        hint = f"Give it with -i {key}=FILE." + (f" Given: {', '.join(given)}." if given else "")
        problems.append(graph.problem("D110", message, hint, step=place.step if place else "", port=place.port if place else ""))
    return DataError(problems[0].message, code="D110", problems=problems)
