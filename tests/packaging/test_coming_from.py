"""The pages for users of other programs name only what is there."""

import re
from pathlib import Path

import pytest

from recipes_core.plugins import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("coming_from_pyme.md", "coming_from_picasso.md")
NAME = re.compile(r"`([A-Z][\w&]*)(?:\.(\w+))?`")
NOT_MODULES = {"Camera"}  # metadata


def rows(page):
    """Cells of the column "here" of every table."""
    at = None
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            at = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if at is None:
            assert "here" in cells, line
            at = cells.index("here")
        elif not set(cells[0]) <= {"-"}:
            yield cells[at]


def named(page):
    return [found for cell in rows(page) for found in NAME.findall(cell) if found[0] not in NOT_MODULES]


@pytest.mark.parametrize(("page", "least"), [(PAGES[0], 100), (PAGES[1], 30)])
def test_every_module_and_parameter_exists(page, least):
    names = named(page)
    assert len(names) > least
    for module, parameter in names:
        refs = registry().find_modules(module)
        assert refs, module
        assert any(ref.short_name == module for ref in refs), f"{module} is an old name"
        if parameter:
            assert parameter in refs[0].load().declared(), f"{module}.{parameter}"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page):
    import click

    from recipes_core.cli.main import recipe

    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    known = set(recipe.list_commands(click.Context(recipe)))
    used = set(re.findall(r"`recipe (\w+)", text))
    assert used
    assert used <= known


def test_names_that_changed_lead_to_the_new_ones():
    text = (ROOT / "docs" / PAGES[0]).read_text(encoding="utf-8")
    part = text.split("## Names that changed in PYME")[1].split("##")[0]
    checked = 0
    for old, new in re.findall(r"^\| (\w+) \| (.+) \|$", part, re.MULTILINE):
        for module, parameter in NAME.findall(new):
            cls = registry().find_modules(module)[0].load()
            if parameter:
                assert old in cls.declared()[parameter].aliases
            else:
                assert cls is registry().find_modules(old)[0].load()
            checked += 1
    assert checked >= 7


def test_benchmarks_that_are_named_exist():
    text = (ROOT / "docs" / PAGES[1]).read_text(encoding="utf-8")
    part = text.split("## The same numbers")[1].split("##")[0]
    names = re.findall(r"`(?:python -m benchmarks )?(\w+)`", part)
    assert names
    for name in names:
        assert (ROOT / "benchmarks" / f"{name}.py").exists(), name
