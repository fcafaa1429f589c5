"""The built-in SMLM modules.

They are registered by light references and imported on first use, here too: ``from recipes_modules import Locs_RCC``.
"""

from __future__ import annotations

from typing import Any

from recipes_core.plugins.hookspecs import hookimpl
from recipes_core.plugins.refs import ModuleRef
from recipes_modules.catalogue_images import IMAGE_MODULES


def _ref(name: str, file: str, summary: str, *old_prefixes: str, aliases: tuple[str, ...] = ()) -> ModuleRef:
    target = f"recipes_modules.{file}:{name.replace('&', '_')}"
    return ModuleRef(f"smlm.{name}", target, summary, (*(f"{prefix}.{name}" for prefix in old_prefixes), *aliases))


_DRIFT = "chung_cc"

MODULES: tuple[ModuleRef, ...] = (
    _ref("Detect", "localize_detect", "Finds spots in chosen frames and shows them: a test of a fit's settings."),
    _ref("Localize", "localize_any", "Localizes with any fit; takes what is left out from the movie's metadata."),
    _ref("LatGaussFitFR", "localize_fit", "Localizes by least squares as PYME does."),
    _ref("AstigGaussFitFR", "localize_fit", "Localizes by least squares with two widths, as PYME does."),
    _ref("GaussMLE", "localize_fit", "Localizes by maximum likelihood."),
    _ref("GaussLSQ", "localize_fit", "Localizes by least squares, as accurately as it can."),
    _ref("AstigGaussMLE", "localize_fit", "Localizes by maximum likelihood with two widths, for astigmatic 3D."),
    _ref("MultiMLE", "localize_multi", "Localizes emitters whose images overlap, by joint maximum likelihood."),
    _ref("GaussMultiFitSR", "localize_multi", "Localizes emitters whose images overlap by least squares, as PYME does."),
    _ref("Astig_Calibrate", "localize_astig", "Measures how the widths of a spot change with z, from beads at known z."),
    _ref("Astig_Z", "localize_astig", "Gives localizations z from their two widths and a calibration."),
    _ref("MapAstigZ", "pyme_astig", "Gives localizations z from their two widths, as PYME does.", "localisations"),
    _ref("Locs_Drift", "drift_auto", "Measures the drift of localizations, undoes it, and says whether it can be believed."),
    _ref("Locs_RCC", "drift_rcc", "Drift of localizations by redundant cross-correlation.", _DRIFT),
    _ref("Locs_AIM", "drift_aim", "Drift of localizations by adaptive intersection maximization."),
    _ref("Locs_Entropy", "drift_entropy", "Drift of localizations at minimum entropy, frame by frame."),
    _ref("Locs_CC", "drift_chunks", "Drift of localizations by cross-correlation, chunk by chunk."),
    _ref("Locs_ICP", "drift_chunks", "Drift of localizations by iterative closest point, chunk by chunk."),
    _ref("Image_RCC", "drift_rcc", "Drift of an image series by redundant cross-correlation.", _DRIFT),
    _ref("Locs_Fiducials", "fiducials", "Drift from fiducial markers (beads) or their tracks."),
    _ref(
        "AutocorrelationDriftCorrection",
        "pyme_drift",
        "Undoes drift by correlating windows with the first one, as PYME does.",
        "localisations",
    ),
    _ref("FiducialCorrection", "pyme_drift", "Undoes drift that fiducials show, as PYME does.", "localisations"),
    _ref("Drift_Interpolate", "drift_curve", "Makes a curve of a measured drift.", _DRIFT),
    _ref("Drift_Model", "drift_model", "Fits models to transformations of chunks, or to a drift."),
    _ref("Drift_Save", "drift_curve", "Saves a drift, in the format that the name's ending says.", _DRIFT),
    _ref("Drift_Load", "drift_curve", "Reads a drift from a file.", _DRIFT),
    _ref("Drift_Load_Interpolate", "drift_curve", "Reads drifts from files and adds their curves up.", _DRIFT),
    _ref("Drift_Plot", "drift_curve", "Shows a drift over the frames and as a path coloured by time."),
    _ref("Drift_Combine", "drift_curve", "Makes one drift of several: their sum, or their mean."),
    _ref("Locs_Post_Shift", "drift_apply", "Adds the drift correction of its frame to each localization.", _DRIFT),
    _ref(
        "Locs_Apply_Transformations",
        "drift_transform",
        "Moves localizations by the transformations of chunks or a model of them.",
    ),
    _ref("Image_Post_Shift", "drift_apply", "Moves each image of a series by its drift correction.", _DRIFT),
    _ref("Image_Pre_Clip&Filter", "image_prepare", "Clips and filters images and fades out their edges.", _DRIFT),
    _ref("Image_Pre_Downsample", "image_prepare", "Crops and bins an image series.", _DRIFT),
    _ref(
        "FilterTable",
        "tables",
        "Keeps the rows whose columns lie between bounds.",
        "tablefilters",
        aliases=("tablefilters.Filter",),
    ),
    _ref("Mapping", "table_mapping", "Adds or replaces columns by expressions.", "tablefilters"),
    _ref("Table_Properties", "table_properties", "Counts, centroid, bounding box, area, density and statistics of columns."),
    _ref("Table_Join", "table_joins", "Joins two tables by the values of key columns."),
    _ref("ConcatenateTables", "table_joins", "Puts the rows of tables behind each other.", "tablefilters"),
    _ref(
        "AggregateTables",
        "table_joins",
        "Puts the columns of tables of equal length beside each other.",
        "tablefilters",
        aliases=("tablefilters.AggregateMeasurements", "measurement.AggregateMeasurements"),
    ),
    _ref(
        "SelectTableColumns",
        "table_joins",
        "Keeps some columns.",
        "tablefilters",
        aliases=("tablefilters.SelectMeasurementColumns", "measurement.SelectMeasurementColumns"),
    ),
    _ref("Table_Split", "table_subsets", "Splits a table in two by a column."),
    _ref("FilterTableByIds", "table_subsets", "Keeps the rows whose id is in a list.", "tablefilters"),
    _ref("RandomSubset", "table_subsets", "Draws rows at random.", "tablefilters"),
    _ref("Locs_Region", "table_regions", "Keeps the localizations inside a box, a circle, polygons or a mask."),
    _ref("TimeBlocks", "table_subsets", "Assigns localizations to two channels, block of frames by block.", "localisations"),
    _ref("ExtractTableChannel", "table_subsets", "Keeps the localizations of one colour channel.", "localisations"),
    _ref("ProcessColour", "localizations", "Adds the columns that assign localizations to colour channels.", "localisations"),
    _ref("AddPipelineDerivedVars", "localizations", "Adds the columns that follow from fit results.", "localisations"),
    _ref("Locs_Simulate", "simulate", "Simulates localizations of blinking molecules, with a drift that is known."),
    _ref("Movie_Simulate", "simulate_movie", "Simulates a movie of blinking molecules, with the truth beside it."),
    _ref("Locs_Add_Drift", "drift_truth", "Moves localizations by a drift of known velocity and diffusion."),
    _ref("Locs_RMSE", "drift_truth", "How far a drift or a table is from a known one."),
    _ref("Evaluate_Localizations", "evaluate", "Compares localizations with the truth: Jaccard index, errors, efficiency."),
    _ref("NeNA", "resolution", "Localization precision from nearest neighbours in consecutive frames."),
    _ref("FRC", "resolution", "Resolution by Fourier ring correlation."),
    _ref("Decorrelation", "image_decorrelation", "Resolution of images by decorrelation."),
    _ref("Quality_Report", "quality_report", "Precision, resolution, photons, density and drift: how good localizations are."),
    _ref("Link", "linking", "Makes one localization of those of a molecule in successive frames, as Picasso's link."),
    _ref("FindClumps", "clumps", "Numbers localizations that are likely of one molecule, as PYME does.", "tracking"),
    ModuleRef(
        "multiview.FindClumps",
        "recipes_modules.clumps:MultiviewFindClumps",
        "Numbers localizations that are likely of one molecule, as PYME's multiview module does.",
    ),
    _ref("MergeClumps", "clumps", "Makes one localization of each clump, as PYME does.", "localisations", "multiview"),
    _ref("Locs_DBSCAN", "clusters", "Finds clusters by density; millions of localizations."),
    _ref("Locs_HDBSCAN", "clusters", "Finds clusters of different density (extra cluster)."),
    _ref("DBSCANClustering", "clusters", "Finds clusters by density, as PYME does.", "localisations"),
    _ref("Cluster_Measures", "cluster_measures", "Measures clusters: size, centre with error, radius, eccentricity, area."),
    _ref("MeasureClusters3D", "cluster_measures", "Measures clusters, as PYME does.", "localisations"),
    _ref("AddMeasurementsByLabel", "cluster_measures", "Gives each position the measures of its cluster.", "localisations"),
    _ref("Locs_Neighbours", "neighbours", "Distances to neighbours, beside those of random positions."),
    _ref("NearestNeighbourDistances", "neighbours", "Distances to the nearest neighbours, as PYME gives them.", "measurement"),
    _ref("Locs_Density", "neighbours", "Number of neighbours within a radius, and density."),
    _ref("Locs_Per_Frame", "neighbours", "Localizations per frame over the movie."),
    _ref("Locs_Ripley", "pair_statistics", "Ripley's K, L and H, beside those of random positions."),
    _ref("Locs_Pair_Correlation", "pair_statistics", "Pair correlation, beside that of random positions."),
    _ref("PairwiseDistanceHistogram", "pair_statistics", "Histogram of distances, as PYME does.", "measurement"),
    _ref("Ripleys", "pair_statistics", "Ripley's functions, as PYME gives them.", "pointcloud"),
    _ref("LocalPointDensity", "pyme_points", "Density from distances to nearest neighbours, as PYME does.", "pointcloud"),
    _ref("GaussianMixtureModel", "pyme_points", "Assigns positions to a mixture of Gaussians (extra cluster).", "pointcloud"),
    _ref("Locs_Render", "render", "Renders localizations as an image or an image series."),
    _ref("DensityMapping", "density_mapping", "Renders localizations with PYME's renderers.", "localisations"),
    _ref("Render_Compare", "render_figures", "Shows renderings of two tables side by side."),
    _ref("Image_Compare", "render_figures", "Shows the means of two image series side by side."),
    *IMAGE_MODULES,
)


@hookimpl
def register_modules() -> tuple[ModuleRef, ...]:
    """The modules of this package."""
    return MODULES


_CLASSES = {ref.target.partition(":")[2]: ref for ref in MODULES}
__all__ = [*_CLASSES, "register_modules"]  # noqa: PLE0604 - the names of the references


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        raise AttributeError(f"module 'recipes_modules' has no attribute '{name}'")
    return _CLASSES[name].load()


def __dir__() -> list[str]:
    return sorted(__all__)
