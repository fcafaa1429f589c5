"""PYME's family `SKF_...`: a module for each filter of scikit-image (extra `image`)."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from recipes_core.errors import PluginError
from recipes_core.ports import Bool, Choice, Float, Int, Str
from recipes_modules.image_base import Array, ImageFilter, skimage

_WHOLE = ("size", "num", "nbins", "npad")
_NOT_PARAMETERS = {"image", "out", "mask", "hist", "axis", "channel_axis", "preserve_range", "return_all", "filter_params"}


class _SkimageFilter(ImageFilter):
    """Base of the family; `function` is the name in `skimage.filters`."""

    function = ""

    def filtered(self, block: Array, found: Any) -> Array:
        values = {name: value for name, value in self.parameter_values().items() if name not in _SkimageFilter.parameters()}
        made = getattr(skimage("filters"), self.function)(block, **values)
        if isinstance(made, tuple):
            made = made[0]
        if self.function.startswith("threshold_"):
            return np.asarray(block > made)
        return np.asarray(made)


def _parameter(name: str, default: Any) -> Any:
    """The parameter of a module for a parameter of a function; None where a recipe cannot write it."""
    told = f"`{name}` of the function"
    if isinstance(default, bool):
        return Bool(default, desc=told)
    if isinstance(default, int):
        # What is whole by default may be none elsewhere, such as a width; where it must be whole the function says so.
        return Int(default, desc=told) if any(word in name for word in _WHOLE) else Float(default, desc=told)
    if isinstance(default, float):
        return Float(default, desc=told)
    if isinstance(default, str):
        modes = ("reflect", "constant", "nearest", "mirror", "wrap")
        return Choice(modes, default, desc=told) if name == "mode" and default in modes else Str(default, desc=told)
    return None


@cache
def _made(function: str) -> type[_SkimageFilter]:
    called = getattr(skimage("filters"), function, None)
    if called is None:
        raise PluginError(f"scikit-image has no filter '{function}' in this version", code="P120")
    name = f"SKF_{function}"
    first = (inspect.getdoc(called) or "").strip().splitlines()
    body: dict[str, Any] = {
        "__doc__": f"{first[0] if first else function} (`skimage.filters.{function}`).",
        "__module__": __name__,
        "__qualname__": name,
        "function": function,
        "version": 1,
        "result_type": np.uint8 if function.startswith(("threshold_", "apply_")) else np.float32,
    }
    for index, parameter in enumerate(inspect.signature(called).parameters.values()):
        default = parameter.default
        if index == 0 or parameter.name in _NOT_PARAMETERS:
            continue
        if default is inspect.Parameter.empty and parameter.name in _REQUIRED:
            default = _REQUIRED[parameter.name]
        made = _parameter(parameter.name, default)
        if made is not None:
            body[parameter.name] = made
    return type(name, (_SkimageFilter,), body)


_REQUIRED = {"block_size": 11, "low": 0.1, "high": 0.35, "low_sigma": 1.0, "frequency": 0.1}
"""Values for what the functions leave to the caller."""


def __getattr__(name: str) -> Any:
    if not name.startswith("SKF_"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return _made(name.removeprefix("SKF_"))
