"""The engine remembers: what ran is what was planned, after any sequence of edits, restarts and losses."""

import hashlib
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from recipes_core import Recipe
from recipes_core.cache.store import Cache
from recipes_core.data import Localizations, Scalars
from recipes_core.module import ModuleBase
from recipes_core.plan import StepState
from recipes_core.ports import Float, Input, Output

RAN: list[str] = []


class Add(ModuleBase):
    """Adds a number to x."""

    input_localizations = Input(Localizations, "Localizations", requires=("x",))
    output_localizations = Output(Localizations, "added", like="input_localizations")
    output_sum = Output(Scalars, "sum", diagnostic=True)
    by = Float(1.0)

    def run(self, ctx, input_localizations):
        RAN.append(ctx.step)
        table = input_localizations.with_columns({"x": input_localizations["x"] + self.by})
        made = {"output_localizations": table}
        if ctx.wanted("output_sum"):
            made["output_sum"] = Scalars({"sum": table["x"].sum()})
        return made


def table(*x):
    return Localizations({"x": np.array(x, dtype=float)})


def chain(cache, n=4, name="chain"):
    keys = ["in", *(f"k{index}" for index in range(n))]
    modules = [Add(input_localizations=a, output_localizations=b) for a, b in pairwise(keys)]
    return Recipe(modules, name=name, cache=cache)


def tree(folder):
    """Every file with its content and its times.

    Without the file that locks of a process hang on: an earlier recipe takes its own away when Python forgets the recipe.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.name != "locks" and path.suffix != ".own"):
        stat = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (content, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()


def test_results_are_there_in_another_process(tmp_path):
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    assert recipe["k3"]["x"].tolist() == [4.0]
    RAN.clear()
    again = chain(tmp_path)
    again.namespace["in"] = table(0)
    assert again["k3"]["x"].tolist() == [4.0]
    assert RAN == []


def test_a_hit_makes_what_stands_before_it_irrelevant(tmp_path):
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    plan = recipe.plan(["k3"])
    recipe.execute(["k3"])
    for step in plan.steps[:3]:
        for name in step.made.values():
            Cache(tmp_path).remove(name)
    again = chain(tmp_path)
    again.namespace["in"] = table(0)
    states = [step.state for step in again.plan(["k3"]).steps]
    assert states == [StepState.UNNEEDED] * 3 + [StepState.CACHED]


def test_what_changed_is_told_with_old_and_new_value_also_after_a_restart(tmp_path):
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    again = chain(tmp_path)
    again.namespace["in"] = table(0)
    again.steps["Add_2"].by = 5
    plan = again.plan()
    assert plan["Add"].state is StepState.CACHED
    assert plan["Add_2"].reason == "by 1.0 -> 5.0"
    assert plan["Add_3"].reason == "after Add_2"
    assert "3 to run" in plan.explain()


def test_two_recipes_share_what_is_the_same(tmp_path):
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    recipe.execute()
    RAN.clear()
    other = Recipe([Add(input_localizations="raw", output_localizations="moved")], name="other", cache=tmp_path)
    other.namespace["raw"] = table(0)
    assert other["moved"]["x"].tolist() == [1.0]
    assert RAN == []
    last = other["moved"].history[-1]
    assert (last.step, last.inputs, last.outputs) == (
        "Add", {"input_localizations": "raw"}, {"output_localizations": "moved"}
    ), "its history names this recipe's own keys"  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "zeros"])
def test_damage_costs_time_and_a_warning_and_nothing_else(tmp_path, damage):
    rng = np.random.default_rng(1)
    big = Localizations({"x": rng.normal(size=50_000), "y": rng.normal(size=50_000)})
    recipe = chain(tmp_path, 2)
    recipe.namespace["in"] = big
    expected = np.array(recipe["k1"]["x"])
    name = recipe.plan(["k1"]).names["k1"]
    entry = tmp_path / "entries" / name[:2] / name
    victim = max(entry.iterdir(), key=lambda path: path.stat().st_size)
    if damage == "flip":
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    elif damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "delete":
        victim.unlink()
    else:
        manifest = entry / "manifest.json"
        manifest.write_bytes(bytes(manifest.stat().st_size))
    again = chain(tmp_path, 2)
    again.namespace["in"] = big
    RAN.clear()
    np.testing.assert_array_equal(again["k1"]["x"], expected)
    assert RAN == ["Add_2"]
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(tmp_path):
    (tmp_path / "FORMAT").write_text("99\n")
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    assert recipe["k3"]["x"].tolist() == [4.0]
    assert "another version" in recipe._space.unkept


def test_looking_leaves_the_disk_as_it_is(tmp_path):
    recipe = chain(tmp_path)
    recipe.namespace["in"] = table(0)
    recipe.execute(["k1"])
    before = tree(tmp_path)
    looking = chain(Cache(tmp_path, writable=False))
    looking.namespace["in"] = table(0)
    looking.steps["Add_2"].by = 9
    assert "by 1.0 -> 9.0" in looking.plan().explain()
    assert looking["k0"]["x"].tolist() == [1.0]
    assert tree(tmp_path) == before


class Edits(RuleBasedStateMachine):
    """Edits, restarts and losses in any order; what is asked for is always right, and what ran is what was planned."""

    @initialize()
    def start(self):
        import tempfile
        from pathlib import Path

        self.folder = Path(tempfile.mkdtemp())
        self.by = [1.0] * 4
        self.wires = ["in", "k0", "k1", "k2"]
        self.x = 0.0
        self.restart()

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule()
    def restart(self):
        self.recipe = chain(self.folder)
        with self.recipe.edit():
            for module, by, wire in zip(self.recipe.steps.values(), self.by, self.wires, strict=True):
                module.trait_set(by=by, input_localizations=wire)
        self.recipe.namespace["in"] = table(self.x)

    @rule(step=st.integers(0, 3), by=st.sampled_from([1.0, 2.0, 3.0]))
    def change(self, step, by):
        self.by[step] = by
        list(self.recipe.steps.values())[step].by = by

    @rule(x=st.sampled_from([0.0, 1.0]))
    def give(self, x):
        self.x = x
        self.recipe.namespace["in"] = table(x)

    @rule(step=st.integers(1, 3), data=st.data())
    def rewire(self, step, data):
        self.wires[step] = data.draw(st.sampled_from(["in", *(f"k{index}" for index in range(step))]))
        list(self.recipe.steps.values())[step].input_localizations = self.wires[step]

    @rule(data=st.data())
    def lose(self, data):
        cache = Cache(self.folder)
        entries = sorted(entry.manifest.key for entry in cache.entries())
        if entries:
            cache.remove(data.draw(st.sampled_from(entries)))

    @rule(wanted=st.sampled_from(["k0", "k1", "k2", "k3", "sum"]))
    def ask(self, wanted):
        planned = [step.step for step in self.recipe.plan([wanted]).to_run]
        RAN.clear()
        found = self.recipe[wanted]
        assert planned == RAN
        values = {"in": self.x}
        for index, (by, wire) in enumerate(zip(self.by, self.wires, strict=True)):
            values[f"k{index}"] = values[wire] + by
        if wanted == "sum":
            assert found["sum"] == values["k0"]
        else:
            assert found["x"].tolist() == [values[wanted]]
        assert self.recipe.plan([wanted]).to_run == ()

    @invariant()
    def looking_changes_nothing(self):
        if hasattr(self, "recipe"):
            before = tree(self.folder)
            looking = chain(Cache(self.folder, writable=False))
            looking.namespace["in"] = table(self.x)
            looking.plan().explain()
            assert tree(self.folder) == before


Edits.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_any_sequence_of_edits = Edits.TestCase
