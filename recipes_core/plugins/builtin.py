"""The data types and file formats that come with the engine, registered like a plugin's."""

from __future__ import annotations

from recipes_core.plugins.hookspecs import hookimpl
from recipes_core.plugins.refs import DatatypeRef, ExecutorRef, ReaderRef, WriterRef

_DATA = "recipes_core.data"
_IO = "recipes_core.io"
_EXECUTORS = "recipes_core.run.executors"
_RECORD = ".provenance.json"


@hookimpl
def register_datatypes() -> list[DatatypeRef]:
    """What may stand under ``inputs:``."""
    return [
        DatatypeRef("Localizations", f"{_DATA}:Localizations", ".hdf"),
        DatatypeRef("Table", f"{_DATA}:Table", ".hdf"),
        DatatypeRef("ImageStack", f"{_DATA}:ImageStack", ".ome.tif"),
        DatatypeRef("Drift", f"{_DATA}:Drift", ".npz"),
        DatatypeRef("Figure", f"{_DATA}:Figure", ".png"),
        DatatypeRef("Scalars", f"{_DATA}:Scalars", ".json"),
        DatatypeRef("Block", f"{_DATA}.block:Block"),
    ]


@hookimpl
def register_executors() -> list[ExecutorRef]:
    """Where steps run besides this process."""
    return [
        ExecutorRef("processes", f"{_EXECUTORS}.processes:open_processes", "worker processes on this machine"),
        ExecutorRef("dask", f"{_EXECUTORS}.dask:open_dask", "Dask, here or on a running scheduler", takes_address=True),
    ]


@hookimpl
def register_readers() -> list[ReaderRef]:
    """Formats that are read, asked in this order."""
    return [
        ReaderRef("decode", f"{_IO}.decode:READER", "DECODE emitters", (".h5",)),
        ReaderRef("smap", f"{_IO}.smap:READER", "SMAP localizations", (".mat",)),
        ReaderRef("picasso", f"{_IO}.picasso:READER", "Picasso .hdf5 with .yaml", (".hdf5",)),
        ReaderRef("pyme_image", f"{_IO}.pyme_image:READER", "PYME image series", (".h5",)),
        ReaderRef("pyme_table", f"{_IO}.pyme_table:READER", "PYME tables", (".hdf", ".h5r")),
        ReaderRef("smlm", f"{_IO}.smlm_zip:READER", ".smlm tables", (".smlm",)),
        ReaderRef("parquet", f"{_IO}.parquet:READER", "Parquet tables", (".parquet",)),
        ReaderRef("picasso_raw", f"{_IO}.picasso_raw:READER", "Picasso movie with .yaml", (".raw",)),
        ReaderRef("ome_zarr", f"{_IO}.ome_zarr:READER", "OME-Zarr", (".ome.zarr", ".zarr")),
        ReaderRef("nd2", f"{_IO}.nd2_image:READER", "Nikon movie", (".nd2",)),
        ReaderRef("tiff", f"{_IO}.tiff_reader:READER", "TIFF and OME-TIFF", (".tif", ".tiff", ".ome.tif")),
        ReaderRef("drift_npz", f"{_IO}.drift_npz:READER", "drift", (".npz",)),
        ReaderRef("drift_csv", f"{_IO}.drift_text:CSV_READER", "drift as text", (".csv",)),
        ReaderRef("drift_picasso", f"{_IO}.drift_text:PICASSO_READER", "drift of Picasso", (".txt",)),
        ReaderRef("rapidstorm", f"{_IO}.rapidstorm:READER", "rapidSTORM localizations and tracks", (".txt",)),
        ReaderRef(
            "text_table",
            f"{_IO}.text_table:READER",
            "table as text: PYME, ThunderSTORM, Deep-STORM, DECODE, Elyra, Nanoimager, SMLM challenge and others",
            (".csv", ".tsv", ".txt"),
        ),
    ]


@hookimpl
def register_writers() -> list[WriterRef]:
    """Formats that are written."""
    tables = ("Localizations", "Table")
    return [
        WriterRef("pyme_table", f"{_IO}.pyme_table:write", (".hdf",), (*tables, "Tables"), "PYME table"),
        WriterRef("pyme_results", f"{_IO}.pyme_results:write", (".h5r",), ("Localizations",), "PYME results of fits"),
        WriterRef("picasso", f"{_IO}.picasso:write", (".hdf5",), ("Localizations",), "Picasso", companions=(".yaml",)),
        WriterRef("csv", f"{_IO}.text_writing:write_pyme", (".csv",), tables, "PYME table as text", (f".csv{_RECORD}",)),
        WriterRef(
            "thunderstorm",
            f"{_IO}.text_writing:write_thunderstorm",
            (".ts.csv",),
            ("Localizations",),
            "ThunderSTORM",
            (f".ts.csv{_RECORD}",),
        ),
        WriterRef(
            "deepstorm",
            f"{_IO}.text_writing:write_deepstorm",
            (".deepstorm.csv",),
            ("Localizations",),
            "Deep-STORM",
            (f".deepstorm.csv{_RECORD}",),
        ),
        WriterRef(
            "decode_csv",
            f"{_IO}.text_writing:write_decode",
            (".decode.csv",),
            ("Localizations",),
            "DECODE as text",
            (f".decode.csv{_RECORD}",),
        ),
        WriterRef(
            "challenge",
            f"{_IO}.text_writing:write_challenge",
            (".challenge.csv",),
            ("Localizations",),
            "SMLM challenge",
            (f".challenge.csv{_RECORD}",),
        ),
        WriterRef("decode", f"{_IO}.decode:write", (".decode.h5",), ("Localizations",), "DECODE"),
        WriterRef("smap", f"{_IO}.smap_writing:write", ("_sml.mat",), ("Localizations",), "SMAP"),
        WriterRef("smlm", f"{_IO}.smlm_zip:write", (".smlm",), tables, ".smlm"),
        WriterRef("parquet", f"{_IO}.parquet:write", (".parquet",), tables, "Parquet"),
        WriterRef("picasso_raw", f"{_IO}.picasso_raw:write", (".raw",), ("ImageStack",), "Picasso movie", companions=(".yaml",)),
        WriterRef("pyme_image", f"{_IO}.pyme_image:write", (".h5",), ("ImageStack",), "PYME image series"),
        WriterRef("tiff", f"{_IO}.tiff_writer:write", (".ome.tif", ".ome.tiff", ".tif", ".tiff"), ("ImageStack",), "OME-TIFF"),
        WriterRef("drift_npz", f"{_IO}.drift_npz:write", (".npz",), ("Drift",), "drift"),
        WriterRef("drift_csv", f"{_IO}.drift_text:write_csv", (".csv",), ("Drift",), "drift as text", (f".csv{_RECORD}",)),
        WriterRef(
            "drift_picasso", f"{_IO}.drift_text:write_picasso", (".txt",), ("Drift",), "drift of Picasso", (f".txt{_RECORD}",)
        ),
        WriterRef("png_image", f"{_IO}.png_image:write", (".png",), ("ImageStack",), "image to look at"),
        WriterRef("report", "recipes_core.report.document:write", (".html",), ("Document",), "page"),
        WriterRef("figure", f"{_IO}.draw:write", (".png", ".svg", ".pdf"), ("Figure",), "figure"),
        WriterRef("scalars", f"{_IO}.scalars_json:write", (".json",), ("Scalars",), "values"),
    ]
