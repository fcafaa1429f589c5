"""Running: where objects are, the runner, and what a run tells."""

from recipes_core.run.events import Listener, Listeners, PluginListener, RunReport, StepResult
from recipes_core.run.runner import Runner
from recipes_core.run.workspace import Given, ResultLost, Workspace

__all__ = [
    "Given",
    "Listener",
    "Listeners",
    "PluginListener",
    "ResultLost",
    "RunReport",
    "Runner",
    "StepResult",
    "Workspace",
]
