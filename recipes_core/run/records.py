"""Records of runs: what ran, from what, why, with which versions, and how long it took."""

from __future__ import annotations

import json
import os
import platform
import socket
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recipes_core.cache.layout import write_atomically
from recipes_core.run.events import RunReport
from recipes_core.run.saving import Saved
from recipes_core.versions import versions

FORMAT = 1
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class RunFile:
    """A record on disk.

    Parameters
    ----------
    name : str
        Time and a random part; sorts by time.
    content : mapping
    """

    name: str
    content: Mapping[str, Any]


def run_record(
    report: RunReport,
    *,
    recipe_file: str,
    recipe: str,
    seed: int,
    inputs: Mapping[str, Any],
    saved: Iterable[Saved],
    started: datetime,
    exit_code: int,
    command: Iterable[str],
    executor: str,
) -> dict[str, Any]:
    """The record of one run as plain values."""
    keys = {step.step: step for step in report.plan.steps}
    steps = []
    for result in report.steps:
        step = asdict(result)
        planned = keys.get(result.step)
        step["made"] = dict(planned.made) if planned else {}
        step["parameters"] = dict(planned.identity.parameters) if planned else {}
        steps.append(step)
    return {
        "format": FORMAT,
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
        "exit": exit_code,
        "command": list(command),
        "executor": executor,
        "recipe_file": recipe_file,
        "recipe": recipe,
        "seed": seed,
        "inputs": dict(inputs),
        "steps": steps,
        "outputs": {item.label: {"path": str(item.path), "digest": item.digest, "unchanged": item.unchanged} for item in saved},
        "notes": list(report.notes),
        "versions": versions(),
        "machine": {"host": socket.gethostname(), "system": platform.platform(), "processors": os.cpu_count() or 1},
    }


def write_record(folder: Path, content: Mapping[str, Any]) -> Path | None:
    """Write a record as a whole; None where the folder cannot be written, for a run is not lost for want of its record."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    target = folder / f"{moment}-{uuid.uuid4().hex[:4]}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(content, default=str, indent=1).encode())
    except OSError:
        return None
    return target


def read_records(folder: Path) -> list[RunFile]:
    """Records in a folder, newest first; what is no record is left out."""
    found = []
    for path in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else ():
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("format") == FORMAT:
            found.append(RunFile(path.name.removesuffix(".json"), content))
    return found


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two records differ in what results follow from: (what, first, second); times and machines are left out."""
    found = []
    for what, a, b in (
        ("seed", first.get("seed"), second.get("seed")),
        *_by_name("input", _contents(first), _contents(second)),
        *_by_name("version of", first.get("versions", {}), second.get("versions", {})),
        *_steps(first, second),
        *_by_name("result", _digests(first), _digests(second)),
    ):
        if a != b:
            found.append((what, a, b))
    return found


def _by_name(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*first, *second)):
        yield f"{what} {name}", first.get(name), second.get(name)


def _contents(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: f"{Path(str(item.get('path', ''))).name} {item.get('content', '')[:12]}".strip()
        for key, item in record["inputs"].items()
    }


def _digests(record: Mapping[str, Any]) -> dict[str, Any]:
    return {label: item.get("digest", "")[:12] for label, item in record["outputs"].items()}


def _steps(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    one, two = ({step["step"]: step for step in record["steps"]} for record in (first, second))
    for name in dict.fromkeys((*one, *two)):
        if name not in one or name not in two:
            yield f"step {name}", one.get(name, {}).get("module"), two.get(name, {}).get("module")
            continue
        yield f"module of {name}", one[name]["module"], two[name]["module"]
        yield from _by_name(name, one[name]["parameters"], two[name]["parameters"])
