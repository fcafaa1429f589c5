"""Drifts as text: our own .csv, and Picasso's .txt.

Ours names its columns and says in comment lines what was measured and how the drift was made. Picasso's has no header: a row for
each frame from 0, with x and y in pixels and z in nm, and it is the drift itself, which Picasso subtracts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from recipes_core.data import DataObject, Drift
from recipes_core.errors import DataError, FormatError
from recipes_core.io.content import Dataset, FileContent
from recipes_core.io.conventions import length
from recipes_core.io.opening import loaded
from recipes_core.io.record_places import write_beside
from recipes_core.io.records import from_json, history_from_json, history_to_json, to_json

CSV = "drift .csv"
PICASSO = "Picasso drift .txt"
MOST_BYTES = 2**30
VALUES = tuple(f"correction_{axis} [nm]" for axis in "xyz")
ERRORS = tuple(f"error_{axis} [nm]" for axis in "xyz")
_HEADER = ",".join(("frame", *VALUES))
_TOLD = ("measured", "exact", "pixel_size", "history")
# What numpy writes by default, which is what Picasso's files are made of.
_NUMBER = r"(?:[-+]?\d\.\d{6,}[eE][-+]\d{2,3}|nan)"
_ROW = re.compile(rf"{_NUMBER}(?: {_NUMBER}){{1,2}}")

Floats = npt.NDArray[np.float64]


class DriftCsv:
    """Reader of our .csv drifts: frame, correction to add in nm, standard errors."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether the first line that is no comment is our header."""
        line = next((line for line in _lines(head) if not line.startswith("#")), "")
        return line.startswith(_HEADER) and (len(line) == len(_HEADER) or line[len(_HEADER)] == ",")

    @staticmethod
    def open_content(path: Path) -> FileContent:
        """The drift in the file."""
        told, rows = _read(path, ",", skip=1)
        if rows.shape[1] not in (4, 7):
            raise FormatError(f"{path} has {rows.shape[1]} columns; a drift has frame, x, y and z, and maybe their errors.")
        _require_finite(path, rows[:, :4])
        measured = told.get("measured")
        drift = Drift(
            rows[:, 0],
            rows[:, 1:4],
            error=rows[:, 4:] if rows.shape[1] == 7 else None,
            measured=(measured[0], measured[1]) if _is_range(measured) else None,
            exact=told.get("exact") is True,
            metadata=_pixels(told.get("pixel_size")),
            history=history_from_json(to_json(told.get("history"))),
        )
        return _content(path, CSV, drift)


class PicassoDrift:
    """Reader of Picasso's .txt drifts."""

    @staticmethod
    def sniff(path: Path, head: bytes) -> bool:
        """Whether it is a .txt that holds nothing but two or three numbers a line, as numpy writes them."""
        if path.suffix.lower() != ".txt":
            return False
        lines = [line for line in _lines(head) if not line.startswith("#")]
        # The last line may be cut off.
        whole = lines[:-1] if len(lines) > 1 else lines
        return bool(whole) and all(_ROW.fullmatch(line) for line in whole)

    @staticmethod
    def open_content(path: Path, pixel_size: float | str | None = None) -> FileContent:
        """The drift in the file.

        Parameters
        ----------
        pixel_size : float, optional
            nm; the file does not say it.
        """
        told, rows = _read(path, " ", skip=0)
        if rows.shape[1] not in (2, 3):
            raise FormatError(f"{path} has {rows.shape[1]} columns; a drift of Picasso has x and y, and maybe z.")
        _require_finite(path, rows)
        given = pixel_size if pixel_size is not None else told.get("pixel_size")
        size = None if given is None else length(given)
        history = history_from_json(to_json(told.get("history")))

        def load() -> DataObject:
            if size is None:
                raise DataError(
                    f"{path} counts in pixels, and their size is not known.",
                    code="D230",
                    hint=f"Give it in nm: {path.name}?pixel_size=130.",
                )
            scale = np.array([size, size, 1.0])[: rows.shape[1]]
            # What Picasso subtracts is what we add with the other sign; 0 stays 0, not -0.
            drift = Drift(np.arange(len(rows)), 0.0 - rows * scale, exact=True, metadata=_pixels(size), history=history)
            return loaded(drift, path, PICASSO)

        notes = () if size is not None else ("the file counts in pixels: give ?pixel_size=NM",)
        dataset = Dataset("", Drift, load, n_rows=len(rows), shape=rows.shape)
        return FileContent(path, PICASSO, (dataset,), {}, notes)


CSV_READER = DriftCsv()
PICASSO_READER = PicassoDrift()


def _lines(head: bytes) -> Iterator[str]:
    if b"\0" in head:
        return iter(())
    text = head.decode("utf-8-sig", "replace")
    return (line.strip() for line in text.splitlines() if line.strip())


def _content(path: Path, form: str, drift: Drift) -> FileContent:
    def load() -> DataObject:
        return loaded(drift, path, form)

    return FileContent(path, form, (Dataset("", Drift, load, n_rows=len(drift), shape=drift.correction.shape),))


def _read(path: Path, delimiter: str, skip: int) -> tuple[dict[str, Any], Floats]:
    """What the comment lines tell, and the numbers."""
    if path.stat().st_size > MOST_BYTES:
        raise FormatError(f"{path} is larger than 1 GiB; that is no drift file.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    told: dict[str, Any] = {}
    body = []
    for number, line in enumerate(lines, 1):
        word, _, text = line.lstrip("# ").partition(" ")
        if line.startswith("#") and word in _TOLD:
            told[word] = from_json(text)
        elif line and not line.startswith("#"):
            body.append((number, line))
    if len(body) <= skip:
        raise FormatError(f"{path} holds no values; it may be cut off.")
    try:
        rows: Floats = np.loadtxt(
            io.StringIO("\n".join(line for _, line in body[skip:])), delimiter=delimiter, ndmin=2, comments=None
        )
    except ValueError as error:
        raise _located(path, body[skip:], delimiter) from error
    return told, rows


def _located(path: Path, body: list[tuple[int, str]], delimiter: str) -> FormatError:
    width = len(body[0][1].split(delimiter))
    for number, line in body:
        parts = line.split(delimiter)
        if len(parts) != width:
            return FormatError(f"{path}, line {number}: {len(parts)} values where the lines before have {width}.")
        for part in parts:
            try:
                float(part)
            except ValueError:
                return FormatError(f"{path}, line {number}: '{part[:40]}' is no number.")
    return FormatError(f"{path} cannot be read as a drift.")


def _require_finite(path: Path, rows: Floats) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise FormatError(f"{path}: row {int(np.argmax(bad)) + 1} of the drift holds a value that is not finite.")


def _is_range(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(end, (int, float)) for end in value)


def _pixels(size: Any) -> dict[str, Any]:
    if not isinstance(size, (int, float)) or not size > 0:
        return {}
    return {"voxelsize.x": size / 1000, "voxelsize.y": size / 1000, "voxelsize.units": "um"}


def _pixel_size(drift: Drift) -> float | None:
    size = drift.metadata.get("voxelsize.x")
    return float(size) * 1000 if isinstance(size, (int, float)) and size > 0 else None


def _told(drift: Drift, *names: str) -> str:
    size = _pixel_size(drift)
    known: dict[str, str] = {
        "measured": to_json(list(drift.measured)),
        "exact": to_json(drift.exact),
        "pixel_size": "" if size is None else f"{size:.12g}",
        "history": history_to_json(drift.history),
    }
    return "".join(f"# {name} {known[name]}\n" for name in names if known[name])


def write_csv(obj: Drift, path: Path, record: Mapping[str, Any]) -> None:
    """Write a drift as frame, correction to add and standard errors in nm; the same drift gives the same bytes."""
    write_beside(path, record)
    names, columns = [_HEADER], [obj.frames[:, np.newaxis], obj.correction]
    if obj.error is not None:
        names.extend(ERRORS)
        columns.append(obj.error)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("# drift correction in nm, to be added to the coordinates of each frame (counted from 0)\n")
        stream.write(_told(obj, "measured", "exact", "pixel_size"))
        stream.write(",".join(names) + "\n")
        np.savetxt(stream, np.hstack(columns), fmt="%.17g", delimiter=",")
        # Long; the header must stand near the beginning, where a reader looks for it.
        stream.write(_told(obj, "history"))


def write_picasso(obj: Drift, path: Path, record: Mapping[str, Any]) -> None:
    """Write a drift for Picasso: a row for each frame from 0, in pixels (z in nm), with the sign that Picasso subtracts.

    The movie is taken to end where the drift was measured last, unless the metadata know its length (``Picasso.Frames``); Picasso
    refuses a drift of another length than the movie.

    Raises
    ------
    DataError
        Where the pixel size is not known (metadata ``voxelsize.x`` in um), or the drift has frames before 0.
    """
    size = _pixel_size(obj)
    if size is None:
        raise DataError(
            "Picasso counts drift in pixels, and the pixel size is not known.", code="D230",
            hint="Give it in um, -m INPUT.voxelsize.x=0.1, or save as .npz or .csv.",
        )  # fmt: skip
    if obj.measured[1] < 0:
        raise DataError("Picasso counts frames from 0, and this drift ends before.", code="D470")
    n_frames = obj.metadata.get("Picasso.Frames")
    known = isinstance(n_frames, (int, float)) and n_frames > obj.measured[1]
    frames = np.arange(int(n_frames) if known and n_frames is not None else int(np.floor(obj.measured[1])) + 1)
    values = 0.0 - obj.at(frames) / np.array([size, size, 1.0])
    deep = bool(np.any(obj.correction[:, 2]))
    write_beside(path, record)
    with path.open("wb") as stream:
        # Picasso's reader passes over comments.
        stream.write(_told(obj, "pixel_size").replace("\n", "\r\n").encode("ascii"))
        np.savetxt(stream, values if deep else values[:, :2], newline="\r\n")
        stream.write(_told(obj, "history").replace("\n", "\r\n").encode("ascii"))
