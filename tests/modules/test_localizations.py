import numpy as np
import pytest
from scipy.stats import norm

from recipes_core import Localizations, Recipe, Table
from recipes_core.errors import DataError
from recipes_modules import AddPipelineDerivedVars, ProcessColour

RNG = np.random.default_rng(4)
FIT = Table(
    {
        "tIndex": np.array([3, 1, 2]), "fitResults_A": np.array([100.0, 200.0, 300.0]), "fitResults_x0": np.array([1.0, 2.0, 3.0]),
        "fitResults_y0": np.array([4.0, 5.0, 6.0]), "fitResults_z0": np.array([10.0, 20.0, 30.0]),
        "fitResults_sigma": np.array([110.0, 120.0, 130.0]), "fitError_x0": np.array([7.0, 8.0, 9.0]),
    },
    metadata={"voxelsize.x": 0.07, "Camera.ElectronsPerCount": 27.32, "Camera.TrueEMGain": 20.0},
)  # fmt: skip


def derive(table, **parameters):
    return AddPipelineDerivedVars(**parameters).apply(table)["outputLocalizations"]


def test_fit_results_get_the_usual_names():
    locs = derive(FIT)
    assert isinstance(locs, Localizations)
    for name, source in {
        "x": "fitResults_x0",
        "sig": "fitResults_sigma",
        "t": "tIndex",
        "error_x": "fitError_x0",
        "z": "fitResults_z0",
    }.items():
        np.testing.assert_array_equal(locs[name], FIT[source])


def test_photons_are_the_volume_of_the_spot():
    expected = FIT["fitResults_A"] * 2 * np.pi * (FIT["fitResults_sigma"] / 70.0) ** 2 * 27.32 / 20
    np.testing.assert_allclose(derive(FIT)["photons"], expected, rtol=1e-12)
    assert "photons" not in derive(FIT.with_provenance(metadata={}))


def test_focus_is_foreshortened():
    locs = derive(FIT.with_columns({"focus": np.array([100.0, 0.0, -100.0])}), foreshortening=0.7)
    np.testing.assert_allclose(locs["z"], [80.0, 20.0, -40.0])


def test_colour_ratio_and_its_error():
    green, red, error_green, error_red = (RNG.uniform(10, 100, 5) for _ in range(4))
    fit = Table({"tIndex": np.arange(5), "fitResults_x0": green, "fitResults_y0": red, "fitResults_Ag": green, "fitResults_Ar": red,
                 "fitError_Ag": error_green, "fitError_Ar": error_red})  # fmt: skip
    locs = derive(fit)
    ratio = green / (green + red)
    np.testing.assert_allclose(locs["gFrac"], ratio)
    expected = ratio * np.sqrt((error_green / green) ** 2 + (error_green**2 + error_red**2) / (green + red) ** 2)
    np.testing.assert_allclose(locs["error_gFrac"], expected)
    np.testing.assert_allclose(locs["A"], green + red)


def test_results_without_a_position_are_refused():
    with pytest.raises(DataError, match="no position"):
        derive(Table({"tIndex": [1]}))


def colours(table, **parameters):
    return ProcessColour(**parameters).apply(table)["output"]


def test_one_colour_passes_unchanged():
    locs = Localizations({"x": [1.0], "y": [1.0], "frame": [0]})
    assert colours(locs).columns == locs.columns


def test_membership_is_the_density_of_the_ratio():
    ratio, error = RNG.uniform(0, 1, 50), RNG.uniform(0.01, 0.1, 50)
    locs = Localizations({"x": ratio, "y": ratio, "frame": np.arange(50), "gFrac": ratio, "error_gFrac": error})
    result = colours(locs, species_ratios={"tubulin": 0.85, "membrane": 0.3})
    np.testing.assert_allclose(result["p_tubulin"], norm.pdf(ratio, 0.85, error), rtol=1e-9)
    np.testing.assert_allclose(result["p_membrane"], norm.pdf(ratio, 0.3, error), rtol=1e-9)


def test_species_come_from_metadata_and_doubled_ones_get_a_number():
    locs = Localizations(
        {"x": [0.5], "y": [0.5], "frame": [0], "gFrac": [0.5]},
        metadata={"Sample.Labelling": [["tubulin", "A647"], ["tubulin", "A700"], ["unknown", "no dye"]]},
    )
    assert {"p_tubulin", "p_tubulin_1"} <= set(colours(locs).columns)
    assert "p_unknown" not in colours(locs)
    assert "p_tubulin" not in colours(locs, ratios_from_metadata=False)


def test_probes_and_sequential_colours():
    locs = Localizations(
        {"x": np.zeros(4), "y": np.zeros(4), "frame": np.arange(4), "probe": [0, 1, 0, 1]},
        metadata={},
    )
    assert colours(locs)["p_chan1"].tolist() == [0, 1, 0, 1]
    told = {"Protocol.NumberSequentialColors": 2, "Protocol.ColorRange0": [0, 2], "Protocol.ColorRange1": [2, 4]}
    sequential = Localizations({"x": np.zeros(4), "y": np.zeros(4), "frame": np.arange(4)}, metadata=told)
    assert colours(sequential)["p_chan0"].tolist() == [1, 1, 0, 0]
    assert colours(sequential)["p_chan1"].tolist() == [0, 0, 1, 1]


def test_a_fitted_ratio_is_the_colour_ratio():
    locs = derive(FIT.with_columns({"fitResults_ratio": np.array([0.85, 0.3, 0.85])}))
    assert locs["gFrac"].tolist() == [0.85, 0.3, 0.85]


def test_fits_that_yield_photons_pass_filters_on_the_height():
    locs = derive(Table({"tIndex": [0], "fitResults_x0": [1.0], "fitResults_y0": [1.0], "fitResults_photons": [900.0]}))
    assert (locs["photons"][0], locs["A"][0]) == (900.0, 900.0)


@pytest.mark.parametrize("extra", [(), ("fitResults_Ag", "fitResults_Ar"), ("fitResults_ratio",), ("fitResults_photons",)])
def test_the_columns_are_known_before_the_run(extra):
    fit = FIT.with_columns({name: np.ones(3) for name in extra})
    told = AddPipelineDerivedVars().output_columns("outputLocalizations", {"inputFitResults": fit.columns})
    assert told == derive(fit).columns


def test_pyme_s_three_steps_take_splitter_data():
    """Filters on columns that the steps before derive are no fault."""
    fit = Table({"tIndex": np.arange(500), **{name: np.full(500, 50.0) for name in
                ("fitResults_x0", "fitResults_y0", "fitResults_Ag", "fitResults_Ar")}})  # fmt: skip
    recipe = Recipe.from_yaml("""
- localisations.AddPipelineDerivedVars: {inputFitResults: FitResults, outputLocalizations: Localizations}
- localisations.ProcessColour: {input: Localizations, output: colour_mapped, species_ratios: {tubulin: 0.5}}
- tablefilters.FilterTable: {inputName: colour_mapped, outputName: kept, filters: {A: [5, 20000], p_tubulin: [0, 100]}}
""")
    recipe.namespace["FitResults"] = fit
    assert recipe.problems == []
    assert len(recipe["kept"]) == 500
