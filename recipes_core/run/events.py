"""What a run tells while it goes on, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recipes_core.plan import Plan, PlannedStep
from recipes_core.plugins import registry


@dataclass
class StepResult:
    """How a step went.

    Parameters
    ----------
    step, module : str
    state : str
        ``done``, ``cached`` (on disk), ``current`` (in memory), ``write``, ``not needed``, ``failed``, ``cancelled`` or ``not run``.
    reason : str
        Why it ran.
    seconds : float
    inputs, outputs : mapping
        Key -> one line about the object.
    warnings, messages : list of str
        What the module said.
    key : str
        Under which its results are kept.
    """

    step: str
    module: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    key: str = ""


@dataclass
class RunReport:
    """How a run went: a result for each step of the plan, in order, and what the cache has to say."""

    plan: Plan
    steps: list[StepResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, later: RunReport) -> None:
        """Take in what had to be made again since, such as a result that was damaged when it was to be saved."""
        again = {result.step: result for result in later.steps if result.state == "done"}
        self.steps = [again.get(result.step, result) for result in self.steps]
        self.notes += [note for note in later.notes if note not in self.notes]

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """(step, warning) of the whole run."""
        return [(result.step, text) for result in self.steps for text in result.warnings]


class Listener:
    """Receives the events of a run; this one ignores them."""

    def run_started(self, plan: Plan) -> None:
        """The run begins."""

    def step_started(self, step: PlannedStep) -> None:
        """A step begins."""

    def progress(self, step: str, done: float, total: float) -> None:
        """A step has done `done` of `total`."""

    def message(self, step: str, text: str) -> None:
        """A module told a fact."""

    def warning(self, step: str, text: str) -> None:
        """A module warned."""

    def step_finished(self, result: StepResult) -> None:
        """A step has ended."""

    def run_finished(self, report: RunReport) -> None:
        """The run has ended, well or not."""


class PluginListener(Listener):
    """Passes events on to plugins; an error in a plugin becomes a warning and stops nothing."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn

    def _call(self, hook: str, **arguments: object) -> None:
        for implementation in getattr(registry().manager.hook, hook).get_hookimpls():
            accepted = {name: arguments[name] for name in implementation.argnames}
            try:
                implementation.function(**accepted)
            except Exception as error:  # whatever a third party raises must not spoil a run
                self._warn(f"plugin '{implementation.plugin_name}' failed in {hook}: {type(error).__name__}: {error}")

    def run_started(self, plan: Plan) -> None:
        self._call("run_started", plan=plan)

    def step_finished(self, result: StepResult) -> None:
        self._call("node_finished", result=result)

    def run_finished(self, report: RunReport) -> None:
        self._call("run_finished", report=report)


class Listeners(Listener):
    """Passes events on to several listeners."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def run_started(self, plan: Plan) -> None:
        for listener in self.listeners:
            listener.run_started(plan)

    def step_started(self, step: PlannedStep) -> None:
        for listener in self.listeners:
            listener.step_started(step)

    def progress(self, step: str, done: float, total: float) -> None:
        for listener in self.listeners:
            listener.progress(step, done, total)

    def message(self, step: str, text: str) -> None:
        for listener in self.listeners:
            listener.message(step, text)

    def warning(self, step: str, text: str) -> None:
        for listener in self.listeners:
            listener.warning(step, text)

    def step_finished(self, result: StepResult) -> None:
        for listener in self.listeners:
            listener.step_finished(result)

    def run_finished(self, report: RunReport) -> None:
        for listener in self.listeners:
            listener.run_finished(report)
