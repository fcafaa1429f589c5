"""Astigmatic calibrations of PYME and Picasso give z of spots whose widths follow their curves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from recipes_core.data import Localizations
from recipes_core.errors import DataError
from recipes_core.module import Context
from recipes_modules import Astig_Z

PIXEL = (110.0, 130.0)
METADATA = {"voxelsize.x": 0.11, "voxelsize.y": 0.13}
TRUE = np.linspace(-300, 300, 25)


def widths(z):
    """Curves of a lens out of focus, nm; they cross at 0."""
    z = np.asarray(z, float)
    return 130 * np.sqrt(1 + ((z - 240) / 420) ** 2), 130 * np.sqrt(1 + ((z + 240) / 420) ** 2)


def spots(metadata=METADATA):
    x, y = widths(TRUE)
    columns = {"x": np.zeros(25), "y": np.zeros(25), "frame": np.arange(25), "sigma_x": x, "sigma_y": y}
    return Localizations(columns | {"error_sigma_x": 0.01 * x, "error_sigma_y": 0.01 * y}, metadata=metadata)


def picasso(**changes):
    z = np.arange(-600, 601, 20.0)
    x, y = widths(z)
    content = {
        "X Coefficients": np.polyfit(z, x / PIXEL[0], 6).tolist(), "Y Coefficients": np.polyfit(z, y / PIXEL[1], 6).tolist(),
        "Number of frames": len(z), "Step size in nm": 20.0, "Magnification factor": 0.79,
    }  # fmt: skip
    return {**content, **changes}


def pyme(*, noise=0.0, **changes):
    # Beads at several heights: places of the list are neither even nor unique.
    rng = np.random.default_rng(1)
    z = np.concatenate([np.arange(-700, 701, 25.0), np.arange(-690, 691, 30.0), np.arange(-700, 701, 25.0)])
    x, y = (width * (1 + noise * rng.standard_normal(len(z))) for width in widths(z))
    first = {"name": "PSF0", "z": z.tolist(), "sigmax": x.tolist(), "sigmay": y.tolist(), "dsigma": (x - y).tolist()}
    return [{**first, "zRange": [-450.0, 460.0], **changes}]


def test_picassos_polynomials_in_pixels(tmp_path):
    path = tmp_path / "calibration_3d_calib.yaml"
    path.write_text(yaml.safe_dump(picasso()))
    ctx = Context("z")
    found = Astig_Z(calibration_file=str(path)).apply(spots(), ctx=ctx)["output_localizations"]
    # Its magnification factor, for the refractive index, multiplies z.
    np.testing.assert_allclose(found["z"], 0.79 * TRUE, atol=3)
    assert any("magnification factor 0.79" in line for line in ctx.messages)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_pymes_curves(tmp_path, noise):
    path = tmp_path / "astig.json"
    path.write_text(json.dumps(pyme(noise=noise)))
    ctx = Context("z")
    found = Astig_Z(calibration_file=str(path)).apply(spots(), ctx=ctx)["output_localizations"]
    np.testing.assert_allclose(found["z"], TRUE, atol=1 if noise == 0 else 12)
    assert any("-450 to 460 nm" in line for line in ctx.messages)


def test_of_several_channels_the_first_counts_and_is_told(tmp_path):
    path = tmp_path / "astig.json"
    path.write_text(json.dumps(pyme() + pyme(sigmax=[1.0] * 161)))
    ctx = Context("z")
    found = Astig_Z(calibration_file=str(path)).apply(spots(), ctx=ctx)["output_localizations"]
    np.testing.assert_allclose(found["z"], TRUE, atol=1)
    assert any("first of its 2 channels" in line for line in ctx.messages)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "[", "cannot be read"),
        ("a.json", "[1, 2]", "no astigmatic calibration"),
        ("a.json", json.dumps([{"z": [1, 2], "sigmax": [1, 2], "sigmay": [1, 2]}]), "8 places"),
        ("a.json", json.dumps(pyme(sigmax=["wide"])), "no list of numbers"),
        ("a.yaml", "a: [", "no YAML"),
        ("a.yaml", "Width: 3\n", "no astigmatic calibration"),
        ("a.yaml", yaml.safe_dump(picasso(**{"Step size in nm": 0})), "Step size in nm"),
        ("a.yaml", yaml.safe_dump(picasso(**{"Y Coefficients": "none"})), "Y Coefficients"),
        ("a.yaml", yaml.safe_dump(picasso(**{"X Coefficients": [0.0, -1.0]})), "calibration has"),
    ],
)
def test_files_that_are_none(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=told) as caught:
        Astig_Z(calibration_file=str(path)).apply(spots())
    assert caught.value.code == "D551"


def test_picassos_needs_the_size_of_pixels(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(picasso()))
    with pytest.raises(DataError, match="camera pixels") as caught:
        Astig_Z(calibration_file=str(path)).apply(spots({}))
    assert "voxelsize" in caught.value.hint
