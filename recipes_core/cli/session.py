"""One call of ``recipe run``: a recipe with its files, and where the results go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from recipes_core.cli import faults
from recipes_core.cli.assignments import Assignments
from recipes_core.cli.show import listener_for, print_summary
from recipes_core.data import DataObject
from recipes_core.errors import Problem, UsageError
from recipes_core.graph import data_flow
from recipes_core.plan import Plan
from recipes_core.recipe import Recipe
from recipes_core.run import Listener, Listeners, PluginListener, RunReport
from recipes_core.run.binding import Bound, bind_input, bind_named
from recipes_core.run.results import Layout, Selection, check_folder, refuse_unknown, select_results


class Session:
    """A recipe whose inputs are bound.

    Parameters
    ----------
    recipe : Recipe
    recipe_file, input_file : str
        As they were typed.
    bound : list of Bound
    """

    def __init__(self, recipe: Recipe, recipe_file: str, input_file: str | None, bound: list[Bound]) -> None:
        self.recipe = recipe
        self.recipe_file = recipe_file
        self.input_file = input_file
        self.bound = bound
        self.warnings = [problem for problem in recipe.problems if problem.severity == "warning"]
        self.warnings += [Problem("W120", note, file=str(item.path), severity="warning") for item in bound for note in item.notes]

    @classmethod
    def open(cls, recipe_file: str, input_file: str | None, assignments: Assignments) -> Session:
        """Load a recipe and bind its inputs: those named with -i, then INPUT, then what the recipe itself names."""
        recipe = Recipe.load(recipe_file, assignments.overrides())
        graph = recipe.graph
        files = assignments.files()
        refuse_unknown(files, recipe.inputs, "input")
        for name, path in files.items():
            if not path and recipe.inputs[name].required:
                raise UsageError(f"-i {name}=: only an optional input can be left out; '{name}' is needed", code="U133")
        bound = [bind_named(graph, name, path) for name, path in files.items() if path]
        if input_file:
            bound += bind_input(graph, input_file, files)
        given = {item.key for item in bound} | set(files)
        defaults = recipe.default_bindings(skip=given)
        metadata = assignments.metadata_of(recipe.inputs)
        recipe.bind([_with(item, metadata.get(item.key, {})) for item in (*bound, *defaults)])
        session = cls(recipe, recipe_file, input_file, [*bound, *defaults])
        session._note_left_defaults(defaults, bound)
        return session

    def _note_left_defaults(self, defaults: list[Bound], bound: list[Bound]) -> None:
        for item in defaults if bound else ():
            message = f"input '{item.key}' still comes from the recipe: {item.path.name}."
            optional = not self.recipe.inputs[item.key].required
            hint = f"Replace it with -i {item.key}=FILE" + (f" or leave it out with -i {item.key}=." if optional else ".")
            self.warnings.append(Problem("W110", message, hint, severity="warning"))

    def layout(self, output_dir: Path | None) -> Layout:
        """Where results go: -o, else RECIPE_results in the current folder."""
        folder = output_dir or Path.cwd() / f"{Path(self.recipe_file).stem}_results"
        return Layout(folder, self.recipe.file_stub(self.input_file))

    def select(self, targets: tuple[str, ...]) -> Selection:
        """What to save."""
        return select_results(self.recipe.graph, self.recipe.outputs, targets)

    def check_destinations(self, layout: Layout, selection: Selection) -> None:
        """Find out before a long run that a result could not be written."""
        known, _ = data_flow(self.recipe.graph, {item.key: item.known() for item in self.bound})
        kinds = {key: known[key].kind for key in known}
        telling = {key: pattern for key, pattern in selection.keys.items() if kinds.get(key, DataObject) is not DataObject}
        layout.destinations(self.recipe.graph, Selection(telling, selection.writers), kinds.__getitem__)

    @staticmethod
    def planned_steps(plan: Plan) -> list[dict[str, Any]]:
        """The plan for ``--json``."""
        return [
            {"step": step.step, "module": step.module, "state": step.state.value, "reason": step.reason, "seconds": 0.0}
            for step in plan.steps
        ]

    def run_and_save(self, layout: Layout, selection: Selection, state: dict[str, Any], show: str) -> None:
        """Run, save, and tell how it went; `state` receives steps and outputs as they come."""
        check_folder(layout.output_dir)
        if show != "none":
            faults.echo_problems(self.warnings)
        listener = listener_for(show)
        plugins = PluginListener(lambda text: click.echo(text, err=True))
        collector = _Collector(state)
        report = self.recipe.run(selection, listener=Listeners(collector, plugins, listener))
        written = self.recipe.write(selection, layout)
        state["outputs"] = {label: str(path) for label, path in written.items()}
        self.warnings += [Problem("W100", text, step=step, severity="warning") for step, text in report.warnings]
        if show not in ("none", "quiet"):
            print_summary(report, written, layout.output_dir)


class _Collector(Listener):
    """Keeps the results of steps for ``--json``, also those of a run that fails."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def run_finished(self, report: RunReport) -> None:
        self.state["steps"] = [asdict(result) for result in report.steps]


def _with(item: Bound, metadata: dict[str, Any]) -> Bound:
    return Bound(item.key, item.path, item.dataset, {**item.metadata, **metadata}, item.notes) if metadata else item
