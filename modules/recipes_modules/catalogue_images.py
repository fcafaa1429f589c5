"""References to the modules on images and to those that write files; see `recipes_modules`."""

from __future__ import annotations

from recipes_core.plugins.refs import ModuleRef


def _refs(file: str, prefix: str, **summaries: str) -> tuple[ModuleRef, ...]:
    return tuple(
        ModuleRef(f"smlm.{name}", f"recipes_modules.{file}:{name}", summary, (f"{prefix}.{name}",))
        for name, summary in summaries.items()
    )


_SKIMAGE = (
    "apply_hysteresis_threshold", "butterworth", "difference_of_gaussians", "farid", "farid_h", "farid_v", "frangi", "gabor", "gaussian",
    "hessian", "laplace", "median", "meijering", "prewitt", "prewitt_h", "prewitt_v", "rank_order", "roberts", "roberts_neg_diag",
    "roberts_pos_diag", "sato", "scharr", "scharr_h", "scharr_v", "sobel", "sobel_h", "sobel_v", "threshold_isodata", "threshold_li",
    "threshold_local", "threshold_mean", "threshold_minimum", "threshold_niblack", "threshold_otsu", "threshold_sauvola",
    "threshold_triangle", "threshold_yen", "unsharp_mask",
)  # fmt: skip
# What a filter of scikit-image was called before.
_FORMER = {"threshold_local": ("skfilters.SKF_threshold_adaptive",)}

IMAGE_MODULES: tuple[ModuleRef, ...] = (
    *_refs(
        "image_shape",
        "base",
        ExtractChannel="Takes one colour channel of an image series.",
        JoinChannels="Makes one image with several colour channels of up to four.",
        Crop="Cuts a part out of an image series.",
        Redimension="Says anew which images of a series are planes, frames and channels.",
    ),
    *_refs(
        "image_shape",
        "filters",
        Zoom="Resamples images to larger or smaller pixels.",
        Subsample="Keeps every so many pixels.",
    ),
    *_refs(
        "image_shape",
        "processing",
        Projection="Projects an image series along an axis: mean, sum, maximum, ...",
        ResampleZ="Resamples image volumes to planes at even distance.",
    ),
    *_refs(
        "image_composite",
        "processing",
        Composite="Makes one image of up to four channels, on the pixels of the first.",
    ),
    *_refs(
        "image_arithmetic",
        "base",
        Add="Adds two image series.",
        Subtract="Subtracts one image series from another.",
        Multiply="Multiplies two image series.",
        Divide="Divides one image series by another.",
        Pow="Raises pixels to a power.",
        Scale="Multiplies pixels by a constant.",
        Clip="Limits pixels to a range.",
        Normalize="Divides by the largest value.",
        NormalizeMean="Subtracts an offset and divides by the mean.",
        Invert="Subtracts each pixel from 1.",
        BinaryOr="Marks the pixels that are set in either of two masks.",
        LogicalAnd="Marks the pixels that are set in both of two masks.",
        IsClose="Marks the pixels in which two image series agree.",
    ),
    ModuleRef(
        "smlm.Offset",
        "recipes_modules.image_arithmetic:Offset",
        "Adds a constant to pixels, or subtracts one or the minimum.",
        ("base.Offset", "processing.Offset"),
    ),
    *_refs(
        "image_filters",
        "filters",
        GaussianFilter="Smooths images with a Gaussian.",
        DoGFilter="Difference of two Gaussians.",
        MedianFilter="Median of a window around each pixel.",
        MeanFilter="Mean of a window around each pixel.",
        MaxFilter="Largest value in a window around each pixel.",
        MinFilter="Smallest value in a window around each pixel.",
        DespeckleFilter="Median of the neighbours that are nearest in value.",
        MaskEdges="Sets a border to zero.",
    ),
    *_refs(
        "image_filters",
        "processing",
        SplineFitBackgroundEstimate="Estimates a smooth background by a spline.",
        Rotate180="Turns each plane by half a turn.",
    ),
    *_refs(
        "image_segment",
        "processing",
        SimpleThreshold="Marks the pixels above a threshold.",
        FractionalThreshold="Marks the brightest pixels that hold a part of the signal.",
        Threshold="Marks the pixels above a threshold found from the histogram.",
        Label="Numbers the connected regions of a mask.",
        SelectLabel="Marks the pixels of one label.",
        SelectLargestLabel="Marks the pixels of the largest label.",
        LocalMaxima="Numbers the local maxima of images.",
        Watershed="Grows regions from markers until they meet.",
    ),
    *_refs("image_segment", "machine_learning", LabelsToChannels="Makes a colour channel of each label."),
    *_refs(
        "image_morphology",
        "processing",
        BinaryDilation="Grows the regions of a mask.",
        BinaryErosion="Shrinks the regions of a mask.",
        BinaryFillHoles="Fills the holes in the regions of a mask.",
        GreyDilation="Largest value within a radius.",
        GreyErosion="Smallest value within a radius.",
        WhiteTophat="Keeps what is bright and small.",
        DistanceTransform="Distance of each pixel from the edge of a mask.",
        Gradient="Slope of images along x and y.",
        Gradient3D="Slope of image volumes along x, y and z.",
    ),
    *_refs("image_restore", "processing", Deconvolve="Sharpens images whose blur is known."),
    *_refs(
        "image_background",
        "processing",
        BackgroundSubtractionMovingAverage="Subtracts the mean of neighbouring frames.",
        BackgroundSubtractionMovingPercentile="Subtracts a percentile of neighbouring frames.",
        FlatfieldAndDarkCorrect="Subtracts a dark image and multiplies by a flat field.",
        RawADUToElectronsPerSecond="Turns counts into photoelectrons a second.",
        DarkAndVarianceMap="Makes the maps of an sCMOS camera from frames in the dark.",
        AverageFramesByZStep="Averages the frames that were taken at one z.",
    ),
    *_refs(
        "image_measure",
        "measurement",
        Measure2D="Measures the objects of a label image.",
        AddMetadataToMeasurements="Adds entries of an image's metadata to a table.",
        IntensityAtPoints="Sum or mean of the pixels around points.",
        ExtractROIs="Cuts small images out around positions.",
    ),
    *_refs("image_measure", "processing", StatisticsByFrame="Mean, spread and range of the pixels of each frame."),
    *_refs("image_measure", "localisations", LabelsFromImage="Gives each point the label of its pixel."),
    *_refs(
        "image_histograms",
        "measurement",
        Histogram="How often the values of a column occur.",
        ImageHistogram="How often the values of pixels occur.",
        ImageCumulativeHistogram="Part of the pixels up to each value.",
        BinnedHistogram="Statistics of pixels in bins of a second image.",
    ),
    *_refs(
        "image_spots",
        "measurement",
        DetectPoints2D="Finds spots in each frame.",
        FitPoints="Fits the image of a molecule at known places.",
        MultifitBlobs="Finds and fits blobs that may overlap.",
    ),
    ModuleRef(
        "measurement.MeanNeighbourDistances",
        "recipes_modules.neighbour_distances:MeanNeighbourDistances",
        "Mean distance of each point to its neighbours, as PYME gives it.",
    ),
    *_refs(
        "image_coloc",
        "processing",
        Colocalisation="Correlation and Manders' coefficients of two channels.",
        ColocalisationEDT="How much signal lies at each distance from a mask.",
    ),
    *_refs(
        "outputs",
        "output",
        CSVOutput="Writes a table as text.",
        HDFOutput="Writes tables to one .hdf file.",
        ImageOutput="Writes images.",
        RGBImageOutput="Writes a picture to look at.",
        PlotOutput="Writes a figure as .pdf, .png or .svg.",
        ReportOutput="Writes a page with results.",
    ),
    *(
        ModuleRef(
            f"skfilters.SKF_{name}",
            f"recipes_modules.image_skimage:SKF_{name}",
            f"scikit-image's filter {name}.",
            _FORMER.get(name, ()),
        )
        for name in _SKIMAGE
    ),
)
