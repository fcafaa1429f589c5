"""The sections of the full form other than its modules: inputs, params, outputs, and single values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes_core.data import DataObject
from recipes_core.data.cameras import PRESET_KEY, camera_preset
from recipes_core.errors import PluginError, UsageError, did_you_mean
from recipes_core.language.document import InputSpec, Reference
from recipes_core.language.faults import Faults, shown
from recipes_core.language.nodes import Entry, Mapping, Node, Scalar, Sequence, kind_of, plain
from recipes_core.language.references import Params, Unresolved, base_of
from recipes_core.plugins import registry

INPUT_KEYS = ("type", "path", "metadata", "camera")


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _mapping(section: Entry | None, faults: Faults, example: str) -> Mapping | None:
    """The mapping of a section; None where it is absent or, with the fault noted, something else."""
    if section is None or _is_null(section.value):
        return None
    if not isinstance(section.value, Mapping):
        message = f"{section.key}: must be a mapping, not {kind_of(section.value)}."
        faults.add("R127", message, f"For example: {example}", mark=section.value.mark)
        return None
    return section.value


def read_params(section: Entry | None, faults: Faults) -> dict[str, Any]:
    """``params:`` as plain values."""
    values = {}
    none = Params({}, faults)
    for entry in _mapping(section, faults, "params: {window: 1000}") or ():
        before = len(faults.errors)
        try:
            values[entry.key] = none.fill(entry.value)[0]
        except Unresolved:
            values[entry.key] = plain(entry.value)
            if len(faults.errors) > before:
                del faults.errors[before:]
                message = f"params: '{entry.key}' uses '${{...}}'; entries cannot use each other."
                faults.add("R131", message, "Write the value, or '$${' for a plain '${'.", mark=entry.value.mark)
    return values


@dataclass
class SectionReader:
    """Reads the sections that may use ``${name}``.

    Parameters
    ----------
    params : Params
    base : Path
        Absolute folder that names of files in the recipe are relative to.
    param_bases : dict
        Entries of ``params:`` that an override gives -> folder that names of files in them are relative to.
    faults : Faults
    references : dict
        Receives the uses of ``${name}``.
    """

    params: Params
    base: Path
    param_bases: dict[str, Path]
    faults: Faults
    references: dict[tuple[str, ...], Reference]

    def inputs(self, section: Entry | None) -> dict[str, InputSpec]:
        """``inputs:``."""
        mapping = _mapping(section, self.faults, "inputs: {movie: {type: ImageStack, path: movie.tif}}")
        return {entry.key: self._input(entry) for entry in mapping or () if self._is_key(entry)}

    def outputs(self, section: Entry | None) -> dict[str, str]:
        """``outputs:``: a mapping from keys to file patterns, or a list of keys."""
        if section is not None and isinstance(section.value, Sequence):
            return self._listed_outputs(section.value)
        found = {}
        for entry in _mapping(section, self.faults, "outputs: {corrected: '{output_dir}/{file_stub}.hdf'}") or ():
            if not self._is_key(entry):
                continue
            found[entry.key] = ""
            if _is_null(entry.value):
                continue
            pattern, _ = self._text(entry, ("outputs", entry.key, ""), f"outputs: the file of '{entry.key}'", "R230")
            found[entry.key] = pattern or ""
        return found

    def _listed_outputs(self, section: Sequence) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in section.items:
            key = plain(node)
            if not isinstance(key, str) or not key:
                self.faults.add("R230", f"outputs: an item must be a key, not {shown(key)}.", mark=node.mark)
            elif key in found:
                self.faults.add("R230", f"outputs: '{key}' is listed twice.", "Remove one of them.", mark=node.mark)
            else:
                found[key] = ""
        return found

    def _is_key(self, entry: Entry) -> bool:
        good = bool(entry.key) and entry.key == entry.key.strip() and all(ord(letter) >= 32 for letter in entry.key)
        if not good:
            self.faults.add("R222", f"{shown(entry.key)} is no key: a word without line breaks.", mark=entry.mark)
        return good

    def _input(self, entry: Entry) -> InputSpec:
        name, node = entry.key, entry.value
        if _is_null(node):
            return InputSpec(name, mark=entry.mark)
        if isinstance(node, Scalar):
            return InputSpec(name, path=self._path(entry, name), mark=entry.mark)
        if not isinstance(node, Mapping):
            message = f"inputs: '{name}' must be the name of a file or a mapping, not {kind_of(node)}."
            self.faults.add("R222", message, f"For example: {name}: {{type: Localizations, path: locs.hdf}}", mark=node.mark)
            return InputSpec(name, mark=entry.mark)
        for field in node:
            if field.key not in INPUT_KEYS:
                hint = did_you_mean(field.key, INPUT_KEYS, what="an input takes")
                self.faults.add("R221", f"inputs: '{name}' takes no '{field.key}'.", hint, mark=field.mark)
        type_name, kind = self._type(node.get("type"), name)
        path = node.get("path")
        metadata: dict[str, Any] = {}
        self._flatten(node.get("metadata"), name, "", metadata)
        self._camera(node.get("camera"), name, metadata, node)
        found = None if path is None or _is_null(path.value) else self._path(path, name)
        return InputSpec(name, type_name, kind, found, metadata, entry.mark)

    def _type(self, entry: Entry | None, name: str) -> tuple[str, type[DataObject] | None]:
        if entry is None or _is_null(entry.value):
            return "", None
        word = plain(entry.value)
        types = registry().datatypes
        if not isinstance(word, str) or word not in types:
            hint = did_you_mean(word, types, what="types") if isinstance(word, str) else f"Types: {', '.join(sorted(types))}."
            self.faults.add("R220", f"inputs: '{name}': there is no type {shown(word)}.", hint, mark=entry.value.mark)
            return "", None
        try:
            kind: type[DataObject] = types[word].load()
        except PluginError as error:
            self.faults.add(error.code, error.message, error.hint, mark=entry.value.mark)
            return word, None
        return word, kind

    def _camera(self, entry: Entry | None, name: str, metadata: dict[str, Any], node: Mapping) -> None:
        """``camera: NAME``, a short form of the metadata ``Camera.Preset: NAME``."""
        if entry is not None and not _is_null(entry.value):
            found, _ = self._text(entry, ("inputs", name, f"metadata.{PRESET_KEY}"), f"inputs: the camera of '{name}'", "R223")
            if found is not None:
                metadata[PRESET_KEY] = found
        given = metadata.get(PRESET_KEY)
        if given is None:
            return
        try:
            camera_preset(given)
        except UsageError as error:
            self.faults.add("R223", f"inputs: '{name}': {error.message}", error.hint, mark=(entry.value if entry else node).mark)

    def _path(self, entry: Entry, name: str) -> str | None:
        where = ("inputs", name, "path")
        text, used = self._text(entry, where, f"inputs: the file of '{name}'", "R222")
        if not text or "\0" in text:
            if text is not None:
                self.faults.add("R222", f"inputs: the file of '{name}' has no name.", mark=entry.value.mark)
            return None
        base = base_of(plain(entry.value), self.param_bases, self.base)
        path = os.path.normpath(base / text)
        # In a recipe that is written again the name would be relative to the recipe, and so another file.
        reference = self.references.pop(where, None)
        if reference is not None and base == self.base:
            self.references[where] = Reference(reference.written, used, path)
        return path

    def _text(self, entry: Entry, where: tuple[str, ...], what: str, code: str) -> tuple[str | None, tuple[str, ...]]:
        """The text of an entry and the params that it uses; None, with the fault noted, where it is no text."""
        try:
            value, used = self.params.fill(entry.value)
        except Unresolved:
            return None, ()
        if not isinstance(value, str):
            self.faults.add(code, f"{what} must be text, not {shown(value)}.", "Quote it.", mark=entry.value.mark)
            return None, used
        if used:
            self.references[where] = Reference(plain(entry.value), used, value)
        return value, used

    def _flatten(self, entry: Entry | None, name: str, prefix: str, found: dict[str, Any]) -> None:
        """Collect metadata under dotted names, however they are nested."""
        if entry is None or (not prefix and _is_null(entry.value)):
            return
        if isinstance(entry.value, Mapping):
            for inner in entry.value:
                self._flatten(inner, name, f"{prefix}.{inner.key}" if prefix else inner.key, found)
            return
        if not prefix:
            message = f"inputs: the metadata of '{name}' must be a mapping, not {kind_of(entry.value)}."
            self.faults.add("R222", message, "For example: {voxelsize.x: 0.1}", mark=entry.value.mark)
            return
        if prefix in found:
            self.faults.add(
                "R104", f"inputs: the metadata of '{name}' give '{prefix}' twice.", "Remove one of them.", mark=entry.mark
            )
            return
        try:
            value, used = self.params.fill(entry.value)
        except Unresolved:
            return
        found[prefix] = value
        if used:
            self.references["inputs", name, f"metadata.{prefix}"] = Reference(plain(entry.value), used, value)


def read_text(entry: Entry | None, default: str, faults: Faults) -> str:
    """A single text such as ``name:``."""
    value = default if entry is None else plain(entry.value)
    if not isinstance(value, str):
        assert entry is not None
        faults.add("R128", f"{entry.key} must be text, not {shown(value)}.", "Quote it.", mark=entry.value.mark)
        return default
    return value


def read_flag(entry: Entry | None, faults: Faults) -> bool:
    """A single true or false."""
    value = False if entry is None else plain(entry.value)
    if not isinstance(value, bool):
        assert entry is not None
        faults.add("R128", f"{entry.key} must be true or false, not {shown(value)}.", mark=entry.value.mark)
        return False
    return value


def read_whole_number(entry: Entry | None, default: int, faults: Faults) -> int:
    """A single whole number of at least 0."""
    value = default if entry is None else plain(entry.value)
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 and value % 1 == 0
    if not whole:
        assert entry is not None
        message = f"{entry.key} must be a whole number of at least 0, not {shown(value)}."
        faults.add("R128", message, mark=entry.value.mark)
        return default
    return int(value)
