"""``recipe convert OLD.yaml NEW.yaml``: the same steps and keys in the full form, and told what was renamed."""

import json

import numpy as np
import pytest

from recipes_core.data import ImageStack, Localizations
from recipes_core.errors import ExitCode
from recipes_core.language import load
from recipes_core.recipe import Recipe

RNG = np.random.default_rng(4)
LOCS = Localizations(
    {"x": RNG.uniform(0, 5000, 400), "y": RNG.uniform(0, 5000, 400), "frame": np.sort(RNG.integers(0, 900, 400)),
     "A": np.full(400, 50.0), "error_x": np.full(400, 9.0), "error_y": np.full(400, 9.0), "sig": np.full(400, 120.0)},
)  # fmt: skip
STACK = ImageStack(RNG.uniform(0, 9, (4, 1, 16, 16)).astype(np.float32), metadata={"voxelsize.x": 0.1, "voxelsize.y": 0.1})

TRIO = """
# Default pipeline of the viewer
- localisations.AddPipelineDerivedVars:
    inputEvents: ''
    inputFitResults: FitResults
    outputLocalizations: Localizations
- localisations.ProcessColour:
    input: Localizations  # no colours here
    output: colour_mapped
# keeps good fits
- tablefilters.Filter:
    filters: {error_x: [0, 30], A: [5, 20000]}   # nm and ADU
    inputName: colour_mapped
    outputName: filtered_localizations
- tablefilters.Mapping: {inputName: filtered_localizations, mappings: {r: 'sqrt(x**2 + y**2)'}, outputName: mapped}
- localisations.TimeBlocks: {block_size: 50.0, input: mapped}
"""
MEASURE = """
- measurement.SelectMeasurementColumns: {inputMeasurments: a, keys: x y frame, outputName: some}
- AggregateMeasurements: {inputMeasurements1: some, inputMeasurements2: b, outputName: both, suffix2: _b}
- SelectTableColumns: {inputMeasurements: both, keys: x frame_b}
- SelectTableColumns: {inputMeasurements: both, keys: y}
"""
OUT_OF_ORDER = """
- tablefilters.FilterTable: {filters: {x: [0, 1000]}, inputName: coloured, outputName: filtered}
- localisations.ProcessColour: {input: Localizations, output: coloured}
"""

# Of the modules, names and spellings that PYME's shipped recipes are made of.
BLOBS = """
- GaussianFilter:
    inputName: input
    outputName: filtered_image
    processFramesIndividually: true
    sigmaX: 2.0
    sigmaY: 2.0
- LocalMaxima: {inputName: filtered_image, minDistance: 5, outputName: maxima, threshold: 0.1}
- processing.Threshold: {inputName: filtered_image, method: otsu, outputName: thresholded}
- Label: {inputName: thresholded, minRegionPixels: 10, outputName: labels}
- Watershed: {inputImage: filtered_image, inputMarkers: maxima, inputMask: thresholded, outputName: watershed}
- Measure2D: {inputIntensity: input, inputLabels: watershed, outputName: measurements}
- AddMetadataToMeasurements:
    {inputImage: input, inputMeasurments: measurements, keys: SampleNotes, metadataKeys: Sample.Notes, outputName: annotated}
- SelectMeasurementColumns: {inputMeasurments: measurements, keys: x y area, outputName: chosen}
- AggregateMeasurements: {inputMeasurements1: chosen, inputMeasurements2: measurements, outputName: all, suffix2: _m}
- output.CSVOutput: {filePattern: '{output_dir}/{file_stub}.csv', inputName: all}
"""
TRACKING = """
- Zoom: {inputName: input, outputName: zoomed, zoom: 0.5}
- SKF_threshold_adaptive: {block_size: 11.0, inputName: zoomed, outputName: local}
- FractionalThreshold: {fractionThreshold: 0.5, inputName: zoomed, outputName: part}
- SimpleThreshold: {inputName: zoomed, outputName: mask, threshold: 0.5}
- Deconvolve: {inputName: input, iterations: 5, outputName: sharp, psfType: Gaussian}
"""
COLOCALISATION = """
- base.ExtractChannel: {channelToExtract: 0, inputName: input, outputName: chan0}
- base.ExtractChannel: {channelToExtract: 1, inputName: input, outputName: chan1}
- processing.Threshold: {inputName: chan0, outputName: mask0}
- processing.Threshold: {inputName: chan1, outputName: mask1}
- processing.Colocalisation:
    {inputImageA: chan0, inputImageB: chan1, inputMaskA: mask0, inputMaskB: mask1, outputTable: coloc, roiMask: ''}
- processing.ColocalisationEDT: {inputImage: chan0, inputMask: mask1, outputPlot: plot, outputTable: edt}
- output.CSVOutput: {filePattern: '{output_dir}/{file_stub}_coloc.csv', inputName: coloc}
"""


@pytest.fixture
def keys(tmp_path):
    """Key of each step of a recipe; with a cache objects are known by their content."""
    return lambda path, objects=None: _keys(path, objects or {}, tmp_path / "cache")


def _keys(path, objects, cache):
    recipe = Recipe.load(path)
    recipe.use_cache(cache)
    for key in recipe.inputs:
        recipe.namespace[key] = objects.get(key, LOCS)
    return {step.step: step.key for step in recipe.plan().steps}


def converted(recipe_command, tmp_path, text, name="old.yaml"):
    (tmp_path / name).write_text(text)
    done = recipe_command("convert", name, "new.yaml")
    assert done.code == ExitCode.OK, done.err
    return tmp_path / name, tmp_path / "new.yaml"


@pytest.mark.parametrize("text", [TRIO, MEASURE, OUT_OF_ORDER])
def test_the_same_keys_and_no_old_names(recipe_command, tmp_path, keys, text):
    old, new = converted(recipe_command, tmp_path, text)
    known = keys(old)
    assert keys(new) == known
    assert all(known.values())
    assert load(new).warnings == ()
    checked = recipe_command("check", "new.yaml")
    assert (checked.code, checked.err) == (ExitCode.OK, "")


@pytest.mark.parametrize("text", [BLOBS, TRACKING, COLOCALISATION])
def test_recipes_like_those_that_come_with_pyme(recipe_command, tmp_path, keys, text):
    old, new = converted(recipe_command, tmp_path, text)
    known = keys(old, {"input": STACK})
    assert keys(new, {"input": STACK}) == known
    assert all(known.values())
    assert load(new).warnings == ()


@pytest.mark.parametrize("name", ["correct_drift_images", "correct_drift_locs", "correct_drift_locs_load"])
def test_recipes_of_the_drift_plugin(recipe_command, tmp_path, keys, data_file, name):
    old = data_file(f"cc_drift/{name}.yaml")
    assert recipe_command("convert", old, "new.yaml").code == ExitCode.OK
    objects = {"input": STACK}
    known = keys(old, objects)
    assert keys(tmp_path / "new.yaml", objects) == known
    assert all(known.values())


def test_comments_say_what_was_renamed_and_old_ones_are_kept(recipe_command, tmp_path):
    _, new = converted(recipe_command, tmp_path, TRIO)
    lines = new.read_text().splitlines()
    assert lines[0].startswith("# old.yaml in the full form")

    def above(module):
        at = next(index for index, line in enumerate(lines) if line.startswith(f"  - {module}:"))
        first = at
        while lines[first - 1].startswith("  #"):
            first -= 1
        return [line.strip("# ") for line in lines[first:at]]

    assert above("AddPipelineDerivedVars") == ["Default pipeline of the viewer", "was localisations.AddPipelineDerivedVars"]
    assert above("ProcessColour") == ["no colours here", "was localisations.ProcessColour"]
    assert above("FilterTable") == ["keeps good fits", "nm and ADU", "was tablefilters.Filter"]
    assert above("TimeBlocks") == ["was localisations.TimeBlocks", "block_size: 50.0 is read as 50"]
    document = load(new)
    assert {name: spec.type_name for name, spec in document.inputs.items()} == {"FitResults": "Table"}
    new.unlink()
    _, new = converted(recipe_command, tmp_path, MEASURE)
    lines = new.read_text().splitlines()
    assert above("SelectTableColumns")[-2:] == [
        "was measurement.SelectMeasurementColumns",
        "inputMeasurments is now inputMeasurements",
    ]
    assert any("its default key selectedMeasurements is taken by another step" in line for line in lines)


def test_files_are_named_from_the_new_place(recipe_command, tmp_path, keys):
    (tmp_path / "sub").mkdir()
    np.savez(tmp_path / "sub" / "d.npz", tIndex=np.arange(3.0), drift=np.zeros((3, 3)))
    (tmp_path / "sub" / "old.yaml").write_text("- chung_cc.Drift_Load: {input_dummy: L, load_path: d.npz}\n")
    assert recipe_command("convert", "sub/old.yaml", "new.yaml").code == ExitCode.OK
    assert "load_path: sub/d.npz" in (tmp_path / "new.yaml").read_text()
    assert keys(tmp_path / "new.yaml") == keys(tmp_path / "sub" / "old.yaml")
    (tmp_path / "sub" / "full.yaml").write_text(
        "recipe: 1\nparams: {file: d.npz, step: 7}\ninputs: {L: {type: Localizations, path: l.hdf}}\nmodules:\n"
        "  - Drift_Load: {load_path: '${file}'}\n  - TimeBlocks: {input: L, block_size: '${step}'}\nseed: 3\n"
    )
    assert recipe_command("convert", "sub/full.yaml", "moved.yaml").code == ExitCode.OK
    one, other = load(tmp_path / "sub" / "full.yaml"), load(tmp_path / "moved.yaml")
    assert one.steps[0].module.load_path == other.steps[0].module.load_path
    assert (one.inputs["L"].path, one.seed) == (other.inputs["L"].path, other.seed)
    assert "${step}" in (tmp_path / "moved.yaml").read_text()


def test_what_cannot_be_converted(recipe_command, tmp_path):
    (tmp_path / "old.yaml").write_text(OUT_OF_ORDER)
    (tmp_path / "there.yaml").write_text("mine\n")
    done = recipe_command("convert", "old.yaml", "there.yaml")
    assert (done.code, "U163" in done.err) == (ExitCode.USAGE, True)
    assert (tmp_path / "there.yaml").read_text() == "mine\n"
    for arguments in (("old.yaml", "new.hdf"), ("old.hdf", "new.yaml"), ("old.yaml", "new.yaml", "-m", "a=1")):
        done = recipe_command("convert", *arguments)
        assert (done.code, "U162" in done.err) == (ExitCode.USAGE, True)
    (tmp_path / "wrong.yaml").write_text("- tablefilters.FilterTabel: {}\n- Mapping: {mappings: {a: 'x.y'}}\n")
    done = recipe_command("convert", "wrong.yaml", "new.yaml")
    assert done.code == ExitCode.INVALID
    assert "Did you mean 'tablefilters.FilterTable'" in done.err or "FilterTable" in done.err
    assert "R206" in done.err
    assert not (tmp_path / "new.yaml").exists()


def test_json_in_both_senses(recipe_command, tmp_path, keys):
    (tmp_path / "old.json").write_text(json.dumps([{"tablefilters.FilterTable": {"filters": {"x": [0, 9]}, "inputName": "a"}}]))
    told = json.loads(recipe_command("convert", "old.json", "new.yaml", "--json").out)
    assert told["outputs"] == {"result": "new.yaml"}
    assert keys(tmp_path / "new.yaml") == keys(tmp_path / "old.json")
