"""Kills: concurrent runs that share a cache and result folders end at random moments; then everything is read."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from benchmarks.fault_scene import Running, Scene

SLOTS = 4
_ROUND = 50
_SMALL_CACHE = "3MB"
_SHARE_OF_PROCESSES = 0.25


@dataclass
class Tally:
    """What was done and what was found.

    Parameters
    ----------
    kills : Counter
        Ended processes, by what was ended and when.
    finished : int
        Runs that nobody ended, or that lost a worker only; each must end well.
    entries, results : int
        How many were read in full, after kills and after the runs that follow them.
    damaged, wrong, leftovers, orphans, waited, failed : list of str
        Damaged entries; results that are half written or differ; temporary files that are left after the next run and
        ``recipe cache gc``; processes that outlive their run; following runs that had to wait for a lock; runs that ended
        otherwise than they should.
    """

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    entries: int = 0
    results: int = 0
    followed: int = 0
    damaged: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def faults(self) -> dict[str, list[str]]:
        """Everything that should be empty."""
        names = ("damaged", "wrong", "leftovers", "orphans", "waited", "failed")
        return {name: found for name in names if (found := getattr(self, name))}

    def numbers(self) -> dict[str, Any]:
        """The counts."""
        values = {name: value for name, value in vars(self).items() if name != "kills"}
        counts = {name: len(value) if isinstance(value, list) else value for name, value in values.items()}
        return {"kills": self.kills.total(), "kills_by_kind": dict(self.kills), **counts}


@dataclass
class _Flight:
    running: Running
    kind: str
    variant: int
    deadline: float
    number: int


class Storm:
    """Kills runs of a scene.

    Parameters
    ----------
    scene : Scene
    seed : int
    fresh : float
        Share of runs in an interpreter of their own; others fork from one that is ready, so that moments fall into their work.
    variants : int
        Recipes that differ in every step.
    """

    def __init__(self, scene: Scene, seed: int, *, fresh: float = 0.1, variants: int = 8) -> None:
        self.scene = scene
        self.variants = variants
        self.random = random.Random(seed)
        self.fresh = fresh
        self.tally = Tally()
        self._number = 0
        self._changes: dict[str, int] = {}
        self._seconds: dict[tuple[str, bool], float] = {}

    def run(self, kills: int, tell: Callable[[str], None] = lambda text: None) -> Tally:
        """Kill so many processes, and read everything after each fifty of them."""
        for variant in range(self.variants):
            self.scene.right(variant)
        self._measure()
        while (left := kills - self.tally.kills.total()) > 0:
            self._round(min(left, _ROUND))
            self._read_all()
            tell(f"{self.tally.kills.total()} of {kills} kills, {sum(map(len, self.tally.faults().values()))} faults")
        return self.tally

    def _output(self, variant: int) -> str:
        return str(self.scene.folder / "out" / str(variant))

    def _measure(self) -> None:
        """How long runs last and how many changes they make."""
        count = self.scene.folder / "count"
        folders = f"{self.scene.folder}/measured_out:{self.scene.folder}/measured"
        for who, more in (
            ("driver", ()),
            ("driver", ("--executor", "processes", "--jobs", "2")),
            ("worker", ("--executor", "processes", "--jobs", "1")),
        ):
            name = "processes" if more else "serial"
            for fresh in (False, True) if self.fresh else (False,):
                begun = monotonic()
                ended = self.scene.call(
                    *self.scene.words(100, self.scene.folder / "measured_out", *more), fresh=fresh,
                    RECIPES_CACHE=str(self.scene.folder / "measured"), FAULT_FOLDERS=folders, FAULT_COUNT=str(count), FAULT_WHO=who,
                )  # fmt: skip
                assert ended.code == 0, ended.err
                if who == "driver":
                    self._seconds[name, fresh] = monotonic() - begun
                for path in ("measured", "measured_out"):
                    shutil.rmtree(self.scene.folder / path)
                if who == "worker":
                    break
            self._changes[name if who == "driver" else "worker"] = int(count.read_text())
            count.unlink()

    # -- kills ---------------------------------------------------------------------------------------------------------------

    def _round(self, kills: int) -> None:
        flights: list[_Flight] = []
        goal = self.tally.kills.total() + kills
        while self.tally.kills.total() < goal or flights:
            while len(flights) < SLOTS and self.tally.kills.total() < goal:
                flights.append(self._start())
            sleep(0.002)
            for flight in list(flights):
                if flight.running.poll() is not None:
                    flights.remove(flight)
                    self._ended(flight)
                elif monotonic() >= flight.deadline:
                    self._kill(flight)
        self.tally.orphans += self.scene.orphans()

    def _start(self) -> _Flight:
        self._number += 1
        draw = self.random
        variant, processes = draw.randrange(self.variants), draw.random() < _SHARE_OF_PROCESSES
        fresh = draw.random() < self.fresh
        kinds = ["clock", "change", "change"] + (["worker at a moment", "worker at a change"] if processes else [])
        kind = draw.choice(kinds)
        environment = {"FAULT_FOLDERS": f"{self.scene.cache}:{self._output(variant)}"}
        # The limit makes runs remove each other's results.
        environment["RECIPES_CACHE_SIZE"] = draw.choice([_SMALL_CACHE, ""])
        name = "processes" if processes else "serial"
        moment = float("inf")
        if kind in ("clock", "worker at a moment"):
            # Four at a time on few processors are slower than one alone.
            moment = draw.uniform(0, 1.5 * self._seconds[name, fresh])
        else:
            worker = kind.startswith("worker")
            environment["FAULT_AT"] = str(draw.randint(1, self._changes["worker" if worker else name]))
            environment["FAULT_TORN"] = draw.choice(["0", "1"])
            environment["FAULT_WHO"] = "worker" if worker else "driver"
            environment["FAULT_ONCE"] = str(self.scene.folder / "said" / f"killed{self._number}")
        more = ("--executor", "processes", "--jobs", "2") if processes else ()
        running = self.scene.start(*self.scene.words(variant, self._output(variant), *more), fresh=fresh, **environment)
        return _Flight(running, kind, variant, monotonic() + moment, self._number)

    def _kill(self, flight: _Flight) -> None:
        flight.deadline = float("inf")
        if flight.kind == "clock":
            flight.running.kill()
            return
        workers = flight.running.workers()
        if workers:
            try:
                import os

                os.kill(self.random.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                return
            self.tally.kills["worker at a moment"] += 1

    def _ended(self, flight: _Flight) -> None:
        ended = flight.running.wait()
        killed = ended.code == -signal.SIGKILL
        if killed:
            self.tally.kills[f"run at a {'moment' if flight.kind == 'clock' else 'change'}"] += 1
            return
        if flight.kind == "worker at a change" and (self.scene.folder / "said" / f"killed{flight.number}").exists():
            self.tally.kills[flight.kind] += 1
        self.tally.finished += 1
        if ended.code != 0 or "Traceback" in ended.err or "damaged" in ended.err:
            self.tally.failed.append(f"{flight.kind}: exit {ended.code}: {ended.err[-2000:]}")

    # -- reading -----------------------------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        scene, tally = self.scene, self.tally
        self._read_entries()
        self._read_results(complete=False)
        for variant in range(self.variants):
            ended = scene.call(*scene.words(variant, self._output(variant)), timeout=60)
            tally.followed += 1
            if ended.code != 0 or ended.err:
                tally.failed.append(f"the next run: exit {ended.code}: {ended.err[-2000:]}")
            tally.waited += [line for line in ended.out.split("\n") if "waiting" in line]
        self._read_results(complete=True)
        ended = scene.call("cache", "gc")
        if ended.code != 0 or ended.err:
            tally.failed.append(f"gc: exit {ended.code}: {ended.err[-2000:]}")
        self._read_entries()
        tally.leftovers += scene.leftovers()
        tally.damaged += scene.quarantine()
        # Another round begins with other damage than this one's.
        for folder in ("out", "cache"):
            shutil.rmtree(scene.folder / folder, ignore_errors=True)

    def _read_entries(self) -> None:
        self.tally.entries += len(self.scene.entries())
        self.tally.damaged += self.scene.damaged()

    def _read_results(self, *, complete: bool) -> None:
        for variant in range(self.variants):
            folder = self.scene.folder / "out" / str(variant)
            self.tally.results += sum(not path.name.startswith(".") for path in folder.glob("*"))
            self.tally.wrong += self.scene.wrong_results(folder, variant, complete=complete)
