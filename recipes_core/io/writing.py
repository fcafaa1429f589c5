"""Writing files: each as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recipes_core.data import DataObject
from recipes_core.errors import EnvironmentFault, UsageError
from recipes_core.owner import is_left_over, own_name
from recipes_core.plugins import WriterRef, registry


def save(obj: DataObject, path: str | Path, record: Mapping[str, Any] | None = None) -> Path:
    """Write an object in the format that the name's ending says.

    The file appears under its name when it is complete and on the disk; an earlier file of that name is replaced in one go.

    Parameters
    ----------
    obj : DataObject
    path : path
        Folders on the way are made.
    record : mapping, optional
        How it was made; stored in the file where its format can.

    Raises
    ------
    UsageError
        Where no writer takes objects of this type for this ending.
    EnvironmentFault
        Where the file cannot be written.
    """
    target = Path(path)
    ref = _writer(type(obj), target)
    write = ref.load()
    _require_free_companions(target, ref)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with _staged(target, ref) as stage:
            write(obj, stage, dict(record or {}))
    except OSError as error:
        reason = "no space is left" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise EnvironmentFault(
            f"{target} cannot be written: {reason}.", code="V120", hint="Choose another place with -o."
        ) from error
    return target


def _require_free_companions(target: Path, ref: WriterRef) -> None:
    """Raise UsageError where a file beside would replace one of another purpose, such as a recipe of that name."""
    if target.exists():
        return
    suffix = _suffix(target, ref)
    for companion in ref.companions:
        place = _companion(target, suffix, companion)
        if companion.endswith(".yaml") and place.exists():
            raise UsageError(
                f"{target.name} is written with {place.name} beside, and a file of that name is there already.", code="U163",
                hint="Choose another name, or move that file away.",
            )  # fmt: skip


_swept: set[Path] = set()


def sweep(folder: Path) -> None:
    """Remove half-written files that processes have left in a folder which were killed; each folder is looked at once."""
    real = folder.absolute()
    if real in _swept:
        return
    _swept.add(real)
    with contextlib.suppress(OSError):
        for path in folder.glob(".*"):
            with contextlib.suppress(OSError):
                if is_left_over(path) and path.is_file():
                    path.unlink()


def known_suffix(path: Path) -> bool:
    """Whether the name ends in something that a writer knows."""
    name = path.name.lower()
    return any(name.endswith(suffix) for ref in registry().writers.values() for suffix in ref.suffixes)


def default_suffix(kind: type | DataObject) -> str:
    """The ending under which results of a type are saved."""
    cls = kind if isinstance(kind, type) else type(kind)
    for base in cls.__mro__:
        ref = registry().datatypes.get(base.__name__)
        if ref is not None and ref.suffix:
            return ref.suffix
    raise UsageError(f"results of type {cls.__name__} cannot be saved", code="U160")


def check_writable_as(kind: type | DataObject, path: Path) -> None:
    """Raise UsageError where no writer takes this type for this ending."""
    _writer(kind if isinstance(kind, type) else type(kind), path)


def _writer(cls: type, path: Path) -> WriterRef:
    names = {base.__name__ for base in cls.__mro__}
    able = [ref for ref in registry().writers.values() if names & set(ref.types)]
    matches = [(len(suffix), ref) for ref in able for suffix in ref.suffixes if path.name.lower().endswith(suffix)]
    if not matches:
        endings = ", ".join(dict.fromkeys(suffix for ref in able for suffix in ref.suffixes)) or "none"
        raise UsageError(
            f"{path.name}: {cls.__name__} cannot be written under this ending.", code="U161", hint=f"Possible: {endings}."
        )
    return max(matches, key=lambda match: match[0])[1]


@contextlib.contextmanager
def _staged(target: Path, ref: WriterRef) -> Iterator[Path]:
    """A temporary name beside the target, with the same ending; put in place at the end, removed on any failure."""
    suffix = _suffix(target, ref)
    stem = target.name[: len(target.name) - len(suffix)]
    stage = target.with_name(f".{own_name()}.{stem[:40]}{target.name[len(stem) :]}")
    beside = [(_companion(stage, suffix, companion), _companion(target, suffix, companion)) for companion in ref.companions]
    pairs = [(stage, target), *beside]
    try:
        yield stage
        # Companions first: a main file in place always has its companion.
        for source, destination in reversed(pairs):
            if source.exists():
                _flush(source)
                source.replace(destination)
            else:
                # It would tell of the file that stood there before.
                destination.unlink(missing_ok=True)
        _flush_folder(target.parent)
    finally:
        for source, _ in pairs:
            source.unlink(missing_ok=True)


def _suffix(target: Path, ref: WriterRef) -> str:
    return max((s for s in ref.suffixes if target.name.lower().endswith(s)), key=len)


def _companion(path: Path, suffix: str, companion: str) -> Path:
    if companion.startswith(suffix):
        return path.with_name(path.name + companion.removeprefix(suffix))
    return path.with_name(path.name[: len(path.name) - len(suffix)] + companion)


def _flush(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    # Windows cannot open folders; there the rename alone has to do.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
