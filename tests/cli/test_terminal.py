"""What a person sees: a live table on a terminal, plain lines in a pipe."""

import os
import re
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty", reason="pseudo terminals are POSIX")


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    code = "from recipes_core.cli.main import main; main()"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode("utf-8", "replace"))


def test_a_run_shows_its_steps_and_closes_with_a_summary(examples, tmp_path):
    code, seen = on_a_terminal("run", str(examples / "simulate_wormlike.yaml"), "-o", str(tmp_path))
    assert code == 0, seen
    assert "Locs_Simulate" in seen
    assert "2 results in" in seen
    assert "100,000 localizations" in seen


def test_a_failing_run_ends_in_its_message(examples, tmp_path):
    file = tmp_path / "fails.yaml"
    file.write_text("- Locs_Simulate: {n_localizations: 10, n_frames: 5}\n- Locs_RCC: {flatten_z: true, output_drift: d}\n")
    code, seen = on_a_terminal("run", str(file), "-o", str(tmp_path / "out"))
    assert code == 3
    assert "step 'Locs_RCC'" in seen
    assert "Traceback" not in seen
