"""Expressions over the columns of a table: parsed into a tree of our own, and evaluated by it; nothing is ever executed."""

from recipes_modules.expressions.evaluate import evaluate
from recipes_modules.expressions.parse import CONSTANTS, FUNCTIONS, ExpressionError, Node, names_in, parse

__all__ = ["CONSTANTS", "FUNCTIONS", "ExpressionError", "Node", "evaluate", "names_in", "parse"]
