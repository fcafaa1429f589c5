"""Finding the reader of a file, and reading one object."""

from __future__ import annotations

import contextlib
import glob
import inspect
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from recipes_core.data import DataObject, HistoryEntry
from recipes_core.data.vocabulary import BY_NAME
from recipes_core.errors import DataError, FormatError, RecipeError, UsageError, did_you_mean
from recipes_core.io import sidecar
from recipes_core.io.content import Dataset, FileContent
from recipes_core.plugins import registry

HEAD = 4096
OPTIONS = ("table", "pixel_size", "unit", "frame_base", "origin", "swap_xy", "decimal", "incomplete", *BY_NAME)
"""What may stand behind the name of a file: what its reader cannot know, and columns (``?x=NAME&y=NAME``)."""


_being_written: ContextVar[bool] = ContextVar("being_written", default=False)


@contextlib.contextmanager
def being_written() -> Iterator[None]:
    """Take of files what is there: they are not finished."""
    token = _being_written.set(True)
    try:
        yield
    finally:
        _being_written.reset(token)


def open_file(path: str | Path, **options: Any) -> FileContent:
    """Look into a file of any registered format; large data are read later.

    Parameters
    ----------
    path : path
        A file; a folder or a glob of TIFF files. ``?table=NAME`` selects a table, ``?pixel_size=NM`` gives what a file lacks.
    **options
        The same, as keywords.

    Raises
    ------
    UsageError
        Where there is no such file.
    FormatError
        Where the file is damaged or of no known format.
    """
    place, queried = split_query(path)
    options = {**queried, **options}
    table = options.pop("table", None)
    require_existing(place)
    head = head_of(place)
    for ref in registry().readers.values():
        reader = ref.load()
        if reader.sniff(place, head):
            _require_known(options, reader, place, ref.summary)
            if _being_written.get() and "incomplete" in inspect.signature(reader.open_content).parameters:
                options.setdefault("incomplete", "1")
            beside, told, notes = _beside(place)
            content = _guarded(reader, place, {**_told_options(reader, told), **options}, ref.summary)
            return _selected(_with_metadata(content, beside, told, notes), table)
    raise FormatError(f"{place}: {_looks_like(place, head)}", hint=_known_formats())


def load(path: str | Path, kind: type | None = None, **options: Any) -> Any:
    """Read one object.

    Parameters
    ----------
    path : path
    kind : type, optional
        What it must be; needed where a file holds several things.

    Raises
    ------
    DataError
        Where the file holds nothing of that type, or several; the message lists what there is.
    """
    content = open_file(path, **options)
    fitting = [dataset for dataset in content.datasets if kind is None or issubclass(dataset.kind, kind)]
    if len(fitting) > 1:
        # Derived tables stand behind the ones that they are made from; a table of that very name is meant.
        named = [dataset for dataset in fitting if kind is not None and dataset.name == kind.__name__]
        fitting = named or fitting
    if len(fitting) == 1:
        return fitting[0].load()
    holds = "; ".join(dataset.describe() for dataset in content.datasets) or "nothing that can be read"
    wanted = kind.__name__ if kind else "object"
    if fitting:
        names = ", ".join(dataset.name for dataset in fitting)
        raise DataError(
            f"{content.path} holds several: {names}.",
            code="D132",
            hint=f"Select one: {content.path.name}?table={fitting[0].name}",
        )
    raise DataError(f"{content.path} ({content.format}) holds no {wanted} but {holds}.", code="D130")


def split_query(path: str | Path) -> tuple[Path, dict[str, str]]:
    """A path and the options behind its question mark; a file whose own name holds one is found as it is."""
    text = str(path)
    name, _, query = text.rpartition("?")
    # In a glob the question mark stands for a letter.
    if not name or "=" not in query or _exists(Path(text)):
        return Path(text), {}
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    for option in pairs:
        if option not in OPTIONS:
            raise UsageError(f"{text}: '?{option}=' is no option of a file.", code="U150", hint=did_you_mean(option, OPTIONS))
    return Path(name), pairs


def takes_option(path: Path, name: str) -> bool:
    """Whether the reader of a file has an option of that name."""
    require_existing(path)
    head = head_of(path)
    reader = next((reader for ref in registry().readers.values() if (reader := ref.load()).sniff(path, head)), None)
    return reader is not None and name in inspect.signature(reader.open_content).parameters


def is_glob(path: Path) -> bool:
    """Whether a path names several files by a pattern."""
    return not _exists(path) and glob.has_magic(str(path))


def loaded(
    obj: DataObject,
    path: Path,
    format_name: str,
    table: str = "",
    metadata: dict[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> DataObject:
    """Label what was read with where it came from and what was converted (`told`); a history of the file itself comes first."""
    source = {"path": path.name, "format": format_name, **({"table": table} if table else {})}
    entry = HistoryEntry(step=path.stem, module="file", parameters=dict(told or {}), inputs=source)
    return obj.with_provenance(metadata={**(metadata or {}), **obj.metadata}, history=(*obj.history, entry))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def require_existing(path: Path) -> None:
    """Raise UsageError, with the nearest name, where there is no such file, folder or glob."""
    if _exists(path) or (is_glob(path) and glob.glob(str(path))):
        return
    try:
        beside = [item.name for item in path.parent.iterdir() if not item.name.startswith(".")]
    except OSError:
        beside = []
    hint = did_you_mean(path.name, beside, what="files there")
    raise UsageError(f"there is no file {path}.", code="U151", hint=hint)


def _require_known(options: dict[str, Any], reader: Any, path: Path, summary: str) -> None:
    parameters = inspect.signature(reader.open_content).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = ["table", *(name for name in parameters if name != "path")]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known, what="its options")
            raise UsageError(f"{path}: '{option}' is no option for {summary}.", code="U150", hint=hint)


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none of a folder or glob."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.", code="U152") from error


def _guarded(reader: Any, path: Path, options: dict[str, Any], summary: str) -> FileContent:
    try:
        content: FileContent = reader.open_content(path, **options)
    except RecipeError:
        raise
    except Exception as error:  # the libraries below raise what they like on damaged files
        raise FormatError(f"{path} looks like {summary} but is damaged: {type(error).__name__}: {error}") from error
    return content


def _beside(path: Path) -> tuple[Path | None, dict[str, Any], tuple[str, ...]]:
    """The file beside that holds metadata, what it says, and notes."""
    place = sidecar.find(path)
    if place is None:
        return None, {}, ()
    told, notes = sidecar.read(place)
    return (place, told, notes) if told or notes else (None, {}, ())


def _told_options(reader: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a file beside says that the reader asks for: the pixel size, and columns of a table with their unit."""
    parameters = inspect.signature(reader.open_content).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    found: dict[str, Any] = {}
    for key, value in told.items():
        name = key.removeprefix(sidecar.COLUMNS)
        if name != key and (name in parameters or (takes_any and name in BY_NAME)) and isinstance(value, (str, int, float)):
            found[name] = str(value)
    size = told.get("voxelsize.x")
    if "pixel_size" in parameters and isinstance(size, (int, float)) and size > 0:
        found.setdefault("pixel_size", size * 1000)
    return found


def _with_metadata(content: FileContent, beside: Path | None, told: Mapping[str, Any], notes: tuple[str, ...]) -> FileContent:
    """The content with what a file beside says of it, which comes before what the file says itself."""
    if beside is None:
        return content
    kept = {key: value for key, value in told.items() if not key.startswith(sidecar.COLUMNS)}

    def labelled(dataset: Dataset) -> Dataset:
        def load() -> DataObject:
            obj = dataset.load()
            return obj.with_provenance(metadata={**obj.metadata, **kept})

        return replace(dataset, load=load)

    return replace(
        content,
        datasets=tuple(labelled(dataset) for dataset in content.datasets),
        metadata={**content.metadata, **kept},
        notes=(*content.notes, f"metadata from {beside.name}", *notes),
        files=(*content.files, beside),
    )


def _selected(content: FileContent, table: str | None) -> FileContent:
    if table is None:
        return content
    dataset = content.dataset(table)
    if dataset is None:
        names = [dataset.name for dataset in content.datasets if dataset.name]
        hint = did_you_mean(table, names, what="its tables") or "It holds one thing, which has no name; leave '?table=' out."
        raise UsageError(f"{content.path} has no table '{table}'.", code="U153", hint=hint)
    return replace(content, datasets=(dataset,))


def _looks_like(path: Path, head: bytes) -> str:
    if path.is_dir():
        return "this folder holds no TIFF files."
    if not head:
        return "the file is empty."
    if head.startswith(b"\x89HDF"):
        return "this HDF5 file holds no table or image that is known."
    if head.startswith(b"MATLAB 5.0"):
        return "this is a MATLAB file of version 7 or older; of SMAP's files those of 7.3 are read (save with -v7.3)."
    if head.startswith(b"PK"):
        return "this zip archive holds nothing that is known."
    return "the format of this file is not known."


def _known_formats() -> str:
    return "Known: " + "; ".join(f"{ref.summary} ({', '.join(ref.suffixes)})" for ref in registry().readers.values()) + "."
