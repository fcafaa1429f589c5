"""The plan: what will run, what is there already, and why.

One pure function serves run, dry run, explain, status, graph and notebook. Each step has a key that follows from its module, its
parameters, the keys of its inputs and the content of its files. Keys are known before anything runs; a result is current when it
was made under the key that its step has now.
"""

from recipes_core.plan.explaining import explain, planned_json
from recipes_core.plan.keys import identity_of, port_key, step_key
from recipes_core.plan.making import Knowledge, make_plan
from recipes_core.plan.model import Past, Plan, PlannedStep, StepIdentity, StepState, Where
from recipes_core.plan.reasons import Reason

__all__ = [
    "Knowledge",
    "Past",
    "Plan",
    "PlannedStep",
    "Reason",
    "StepIdentity",
    "StepState",
    "Where",
    "explain",
    "identity_of",
    "make_plan",
    "planned_json",
    "port_key",
    "step_key",
]
