"""Time that commands take to start, in turn with bare Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).resolve().parent.parent / "example_recipes" / "correct_drift_locs.yaml"
COMMANDS = {
    "bare Python": ["-c", "pass"],
    "import recipes_core": ["-c", "import recipes_core"],
    "import Recipe": ["-c", "from recipes_core import Recipe"],
    "recipe --help": ["-m", "recipes_core.cli.main", "--help"],
    "recipe --version": ["-m", "recipes_core.cli.main", "--version"],
    "recipe modules list": ["-m", "recipes_core.cli.main", "modules", "list"],
    "recipe check EXAMPLE": ["-m", "recipes_core.cli.main", "check", str(RECIPE)],
}


def measure(repeats: int = 5) -> dict[str, Any]:
    """Print and return the median seconds of each command."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repeats + 1):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if turn:  # the first turn fills caches
                times[name].append(time.perf_counter() - start)
    bare = statistics.median(times["bare Python"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:22} {median:.3f} s   {median - bare:+.3f} s to bare Python")
    return {"times": times}
