"""Running: the store of objects, the runner, and what a run tells."""

from recipes_core.run.events import Listener, Listeners, PluginListener, RunReport, StepResult
from recipes_core.run.namespace import Store
from recipes_core.run.runner import Runner

__all__ = ["Listener", "Listeners", "PluginListener", "RunReport", "Runner", "StepResult", "Store"]
