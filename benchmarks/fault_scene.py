"""A recipe that runs in about a second, its right results, and the commands that read everything after a fault."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recipes_core.cache.manifest import NAME, Damaged, Manifest, read_manifest
from recipes_core.cache.reading import verify_files
from recipes_core.cache.store import Cache

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "benchmarks" / "faults_site"
COMMAND = [sys.executable, "-m", "recipes_core.cli.main"]

RECIPE = """
recipe: 1
name: small
params: {n: 6000}
modules:
  - Locs_Simulate:
      output_localizations: with_drift
      output_drift: truth
      n_localizations: "${n}"
      n_frames: 800
      field: 2.0
      drift: polynomial
      drift_amplitude: [90, 110, 0]
  - FilterTable: {inputName: with_drift, outputName: filtered, filters: {error_x: [0, 30]}}
  - Locs_RCC: {input_for_correction: filtered, output_drift: drift_raw, step: 200, window: 200, binsize: 20.0, flatten_z: true}
  - Drift_Interpolate:
      input_drift_raw: drift_raw
      input_truth: truth
      output_drift_interpolator: drift
      output_drift_plot: drift_plot
      smoothing_factor: 10.0
  - Locs_Post_Shift: {input_localizations: with_drift, input_drift_interpolator: drift, output_name: corrected}
  - Locs_Render: {input_localizations: corrected, output_image: series, output_figure: picture, pixel_size: 20, frames_per_image: 200}
  - Image_Pre_Downsample: {inputName: series, outputName: binned, binsize: [2, 2, 1]}
outputs: {corrected: corrected.hdf, drift: drift.npz, drift_plot: drift_plot.svg, binned: binned.tif}
seed: 3
"""
"""Tables, a drift, an image series and figures in seven steps."""

RESULTS = ("corrected.hdf", "drift.npz", "drift_plot.svg", "binned.tif")


def search_path() -> str:
    """PYTHONPATH of commands."""
    return os.pathsep.join([str(SITE), str(ROOT), str(ROOT / "modules"), *filter(None, [os.environ.get("PYTHONPATH", "")])])


@dataclass
class Ended:
    """How a command ended; a negative code is the signal that ended it."""

    code: int
    out: str
    err: str


@dataclass
class Running:
    """A command on its way."""

    pid: int
    out: Path
    err: Path
    process: subprocess.Popen[bytes] | None = None
    zygote: Zygote | None = None
    started: float = field(default_factory=time.monotonic)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.process is not None:
            return self.process.poll()
        assert self.zygote is not None
        return self.zygote.poll(self.pid)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal where it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout: float = 120.0) -> Ended:
        """Wait for its end."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"still running after {timeout} s:\n{self.out.read_text()}\n{self.err.read_text()}")
            time.sleep(0.003)
        return Ended(code, self.out.read_text(errors="replace"), self.err.read_text(errors="replace"))

    def workers(self) -> list[int]:
        """Processes that it has started."""
        try:
            return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []


class Zygote:
    """See `benchmarks.fault_zygote`."""

    def __init__(self) -> None:
        self.path = search_path()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fault_zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": self.path}, cwd=ROOT,
        )  # fmt: skip
        self._codes: dict[int, int] = {}
        self._buffer = b""
        assert self._receive(120.0) == "ready"

    def _send(self, content: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(content).encode() + b"\n")
        self.process.stdin.flush()

    def _receive(self, patience: float) -> object:
        """The next answer, None where there is none yet."""
        assert self.process.stdout is not None
        number = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([number], [], [], patience)[0]:
                return None
            content = os.read(number, 65536)
            assert content, "the process that forks has ended"
            self._buffer += content
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> int:
        """Start a command; its number."""
        task = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
        self._send({**task, "out": str(out), "err": str(err)})
        while not isinstance(answer := self._receive(10.0), int):
            self._take(answer)
        self._codes.pop(answer, None)  # of an earlier process with this number
        return answer

    def _take(self, answer: object) -> None:
        assert isinstance(answer, list)
        self._codes[answer[0]] = answer[1]

    def poll(self, pid: int) -> int | None:
        """The exit code of a command that has ended."""
        while pid not in self._codes and (answer := self._receive(0.0)) is not None:
            self._take(answer)
        return self._codes.get(pid)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Scene:
    """A folder with a recipe, a cache and results.

    Parameters
    ----------
    folder : Path
        Empty; everything is below it.
    recipe : str
    zygote : Zygote, optional
        One that others use too; otherwise one is started when it is needed.
    """

    def __init__(self, folder: Path, recipe: str = RECIPE, zygote: Zygote | None = None) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.recipe = folder / "small.yaml"
        self.temporary = folder / "tmp"
        self.mark = uuid.uuid4().hex
        self._number = itertools.count()
        self._zygote = zygote
        self.right_cache = folder / "right_cache"
        self._owns_zygote = zygote is None
        self._right: dict[int, dict[str, bytes]] = {}
        for path in (folder, folder / "said", self.temporary):
            path.mkdir(parents=True, exist_ok=True)
        self.recipe.write_text(recipe)

    def environment(self, **more: str) -> dict[str, str]:
        """Of commands."""
        own = {
            "RECIPES_CACHE": str(self.cache),
            "TMPDIR": str(self.temporary),
            "FAULT_MARK": self.mark,
            # New interpreters find what the one that forks does.
            "PYTHONPATH": self._zygote.path if self._zygote is not None else search_path(),
        }
        quiet = {
            "RECIPES_CACHE_SIZE": "",
            "FAULT_MEMORY": "",
            "FAULT_FILE_SIZE": "",
            "FAULT_USER": "",
            "FAULT_FOLDERS": "",
            "FAULT_AT": "0",
            "FAULT_TORN": "",
            "FAULT_COUNT": "",
            "FAULT_ONCE": "",
            "FAULT_WHO": "driver",
        }
        return {**os.environ, **own, **quiet, **more}

    # -- commands --------------------------------------------------------------------------------------------------------

    def start(self, *arguments: str | Path, fresh: bool = True, **environment: str) -> Running:
        """Start ``recipe ARGUMENTS``, in a new interpreter or, where not `fresh`, in a fork of one that is ready."""
        number = next(self._number)
        out, err = (self.folder / "said" / f"{number}.{kind}" for kind in ("out", "err"))
        words = [str(argument) for argument in arguments]
        if not fresh:
            out.touch()
            err.touch()
            zygote = self.zygote()
            return Running(zygote.start(words, self.environment(**environment), self.folder, out, err), out, err, zygote=zygote)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*COMMAND, *words], cwd=self.folder, env=self.environment(**environment), stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        return Running(process.pid, out, err, process=process)

    def call(self, *arguments: str | Path, fresh: bool = False, timeout: float = 120.0, **environment: str) -> Ended:
        """Run ``recipe ARGUMENTS`` to its end."""
        return self.start(*arguments, fresh=fresh, **environment).wait(timeout)

    def words(self, variant: int, output: str | Path, *more: str) -> list[str]:
        """Arguments that run the recipe; variants have no result in common."""
        return ["run", str(self.recipe), "-o", str(output), "-p", f"n={6000 + variant}", *more]

    def zygote(self) -> Zygote:
        """The process that forks for commands."""
        if self._zygote is None:
            self._zygote = Zygote()
        return self._zygote

    def close(self) -> None:
        """End what was started."""
        if self._zygote is not None and self._owns_zygote:
            self._zygote.close()
            self._zygote = None

    # -- what is right -----------------------------------------------------------------------------------------------------

    def right(self, variant: int) -> dict[str, bytes]:
        """The files that a run without faults writes: name -> content."""
        if variant not in self._right:
            output = self.folder / f"right{variant}"
            ended = self.call(*self.words(variant, output, "-q"), RECIPES_CACHE=str(self.right_cache))
            assert ended.code == 0, ended.err
            self.take_as_right(variant, output)
        return self._right[variant]

    def take_as_right(self, variant: int, output: Path) -> None:
        """Let the results of a run without faults be those that others must make."""
        self._right[variant] = {path.name: path.read_bytes() for path in sorted(output.iterdir())}

    # -- what is there -------------------------------------------------------------------------------------------------------

    def wrong_results(self, output: Path, variant: int, *, complete: bool) -> list[str]:
        """Results that are not what they should be; those that are not there count where they should be `complete`."""
        right = self.right(variant)
        found = {path.name: path for path in output.iterdir() if not path.name.startswith(".")} if output.is_dir() else {}
        wrong = [f"{name} is half written" for name, path in found.items() if path.read_bytes() != right.get(name)]
        return wrong + [f"{name} is missing" for name in right if complete and name not in found]

    def leftovers(self) -> list[str]:
        """Temporary files anywhere, and parts of the cache that no entry or record needs."""
        found = [str(path) for path in self.folder.rglob(".*") if not path.name.startswith(".nfs")]
        for name in ("stage", "trash", "pins"):
            with contextlib.suppress(FileNotFoundError):
                found += [str(path) for path in (self.cache / name).iterdir()]
        found += [str(path) for path in self.cache.glob("token-*")]
        # Dask sweeps its own folder when it is started again.
        found += [str(path) for path in self.temporary.iterdir() if path.name != "dask-scratch-space"]
        return found

    def entries(self) -> list[str]:
        """Keys of all folders that could be entries."""
        return [path.name for path in (self.cache / "entries").glob("*/*")]

    def damaged(self) -> list[str]:
        """Read every entry in full; what is wrong with those that are damaged."""
        cache = Cache(self.cache)
        cache.verify()
        for key in self.entries():
            if cache.load(key, verify=True) is None and not cache.damaged(key):
                cache.warnings.append(f"{key} cannot be loaded")
        return cache.warnings

    def quarantine(self) -> list[str]:
        """What was set aside, and what is wrong with it."""
        folder = self.cache / "quarantine"
        return [f"{path.name}: {_fault_of(path)}" for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def records(self) -> list[dict[str, object]]:
        """Run records."""
        return [json.loads(path.read_text()) for path in sorted((self.cache / "runs").glob("*.json"))]

    def orphans(self, patience: float = 10.0) -> list[str]:
        """Commands that this scene has started, or their workers, and that still run; those that just end are waited for."""
        end = time.monotonic() + patience
        while (found := list(self._processes())) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def _processes(self) -> Iterator[str]:
        for path in Path("/proc").iterdir():
            if not path.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes():
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    yield f"{path.name}: {b' '.join(words).decode(errors='replace')[:200]}"


def _fault_of(folder: Path) -> str:
    try:
        if (folder / NAME).lstat().st_size > 2**30:
            return "a huge manifest"
        key = Manifest.from_bytes((folder / NAME).read_bytes()).key
        found = read_manifest(folder, key)
        assert found is not None
        if found[0].nbytes < 2**30:
            verify_files(folder, found[0])
    except (OSError, Damaged) as problem:
        return str(problem)
    return "nothing"
