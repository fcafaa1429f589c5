"""Drifts in files of every format: what is written is read, nothing else is taken for a drift, faults are told."""

import json
from pathlib import Path

import numpy as np
import pytest

from recipes_core import io
from recipes_core.data import Drift, Localizations, Table
from recipes_core.errors import DataError, FormatError, RecipeError
from recipes_core.io.drift_text import CSV_READER, PICASSO_READER
from recipes_modules import Drift_Interpolate, Drift_Load, Drift_Load_Interpolate, Locs_Post_Shift

PIXEL = 130.0


def curve(n: int = 300, *, pixel: float | None = PIXEL, deep: bool = True) -> Drift:
    rng = np.random.default_rng(0)
    correction = np.cumsum(rng.normal(0, 2, (n, 3)), axis=0) * [1, 1, deep]
    metadata = {} if pixel is None else {"voxelsize.x": pixel / 1000, "voxelsize.y": pixel / 1000}
    return Drift(np.arange(n), correction, error=rng.uniform(1, 2, (n, 3)), exact=True, metadata=metadata)


def knots() -> Drift:
    frames = np.arange(8) * 100 + 49.5
    values = np.random.default_rng(1).normal(0, 50, (8, 3))
    return Drift(frames, values, error=np.abs(values) / 10, measured=(0, 799), metadata={"voxelsize.x": PIXEL / 1000})


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["drift.npz", "drift.csv"])
    @pytest.mark.parametrize("drift", [curve(), knots(), curve(deep=False)], ids=["curve", "knots", "flat"])
    def test_nothing_is_lost(self, name: str, drift: Drift, tmp_path: Path) -> None:
        loaded = Drift.load(drift.save(tmp_path / name))
        for values in ("frames", "correction", "error"):
            np.testing.assert_array_equal(getattr(loaded, values), getattr(drift, values))
        assert loaded.measured == drift.measured
        assert loaded.exact == drift.exact
        assert loaded.metadata["voxelsize.x"] == pytest.approx(PIXEL / 1000)

    def test_picasso(self, tmp_path: Path) -> None:
        drift = curve()
        loaded = Drift.load(drift.save(tmp_path / "drift.txt"))
        np.testing.assert_allclose(loaded.correction, drift.correction, atol=1e-9)
        assert loaded.exact
        assert loaded.measured == (0, 299)

    def test_knots_become_a_row_for_each_frame_for_picasso(self, tmp_path: Path) -> None:
        drift = knots()
        loaded = Drift.load(drift.save(tmp_path / "drift.txt"))
        np.testing.assert_allclose(loaded.correction, drift.at(np.arange(800)), atol=1e-9)

    def test_the_movie_may_be_longer_than_what_was_measured(self, tmp_path: Path) -> None:
        drift = curve(100)
        drift.metadata["Picasso.Frames"] = 120
        loaded = Drift.load(drift.save(tmp_path / "drift.txt"))
        assert len(loaded) == 120
        np.testing.assert_allclose(loaded.correction[100:], np.repeat(drift.correction[-1:], 20, axis=0), atol=1e-9)

    @pytest.mark.parametrize("name", ["drift.npz", "drift.csv", "drift.txt"])
    def test_how_it_was_made_is_in_the_file(self, name: str, tmp_path: Path) -> None:
        made = Drift_Interpolate(smoothing_factor=12.5).apply(knots())["output_drift_interpolator"]
        loaded = Drift.load(made.save(tmp_path / name))
        entry = loaded.history[0]
        assert entry.module == "Drift_Interpolate"
        assert entry.parameters["smoothing_factor"] == 12.5

    @pytest.mark.parametrize("name", ["drift.npz", "drift.csv", "drift.txt"])
    def test_the_record_can_be_read_and_the_bytes_are_the_same(self, name: str, tmp_path: Path) -> None:
        record = {"recipe": "steps: []", "seed": 3}
        paths = [io.save(curve(), tmp_path / folder / name, record=record) for folder in "ab"]
        assert io.read_record(paths[0]) == record
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def test_a_long_history_does_not_hide_the_format(self, tmp_path: Path) -> None:
        made = curve()
        for _ in range(40):
            made = Drift_Interpolate().apply(made)["output_drift_interpolator"]
        for name in ("drift.csv", "drift.txt"):
            assert len(Drift.load(made.save(tmp_path / name)).history) >= 1


class TestPicassoConvention:
    def test_the_file_is_what_picasso_writes(self, tmp_path: Path) -> None:
        """Rows of x and y in pixels and z in nm, one a frame, lines ended as on Windows; Picasso reads it with numpy.loadtxt."""
        drift = curve()
        path = drift.save(tmp_path / "drift.txt")
        values = np.loadtxt(path, delimiter=" ")
        np.testing.assert_allclose(values, -drift.correction / [PIXEL, PIXEL, 1], atol=1e-12)
        assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n")
        flat = np.loadtxt(curve(deep=False).save(tmp_path / "flat.txt"), delimiter=" ")
        assert flat.shape == (300, 2)

    def test_a_file_of_picasso_undoes_the_drift(self, tmp_path: Path) -> None:
        # As Picasso does it: np.savetxt(path, drift, newline="\r\n"), and later x -= drift[frame].
        rng = np.random.default_rng(2)
        drift = np.cumsum(rng.normal(0, 0.02, (500, 2)), axis=0)
        np.savetxt(tmp_path / "locs_drift.txt", drift, newline="\r\n")
        frame = rng.integers(0, 500, 2000)
        true = rng.uniform(0, 64, (2000, 2))
        moved = (true + drift[frame]) * PIXEL
        table = Localizations({"x": moved[:, 0], "y": moved[:, 1], "frame": frame})
        loaded = Drift_Load(load_path=str(tmp_path / "locs_drift.txt"), pixel_size=PIXEL).apply()["output_drift_raw"]
        corrected = Locs_Post_Shift().apply(table, loaded)["output_name"]
        np.testing.assert_allclose(corrected["x"], true[:, 0] * PIXEL, atol=1e-8)
        np.testing.assert_allclose(corrected["y"], true[:, 1] * PIXEL, atol=1e-8)

    def test_pixels_whose_size_is_not_known(self, tmp_path: Path) -> None:
        np.savetxt(tmp_path / "drift.txt", np.zeros((5, 2)) + 0.5, newline="\r\n")
        with pytest.raises(DataError) as caught:
            Drift.load(tmp_path / "drift.txt")
        assert caught.value.code == "D230"
        assert "?pixel_size=" in str(caught.value)
        assert Drift.load(f"{tmp_path}/drift.txt?pixel_size=100").correction[0, 0] == -50
        assert any("pixel" in note for note in io.open_file(tmp_path / "drift.txt").notes)
        with pytest.raises(DataError, match="pixel_size"):
            Drift.load(f"{tmp_path}/drift.txt?pixel_size=wide")
        with pytest.raises(DataError) as caught:
            curve(pixel=None).save(tmp_path / "other.txt")
        assert caught.value.code == "D230"
        assert not (tmp_path / "other.txt").exists()

    def test_frames_before_zero(self, tmp_path: Path) -> None:
        drift = Drift([-9.0, -1.0], np.ones((2, 3)), metadata={"voxelsize.x": 0.1})
        with pytest.raises(DataError) as caught:
            drift.save(tmp_path / "drift.txt")
        assert caught.value.code == "D470"

    def test_several_files_of_several_formats_add_up(self, tmp_path: Path) -> None:
        drift = curve()
        paths = [str(drift.save(tmp_path / name)) for name in ("a.npz", "b.csv", "c.txt")]
        both = Drift_Load_Interpolate(load_paths=paths).apply()["output_drift_interpolator"]
        np.testing.assert_allclose(both.correction, 3 * drift.correction, atol=1e-8)


class TestNothingElseIsADrift:
    @pytest.mark.parametrize(
        "text",
        [
            "x,y,frame\n1,2,3\n",
            "frame,x [nm],y [nm]\n1,2,3\n",
            '"id","frame","x [nm]","y [nm]"\n1,1,5,6\n',
            "frame,x,y,z\n0,1,2,3\n",
            "frame,dx,dy\n0,1,2\n",
            "1.0 2.0\n3.0 4.0\n",
            "# 1.0 2.0\nx y\n",
            "",
        ],
    )
    @pytest.mark.parametrize("suffix", [".csv", ".txt"])
    def test_other_text(self, text: str, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"table{suffix}"
        path.write_text(text)
        head = path.read_bytes()[:4096]
        assert not CSV_READER.sniff(path, head)
        assert not PICASSO_READER.sniff(path, head)

    def test_tables_are_still_tables(self, tmp_path: Path) -> None:
        table = Localizations(
            {"x": np.arange(5.0), "y": np.arange(5.0), "frame": np.arange(5), "dx": np.ones(5), "dy": np.ones(5)}
        )
        assert isinstance(Table.load(table.save(tmp_path / "table.csv")), Localizations)

    def test_numbers_of_four_columns(self, tmp_path: Path) -> None:
        np.savetxt(tmp_path / "numbers.txt", np.ones((3, 4)))
        with pytest.raises(FormatError):
            Drift.load(tmp_path / "numbers.txt")

    def test_binary(self, tmp_path: Path) -> None:
        path = tmp_path / "image.txt"
        path.write_bytes(b"1.000000 2.000000\0")
        assert not PICASSO_READER.sniff(path, path.read_bytes())


class TestDamaged:
    def written(self, tmp_path: Path, name: str) -> tuple[Path, list[str]]:
        path = curve(20).save(tmp_path / name)
        return path, path.read_text().splitlines()

    @pytest.mark.parametrize("name", ["drift.csv", "drift.txt"])
    @pytest.mark.parametrize("fault", ["1.0", "1,2,3,4,5,6,7,8,9", "a b c", "a,b,c,d,e,f,g", "nan nan nan", "5,nan,1,1,1,1,1"])
    def test_one_clear_error(self, name: str, fault: str, tmp_path: Path) -> None:
        path, lines = self.written(tmp_path, name)
        path.write_text("\n".join([*lines[:12], fault, *lines[12:]]))
        with pytest.raises(FormatError) as caught:
            Drift.load(path)
        assert name in str(caught.value)

    def test_the_line_is_named(self, tmp_path: Path) -> None:
        path, lines = self.written(tmp_path, "drift.csv")
        lines[12] = lines[12].replace(",", ",x", 1)
        path.write_text("\n".join(lines))
        with pytest.raises(FormatError, match="line 13"):
            Drift.load(path)

    def test_without_values(self, tmp_path: Path) -> None:
        path, lines = self.written(tmp_path, "drift.csv")
        path.write_text("\n".join(lines[:5]) + "\n")
        with pytest.raises(FormatError, match="no values"):
            Drift.load(path)

    def test_frames_that_do_not_increase(self, tmp_path: Path) -> None:
        path, lines = self.written(tmp_path, "drift.csv")
        path.write_text("\n".join([*lines[:12], lines[11], *lines[12:]]))
        with pytest.raises(DataError, match="increase"):
            Drift.load(path)

    @pytest.mark.parametrize(
        "line", ["# measured 5", "# measured [1]", '# measured ["a","b"]', "# exact 7", "# pixel_size x", "# history {", '# history [{"a":1}]']
    )  # fmt: skip
    def test_comments_that_say_nothing_are_passed_over(self, line: str, tmp_path: Path) -> None:
        path, lines = self.written(tmp_path, "drift.csv")
        kept = [each for each in lines if not each.startswith("#")]
        path.write_text("\n".join([line, *kept]))
        loaded = Drift.load(path)
        assert len(loaded) == 20
        assert loaded.measured == (0, 19)

    def test_metadata_of_an_npz_that_are_no_pixels(self, tmp_path: Path) -> None:
        np.savez(
            tmp_path / "d.npz", tIndex=np.arange(3), drift=np.zeros((3, 3)), metadata=json.dumps({"voxelsize.x": [1], "other": 5})
        )
        assert Drift.load(tmp_path / "d.npz").metadata == {}
        np.savez(tmp_path / "e.npz", tIndex=np.arange(3), drift=np.zeros((3, 3)), metadata="{")
        assert Drift.load(tmp_path / "e.npz").metadata == {}

    def test_of_another_movie(self, tmp_path: Path) -> None:
        path = curve().save(tmp_path / "drift.csv")
        drift = Drift_Load(load_path=str(path)).apply()["output_drift_raw"]
        table = Localizations({"x": np.zeros(3), "y": np.zeros(3), "frame": np.array([700, 800, 900])})
        with pytest.raises(RecipeError, match="another movie"):
            Locs_Post_Shift().apply(table, drift)
