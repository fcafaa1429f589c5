"""The recipe language: YAML in two forms, read with places and with all faults at once."""

from recipes_core.language.document import InputSpec, Mark, RecipeDocument, Reference, StepNames, StepSpec, make_step
from recipes_core.language.dump import dump
from recipes_core.language.full_form import full_form
from recipes_core.language.keys import settle_output_keys
from recipes_core.language.load import load, loads
from recipes_core.language.overrides import Override, parse_override, parse_value

__all__ = [
    "InputSpec",
    "Mark",
    "Override",
    "RecipeDocument",
    "Reference",
    "StepNames",
    "StepSpec",
    "dump",
    "full_form",
    "load",
    "loads",
    "make_step",
    "parse_override",
    "parse_value",
    "settle_output_keys",
]
