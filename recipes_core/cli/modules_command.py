"""``recipe modules list`` and ``recipe modules show NAME``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from recipes_core.cli import faults

if TYPE_CHECKING:
    from recipes_core.module import ModuleBase
    from recipes_core.plugins import ModuleRef


_DIGITS = 12


@click.group("modules", short_help="List the modules, or show one.")
def command() -> None:
    """List the modules that recipes may use, or show one of them."""


@command.command("list", short_help="List all modules.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def list_modules(as_json: bool) -> None:
    """List all modules with one line about each."""
    with faults.reported(as_json=as_json):
        from recipes_core.plugins import registry

        refs = sorted(registry().modules.values(), key=lambda ref: ref.short_name.casefold())
        if as_json:
            faults.print_json([{"name": ref.name, "summary": ref.summary, "aliases": list(ref.aliases)} for ref in refs])
            return
        width = max(len(ref.short_name) for ref in refs)
        for ref in refs:
            click.echo(f"{ref.short_name:<{width}}  {ref.summary}")


@command.command("show", short_help="Show ports, parameters and an example of one module.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def show_module(name: str, as_json: bool) -> None:
    """Show what the module NAME does, its ports and parameters, and how it looks in a recipe."""
    with faults.reported(as_json=as_json):
        from recipes_core.errors import UsageError, did_you_mean
        from recipes_core.plugins import registry

        found = registry().find_modules(name)
        if not found:
            raise UsageError(f"there is no module '{name}'.", code="U140", hint=did_you_mean(name, registry().module_names()))
        described = [_describe(ref, ref.load()) for ref in found]
        if as_json:
            faults.print_json(described[0] if len(described) == 1 else described)
            return
        click.echo("\n\n".join(_as_text(item) for item in described))


def _describe(ref: ModuleRef, cls: type[ModuleBase]) -> dict[str, Any]:
    inputs = [
        {"name": port, "type": item.data_type.__name__, "key": item.default_value, "optional": item.optional,
         "deprecated": item.deprecated, "many": item.many,
         "requires": list(item.requires), "desc": item.description}
        for port, item in cls.inputs().items()
    ]  # fmt: skip
    outputs = [
        {"name": port, "type": item.data_type.__name__, "key": item.default_value, "diagnostic": item.diagnostic,
         "deprecated": item.deprecated, "desc": item.description}
        for port, item in cls.outputs().items()
    ]  # fmt: skip
    parameters = [
        {"name": name, "kind": item.kind, "default": item.default_value, "unit": item.unit, "expected": item.expected(),
         "affects_result": item.affects_result, "deprecated": item.deprecated, "desc": item.description}
        for name, item in cls.parameters().items()
    ]  # fmt: skip
    return {
        "name": ref.name, "aliases": list(ref.aliases), "version": cls.version, "doc": inspect.getdoc(cls) or "",
        "inputs": inputs, "outputs": outputs, "parameters": parameters,
    }  # fmt: skip


def _as_text(item: dict[str, Any]) -> str:
    lines = [item["name"] + (f"  (also {', '.join(item['aliases'])})" if item["aliases"] else ""), "", item["doc"], ""]
    for title, flags in (("inputs", ("optional", "many", "deprecated")), ("outputs", ("diagnostic", "deprecated"))):
        rows = [
            (port["name"], f"{port['type']}, key {_yaml(port['key'])}" + "".join(f", {flag}" for flag in flags if port[flag])
             + (f", columns {', '.join(port['requires'])}" if port.get("requires") else ""), port["desc"])
            for port in item[title]
        ]  # fmt: skip
        lines += [title, *_columns(rows)]
    rows = [
        (p["name"], f"{_yaml(p['default'])}{' ' + p['unit'] if p['unit'] else ''}",
         "; ".join(part for part in (p["desc"], _expected(p)) if part))
        for p in item["parameters"]
    ]  # fmt: skip
    short = item["name"].rpartition(".")[2]
    example = ", ".join(f"{port['name']}: {port['key'] or 'KEY'}" for port in (*item["inputs"], *item["outputs"])
                        if not (port.get("optional") or port.get("diagnostic") or port.get("deprecated")))  # fmt: skip
    lines += ["parameters", *_columns(rows), "", "in a recipe", f"  - {short}: {{{example}}}"]
    return "\n".join(lines)


def _expected(parameter: dict[str, Any]) -> str:
    if not parameter["deprecated"]:
        return str(parameter["expected"])
    return "" if parameter["desc"].startswith("no longer needed") else "no longer needed"


def _columns(rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return ["  none"]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows]


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, float) and len(str(value)) > _DIGITS:
        return f"{value:.6g}"
    return str(value) if value != "" else "''"
