"""What travels along the edges of a recipe."""

from recipes_core.data.bundles import Document, Tables
from recipes_core.data.drift import Drift
from recipes_core.data.figure import Figure, Panel, Picture, Series
from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.imagestack import ArraySource, FrameAxis, FrameSource, ImageStack
from recipes_core.data.packing import Packed
from recipes_core.data.scalars import Scalars
from recipes_core.data.table import Localizations, Table

__all__ = [
    "ArraySource",
    "DataObject",
    "Document",
    "Drift",
    "Figure",
    "FrameAxis",
    "FrameSource",
    "HistoryEntry",
    "ImageStack",
    "Localizations",
    "Packed",
    "Panel",
    "Picture",
    "Scalars",
    "Series",
    "Table",
    "Tables",
]
