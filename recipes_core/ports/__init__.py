"""Typed ports and parameters: what a module declares."""

from recipes_core.ports.connections import Input, Output, Port
from recipes_core.ports.parameters import (
    Bool,
    Bounds,
    Choice,
    FilePath,
    FilePaths,
    Float,
    FrozenDict,
    Int,
    ListOf,
    MapOf,
    Parameter,
    Range,
    Str,
    map_paths,
)

__all__ = [
    "Bool",
    "Bounds",
    "Choice",
    "FilePath",
    "FilePaths",
    "Float",
    "FrozenDict",
    "Input",
    "Int",
    "ListOf",
    "MapOf",
    "Output",
    "Parameter",
    "Port",
    "Range",
    "Str",
    "map_paths",
]
