"""Modules that wait, hold their input, or end their process; registered as a plugin of the tests' own."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from recipes_core import Float, ImageStack, Input, Int, Localizations, ModuleBase, Output, Str
from recipes_core.plugins import ModuleRef, hookimpl


@hookimpl
def register_modules():
    return [ModuleRef(f"crash.{name}", f"crash_modules:{name}", "A test.") for name in ("Crash_Wait", "Crash_Hold", "Crash_Die")]


def note(folder: str, name: str) -> None:
    """Leave a file that says what was reached."""
    if folder:
        (Path(folder) / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()


class Crash_Wait(ModuleBase):
    """Takes its time, asking whether it shall stop."""

    input = Input(Localizations, "input")
    output = Output(Localizations, "output")
    seconds = Float(1.0, affects_result=False, desc="how long it takes")
    notes = Str("", affects_result=False, desc="folder for notes")
    add = Float(1.0, desc="what is added to x")

    def run(self, ctx, input):  # noqa: A002
        note(self.notes, "began")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            ctx.check_cancelled()
            time.sleep(0.005)
        return input.with_columns({"x": input["x"] + self.add})


class Crash_Hold(ModuleBase):
    """Reads half of its inputs, waits for a file, and reads the rest."""

    input = Input(Localizations, "input")
    input_image = Input(ImageStack, "image")
    output = Output(Localizations, "output")
    notes = Str("", affects_result=False, desc="folder for notes")

    def run(self, ctx, input, input_image):  # noqa: A002
        half = float(input["x"][: len(input) // 2].sum())
        note(self.notes, "began")
        end = time.monotonic() + 60
        while not (Path(self.notes) / "go").exists() and time.monotonic() < end:
            time.sleep(0.005)
        total = half + float(sum(np.sum(input[name]) for name in ("x", "y")))
        total += float(input_image.frames(0, input_image.shape[0]).sum())
        return input.with_columns({"x": np.full(len(input), total)})


class Crash_Die(ModuleBase):
    """Kills its process a number of times."""

    input = Input(Localizations, "input")
    output = Output(Localizations, "output")
    times = Int(1, affects_result=False, desc="how often")
    notes = Str("", affects_result=False, desc="folder for notes")

    def run(self, ctx, input):  # noqa: A002
        if len(list(Path(self.notes).glob("died.*"))) < self.times:
            note(self.notes, "died")
            os.kill(os.getpid(), signal.SIGKILL)
        return input.with_columns({"x": input["x"] + 1})
