"""The programs that write tables as text: how to know them by the header, and what their numbers mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from recipes_core.data.vocabulary import canonical, canonical_names, unit_of
from recipes_core.io.conventions import PIXELS, TO_NM, Conventions
from recipes_core.io.text_input import Layout, is_number


@dataclass(frozen=True)
class Dialect:
    """What is known of a program's tables.

    Parameters
    ----------
    form : str
        The format's name for people.
    fits : callable
        Whether a layout is of this program.
    conventions : Conventions
    names : mapping
        Column of the file -> name in memory, where the vocabulary would say something else.
    units : mapping
        Name in memory -> unit, where it is not the vocabulary's.
    footer : bool
        Whether other text follows the table.
    """

    form: str
    fits: Callable[[Layout], bool]
    conventions: Conventions = field(default_factory=Conventions)
    names: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    footer: bool = False


def _has(*names: str) -> Callable[[Layout], bool]:
    return lambda layout: set(names) <= set(layout.names)


def _is_thunderstorm(layout: Layout) -> bool:
    return {"x [nm]", "y [nm]"} <= set(layout.names)


def _is_picasso_export(layout: Layout) -> bool:
    # ThunderSTORM counts rows and frames from 1; Picasso writes its own counts, from 0, under the same names.
    if not _is_thunderstorm(layout) or "id" not in layout.names or not layout.first:
        return False
    position = layout.names.index("id")
    return len(layout.first) > position and is_number(layout.first[position]) and float(layout.first[position]) == 0


def _is_deepstorm(layout: Layout) -> bool:
    marks = {"Photon #", "Sigma [nm]", "confidence [a.u]", "confidence [a.u.]"}
    return _is_thunderstorm(layout) and bool(marks & set(layout.names))


def _is_decode(layout: Layout) -> bool:
    return bool(layout.comments) and layout.comments[0].startswith("DECODE EmitterSet") and {"x", "y"} <= set(layout.names)


CORNER = Conventions(frame_base=1, origin="corner")
DIALECTS = (
    Dialect("DECODE csv", _is_decode, names={"id": "id"}),
    Dialect("Deep-STORM csv", _is_deepstorm, CORNER, {"confidence [a.u.]": "probability"}),
    Dialect("csv export of Picasso", _is_picasso_export),
    Dialect("ThunderSTORM csv", _is_thunderstorm, CORNER),
    Dialect(
        "SMLM challenge csv", _has("frame", "xnano", "ynano"), CORNER, {"Ground-truth": "id"},
    ),
    Dialect(
        "Elyra txt", _has("First Frame", "Position X [nm]", "Position Y [nm]"), Conventions(frame_base=1, origin="unknown"),
        {"Index": "id", "Background variance": "background_variance", "PSF half width [nm]": "psf_half_width",
         "PSF width [nm]": "psf_width", "Frames Missing": "frames_missing", "Z Slice": "slice_z"},
        {"background_variance": "photon^2", "psf_half_width": "nm", "psf_width": "nm"}, footer=True,
    ),
    Dialect("Nanoimager csv", _has("Channel", "Frame", "X (nm)", "Y (nm)"), Conventions(origin="unknown")),
    Dialect(
        "SMAP csv", _has("xnm", "ynm", "frame"), Conventions(frame_base=1, origin="unknown"),
        {"PSFxnm": "sigma_x", "PSFynm": "sigma_y", "xnmerr": "error_x", "ynmerr": "error_y", "zerr": "error_z"},
    ),
)  # fmt: skip
PLAIN = Dialect("table as text", lambda layout: True)


def dialect_of(layout: Layout) -> Dialect:
    """The program whose table it is; `PLAIN` where none is known."""
    found = next((dialect for dialect in DIALECTS if dialect.fits(layout)), PLAIN)
    return replace(found, conventions=_decode_conventions(layout)) if found.form == "DECODE csv" else found


def _decode_conventions(layout: Layout) -> Conventions:
    """What the third line of a DECODE csv says."""
    try:
        meta = json.loads(layout.comments[2])
        unit, size = meta.get("xy_unit"), meta.get("px_size")
    except (IndexError, ValueError, AttributeError, RecursionError):
        unit, size = None, None
    pair = None
    if isinstance(size, list) and len(size) == 2 and all(isinstance(n, (int, float)) and 0 < n < 1e9 for n in size):
        pair = (float(size[0]), float(size[1]))
    return Conventions(unit="px" if unit == "px" else "nm", pixel_size=pair)


LONGEST_NAME = 200
_UNIT_BEHIND = re.compile(r"(?P<name>.*?)\s*(?:[\[(]\s*(?P<bracket>[^\[\]()]{1,12}?)\s*[\])]|_(?P<tail>nm|um|µm|px|pix))")


def memory_names(layout: Layout, dialect: Dialect) -> tuple[dict[str, str], dict[str, str]]:
    """Column of the file -> name in memory, and name in memory -> unit of lengths that the header says."""
    special = {name: target for name, target in dialect.names.items() if name in layout.names}
    plain = {name: name for name in layout.names if name not in special}
    units: dict[str, str] = {}
    for name in plain:
        base, unit = name_and_unit(name)
        if unit:
            plain[name] = base
            units[base] = unit
    taken = set(special.values())
    # Two columns that would be one keep the names of the file.
    counts: dict[str, int] = {}
    for base in plain.values():
        counts[base] = counts.get(base, 0) + 1
    plain = {name: base if counts[base] == 1 else name for name, base in plain.items()}
    known = canonical_names(list(plain.values()))
    result = {**special}
    for name, base in plain.items():
        target = known[base]
        result[name] = base if target in taken else target
    in_memory = {canonical_name(known, base): unit for base, unit in units.items() if counts.get(base) == 1}
    ordered = {name: result[name] for name in layout.names}
    return (ordered if len(set(ordered.values())) == len(ordered) else {name: name for name in layout.names}), in_memory


def canonical_name(known: Mapping[str, str], base: str) -> str:
    """The name in memory that `canonical_names` found."""
    return known.get(base, base)


def name_and_unit(name: str) -> tuple[str, str]:
    """A header such as ``x [um]`` as name and unit of length; the unit is empty where the whole is a known name, or there is none."""
    if unit_of(name) or canonical(name) != name:
        return name, ""
    match = _UNIT_BEHIND.fullmatch(name) if len(name) < LONGEST_NAME else None
    if match is None:
        return name, ""
    unit = (match["bracket"] or match["tail"] or "").lower()
    unit = "px" if unit in PIXELS else unit
    base = match["name"].strip()
    if unit not in ("px", *TO_NM) or unit_of(base) != "nm":
        return name, ""
    return base, unit
