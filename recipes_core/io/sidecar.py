"""Metadata in a file beside the data: PYME's .json and .xml, and .md as far as it is assignments of literals.

PYME executes .md files; here they are parsed, and only lines such as ``md['Camera.ADOffset'] = 100`` count.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from recipes_core.errors import FormatError
from recipes_core.io import safe_pickle
from recipes_core.io.records import from_json

MOST_BYTES = 4 * 2**20
MOST_KEYS = 20_000
SUFFIXES = (".json", ".xml", ".md")
COLUMNS = "Columns."
"""Keys under which a file beside a table names its columns and their unit: ``Columns.x``, ``Columns.unit``, ``Columns.frame_base``."""
KNOWN = (
    "voxelsize", "Camera", "Analysis", "Protocol", "Sample", "Source", "Origin", "ImageBounds", "Rendering", "Pipeline",
    "Splitter", "chroma", "Processing", "StartTime", "EndTime", "CycleTime", "ChannelNames", "Acquisition", "Positioning",
    "Multiview", "PSFFile", "Columns", "Picasso", "imageID", "DataFileID", "Recipes",
)  # fmt: skip
_ASSIGNED = re.compile(r"^\s*(?:md|mdh|metadata)\s*[\[.]")


def find(path: Path) -> Path | None:
    """The file beside `path` that holds its metadata: of the same name, with another ending or one more."""
    if not path.is_file() or path.suffix.lower() in SUFFIXES:
        return None
    stems = dict.fromkeys((path.name, path.stem, path.name.split(".ome.")[0] if ".ome." in path.name else path.stem))
    for stem in stems:
        for suffix in SUFFIXES:
            candidate = path.with_name(stem + suffix)
            if candidate.is_file() and candidate.stat().st_size <= MOST_BYTES:
                return candidate
    return None


def read(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The metadata of a file beside, flat under PYME's names, and notes; both empty where the file is of another kind.

    Raises
    ------
    FormatError
        Where a value is a pickle that names a class or function; nothing is executed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}, ()
    suffix = path.suffix.lower()
    notes: tuple[str, ...] = ()
    if suffix == ".json":
        found = _from_json(text)
    elif suffix == ".xml":
        found = _from_xml(text, path)
    else:
        found, notes = _from_md(text, path)
    if len(found) > MOST_KEYS or not any(key.split(".")[0] in KNOWN for key in found):
        return {}, ()
    return found, notes


def _from_json(text: str) -> dict[str, Any]:
    content = from_json(text)
    if isinstance(content, dict) and isinstance(content.get("MetaData"), dict):
        content = content["MetaData"]
    return dict(_flat(content, "", 0)) if isinstance(content, dict) else {}


def _flat(content: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and depth < 20 and value:
            yield from _flat(value, f"{prefix}{key}.", depth + 1)
        else:
            yield prefix + str(key), value


def _from_xml(text: str, path: Path) -> dict[str, Any]:
    # Metadata declare no types and no entities; what does may unpack to any size.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return {}
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities
    except (ElementTree.ParseError, ValueError, RecursionError):
        return {}
    holder = root if root.tag == "MetaData" else root.find("MetaData")
    found: dict[str, Any] = {}
    if holder is not None:
        _collect_xml(holder, "", found, path, 0)
    return found


def _collect_xml(element: ElementTree.Element, prefix: str, found: dict[str, Any], path: Path, depth: int) -> None:
    for child in element:
        key = prefix + child.tag
        if child.get("value") is not None or child.get("class") is not None:
            found[key] = _xml_value(child.get("class", "str"), child.get("value", child.text or ""), key, path)
        if depth < 20 and len(found) <= MOST_KEYS:
            _collect_xml(child, f"{key}.", found, path, depth + 1)


def _xml_value(kind: str, text: str, key: str, path: Path) -> Any:
    try:
        if kind in ("int", "long"):
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "bool":
            return text.strip().lower() in ("true", "1")
    except ValueError:
        return text
    if kind == "pickle":
        return _unpickled(text, key, path)
    return text


def _unpickled(text: str, key: str, path: Path) -> Any:
    for content in (text.encode("utf-8", "replace"), _base64(text)):
        if content and safe_pickle.looks_like_pickle(content):
            try:
                return safe_pickle.loads(content)
            except safe_pickle.Refused as refusal:
                raise FormatError(
                    f"{path}: the metadata '{key}' are a pickle that names {refusal}; it is refused, nothing was executed.",
                    code="D210",
                ) from refusal
            except ValueError:
                continue
    return text


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_md(text: str, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    found: dict[str, Any] = {}
    left_out = []
    for number, statement in _statements(text):
        key, value = _assignment(statement)
        if key:
            found[key] = value
        elif _ASSIGNED.match(statement):
            left_out.append(str(number))
    if not left_out:
        return found, ()
    shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
    return found, (f"{path.name}: no assignment of a plain value in line {shown}; left out, nothing was executed",)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines, joined where brackets are open."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            start = number
        pending += line + "\n"
        if len(pending) < 100_000 and sum(pending.count(mark) for mark in "([{") > sum(pending.count(mark) for mark in ")]}"):
            continue
        yield start, pending
        pending = ""
    if pending:
        yield start, pending


def _assignment(statement: str) -> tuple[str, Any]:
    """Key and value of ``md['a.b'] = literal``, ``md.a.b = literal`` or ``md.setEntry('a.b', literal)``; an empty key otherwise."""
    if not _ASSIGNED.match(statement):
        return "", None
    try:
        tree = ast.parse(statement.strip())
        if len(tree.body) != 1:
            return "", None
        node = tree.body[0]
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            return _target(node.targets[0]), ast.literal_eval(node.value)
        if isinstance(node, ast.Expr) and isinstance(call := node.value, ast.Call) and not call.keywords and len(call.args) == 2:
            named = (
                isinstance(call.func, ast.Attribute) and call.func.attr == "setEntry" and isinstance(call.func.value, ast.Name)
            )
            key = ast.literal_eval(call.args[0]) if named else ""
            return (key, ast.literal_eval(call.args[1])) if isinstance(key, str) else ("", None)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return "", None
    return "", None


def _target(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else ""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed(parts)) if parts and isinstance(node, ast.Name) else ""
