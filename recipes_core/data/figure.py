"""Figures: data and a specification, drawn only when somebody looks.

Nothing here imports a plotting library; `recipes_core.io` draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy.typing as npt

from recipes_core.data.history import DataObject, HistoryEntry
from recipes_core.data.packing import Packed, put_together, take_apart
from recipes_core.data.persistence import persistence

Array = npt.NDArray[Any]
Kind = Literal["line", "points", "band", "bars", "path"]


@dataclass(frozen=True)
class Series:
    """Values drawn in a panel.

    Parameters
    ----------
    kind : {'line', 'points', 'band', 'bars', 'path'}
        A band lies between `y` and `y2`. A path is a line whose colour follows `c`.
    x, y : array (n,)
    y2 : array (n,), optional
        Upper edge of a band.
    c : array (n,), optional
        Values that colour a path or points.
    label : str
        Entry of the legend; none where empty.
    colour : int or str
        Index into the palette, or a colour's name. One index means one quantity, whatever the kind.
    style : {'solid', 'dashed', 'dotted'}
    """

    kind: Kind
    x: Array
    y: Array
    y2: Array | None = None
    c: Array | None = None
    label: str = ""
    colour: int | str = 0
    style: Literal["solid", "dashed", "dotted"] = "solid"


@dataclass(frozen=True)
class Picture:
    """An image drawn in a panel.

    Parameters
    ----------
    pixels : array (y, x) or (y, x, 3)
    pixel_size : float
        nm; gives axes in um and a scale bar.
    limits : (low, high), optional
        Values of black and white; chosen from percentiles where not given.
    colour_map : str
    marks : tuple of array (n, 2)
        Sets of positions (x, y) in pixels, drawn as open circles.
    """

    pixels: Array
    pixel_size: float | None = None
    limits: tuple[float, float] | None = None
    colour_map: str = "hot"
    marks: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its content."""

    content: Sequence[Series | Picture]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    equal: bool = False
    c_label: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Spec:
    panels: tuple[Panel, ...]
    title: str = ""
    n_columns: int = 1
    panel_size: tuple[float, float] = (7.0, 2.6)
    share_x: bool = False


_PARTS = {cls.__name__: cls for cls in (_Spec, Panel, Series, Picture)}


class Figure(DataObject):
    """One or more panels.

    Parameters
    ----------
    panels : sequence of Panel
    title : str
    n_columns : int
        Panels are laid out row by row.
    panel_size : (width, height)
        Size of one panel in inches.
    share_x : bool
        Whether the panels of a column share their x axis.
    """

    def __init__(
        self,
        panels: Sequence[Panel],
        *,
        title: str = "",
        n_columns: int = 1,
        panel_size: tuple[float, float] = (7.0, 2.6),
        share_x: bool = False,
        metadata: Mapping[str, Any] | None = None,
        history: Iterable[HistoryEntry] = (),
    ) -> None:
        self.spec = _Spec(tuple(panels), title, n_columns, panel_size, share_x)
        self._init_provenance(metadata, history)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The panels, row by row."""
        return self.spec.panels

    def pack(self) -> Packed:
        arrays: dict[str, Any] = {}
        spec = take_apart(self.spec, arrays, _PARTS)
        return Packed(type(self).__name__, {"figure": spec}, arrays)

    @classmethod
    def unpack(
        cls,
        spec: Mapping[str, Any],
        arrays: Mapping[str, Any],
        metadata: Mapping[str, Any],
        history: Iterable[HistoryEntry],
    ) -> Self:
        parts = put_together(spec["figure"], arrays, _PARTS)
        figure = cls(parts.panels, metadata=metadata, history=history)
        figure.spec = parts
        return figure

    def summary(self) -> str:
        return f"figure with {len(self.panels)} panel{'s' if len(self.panels) != 1 else ''}"

    def __repr__(self) -> str:
        return f"<Figure: {self.spec.title or self.summary()}>"

    def save(self, path: str | Path) -> Path:
        """Draw the figure to a .png, .svg or .pdf; return the path."""
        return persistence().save(self, path)
