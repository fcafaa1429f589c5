"""The documentation keeps up with the program."""

import re
from pathlib import Path

import pytest

from recipes_core import Recipe
from recipes_core.plugins import hookspecs

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r'(?:code=|Problem\(\s*|default_code = |_add\(|add\(|warn\(|problem\(\s*)"([A-Z]\d{3})"')


def test_every_code_of_an_error_is_explained():
    used = {
        code
        for package in ("recipes_core", "modules")
        for path in (ROOT / package).rglob("*.py")
        for code in CODE.findall(path.read_text(encoding="utf-8"))
    }
    assert len(used) > 50
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    spans = re.findall(r"([A-Z])(\d{3}) to \1?(\d{3})", text)
    explained = set(re.findall(r"[A-Z]\d{3}", text))
    explained |= {f"{letter}{number}" for letter, low, high in spans for number in range(int(low), int(high) + 1)}
    assert used - explained == set()


def test_every_hook_is_explained():
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    hooks = [name for name, item in vars(hookspecs).items() if hasattr(item, f"{hookspecs.PROJECT}_spec")]
    assert len(hooks) == 9
    assert [name for name in hooks if name not in text] == []


def test_recipes_in_the_documentation_are_valid(tmp_path):
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        Recipe.from_yaml(block, base=ROOT / "example_recipes")


def test_the_readme_has_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install . && recipe run example_recipes/correct_drift_locs.yaml\n" in text
    assert 'pip install -e ".[all,dev]" && pytest\n' in text


@pytest.mark.parametrize("name", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
