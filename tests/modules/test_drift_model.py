"""Drift_Model: against closed formulas of least squares, and against truth."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recipes_core.data import Drift, Table
from recipes_core.errors import DataError, EnvironmentFault, UsageError
from recipes_core.module import Context
from recipes_modules.drift_model import Drift_Model
from recipes_modules.registration.models import parse

WANTED = ["output_drift", "output_model", "output_report"]


def knots(
    values: np.ndarray, frames: np.ndarray, error: np.ndarray | None = None, measured: tuple[float, float] = (0, 10_000)
) -> Drift:
    return Drift(frames, values, error=error, measured=measured)


def model(drift: Drift | None = None, table: Table | None = None, ctx: Context | None = None, **parameters: object) -> dict:
    ctx = ctx or Context("s", wanted=WANTED)
    return Drift_Model(**parameters).apply(input_drift=drift, input_transformations=table, ctx=ctx)


@pytest.fixture
def noisy() -> Drift:
    rng = np.random.default_rng(3)
    frames = np.linspace(400, 9600, 14) + rng.uniform(-100, 100, 14)
    error = rng.uniform(0.5, 2.0, (14, 2))
    values = np.column_stack([3 - 0.002 * frames, 1 + 0.001 * frames]) + error * rng.normal(size=(14, 2))
    return knots(values, frames, error)


class TestAgainstFormulas:
    """Weighted least squares, written down independently."""

    @pytest.mark.parametrize("weighted", [True, False])
    def test_line(self, noisy: Drift, weighted: bool) -> None:
        report = model(noisy, weighted=weighted)["output_report"]
        x, y = noisy.frames, noisy.correction[:, 0]
        w = 1 / noisy.error[:, 0] ** 2 if weighted else np.ones(len(x))
        rows = np.column_stack([x, np.ones(len(x))])
        normal = rows.T @ (w[:, np.newaxis] * rows)
        expected = np.linalg.solve(normal, rows.T @ (w * y))
        chi = float(np.sum(w * (y - rows @ expected) ** 2))
        n, p = len(x), 2
        scale = chi / (n - p) if not weighted else max(1.0, chi / (n - p))
        covariance = np.linalg.inv(normal) * scale
        np.testing.assert_allclose([report["offset_x.slope"], report["offset_x.intercept"]], expected, rtol=1e-7)
        errors = [report["offset_x.slope.error"], report["offset_x.intercept.error"]]
        np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-6)
        assert report["offset_x.chi_square"] == pytest.approx(chi)
        assert report["offset_x.reduced_chi_square"] == pytest.approx(chi / (n - p))
        assert report["offset_x.aic"] == pytest.approx(n * np.log(chi / n) + 2 * p)
        assert report["offset_x.bic"] == pytest.approx(n * np.log(chi / n) + p * np.log(n))
        total = np.sum(w * (y - np.average(y, weights=w)) ** 2)
        assert report["offset_x.r_square"] == pytest.approx(1 - chi / total)
        correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert report["offset_x.correlation(slope, intercept)"] == pytest.approx(correlation)
        assert "[[Fit Statistics]]" in report["offset_x.report"]

    @pytest.mark.parametrize("degree", [1, 2, 3, 6])
    def test_polynomial(self, noisy: Drift, degree: int) -> None:
        found = model(noisy, offset=f"polynomial({degree})", anchor="none")["output_drift"]
        for axis in range(2):
            fit = np.polynomial.Polynomial.fit(noisy.frames, noisy.correction[:, axis], degree, w=1 / noisy.error[:, axis])
            np.testing.assert_allclose(found.correction[:, axis], fit(found.frames), atol=1e-6)

    def test_constant_is_the_weighted_mean(self, noisy: Drift) -> None:
        report = model(noisy, offset="constant")["output_report"]
        mean = np.average(noisy.correction[:, 0], weights=noisy.error[:, 0] ** -2.0)
        assert report["offset_x.c"] == pytest.approx(mean)

    def test_error_of_the_anchored_line_grows_from_the_first_frame(self, noisy: Drift) -> None:
        made = model(noisy)
        error = made["output_drift"].error[:, 0]
        frames = made["output_drift"].frames
        np.testing.assert_allclose(error, frames * made["output_report"]["offset_x.slope.error"], rtol=1e-6)


def test_anchor(noisy: Drift) -> None:
    anchored, free = (model(noisy, anchor=anchor)["output_drift"] for anchor in ("first_frame", "none"))
    np.testing.assert_allclose(anchored.correction[0], 0, atol=1e-12)
    np.testing.assert_allclose(anchored.correction, free.correction - free.correction[0], atol=1e-9)
    assert anchored.exact
    np.testing.assert_array_equal(anchored.frames, np.arange(10_001))


@pytest.mark.parametrize("kind", ["linear", "polynomial(3)", "spline(5)"])
def test_standard_errors_are_right(kind: str) -> None:
    # The truth is a line, which each of the models contains.
    frames, error = np.linspace(500, 9500, 10), 0.7
    scores = []
    for seed in range(300):
        values = np.random.default_rng([seed, 5]).normal(0, error, (10, 2)) + np.column_stack([0.001 * frames, -0.002 * frames])
        found = model(knots(values, frames, np.full((10, 2), error)), offset=kind)["output_drift"]
        scores.append((found.correction[[3000, 9000], :2] - [[3, -6], [9, -18]]) / found.error[[3000, 9000], :2])
    # Errors are widened where chi square is above its expectation, so they are slightly large on average.
    assert 0.8 < np.std(scores) < 1.05


def test_spline_follows_a_smooth_drift() -> None:
    rng = np.random.default_rng(0)
    every = np.arange(20_001.0)
    true = np.column_stack([80 * np.sin(every / 4000), 50 * np.cos(every / 5000)])
    frames = np.linspace(250, 19_750, 40)
    values = np.column_stack([np.interp(frames, every, true[:, axis]) for axis in range(2)]) + rng.normal(0, 0.5, (40, 2))
    found = model(knots(values, frames, np.full((40, 2), 0.5), (0, 20_000)), offset="spline", anchor="none")["output_drift"]
    # Forty values of error 0.5 nm, spent on about ten parameters, leave 0.25 nm; twice that at most.
    assert (found.correction[:, :2] - true).std(axis=0).max() < 0.5
    # Beyond the outer knots it goes on straight.
    np.testing.assert_allclose(np.diff(found.correction[19_760:, 0], 2), 0, atol=1e-9)


def test_spline_chooses_few_knots_for_a_line(noisy: Drift) -> None:
    assert model(noisy, offset="spline")["output_report"]["offset_x.model"] in ("spline(3)", "spline(4)")


def test_components_have_models_of_their_own(noisy: Drift) -> None:
    made = model(noisy, offset="none", components={"offset_y": "polynomial"})
    assert made["output_report"]["offset_x.model"] == "none"
    assert made["output_report"]["offset_y.model"] == "polynomial(3)"
    np.testing.assert_array_equal(made["output_drift"].correction[:, 0], 0)
    assert np.ptp(made["output_drift"].correction[:, 1]) > 5


def test_slice_data(noisy: Drift) -> None:
    spoilt = Drift(noisy.frames, np.vstack([noisy.correction[:-1], [[500, 500, 0]]]), error=noisy.error, measured=noisy.measured)
    found = model(spoilt, slice_data=[None, -1])["output_report"]
    short = Drift(noisy.frames[:-1], noisy.correction[:-1], error=noisy.error[:-1])
    assert found["offset_x.slope"] == pytest.approx(model(short)["output_report"]["offset_x.slope"])
    assert found["offset_x.n_data"] == 13


def transformations(n: int = 8) -> Table:
    """Chunks that shift, turn and grow linearly; the first lies in the middle of its 1000 frames."""
    frames = np.arange(n) * 1000.0 + 499.5
    t = frames - frames[0]
    angle, scale = 1e-6 * t, 1 + 1e-7 * t
    return Table(
        {
            "frame": frames, "frame_first": np.arange(n) * 1000, "frame_last": np.arange(n) * 1000 + 999,
            "offset_x": -0.02 * t, "offset_y": 0.01 * t,
            "matrix_xx": scale * np.cos(angle), "matrix_xy": -scale * np.sin(angle),
            "matrix_yx": scale * np.sin(angle), "matrix_yy": scale * np.cos(angle),
            "centre_x": np.full(n, 5000.0), "centre_y": np.full(n, 4000.0),
        }
    )  # fmt: skip


def test_matrices() -> None:
    made = model(table=transformations(), matrix="linear")["output_model"]
    # Anchored: what leads from the first frame to each other one.
    np.testing.assert_allclose([made["matrix_xx"][0], made["matrix_xy"][0], made["offset_x"][0]], [1, 0, 0], atol=1e-12)
    last = made["frame"][-1]
    assert made["matrix_yx"][-1] == pytest.approx(1e-6 * last, rel=2e-3)
    assert made["offset_x"][-1] == pytest.approx(-0.02 * last, rel=2e-3)
    # A point that lies still in the sample stays where it is, from the first frame to the last.
    loose = model(table=transformations(), matrix="linear", anchor="none")["output_model"]

    def moved(table: Table, row: int, point: np.ndarray) -> np.ndarray:
        matrix = np.array([[table[f"matrix_{a}{b}"][row] for b in "xy"] for a in "xy"])
        return matrix @ (point - [5000, 4000]) + [5000, 4000] + [table["offset_x"][row], table["offset_y"][row]]

    point = np.array([9000.0, 1000.0])
    seen_last = np.linalg.solve(
        np.array([[loose[f"matrix_{a}{b}"][-1] for b in "xy"] for a in "xy"]),
        moved(loose, 0, point) - [5000, 4000] - [loose["offset_x"][-1], loose["offset_y"][-1]],
    ) + np.array([5000, 4000])
    np.testing.assert_allclose(moved(made, len(made) - 1, seen_last), point, atol=1e-6)


def test_matrix_is_left_out_by_default() -> None:
    ctx = Context("s", wanted=[*WANTED, "output_figure"])
    made = model(table=transformations(), ctx=ctx)
    assert "matrix_xx" not in made["output_model"].columns
    assert made["output_report"]["matrix_xx.model"] == "none"
    assert [panel.y_label for panel in made["output_figure"].panels][:4] == [
        "offset x (nm)",
        "offset y (nm)",
        "rest x (nm)",
        "rest y (nm)",
    ]


def test_long_movies_get_fewer_points() -> None:
    frames = np.array([1e6, 5e6, 9e6])
    found = model(knots(np.column_stack([frames * 1e-5] * 2), frames, measured=(0, 1e7)))["output_drift"]
    assert len(found) <= 2_000_002
    assert found.measured == (0, 1e7)
    np.testing.assert_allclose(found.at([1_234_567])[0, 0], 12.34567, rtol=1e-6)


class TestBadInput:
    def test_lmfit_is_not_installed(self, noisy: Drift, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "lmfit", None)
        with pytest.raises(EnvironmentFault, match=r"lmfit, which is not installed.*smlm-recipes\[fit\]"):
            model(noisy)

    def test_nothing_connected(self) -> None:
        with pytest.raises(DataError, match="needs transformations or a drift"):
            model()

    @pytest.mark.parametrize("name", ["cubic", "polynomial(0)", "spline(2)", "linear(3)", "spline(1e9)", 3])
    def test_no_such_model(self, name: object) -> None:
        with pytest.raises(Exception, match="must be none, constant, linear"):
            Drift_Model(offset=name)

    def test_too_few_values(self, noisy: Drift) -> None:
        few = Drift(noisy.frames[:3], noisy.correction[:3])
        with pytest.raises(DataError, match=r"polynomial\(3\) has 4 parameters, but offset_x has 3 values"):
            model(few, offset="polynomial")
        with pytest.raises(DataError, match="at least 5 values"):
            model(few, offset="spline")
        one = Drift(noisy.frames[:1], noisy.correction[:1])
        with pytest.raises(DataError, match="has 1 values"):
            model(one)

    def test_as_many_parameters_as_values(self, noisy: Drift) -> None:
        ctx = Context("s", wanted=WANTED)
        two = Drift(noisy.frames[:2], noisy.correction[:2])
        made = model(two, ctx=ctx)
        assert "as many parameters as there are values" in ctx.warnings[0]
        assert made["output_drift"].error is None
        assert made["output_report"]["offset_x.slope.error"] is None

    def test_slices(self, noisy: Drift) -> None:
        with pytest.raises(DataError, match="leaves none"):
            model(noisy, slice_data=[50, None])
        with pytest.raises(UsageError, match="cannot be 0"):
            model(noisy, slice_data=[0, 5, 0])
        with pytest.raises(UsageError, match="at most three"):
            model(noisy, slice_data=[0, 5, 1, 2])

    def test_components(self, noisy: Drift) -> None:
        with pytest.raises(UsageError, match="components names 'offset_q'"):
            model(noisy, components={"offset_q": "linear"})
        with pytest.raises(DataError, match="no component 'matrix_xx'"):
            model(noisy, components={"matrix_xx": "linear"})

    def test_model_that_does_not_fit(self) -> None:
        ctx = Context("s", wanted=WANTED)
        frames = np.linspace(0, 10_000, 12)
        values = np.column_stack([100 * np.sin(frames / 1000), np.zeros(12)])
        model(knots(values, frames, np.ones((12, 2))), ctx=ctx)
        assert "offset_x: values lie farther from linear" in ctx.warnings[0]
        assert len(ctx.warnings) == 1

    def test_alternating_chunks(self) -> None:
        table = transformations().with_columns({"frame": np.full(8, 4000.0)})
        with pytest.raises(DataError, match="the same mean frame"):
            model(table=table)


def test_names() -> None:
    assert str(parse(" Polynomial ")) == "polynomial(3)"
    assert str(parse("spline")) == "spline"
