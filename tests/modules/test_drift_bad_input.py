"""Bad input, one list for every module that measures or applies a drift: a clear error, or a drift that is right all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recipes_modules
from recipes_core.data import Drift, ImageStack, Localizations
from recipes_core.errors import ColumnError, DataError
from recipes_core.module import Context
from recipes_modules.simulate import Locs_Simulate

N_FRAMES = 2_000
METHODS: dict[str, dict[str, Any]] = {
    "Locs_Drift": {"verify": False},
    "Locs_RCC": {"step": 200, "window": 200, "binsize": 20.0},
    "Locs_AIM": {},
    "Locs_Entropy": {},
    "Locs_CC": {"chunk_size": 2_000},
    "Locs_ICP": {"chunk_size": 2_000},
}
BOUND = {"Locs_Drift": 2.5, "Locs_RCC": 5.0, "Locs_AIM": 4.0, "Locs_Entropy": 2.5, "Locs_CC": 12.0, "Locs_ICP": 14.0}
"""Root mean square error along each axis, nm; the drift itself is 34 / 28 / 21."""


@pytest.fixture(scope="module")
def deep() -> tuple[Localizations, Drift]:
    made = Locs_Simulate(
        n_localizations=20_000, n_frames=N_FRAMES, field=5.0, n_filaments=8, on_time=2.0, precision=12.0, depth=400.0,
        axial_precision=30.0, drift="sinusoid", drift_amplitude=(100.0, 80.0, 60.0),
    ).apply(seed=1)  # fmt: skip
    return made["output_localizations"], made["output_drift"]


def measure(name: str, table: Localizations, **parameters: Any) -> tuple[Drift, Context]:
    module = getattr(recipes_modules, name)(**{**METHODS[name], **parameters})
    port = next(port for port, declared in module.inputs().items() if declared.data_type is Localizations)
    ctx = Context(name, wanted=["output_drift"])
    return module.apply(**{port: table}, ctx=ctx)["output_drift"], ctx


def spoiled(table: Localizations, column: str, value: float) -> Localizations:
    values = table[column].astype(float)
    values[::50] = value
    return table.with_columns({column: values})


HARMLESS = {
    "unsorted": lambda t: t.select(np.random.default_rng(0).permutation(len(t))),
    "duplicated": lambda t: t.select(np.repeat(np.arange(len(t)), 2)),
    "negative frames": lambda t: t.with_columns({"frame": t["frame"].astype(np.int64) - 1000}),
    "frames missing": lambda t: t.select((t["frame"] % 7 > 2) & ((t["frame"] < 500) | (t["frame"] > 900))),
    "NaN in x": lambda t: spoiled(t, "x", np.nan),
    "NaN in z": lambda t: spoiled(t, "z", np.nan),
    "infinite": lambda t: spoiled(t, "y", np.inf),
    "NaN frames": lambda t: spoiled(t, "frame", np.nan),
    "errors of no use": lambda t: spoiled(spoiled(t, "error_x", 0.0), "error_y", -1.0),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_no_harm(deep: tuple[Localizations, Drift], name: str, case: str) -> None:
    table, truth = deep
    drift, _ = measure(name, HARMLESS[case](table))
    frames = drift.frames + (1000 if case == "negative frames" else 0)
    off = drift.correction - truth.at(frames)
    assert np.sqrt(np.mean((off - off.mean(axis=0)) ** 2, axis=0)).max() < BOUND[name]
    if drift.error is not None:
        assert np.isfinite(drift.error).all()


USELESS = {
    "no rows": (lambda t: t.select(slice(0, 0)), "no localizations"),
    "one localization": (lambda t: t.select(slice(0, 1)), "1 localization"),
    "all in one frame": (
        lambda t: t.with_columns({"frame": np.zeros(len(t), int)}),
        r"cover 1 frame|in one frame|same frame|two chunks",
    ),
    "all at one place": (
        lambda t: t.with_columns({name: np.full(len(t), 5.0) for name in "xyz"}),
        "same position",
    ),
    "nothing finite": (lambda t: t.with_columns({"y": np.full(len(t), np.nan)}), "finite"),
    "half frames": (lambda t: t.with_columns({"frame": t["frame"] + 0.5}), "not whole"),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", USELESS)
def test_what_shows_no_drift(deep: tuple[Localizations, Drift], name: str, case: str) -> None:
    change, message = USELESS[case]
    with pytest.raises(DataError, match=message):
        measure(name, change(deep[0]))


@pytest.mark.parametrize("name", METHODS)
def test_z(deep: tuple[Localizations, Drift], name: str) -> None:
    flat = deep[0].only([column for column in deep[0].columns if column not in ("z", "error_z")])
    with pytest.raises(ColumnError, match="no column 'z'"):
        measure(name, flat, flatten_z=False)
    drift, _ = measure(name, flat, flatten_z=True)
    assert not drift.correction[:, 2].any()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Locs_Drift", {"method": "rcc", "segmentation": 5000}),
        ("Locs_Drift", {"method": "aim", "segmentation": 5000}),
        ("Locs_RCC", {"step": 5000, "window": 5000}),
        ("Locs_AIM", {"segmentation": 5000}),
        ("Locs_AIM", {"segmentation": 100, "segmentation_z": 5000}),
        ("Locs_CC", {"chunk_size": 50_000}),
        ("Locs_ICP", {"chunk_size": 50_000}),
    ],
)
def test_windows_longer_than_the_data(deep: tuple[Localizations, Drift], name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"not more than one|do not fill two chunks"):
        measure(name, deep[0], **parameters)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("column", "value"), [("x", 1e12), ("frame", 2**40)])
def test_one_localization_far_away(deep: tuple[Localizations, Drift], name: str, column: str, value: float) -> None:
    """Filtered by whoever is told; or of no account."""
    table, truth = deep
    values = table[column].astype(np.int64 if column == "frame" else np.float64)
    values[-1] = value
    try:
        drift, _ = measure(name, table.with_columns({column: values}))
    except DataError as error:
        assert "far" in str(error) or "column 'frame'" in str(error)  # noqa: PT017 - either way of dealing with it is right
        return
    inside = drift.frames < N_FRAMES
    off = (drift.correction - truth.at(drift.frames))[inside]
    assert np.sqrt(np.mean((off - off.mean(axis=0)) ** 2, axis=0)).max() < BOUND[name]


class TestDriftOfAnotherMovie:
    drift = Drift(np.arange(50_000.0, 50_100.0), np.ones((100, 3)), exact=True)

    def refused(self, name: str, code: str, **given: Any) -> None:
        with pytest.raises(DataError, match=r"another movie|same movie") as raised:
            getattr(recipes_modules, name)().apply(**given)
        assert raised.value.code == code

    def test_a_table(self) -> None:
        table = Localizations({"x": np.zeros(9), "y": np.zeros(9), "frame": np.arange(9)})
        self.refused("Locs_Post_Shift", "D472", input_localizations=table, input_drift_interpolator=self.drift)

    def test_images(self) -> None:
        images = ImageStack(np.ones((4, 1, 16, 16), np.float32), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})
        self.refused("Image_Post_Shift", "D472", input_image=images, input_drift_interpolator=self.drift)
        partly = Drift(np.arange(2.0, 40.0), np.zeros((38, 3)), exact=True)
        ctx = Context("s")
        recipes_modules.Image_Post_Shift().apply(images, partly, ctx=ctx)
        assert any("2 of 4 images lie outside" in line for line in ctx.warnings)

    def test_transformations(self, deep: tuple[Localizations, Drift]) -> None:
        found = recipes_modules.Locs_CC(chunk_size=5_000).apply(deep[0], ctx=Context("s"))
        later = deep[0].with_columns({"frame": deep[0]["frame"].astype(np.int64) + 50_000})
        self.refused(
            "Locs_Apply_Transformations", "D472", input_localizations=later,
            input_transformations=found["output_transformations"],
        )  # fmt: skip

    @pytest.mark.parametrize("combine", ["sum", "mean"])
    def test_others(self, combine: str) -> None:
        first = Drift(np.arange(100.0), np.ones((100, 3)), exact=True)
        with pytest.raises(DataError, match="no frame in common") as raised:
            recipes_modules.Drift_Combine(combine=combine).apply([first, self.drift])
        assert raised.value.code == "D471"


@pytest.mark.parametrize(
    ("frames", "correction"),
    [
        ([], np.zeros((0, 3))),
        ([0, np.nan, 2], np.zeros((3, 3))),
        ([0, 1, 2], np.full((3, 3), np.nan)),
        ([2, 1, 0], np.zeros((3, 3))),
        ([0, 1, 1], np.zeros((3, 3))),
        ([0, 1, 2], np.zeros((2, 3))),
    ],
)
def test_what_is_no_drift(frames: list[float], correction: np.ndarray) -> None:
    with pytest.raises(DataError, match="drift"):
        Drift(np.array(frames, dtype=float), correction)


@pytest.mark.parametrize("method", ["spline", "linear", "smooth"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_knots(method: str, n: int) -> None:
    knots = Drift(100.0 * np.arange(n), np.arange(3.0 * n).reshape(n, 3))
    curve = recipes_modules.Drift_Interpolate(method=method).apply(knots, ctx=Context("s"))["output_drift_interpolator"]
    np.testing.assert_allclose(curve.at(knots.frames), knots.correction, atol=1.0)
