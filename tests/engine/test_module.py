import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from recipes_core.data import Localizations, Scalars
from recipes_core.errors import ColumnError, DataError, ExecutionError, UsageError
from recipes_core.module import Context, ModuleBase, Scratch
from recipes_core.module.context import seed_sequence
from recipes_core.ports import Float, Input, Output


class Move(ModuleBase):
    """Moves localizations along x.

    More text that is no part of the summary.
    """

    version = 3
    input_localizations = Input(Localizations, "Localizations", requires=("x",))
    output_localizations = Output(Localizations, "moved", like="input_localizations")
    output_check = Output(Scalars, "check", diagnostic=True)
    by = Float(1.0, unit="nm", desc="distance")
    workers = Float(1.0, affects_result=False)

    def run(self, ctx, input_localizations):
        made = {"output_localizations": input_localizations.with_columns({"x": input_localizations["x"] + self.by})}
        if ctx.wanted("output_check"):
            made["output_check"] = Scalars({"n": len(input_localizations)})
        return made


class Noise(ModuleBase):
    """Draws random numbers."""

    uses_seed = True
    output_table = Output(Localizations, "noise", columns=("x",))

    def run(self, ctx):
        return Localizations({"x": ctx.rng.normal(size=5)})


LOCS = Localizations({"x": [1.0, 2.0]}, metadata={"voxelsize.x": 0.1})


def test_declarations_in_order():
    assert list(Move.declared()) == ["input_localizations", "output_localizations", "output_check", "by", "workers"]
    assert Move.summary() == "Moves localizations along x."
    assert Move.name() == "Move"


def test_apply_without_a_recipe():
    made = Move(by=5).apply(LOCS)
    assert list(made) == ["output_localizations"], "diagnostic outputs are made on demand"
    np.testing.assert_array_equal(made["output_localizations"]["x"], [6.0, 7.0])


def test_metadata_and_history_travel_on():
    once = Move(by=5).apply(LOCS)["output_localizations"]
    twice = Move(by=7).apply(once)["output_localizations"]
    assert twice.metadata == {"voxelsize.x": 0.1}
    assert [entry.parameters for entry in twice.history] == [{"by": 5.0}, {"by": 7.0}]
    assert twice.history[0].version == 3


def test_wrong_calls_are_named():
    with pytest.raises(DataError, match="needs its input 'input_localizations'"):
        Move().apply()
    with pytest.raises(DataError, match="takes Localizations, not Scalars"):
        Move().apply(Scalars({}))
    with pytest.raises(ColumnError, match="no column 'x'"):
        Move().apply(Localizations({"y": [1.0]}))
    with pytest.raises(UsageError, match="Did you mean 'input_localizations'"):
        Move().apply(input_localization=LOCS)
    with pytest.raises(UsageError, match="1 inputs, not 2"):
        Move().apply(LOCS, LOCS)


def test_a_module_that_breaks_its_declaration_is_caught():
    class Wrong(Move):
        """Returns something else."""

        def run(self, ctx, input_localizations):
            return {"output_localizations": 5}

    class Forgets(Move):
        """Returns nothing."""

        def run(self, ctx, input_localizations):
            return {}

    with pytest.raises(ExecutionError, match="returned int"):
        Wrong().apply(LOCS)
    with pytest.raises(ExecutionError, match="did not return its output 'output_localizations'"):
        Forgets().apply(LOCS)


def test_modules_cannot_change_their_inputs():
    class Writes(Move):
        """Writes into its input."""

        def run(self, ctx, input_localizations):
            input_localizations["x"][0] = 9
            return input_localizations

    with pytest.raises(ValueError, match="read-only"):
        Writes().apply(LOCS)


def test_random_numbers_depend_on_seed_and_step_only():
    first = Noise().apply(seed=1)["output_table"]["x"]
    np.testing.assert_array_equal(first, Noise().apply(seed=1)["output_table"]["x"])
    assert not np.array_equal(first, Noise().apply(seed=2)["output_table"]["x"])
    assert not np.array_equal(first, Noise().apply(ctx=Context("other", seed=1))["output_table"]["x"])


def test_seeds_do_not_change_between_processes():
    code = "from recipes_core.module.context import seed_sequence as s; print(s(1, 'Noise').generate_state(1)[0])"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1")
    }
    assert seen == {f"{seed_sequence(1, 'Noise').generate_state(1)[0]}{os.linesep}".encode()}


def test_modules_pickle_without_their_recipe():
    module = Move(by=4)
    module.watch(lambda *_: None)
    copy = pickle.loads(pickle.dumps(module))
    assert copy.by == 4
    copy.by = 5


def test_map_keeps_order_whatever_the_threads():
    def slow(item):
        time.sleep(0.002 * (5 - item % 5))
        return item * item

    expected = [item * item for item in range(20)]
    for n_threads in (1, 3):
        assert list(Context(n_threads=n_threads).map(slow, range(20))) == expected


def test_map_reads_ahead_only_a_little():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = Context(n_threads=2).map(lambda item: item, items())
    next(results)
    assert len(taken) <= 4


def test_map_passes_errors_on():
    def fails(item):
        raise ZeroDivisionError(item)

    for n_threads in (1, 2):
        with pytest.raises(ZeroDivisionError):
            list(Context(n_threads=n_threads).map(fails, range(3)))


def test_scratch_leaves_no_file_behind(tmp_path):
    scratch = Scratch(str(tmp_path), in_memory=1000)
    small, large = scratch.array((10,), "f4"), scratch.array((1000, 1000), "f4")
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    large[:] = 3
    assert float(large.sum()) == 3e6
    assert list(tmp_path.iterdir()) == []


def test_scratch_without_room_is_an_error(tmp_path):
    from recipes_core.errors import EnvironmentFault

    with pytest.raises(EnvironmentFault, match="RECIPES_SCRATCH"):
        Scratch(str(tmp_path / "missing"), in_memory=0).array((10,), "f4")
