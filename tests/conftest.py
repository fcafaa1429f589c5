"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEST_DATA = Path(os.environ.get("SMLM_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    """Every test has a cache of its own; none touches the user's."""
    folder = tmp_path_factory.mktemp("cache") / "cache"
    monkeypatch.setenv("RECIPES_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """Find a real file below SMLM_TEST_DATA, or skip the test."""

    def find(name: str) -> Path:
        path = TEST_DATA / name
        if not path.exists():
            pytest.skip(f"no {name} in SMLM_TEST_DATA ({TEST_DATA}): real files are not part of the repository")
        return path

    return find


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of example recipes."""
    return ROOT / "example_recipes"


@dataclass
class Finished:
    """How a call of the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def recipe_command(capsys, tmp_path, monkeypatch) -> Callable[..., Finished]:
    """Call ``recipe`` in this process, in an empty folder."""
    from recipes_core.cli.main import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Finished(int(ended.value.code or 0), out, err)

    return call
