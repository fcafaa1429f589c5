"""Errors that come from another process, as plain values on the way."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from recipes_core import errors
from recipes_core.errors import Problem, RecipeError


class RemoteTraceback(Exception):
    """Shows where an error arose in another process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class RemoteError(Exception):
    """Stands for an error of another process whose type does not matter here."""


@dataclass(frozen=True)
class Fault:
    """An error as plain values.

    Parameters
    ----------
    kinds : tuple of str
        Names of its types, the most special one first.
    message, code, hint : str
    problems : tuple of Problem
    text : str
        The traceback.
    """

    kinds: tuple[str, ...]
    message: str
    code: str = ""
    hint: str = ""
    problems: tuple[Problem, ...] = ()
    text: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """Take an error apart."""
        kinds = tuple(kind.__name__ for kind in type(error).__mro__)
        text = "".join(traceback.format_exception(error))
        if isinstance(error, RecipeError):
            return cls(kinds, error.message, error.code, error.hint, error.problems, text)
        return cls(kinds, str(error), text=text)

    def error(self) -> BaseException:
        """An error of the nearest type that is known here; its cause shows the traceback."""
        known = next((found for name in self.kinds if _is_ours(found := getattr(errors, name, None))), None)
        error: BaseException
        if known is not None:
            error = known(self.message, code=self.code, hint=self.hint, problems=self.problems)
        elif "MemoryError" in self.kinds:
            error = MemoryError(self.message)
        else:
            error = type(self.kinds[0], (RemoteError,), {})(self.message)
        error.__cause__ = RemoteTraceback(self.text)
        return error


def _is_ours(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, RecipeError)
