"""The recipe as an object: lazy execution, invalidation, the toggle, changes of structure."""

import random
from itertools import pairwise

import numpy as np
import pytest
from traits.api import TraitError

from recipes_core import Recipe
from recipes_core.data import Drift, Localizations, Scalars
from recipes_core.errors import Cancelled, DataError, ModuleFailed, RecipeInvalid, UsageError
from recipes_core.module import ModuleBase
from recipes_core.plan import StepState
from recipes_core.ports import Bool, Float, Input, Output

RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()


class Add(ModuleBase):
    """Adds a number to x."""

    input_localizations = Input(Localizations, "Localizations", requires=("x",))
    output_localizations = Output(Localizations, "added", like="input_localizations")
    output_sum = Output(Scalars, "sum", diagnostic=True)
    by = Float(1.0)
    fail = Bool(False)
    threads = Float(1.0, affects_result=False)

    def run(self, ctx, input_localizations):
        RAN.append(ctx.step)
        if self.fail:
            raise ZeroDivisionError("on purpose")
        table = input_localizations.with_columns({"x": input_localizations["x"] + self.by})
        made = {"output_localizations": table}
        if ctx.wanted("output_sum"):
            made["output_sum"] = Scalars({"sum": table["x"].sum()})
        return made


class Join(ModuleBase):
    """Joins tables end to end."""

    input_tables = Input(Localizations, (), many=True)
    input_extra = Input(Localizations, "extra", optional=True)
    output_localizations = Output(Localizations, "joined")

    def run(self, ctx, input_tables, input_extra):
        RAN.append(ctx.step)
        tables = [*input_tables, *([input_extra] if input_extra is not None else [])]
        return Localizations({"x": np.concatenate([table["x"] for table in tables])})


def table(*x):
    return Localizations({"x": np.array(x, dtype=float)})


def chain(n=3):
    """in -> k0 -> k1 -> k2, each adding 1."""
    keys = ["in", *(f"k{index}" for index in range(n))]
    return Recipe([Add(input_localizations=a, output_localizations=b) for a, b in pairwise(keys)])


def test_only_what_is_asked_for_runs_and_only_once():
    recipe = chain()
    recipe.namespace["in"] = table(0)
    assert recipe["k1"]["x"].tolist() == [2.0]
    assert RAN == ["Add", "Add_2"]
    assert recipe["k1"]["x"].tolist() == [2.0]
    assert recipe["k0"]["x"].tolist() == [1.0]
    assert RAN == ["Add", "Add_2"]
    assert recipe["k2"]["x"].tolist() == [3.0]
    assert RAN == ["Add", "Add_2", "Add_3"]


def test_a_changed_parameter_makes_what_depends_on_it_stale():
    recipe = chain()
    recipe.namespace["in"] = table(0)
    recipe.execute()
    RAN.clear()
    recipe.steps["Add_2"].by = 10
    assert RAN == [], "off: nothing runs until asked"
    assert set(recipe.namespace) == {"in", "k0"}, "stale data are not handed out"
    with pytest.raises(KeyError, match="stale"):
        recipe.namespace["k2"]
    explained = recipe.plan().explain()
    assert "by 1.0 -> 10.0" in explained
    assert "after Add_2" in explained
    assert recipe["k2"]["x"].tolist() == [12.0]
    assert RAN == ["Add_2", "Add_3"]


def test_a_parameter_set_back_is_no_change():
    recipe = chain(1)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.steps["Add"].by = 5
    recipe.steps["Add"].by = 1
    assert recipe.plan().to_run == ()


def test_parameters_without_effect_on_results_do_not_count():
    recipe = chain(1)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.steps["Add"].threads = 8
    assert recipe.plan().to_run == ()


def test_a_new_input_makes_everything_stale():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.namespace["in"] = table(5)
    assert "input 'in' changed" in recipe.plan().explain()
    assert recipe["k1"]["x"].tolist() == [7.0]


def test_inputs_can_be_given_to_execute():
    recipe = chain(2)
    assert recipe.execute(targets=["k0"], **{"in": table(1, 2)})["k0"]["x"].tolist() == [2.0, 3.0]
    assert RAN == ["Add"]


def test_toggle_on_runs_what_was_last_asked_for():
    recipe = chain()
    recipe.namespace["in"] = table(0)
    recipe.execute(targets=["k1"])
    recipe.trait_set(execute_on_invalidation=True)
    RAN.clear()
    recipe.steps["Add"].by = 2
    assert RAN == ["Add", "Add_2"]
    assert recipe.namespace["k1"]["x"].tolist() == [3.0]


def test_toggle_on_runs_all_sinks_where_nothing_was_asked_for():
    recipe = chain(2)
    recipe.execute_on_invalidation = True
    recipe.steps["Add"].by = 3
    assert RAN == [], "no input yet: there is nothing to run on"
    recipe.namespace["in"] = table(0)
    assert RAN == ["Add", "Add_2"]
    assert recipe.namespace["k1"]["x"].tolist() == [4.0]


def test_toggle_on_follows_modules_added_and_removed():
    recipe = chain(1)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.execute_on_invalidation = True
    RAN.clear()
    step = recipe.add(Add(input_localizations="k0", output_localizations="k1", by=5))
    assert [step] == RAN
    assert recipe.namespace["k1"]["x"].tolist() == [6.0]
    recipe.remove(step)
    assert "k1" not in recipe.namespace
    with pytest.raises(UsageError, match="no key 'k1'"):
        recipe["k1"]


def test_edits_are_one_change():
    recipe = chain()
    recipe.namespace["in"] = table(0)
    recipe.execute_on_invalidation = True
    recipe.execute()
    RAN.clear()
    with recipe.edit():
        recipe.steps["Add"].by = 5
        recipe.steps["Add_3"].by = 7
        recipe.add(Add(input_localizations="k2", output_localizations="k3"))
        assert RAN == []
    assert sorted(RAN) == ["Add", "Add_2", "Add_3", "Add_4"]
    assert recipe.namespace["k3"]["x"].tolist() == [14.0]


def test_a_failed_edit_leaves_the_recipe_as_it_was():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    with pytest.raises(ZeroDivisionError), recipe.edit():
        recipe.steps["Add"].by = 5
        recipe.remove("Add_2")
        raise ZeroDivisionError
    assert list(recipe.steps) == ["Add", "Add_2"]
    assert recipe.steps["Add"].by == 1
    assert recipe["k1"]["x"].tolist() == [2.0]


def test_rewiring_and_a_removed_producer_leave_nothing_stale():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.steps["Add"].output_localizations = "elsewhere"
    assert "k0" not in recipe.namespace
    with pytest.raises(DataError, match="input 'k0'"):
        recipe["k1"]
    recipe.steps["Add_2"].input_localizations = "elsewhere"
    assert recipe["k1"]["x"].tolist() == [2.0]


def test_removing_a_producer_makes_its_key_an_input_that_is_missing():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.remove("Add")
    assert list(recipe.inputs) == ["in", "k0"] or list(recipe.inputs) == ["k0"]
    with pytest.raises(DataError, match="'k0'"):
        recipe["k1"]


def test_diagnostic_outputs_are_made_only_when_asked_for():
    recipe = chain(1)
    recipe.namespace["in"] = table(0, 1)
    recipe.execute()
    assert "sum" not in recipe.namespace
    assert recipe["sum"]["sum"] == 3.0
    assert RAN == ["Add", "Add"]
    assert recipe["k0"]["x"].tolist() == [1.0, 2.0]
    assert RAN == ["Add", "Add"]


def test_many_and_optional_inputs():
    recipe = Recipe([Join(input_tables=["a", "b"])])
    assert {key: item.required for key, item in recipe.inputs.items()} == {"a": False, "b": False}
    recipe.namespace.update(a=table(1), b=table(2))
    assert recipe["joined"]["x"].tolist() == [1.0, 2.0]


def test_an_optional_input_counts_when_it_is_given():
    recipe = Recipe([Join(input_tables=["a"], input_extra="b")])
    recipe.namespace["a"] = table(1)
    assert recipe["joined"]["x"].tolist() == [1.0]
    recipe.namespace["b"] = table(2)
    assert recipe["joined"]["x"].tolist() == [1.0, 2.0]
    del recipe.namespace["b"]
    assert recipe["joined"]["x"].tolist() == [1.0]


def test_default_keys_of_several_modules_do_not_collide():
    recipe = Recipe([Add(), Add()])
    assert [module.output_localizations for module in recipe.steps.values()] == ["added", "added_1"]


def test_faults_of_structure_change_nothing():
    recipe = chain(2)
    with pytest.raises(RecipeInvalid, match="already"):
        recipe.add(Add(input_localizations="in", output_localizations="k0"))
    with pytest.raises(RecipeInvalid, match="circle"):
        recipe.add(Add(input_localizations="k9", output_localizations="k9"))
    assert list(recipe.steps) == ["Add", "Add_2"]
    with pytest.raises(UsageError, match="Did you mean 'Add_2'"):
        recipe.remove("Add2")


def test_a_failing_step_keeps_what_came_before():
    recipe = chain()
    recipe.namespace["in"] = table(0)
    recipe.steps["Add_2"].fail = True
    with pytest.raises(ModuleFailed, match=r"step 'Add_2'.*ZeroDivisionError: on purpose") as caught:
        recipe.execute()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert set(recipe.namespace) == {"in", "k0"}
    recipe.steps["Add_2"].fail = False
    RAN.clear()
    recipe.execute()
    assert RAN == ["Add_2", "Add_3"]


def test_ctrl_c_is_a_cancelled_run(monkeypatch):
    recipe = chain(2)
    recipe.namespace["in"] = table(0)

    def interrupted(self, ctx, input_localizations):
        raise KeyboardInterrupt

    monkeypatch.setattr(Add, "run", interrupted)
    with pytest.raises(Cancelled, match="step 'Add'"):
        recipe.execute()
    assert set(recipe.namespace) == {"in"}


def test_wrong_inputs_are_named():
    recipe = chain(1)
    with pytest.raises(UsageError, match="no input 'inn'.*Did you mean 'in'"):
        recipe.namespace["inn"] = table(0)
    with pytest.raises(DataError, match="takes Localizations, not Drift"):
        recipe.namespace["in"] = Drift([0], [[0, 0, 0]])
    with pytest.raises(UsageError, match="no input 'k0'"):
        recipe.namespace["k0"] = table(0)
    with pytest.raises(DataError, match=r"input 'in' \(Localizations, taken by Add.input_localizations\) is missing"):
        recipe.execute()


def test_history_says_what_data_came_from():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    history = recipe["k1"].history
    assert [(entry.step, entry.module) for entry in history] == [("in", "given"), ("Add", "Add"), ("Add_2", "Add")]
    assert history[2].inputs == {"input_localizations": "k0"}


def test_any_sequence_of_edits_ends_in_what_a_new_recipe_makes():
    """What ran is what was planned, and results are those of a recipe that never saw the edits."""
    choose = random.Random(4)
    for _ in range(60):
        recipe = chain(4)
        recipe.namespace["in"] = table(0)
        for _ in range(choose.randint(1, 8)):
            action = choose.choice(["parameter", "input", "ask", "rewire"])
            if action == "parameter":
                recipe.steps[choose.choice(list(recipe.steps))].by = choose.randint(1, 3)
            elif action == "input":
                recipe.namespace["in"] = table(choose.randint(0, 3))
            elif action == "rewire":
                recipe.steps["Add_4"].input_localizations = choose.choice(["in", "k0", "k1", "k2"])
            else:
                target = choose.choice(["k0", "k1", "k2", "k3"])
                planned = [step.step for step in recipe.plan([target]).steps if step.state is StepState.RUN]
                RAN.clear()
                recipe[target]
                assert planned == RAN
        fresh = chain(4)
        for step, module in recipe.steps.items():
            fresh.steps[step].trait_set(by=module.by, input_localizations=module.input_localizations)
        fresh.namespace["in"] = recipe.namespace["in"]
        assert recipe["k3"]["x"].tolist() == fresh["k3"]["x"].tolist()


def test_a_refused_module_leaves_the_keys_of_others_alone():
    recipe = Recipe([Add()])
    with pytest.raises(RecipeInvalid):
        recipe.add(Add(input_localizations="added", output_localizations="Localizations"))
    assert recipe.steps["Add"].output_localizations == "added"


def test_several_values_set_at_once_are_one_change():
    recipe = chain(1)
    recipe.namespace["in"] = table(0)
    recipe.execute_on_invalidation = True
    recipe.execute()
    RAN.clear()
    recipe.steps["Add"].trait_set(by=5, threads=2.0)
    assert RAN == ["Add"]
    with pytest.raises(TraitError):
        recipe.steps["Add"].trait_set(by=7, threads="many")
    assert recipe.steps["Add"].by == 5
    assert RAN == ["Add"]


def test_changes_that_follow_each_other_quickly_run_once():
    recipe = chain(2)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    recipe.quiet_time = 0.2
    recipe.execute_on_invalidation = True
    RAN.clear()
    for by in range(2, 12):
        recipe.steps["Add"].by = by
    assert RAN == []
    recipe.settle()
    assert RAN == ["Add", "Add_2"]
    assert recipe.namespace["k1"]["x"].tolist() == [12.0]
    recipe.steps["Add"].fail = True
    with pytest.raises(ModuleFailed):
        recipe.settle()
    recipe.steps["Add"].fail = False
    recipe.steps["Add"].by = 1
    assert recipe["k1"]["x"].tolist() == [2.0], "asking does not wait for quiet"
    RAN.clear()
    recipe.settle()
    assert RAN == []
