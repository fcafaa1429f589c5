"""Modules for the tests of the language: small, with every kind of port and parameter."""

from __future__ import annotations

from recipes_core.data import DataObject, Drift, Figure, ImageStack, Localizations
from recipes_core.module import ModuleBase
from recipes_core.plugins import DatatypeRef, ModuleRef
from recipes_core.ports import (
    Bool,
    Bounds,
    Choice,
    FilePath,
    FilePaths,
    Float,
    Input,
    Int,
    ListOf,
    MapOf,
    Output,
    Range,
    Str,
)


class Correlate(ModuleBase):
    """Measures drift."""

    input_localizations = Input(Localizations, "Localizations", aliases=("input_for_correction",))
    input_truth = Input(Drift, "truth", optional=True)
    output_drift = Output(Drift, "drift")
    output_figure = Output(Figure, "figure", diagnostic=True)
    binsize = Range(1.0, 1000.0, 30.0, aliases=("pixel_size",))
    step = Int(500, low=1)
    method = Choice(("RCC", "MCC", "DCC"), "RCC")
    flatten_z = Bool(True)
    label = Str("")
    weights = ListOf(Float(0.0))

    def check(self):
        if self.method == "MCC" and self.step < 10:
            yield "MCC needs a step of at least 10."

    def run(self, ctx, **inputs):
        raise NotImplementedError


class Shift(ModuleBase):
    """Applies drift."""

    input_localizations = Input(Localizations, "Localizations")
    input_drift = Input(Drift, "drift")
    output_localizations = Output(Localizations, "shifted", like="input_localizations")
    amount = Float(optional=True, default=None)

    def run(self, ctx, **inputs):
        raise NotImplementedError


class Filter(ModuleBase):
    """Keeps rows inside of bounds."""

    inputName = Input(Localizations, "Localizations")
    outputName = Output(Localizations, "filtered", like="inputName")
    filters = MapOf(Bounds())

    def run(self, ctx, **inputs):
        raise NotImplementedError


class LoadDrift(ModuleBase):
    """Reads drift."""

    input_dummy = Input(DataObject, "")
    output_drift = Output(Drift, "drift")
    load_path = FilePath("")
    load_paths = FilePaths(["drift.npz"])

    def run(self, ctx, **inputs):
        raise NotImplementedError


class Merge(ModuleBase):
    """Takes many."""

    inputs_many = Input(Localizations, ("a", "b"), many=True)
    output_localizations = Output(Localizations, "merged")
    output_also = Output(Localizations, "also")

    def run(self, ctx, **inputs):
        raise NotImplementedError


class ClipOne(ModuleBase):
    """One of two modules called Clip."""

    input_image = Input(ImageStack, "image")
    output_image = Output(ImageStack, "clipped")
    radius = Float(1.0)
    common = Float(1.0)

    def run(self, ctx, **inputs):
        raise NotImplementedError


class ClipTwo(ClipOne):
    """The other one."""

    sigma = Float(1.0)
    radius = Str("no number here")


class WithId(ModuleBase):
    """Declares what it must not."""

    output_localizations = Output(Localizations, "out")
    id = Str("")


class FailingCheck(ModuleBase):
    """Its check is broken."""

    output_localizations = Output(Localizations, "out")

    def check(self):
        raise KeyError("oops")


class Plugin:
    """What the tests register."""

    modules = (
        ModuleRef("tests.Correlate", "language_modules:Correlate", aliases=("old.Measure_Drift",)),
        ModuleRef("tests.Shift", "language_modules:Shift"),
        ModuleRef("tests.Filter&Co", "language_modules:Filter", aliases=("OldFilter",)),
        ModuleRef("tests.LoadDrift", "language_modules:LoadDrift"),
        ModuleRef("tests.Merge", "language_modules:Merge"),
        ModuleRef("one.Clip", "language_modules:ClipOne"),
        ModuleRef("two.Clip", "language_modules:ClipTwo"),
        ModuleRef("tests.Broken", "language_modules_that_are_missing:Broken"),
        ModuleRef("tests.NoModule", "language_modules:Plugin"),
        ModuleRef("tests.WithId", "language_modules:WithId"),
        ModuleRef("tests.FailingCheck", "language_modules:FailingCheck"),
    )

    def register_modules(self):
        return self.modules

    def register_datatypes(self):
        return (
            DatatypeRef("Localizations", "recipes_core.data:Localizations"),
            DatatypeRef("ImageStack", "recipes_core.data:ImageStack"),
            DatatypeRef("Drift", "recipes_core.data:Drift"),
        )
