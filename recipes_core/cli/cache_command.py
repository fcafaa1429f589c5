"""``recipe cache ls|info|gc|rm|verify``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from recipes_core.cli import faults

if TYPE_CHECKING:
    from recipes_core.cache import Cache, Entry

_KEY_WIDTH = 12


@click.group("cache", short_help="Show or clear what is kept of earlier runs.")
def command() -> None:
    """Show or clear what is kept of earlier runs.

    The folder is RECIPES_CACHE, else the system's folder for caches. RECIPES_CACHE_SIZE (such as 20GB) limits its size.
    Everything in it can be made again; nothing is lost by removing it.
    """


def _as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")(function)


@command.command("ls", short_help="List the entries.")
@click.option("--step", metavar="NAME", help="Only those of steps of this name.")
@_as_json
def list_entries(step: str | None, as_json: bool) -> None:
    """List the entries, last used first: key, what made it, type, size, last use, seconds that it saves."""
    with _cache(as_json, writable=False) as cache:
        entries = sorted(_entries(cache, step), key=lambda entry: -entry.last_used)
        if as_json:
            faults.print_json([_record(entry) for entry in entries])
            return
        rows = [
            (entry.manifest.key[:_KEY_WIDTH], f"{entry.manifest.step}/{_made_by(entry)}", entry.manifest.kind,
             _size(entry.disk_bytes), _when(entry.last_used), f"{entry.manifest.seconds:.1f} s")
            for entry in entries
        ]  # fmt: skip
        _print_rows([("key", "made by", "type", "size", "last use", "saves"), *rows] if rows else [("nothing is kept",)])
        _say_warnings(cache)


@command.command("info", short_help="Show where the cache is and what it holds, or one entry.")
@click.argument("key", required=False)
@_as_json
def show_info(key: str | None, as_json: bool) -> None:
    """Show where the cache is, its size and limits; with KEY (its first digits do) all about one entry."""
    with _cache(as_json, writable=False) as cache:
        found = _about_entry(cache, key) if key else _about(cache)
        if as_json:
            faults.print_json(found)
            return
        width = max(len(name) for name in found)
        for name, value in found.items():
            shown = _size(value) if name in _SIZES else value
            click.echo(f"{name:<{width}}  {shown}")
        _say_warnings(cache)


@command.command("gc", short_help="Remove what was not used for longest.")
@click.option("--max-size", metavar="SIZE", help="Such as 5GB. Default: RECIPES_CACHE_SIZE, else 20GB.")
@click.option(
    "--max-age", metavar="DAYS", type=click.FloatRange(min=0), help="Remove also what was not used for so long. Default: 90."
)
@_as_json
def collect(max_size: str | None, max_age: float | None, as_json: bool) -> None:
    """Remove what was not used for longest until the cache is within its limits. Entries that a run needs now stay."""
    with _cache(as_json) as cache:
        from recipes_core.cache.collection import GcReport, parse_size

        limit = None if max_size is None else parse_size(max_size)
        report = cache.gc(max_bytes=limit, max_age=max_age) if cache.root.is_dir() else GcReport()
        if as_json:
            faults.print_json(asdict(report))
            return
        left = f", {report.swept} leftovers" if report.swept else ""
        click.echo(f"removed {_entries_of(report.removed, report.removed_bytes)}{left}; "
                   f"kept {_entries_of(report.kept, report.kept_bytes)}")  # fmt: skip


@command.command("rm", short_help="Remove entries.")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove every entry.")
@click.option("--step", metavar="NAME", help="Remove the entries of steps of this name.")
@_as_json
def remove(keys: tuple[str, ...], everything: bool, step: str | None, as_json: bool) -> None:
    """Remove the entries KEY... (the first digits do), all entries of a step, or all."""
    with _cache(as_json) as cache:
        from recipes_core.errors import UsageError

        if sum([bool(keys), everything, step is not None]) != 1:
            raise UsageError("name the entries: KEY..., --step NAME or --all.", code="U171")
        if step is not None:
            chosen = [entry.manifest.key for entry in _entries(cache, step)]
        else:
            chosen = _keys(cache) if everything else [_whole_key(cache, key) for key in keys]
        gone = [key for key in chosen if cache.remove(key)]
        if as_json:
            faults.print_json({"removed": gone})
        else:
            click.echo(f"removed {len(gone)} entr{'y' if len(gone) == 1 else 'ies'}")


@command.command("verify", short_help="Read every entry and look for damage.")
@_as_json
def verify(as_json: bool) -> None:
    """Read every entry in full and compare it with its digests; damaged ones are set aside. Exit code 5 where there are any."""
    with _cache(as_json) as cache:
        known = len(_keys(cache))
        bad = cache.verify()
        if as_json:
            faults.print_json({"checked": known, "damaged": bad})
        else:
            click.echo(f"{known} entries checked, {len(bad)} damaged")
            _say_warnings(cache)
    if bad:
        from recipes_core.errors import ExitCode

        sys.exit(ExitCode.ENVIRONMENT)


@contextmanager
def _cache(as_json: bool, *, writable: bool = True) -> Iterator[Cache]:
    with faults.reported(as_json=as_json):
        from recipes_core.cache import Cache
        from recipes_core.errors import EnvironmentFault

        cache = Cache(writable=writable)
        foreign = cache.layout.foreign_format()
        if foreign:
            raise EnvironmentFault(
                f"the cache in {cache.root} has the format '{foreign}' of another version.",
                code="V311",
                hint="Name another folder in RECIPES_CACHE.",
            )
        try:
            yield cache
        except BrokenPipeError:  # the reader of our output has gone
            raise
        except OSError as error:
            raise EnvironmentFault(
                f"the cache in {cache.root} cannot be read: {error.strerror or error}.",
                code="V313",
                hint="Look at its permissions, or name another folder in RECIPES_CACHE.",
            ) from error


def _entries(cache: Cache, step: str | None) -> list[Entry]:
    return [entry for entry in cache.entries() if step is None or entry.manifest.step == step]


def _keys(cache: Cache) -> list[str]:
    from recipes_core.cache.collection import scan

    return [key for key, _, _ in scan(cache.layout)]


def _whole_key(cache: Cache, start: str) -> str:
    from recipes_core.errors import UsageError

    found = [key for key in _keys(cache) if key.startswith(start)]
    if start in found:
        return start
    if len(found) != 1:
        many = f"{len(found)} entries begin with" if found else "no entry begins with"
        raise UsageError(f"{many} '{start}'.", code="U172", hint="'recipe cache ls' lists the keys.")
    return found[0]


def _about(cache: Cache) -> dict[str, Any]:
    entries = list(cache.entries())
    return {
        "folder": str(cache.root),
        "entries": len(entries),
        "size": sum(entry.disk_bytes for entry in entries),
        "limit": cache.max_bytes,
        "max age": f"{cache.max_age_days:g} days",
        "saves": f"{sum(entry.manifest.seconds for entry in entries):.1f} s",
        "set aside": sum(1 for _ in _children(cache, "quarantine")),
    }


_SIZES = ("size", "limit", "nbytes", "disk_bytes")


def _about_entry(cache: Cache, start: str) -> dict[str, Any]:
    key = _whole_key(cache, start)
    entry = next((entry for entry in cache.entries() if entry.manifest.key == key), None)
    if entry is None:
        from recipes_core.errors import EnvironmentFault

        raise EnvironmentFault(f"the entry {key[:_KEY_WIDTH]} is damaged.", code="V313", hint="'recipe cache rm' removes it.")
    return _record(entry)


def _children(cache: Cache, name: str) -> Iterator[Any]:
    folder = cache.layout.folder(name)
    return folder.iterdir() if folder.is_dir() else iter(())


def _record(entry: Entry) -> dict[str, Any]:
    manifest = entry.manifest
    plain = {name: getattr(manifest, name) for name in ("key", "step", "module", "port", "kind", "digest", "nbytes", "seconds")}
    used = datetime.fromtimestamp(entry.last_used).astimezone().isoformat(timespec="seconds")
    return {**plain, "disk_bytes": entry.disk_bytes, "created": manifest.created, "last_used": used, "note": manifest.note}


def _made_by(entry: Entry) -> str:
    return f"{entry.manifest.module.rpartition('.')[2]}.{entry.manifest.port}"


def _entries_of(number: int, nbytes: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'} ({_size(nbytes)})"


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _say_warnings(cache: Cache) -> None:
    for text in cache.warnings:
        click.echo(text, err=True)


def _print_rows(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
