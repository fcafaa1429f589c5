"""Modules for the tests of executors. Workers import this file by its name."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from recipes_core import Float, Input, Int, ModuleBase, Output, Str, Table
from recipes_core.data import DataObject, Scalars
from recipes_core.run.executors.base import Executor


def note(log: str, text: str) -> None:
    """Add a line to a file; appending is atomic."""
    if log:
        with Path(log).open("a") as file:
            file.write(f"{text} {os.getpid()}\n")


def lines(log) -> list[list[str]]:
    """What was noted, and by which process."""
    return [line.split() for line in Path(log).read_text().splitlines()] if Path(log).exists() else []


class Start(ModuleBase):
    """Makes a number."""

    output = Output(Scalars, "start")
    value = Float(1.0, desc="the number")
    seconds = Float(0.0, affects_result=False, desc="how long it takes")
    log = Str("", affects_result=False, desc="file to write to")

    def run(self, ctx):
        note(self.log, f"{ctx.step}={self.value:g}")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            ctx.progress(time.monotonic(), end)
            time.sleep(0.01)
        ctx.say("a number")
        return Scalars({"value": self.value})


class Add(ModuleBase):
    """Adds to a number."""

    input = Input(Scalars, "start")
    output = Output(Scalars, "sum")
    by = Float(1.0, desc="what is added")
    log = Str("", affects_result=False, desc="file to write to")

    def run(self, ctx, input):  # noqa: A002
        note(self.log, ctx.step)
        return Scalars({"value": input["value"] + self.by})


class Fail(ModuleBase):
    """Fails on one number."""

    input = Input(Scalars, "start")
    output = Output(Scalars, "failed")
    at = Float(-1.0, desc="the number; every one where negative")

    def run(self, ctx, input):  # noqa: A002
        if self.at < 0 or input["value"] == self.at:
            raise ValueError(f"not {input['value']:g}")
        return input


class Die(ModuleBase):
    """Kills its process, until a file holds enough lines."""

    input = Input(Scalars, "start")
    output = Output(Scalars, "alive")
    times = Int(1, affects_result=False, desc="how often")
    log = Str("", affects_result=False, desc="file to count in")

    def run(self, ctx, input):  # noqa: A002
        if len(lines(self.log)) < self.times:
            note(self.log, "died")
            os.kill(os.getpid(), signal.SIGKILL)
        return input


class Hidden(DataObject):
    """A type that the cache cannot hold."""

    def __init__(self, value, **provenance):
        self.value = value
        self._init_provenance(provenance.get("metadata"), provenance.get("history", ()))


class Hide(ModuleBase):
    """Makes what the cache cannot hold."""

    input = Input(Scalars, "start")
    output = Output(Hidden, "hidden")

    def run(self, ctx, input):  # noqa: A002
        return Hidden(input["value"])


class Show(ModuleBase):
    """Takes what the cache cannot hold."""

    input = Input(Hidden, "hidden")
    output = Output(Scalars, "shown")

    def run(self, ctx, input):  # noqa: A002
        return Scalars({"value": input.value, "pid": os.getpid()})


class CountRows(ModuleBase):
    """Counts the rows of a table."""

    input = Input(Table, "table")
    output = Output(Scalars, "rows")
    seconds = Float(0.0, affects_result=False, desc="how long it takes")
    log = Str("", affects_result=False, desc="file to write to")

    def run(self, ctx, input):  # noqa: A002
        note(self.log, "counts")
        time.sleep(self.seconds)
        return Scalars({"rows": input.n_rows})


def square(log: str, seconds: float, item: int) -> dict[str, np.ndarray]:
    """One block."""
    note(log, f"block{item}")
    time.sleep(seconds)
    return {"square": np.array([item**2]), "row": np.arange(item)}


class Squares(ModuleBase):
    """Sums squares block by block."""

    spreads = True
    output = Output(Scalars, "squares")
    n = Int(8, desc="number of blocks")
    seconds = Float(0.0, affects_result=False, desc="for each block")
    log = Str("", affects_result=False, desc="file to write to")

    def run(self, ctx):
        total, order = 0, []
        for index, block in enumerate(ctx.map(partial(square, self.log, self.seconds), range(self.n), keep="squares")):
            total += int(block["square"][0])
            order.append(len(block["row"]))
            ctx.progress(index + 1, self.n)
        return Scalars({"total": total, "in_order": order == sorted(order)})


class Threads(Executor):
    """An executor as a plugin would bring it."""

    def __init__(self, address):
        self.address = address
        self.n_threads = 1
        self.name = "a thread"
        self.done = []
        self._pool = ThreadPoolExecutor(2)

    n_slots = 2

    def submit(self, work, argument, what, near=""):
        self.done.append(what)
        return self._pool.submit(work, argument, self)

    def tell(self, event):
        self.on_event(event)

    def cancelled(self):
        return False

    def cancel(self):
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self):
        self._pool.shutdown()


def open_threads(*, address, jobs, cache, tell):
    """Open it."""
    tell(f"threads at {address}")
    return Threads(address)
