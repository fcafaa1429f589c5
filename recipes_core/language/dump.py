"""Writes a recipe as YAML in the full form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recipes_core.data.cameras import PRESET_KEY
from recipes_core.errors import UsageError
from recipes_core.language.document import InputSpec, RecipeDocument, StepSpec, default_id
from recipes_core.language.load import VERSION
from recipes_core.language.lookup import ID
from recipes_core.language.references import written_out
from recipes_core.language.scalars import BOOL, FLOAT, INT, NULL
from recipes_core.plugins import registry
from recipes_core.ports import Parameter, Port, map_paths


def dump(document: RecipeDocument) -> str:
    """The text of a recipe; reading it again gives equal steps.

    Written are parameters that differ from their defaults, inputs that are connected, and outputs except those on demand that
    nobody named. Names of files below the recipe's folder are relative to it. ``${name}`` stays where the value is still the one
    that it gave.

    Raises
    ------
    UsageError
        Where a value is nothing that YAML can hold.
    """
    content: dict[str, Any] = {"recipe": VERSION, "name": document.name}
    if document.inputs:
        content["inputs"] = {name: _input(document, spec) for name, spec in document.inputs.items()}
    if document.params:
        content["params"] = written_out(document.params)
    ids = _ids_to_write(document.steps)
    content["modules"] = [{module_name(spec): _body(document, spec, spec.id in ids)} for spec in document.steps]
    if document.outputs:
        content["outputs"] = {key: _written(document, ("outputs", key, ""), pattern) for key, pattern in document.outputs.items()}
    if document.seed:
        content["seed"] = document.seed
    if document.execute_on_invalidation:
        content["execute_on_invalidation"] = True
    try:
        text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    except yaml.YAMLError as error:
        raise UsageError(f"the recipe cannot be written as YAML: {error}", code="U145") from error
    return text


def module_name(spec: StepSpec) -> str:
    """The shortest name under which a recipe finds the module of a step."""
    cls = type(spec.module)
    full = registry().full_name(cls)
    for name in (full.rpartition(".")[2], cls.name(), spec.written_name.rpartition(".")[2], spec.written_name):
        if [ref.target for ref in registry().find_modules(name)] == [f"{cls.__module__}:{cls.__qualname__}"]:
            return name
    refs = registry().find_modules(spec.written_name)
    return spec.written_name if len(refs) == 1 else full


def _ids_to_write(steps: Sequence[StepSpec]) -> set[str]:
    """The steps whose names are not those that they would get by default."""
    written: set[str] = set()
    while True:
        taken = set(written)
        wrong = None
        for spec in steps:
            if spec.id in written:
                continue
            given = default_id(module_name(spec).rpartition(".")[2], taken)
            taken.add(given)
            if given != spec.id:
                wrong = spec.id
                break
        if wrong is None:
            return written
        written.add(wrong)


def _body(document: RecipeDocument, spec: StepSpec, with_id: bool) -> dict[str, Any]:
    body: dict[str, Any] = {ID: spec.id} if with_id else {}
    for name, trait in _worth_writing(spec):
        value = getattr(spec.module, name)
        plain_value = _relative(trait, value, document.base) if isinstance(trait, Parameter) else value
        reference = document.references.get((spec.id, name))
        if reference is not None and _same(reference.value, value):
            body[name] = reference.written
        elif isinstance(trait, Port) or not _same(plain_value, trait.default_value):
            body[name] = written_out(plain_value)
    return body


def _worth_writing(spec: StepSpec) -> Iterator[tuple[str, Port | Parameter]]:
    for name, trait in type(spec.module).declared().items():
        value = getattr(spec.module, name)
        # An optional input that nobody named is connected only where something makes its default key: writing it would ask for
        # that key. Outputs on demand that nobody named are of no interest.
        quiet = getattr(trait, "optional", False) or getattr(trait, "on_demand", False)
        named = name in spec.written or not quiet
        if isinstance(trait, Parameter) or not _same(value, trait.default_value) or (value and named):
            yield name, trait


def _input(document: RecipeDocument, spec: InputSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if spec.type_name:
        entry["type"] = spec.type_name
    if spec.path is not None:
        reference = document.references.get(("inputs", spec.name, "path"))
        kept = reference is not None and reference.value == spec.path
        entry["path"] = reference.written if reference and kept else written_out(_below(spec.path, document.base))
    metadata = {
        name: _written(document, ("inputs", spec.name, f"metadata.{name}"), value) for name, value in spec.metadata.items()
    }
    if PRESET_KEY in metadata:
        entry["camera"] = metadata.pop(PRESET_KEY)
    if metadata:
        entry["metadata"] = metadata
    return entry


def _written(document: RecipeDocument, where: tuple[str, ...], value: Any) -> Any:
    reference = document.references.get(where)
    return reference.written if reference is not None and _same(reference.value, value) else written_out(value)


def _same(one: Any, other: Any) -> bool:
    # 1 == True, but they are different values of a parameter.
    return type(one) is type(other) and bool(one == other)


def _relative(parameter: Parameter, value: Any, base: Path) -> Any:
    return map_paths(parameter, value, lambda name: _below(name, base))


def _below(name: str, base: Path) -> str:
    path = Path(name)
    return path.relative_to(base).as_posix() if path.is_absolute() and path.is_relative_to(base) else name


class _Dumper(yaml.SafeDumper):
    """Writes scalars so that YAML 1.2 and 1.1 both read them as they are meant."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Items of a list are indented below their key, as people write them.
        super().increase_indent(flow, False)


def _represent_text(dumper: _Dumper, value: str) -> yaml.Node:
    # In other styles PyYAML folds the line breaks of Unicode into plain ones when it reads them again.
    style = '"' if any(letter in "\x85\u2028\u2029\ufeff" or letter < " " for letter in value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _represent_list(dumper: _Dumper, value: Sequence[Any]) -> yaml.Node:
    flat = all(not isinstance(item, (list, tuple, Mapping)) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


def _represent_mapping(dumper: _Dumper, value: Mapping[str, Any]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=not value)


def _set_up(dumper: type[_Dumper]) -> None:
    for word, pattern, letters in (
        ("null", NULL, [*"~nN", ""]),
        ("bool", BOOL, [*"tTfF"]),
        ("int", INT, [*"-+0123456789"]),
        ("float", FLOAT, [*"-+.0123456789"]),
    ):
        dumper.add_implicit_resolver(f"tag:yaml.org,2002:{word}", pattern, letters)
    # Those of YAML 1.1 come second: text such as 'no' is quoted, so that other programs do not misread it.
    for letter, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items():
        dumper.yaml_implicit_resolvers.setdefault(letter, []).extend(resolvers)
    dumper.add_representer(str, _represent_text)
    dumper.add_multi_representer(tuple, _represent_list)
    dumper.add_representer(list, _represent_list)
    dumper.add_multi_representer(dict, _represent_mapping)
    dumper.add_representer(dict, _represent_mapping)


_set_up(_Dumper)
