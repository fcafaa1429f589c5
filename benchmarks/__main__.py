"""Measure the project, side by side with others: ``python -m benchmarks NAME [--json FILE]``.

Nothing here is part of the tests: times and memory depend on the machine. Whoever quotes a number names the command that printed it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = {
    "drift": "every drift method, here and in other programs, against the truth and the limit",
    "accuracy": "error of the drift against the truth, five simulations each",
    "engine": "modules that do nothing, a second run, the store, several processes",
    "startup": "time that commands take to start",
    "rcc": "time of Locs_RCC and of a plain numpy/scipy version of the same algorithm, one million localizations",
    "faults": "what is left of runs that are killed at 200 random moments",
    "localize": "from movie to molecules: detection, fits, accuracy, whole, memory, first use, and peers",
    "formats": "a table of ten million rows read here, by h5py alone and by Picasso; peers reading what is written here",
    "linking": "ten million localizations linked, beside one sort of them and Picasso's link",
    "render": "ten million localizations rendered, beside Picasso",
    "quality": "precision (NeNA) and resolution (FRC) of tables whose truth is known, beside Picasso",
    "image_memory": "memory and scratch of Clip&Filter, Image_RCC and Image_Post_Shift on 200 frames of 2048 x 2048 pixels",
}


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    import numpy
    import scipy

    from recipes_core.module import available_threads

    return {
        "processors": available_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the project. Names:\n" + "\n".join(f"  {name:14} {what}" for name, what in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=sorted(BENCHMARKS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5, help="how often each side runs (default 5); the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to a file")
    # The options of one benchmark are known only when its name is.
    name = next((word for word in sys.argv[1:] if word in BENCHMARKS), "")
    module = importlib.import_module(f"benchmarks.{name}") if name else None
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    arguments = vars(parser.parse_args())
    del arguments["name"]
    file = arguments.pop("json")
    arguments["repeats"] = max(1, arguments["repeats"])
    assert module is not None
    result = module.measure(**arguments)
    if file:
        file.write_text(json.dumps({"benchmark": name, "machine": machine(), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
