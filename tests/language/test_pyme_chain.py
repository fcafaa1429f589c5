"""Recipes in PYME's form, with the modules that PYME's own recipes use, as users have them on their disks."""

import json

import numpy as np
import pytest

from recipes_core import ImageStack, Recipe, Table
from recipes_core.plugins import registry

# The names in the recipes that PYME ships, and how often each is used there.
SHIPPED = {
    "GaussianFilter": 10, "Label": 7, "Measure2D": 7, "SimpleThreshold": 5, "base.ExtractChannel": 4, "processing.Threshold": 4,
    "processing.ColocalisationEDT": 4, "output.CSVOutput": 4, "LocalMaxima": 3, "Watershed": 3, "Zoom": 2, "SelectMeasurementColumns": 2,
    "NearestNeighbourDistances": 2, "AggregateMeasurements": 2, "AddMetadataToMeasurements": 2, "output.ReportOutput": 2,
    "processing.Colocalisation": 2, "Deconvolve": 1, "MultifitBlobs": 1, "FractionalThreshold": 1, "SKF_threshold_adaptive": 1,
    "SKF_threshold_local": 1,
}  # fmt: skip
FULL = (
    "filters.GaussianFilter", "filters.Zoom", "processing.Label", "processing.SimpleThreshold", "processing.FractionalThreshold",
    "processing.LocalMaxima", "processing.Watershed", "processing.Deconvolve", "measurement.Measure2D", "measurement.MultifitBlobs",
    "measurement.NearestNeighbourDistances", "measurement.AddMetadataToMeasurements", "tablefilters.SelectTableColumns",
    "tablefilters.AggregateTables", "tablefilters.AggregateMeasurements", "tablefilters.SelectMeasurementColumns", "tablefilters.Filter",
    "Filter", "skfilters.SKF_threshold_local", "skfilters.SKF_threshold_adaptive", "processing.Offset", "base.Offset", "output.HDFOutput",
    "output.ImageOutput", "output.RGBImageOutput", "output.PlotOutput", "old_prefix.GaussianFilter",
)  # fmt: skip
SIZE = {"voxelsize.x": 0.05, "voxelsize.y": 0.05, "Sample.Notes": "mounted on Monday", "Camera.TrueEMGain": 20.0}


def test_there_are_22_of_70_uses():
    assert len(SHIPPED) == 22
    assert sum(SHIPPED.values()) == 70


@pytest.mark.parametrize("name", [*SHIPPED, *FULL])
def test_every_name_leads_to_one_module(name):
    found = registry().find_modules(name)
    assert len(found) == 1, name
    assert found[0].load().inputs()


def spots(seed=1, n=64, places=((16, 18), (40, 22), (30, 48), (50, 50))):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:n, :n]
    image = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 3.0**2)) for row, column in places)
    return (rng.poisson(400 * image + 5) / 400).astype(np.float32)


def movie(n=3):
    return ImageStack(np.stack([spots(seed) for seed in range(n)]), metadata=SIZE)


def two_channels():
    pixels = np.stack([spots(1), spots(2, places=((17, 20), (40, 22), (30, 48), (12, 50)))])[np.newaxis]
    return ImageStack(pixels, channels=("protein", "marker"), metadata=SIZE)


def run(text, **inputs):
    recipe = Recipe.from_yaml(text)
    for key, value in inputs.items():
        recipe.namespace[key] = value
    recipe.execute()
    return recipe


BLOBS = """
- GaussianFilter: {inputName: input, outputName: smooth, sigmaX: 1.0, sigmaY: 1.0}
- SimpleThreshold: {inputName: smooth, outputName: mask, threshold: 0.4}
- Label: {inputName: mask, outputName: labels, minRegionPixels: 10}
- Measure2D: {inputLabels: labels, inputIntensity: input, outputName: measurements}
- AddMetadataToMeasurements:
    inputMeasurments: measurements
    inputImage: input
    keys: EMGain
    metadataKeys: Camera.TrueEMGain
    outputName: annotated
- SelectMeasurementColumns: {inputMeasurements: annotated, keys: x y area EMGain, outputName: chosen}
"""


def test_blobs_are_measured():
    table = run(BLOBS, input=movie())["chosen"]
    assert len(table) == 12
    assert set(table.columns) == {"x", "y", "area", "EMGain"}
    assert (table["EMGain"] == 20).all()
    places = np.sort(np.round(table["x"][:4] / 50))
    np.testing.assert_allclose(places, [18, 22, 48, 50], atol=1)


def test_order_in_the_file_means_nothing_and_prefixes_may_be_left_out():
    lines = BLOBS.strip().split("\n- ")
    turned = "- " + "\n- ".join([line.removeprefix("- ") for line in reversed(lines)])
    first, second = run(BLOBS, input=movie())["chosen"], run(turned, input=movie())["chosen"]
    np.testing.assert_array_equal(first["x"], second["x"])


def test_what_touches_is_parted_and_neighbours_measured():
    recipe = run(
        """
- filters.Zoom: {inputName: input, outputName: zoomed, zoom: 2.0}
- GaussianFilter: {inputName: zoomed, outputName: smooth, sigmaX: 2.0, sigmaY: 2.0, processFramesIndividually: true}
- LocalMaxima: {inputName: smooth, outputName: peaks, threshold: 0.3, minDistance: 6}
- processing.Threshold: {inputName: smooth, outputName: mask, method: otsu}
- Label: {inputName: peaks, outputName: markers, minRegionPixels: 0}
- base.Invert: {inputName: smooth, outputName: hills}
- Watershed: {inputImage: hills, inputMarkers: markers, inputMask: mask, outputName: regions}
- Measure2D: {inputLabels: regions, inputIntensity: zoomed, outputName: meas, measureContour: true}
- NearestNeighbourDistances: {inputPositions: meas, outputName: dists}
- AggregateMeasurements: {inputMeasurements1: meas, inputMeasurements2: dists, outputName: all}
""",
        input=ImageStack(spots(), metadata=SIZE),
    )
    table = recipe["all"]
    assert len(table) == 4
    places = np.array([(16, 18), (40, 22), (30, 48), (50, 50)]) * 50.0
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(np.sort(table["neighbourDists"]), np.sort(apart.min(axis=0)), atol=60)


def test_channels_are_compared():
    recipe = run(
        """
- base.ExtractChannel: {inputName: input, channelToExtract: 0, outputName: chan0}
- base.ExtractChannel: {inputName: input, channelToExtract: 1, outputName: chan1}
- processing.Threshold: {inputName: chan0, outputName: mask0, method: isodata, n_histogram_bins: 255}
- processing.Threshold: {inputName: chan1, outputName: mask1, method: isodata}
- FractionalThreshold: {inputName: chan0, outputName: roi, fractionThreshold: 1.0}
- processing.Colocalisation: {inputImageA: chan0, inputMaskA: mask0, inputImageB: chan1, inputMaskB: mask1, roiMask: roi, outputTable: coloc}
- processing.ColocalisationEDT: {inputImage: chan0, inputMask: mask1, inputImageB: chan1, outputTable: edt, outputPlot: plot}
""",
        input=two_channels(),
    )
    assert 0.4 < recipe["coloc"]["pearson"][0] < 1
    assert recipe["coloc"]["M_A"][0] > 0.5
    edt = recipe["edt"]
    assert edt["enrichment"][np.argmin(np.abs(edt["bins"] + 50))] > 2
    assert recipe["plot"].panels


def test_local_thresholds_have_an_old_name_and_whole_numbers_may_have_a_point():
    image = ImageStack(spots(), metadata=SIZE)
    new = run("- SKF_threshold_local: {inputName: input, outputName: mask, block_size: 11.0, offset: 0}", input=image)
    old = run("- skfilters.SKF_threshold_adaptive: {inputName: input, outputName: mask, block_size: 11, offset: 0}", input=image)
    np.testing.assert_array_equal(new["mask"].asarray(), old["mask"].asarray())


def test_deconvolution_and_overlapping_blobs():
    recipe = run(
        """
- Deconvolve: {inputName: input, outputName: sharp, psfType: Lorentzian, lorentzianFWHM: 100, iterations: 5, offset: 0, padding: 8}
- MultifitBlobs: {inputImage: input, outputName: positions, blobSigma: 150.0, threshold: 4.0, scale: 400}
""",
        input=ImageStack(spots(), metadata=SIZE),
    )
    assert recipe["sharp"].asarray().max() > spots().max()
    assert len(recipe["positions"]) == 4


def test_a_run_leaves_the_files_of_the_output_modules(tmp_path, recipe_command):
    movie().save("cells.tif")
    (tmp_path / "r.yaml").write_text(
        BLOBS
        + """
- output.CSVOutput: {inputName: chosen, filePattern: '{output_dir}/{file_stub}_blobs.csv', scheme: File}
- output.HDFOutput: {inputVariables: {chosen: Chosen, measurements: ''}, filePattern: '{output_dir}/tables/{file_stub}.hdf'}
- output.ImageOutput: {inputName: smooth, filePattern: '{output_dir}/{file_stub}_smooth.tif', extraMetadata: {Note: hello, Gain: 2}}
- output.RGBImageOutput: {inputName: input, filePattern: '{output_dir}/{file_stub}.png', zoom: 2}
- output.ReportOutput: {inputName: chosen, input_results: [smooth], filePattern: '{output_dir}/{file_stub}.html', title: My blobs}
"""
    )
    done = recipe_command("run", "r.yaml", "cells.tif", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["outputs"]) == 5
    csv = Table.load("out/cells_blobs.csv")
    hdf = Table.load("out/tables/cells.hdf?table=Chosen")
    assert len(csv) == len(hdf) == 12
    assert "area" in Table.load("out/tables/cells.hdf?table=measurements")
    smooth = ImageStack.load("out/cells_smooth.tif")
    assert smooth.metadata["Note"] == "hello"
    assert smooth.metadata["Gain"] == 2
    page = (tmp_path / "out" / "cells.html").read_text()
    assert "My blobs" in page
    assert "area" in page
    from matplotlib.image import imread

    assert imread("out/cells.png").shape[:2] == (128, 128)
    again = recipe_command("run", "r.yaml", "cells.tif", "-o", "out", "--json")
    assert "done" not in {step["state"] for step in json.loads(again.out)["steps"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- output.CSVOutput: {inputName: a, scheme: 'pyme-cluster://'}", "PYME's cluster"),
        ("- output.HDFOutput: {filePattern: 'x.hdf'}", "names no table"),
        ("- output.HDFOutput: {inputVariables: {a: T, b: T}}", "one name to two tables"),
    ],
)
def test_faults_are_told_before_the_run(tmp_path, recipe_command, text, told):
    (tmp_path / "r.yaml").write_text(text)
    done = recipe_command("check", "r.yaml")
    assert done.code == 3
    assert told in (done.out + done.err).replace("\n", " ")
