"""What is left of runs that are killed: ``python -m benchmarks faults --kills 200``.

Four runs at a time share a cache and folders for results, a quarter of them with worker processes, some with a cache so small that
they remove each other's entries. They, or workers of theirs, are killed (SIGKILL) at random moments and at random changes of
files, half of these with a write left half done. After each fifty kills everything is read; then each recipe is run once more
and must be complete at once, and ``recipe cache gc`` must leave nothing behind. Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.fault_scene import Scene
from benchmarks.fault_storm import Storm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this one."""
    parser.add_argument("--kills", type=int, default=200, help="how many processes are killed (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--fresh", type=float, default=0.1, help="share of runs in an interpreter of their own (default 0.1)")


def measure(repeats: int = 1, kills: int = 200, seed: int = 1, fresh: float = 0.1) -> dict[str, Any]:
    """Print and return what was done and found; the process ends with 1 where something was not as it should be."""
    del repeats
    with tempfile.TemporaryDirectory(prefix="recipe-faults-") as folder:
        scene = Scene(Path(folder))
        try:
            tally = Storm(scene, seed, fresh=fresh).run(kills, lambda text: print(text, flush=True))
        finally:
            scene.close()
    numbers = tally.numbers()
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(tally.kills.items()))
    print(f"\n{numbers['kills']} kills: {kinds}")
    print(f"{numbers['finished']} other runs, of which {numbers['failed']} did not end well")
    print(f"{numbers['entries']} entries read, {numbers['damaged']} damaged")
    print(f"{numbers['results']} results read, {numbers['wrong']} half written, different or missing")
    print(f"{numbers['followed']} runs after that, {numbers['waited']} of which had to wait for a lock")
    print(f"{numbers['leftovers']} files left after the next run and gc, {numbers['orphans']} processes left")
    for name, found in tally.faults().items():
        for text in found:
            print(f"  {name}: {text}")
    if tally.faults():
        raise SystemExit(1)
    return {"seed": seed, **numbers}
