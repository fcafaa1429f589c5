"""Damaged and hostile entries: set aside, made again, said once; never another result, never anything executed."""

import base64
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from blake3 import blake3

from recipes_core.cache import Cache
from recipes_core.cache.manifest import NAME
from tests.crash.conftest import problems


def entry(scene, step, port):
    """The folder of what a step has put into the cache."""
    found = [
        item.manifest.key for item in Cache(scene.cache).entries() if (item.manifest.step, item.manifest.port) == (step, port)
    ]
    assert len(found) == 1
    return Cache(scene.cache).layout.entry(found[0])


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


CORRECTED = ("Locs_Post_Shift", "output_name")
PLACES = [
    CORRECTED,
    ("Locs_Simulate", "output_localizations"),
    ("Image_Pre_Downsample", "outputName"),
    ("Locs_Render", "output_image"),
]
"""Each result of two, and what it is made of."""

DAMAGE = {
    "flipped byte": lambda folder: flip(folder / "1.npy", 5000),
    "truncated column": lambda folder: os.truncate(folder / "0.npy", 1000),
    "deleted file": lambda folder: (folder / "0.npy").unlink(),
    "manifest of zeros": lambda folder: (folder / NAME).write_bytes(b"\0" * 4096),
}


def run_with(scene, damage, *, more=(), **environment):
    """Run, damage entries (place -> what is done to it), and run again without the results."""
    output = scene.folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    folders = {place: entry(scene, *place) for place in damage}
    for place, folder in folders.items():
        damage[place](folder)
    ended = scene.call(*scene.words(0, output, *more), **environment)
    assert ended.code == 0, ended.err
    lines = problems(ended)
    assert len(lines) == len(damage), ended.err
    for folder in folders.values():
        (line,) = (line for line in lines if folder.name[:12] in line)
        assert "W130" in line
        assert "damaged" in line
    assert len(scene.quarantine()) == len(damage)
    assert scene.wrong_results(output, 0, complete=True) == []
    assert scene.damaged() == []
    shutil.rmtree(scene.cache / "quarantine")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (at > 0)) for at, name in enumerate(DAMAGE)])
def test_damage_is_mended(filled, name):
    run_with(filled, {CORRECTED: DAMAGE[name]})
    again = filled.call(*filled.words(0, filled.folder / "out"))
    assert (again.code, again.err) == (0, "")


def test_damage_everywhere_is_mended(filled):
    """To make one result anew, another one is needed that is damaged too."""
    run_with(filled, dict(zip(PLACES, DAMAGE.values(), strict=True)))


def test_damage_is_mended_by_workers(filled):
    """A worker takes a damaged table: Locs_Render has to run, and takes what Locs_Post_Shift made."""
    for port in ("output_image", "output_figure"):
        shutil.rmtree(entry(filled, "Locs_Render", port))
    shutil.rmtree(entry(filled, "Image_Pre_Downsample", "outputName"))
    run_with(filled, {CORRECTED: DAMAGE["flipped byte"]}, more=("--executor", "processes", "--jobs", "1"))


# whoever may write to the folder can also make the check of a manifest fit


class Bomb:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return (os.mkdir, (self.canary,))


def forge(folder, change):
    """Change what a manifest says and make its check fit."""
    body = json.loads((folder / NAME).read_bytes())["body"]
    raw = change(body)
    raw = raw if isinstance(raw, bytes) else json.dumps(body).encode()
    (folder / NAME).write_bytes(b'{"check":"' + blake3(raw).hexdigest().encode() + b'","body":' + raw + b"}")


def first_array(body):
    return next(array for array in body["arrays"] if "file" in array)


def pickled(folder, canary):
    with (folder / "0.npy").open("wb") as stream:
        np.save(stream, np.array([Bomb(canary)], dtype=object), allow_pickle=True)


def bare_pickle(folder, canary):
    (folder / "0.npy").write_bytes(pickle.dumps(Bomb(canary)))


def object_type(folder, canary):
    pickled(folder, canary)
    forge(folder, lambda body: first_array(body).update(dtype="|O", shape=[1]))


def inline_objects(folder, canary):
    data = base64.b64encode(pickle.dumps(Bomb(canary))).decode()

    def change(body):
        array = first_array(body)
        del array["file"]
        array.update(dtype="|O", shape=[1], data=data)

    forge(folder, change)


def elsewhere(path):
    def change(folder, canary):
        (folder.parents[3] / "other.npy").write_bytes((folder / "0.npy").read_bytes())
        forge(folder, lambda body: first_array(body).update(file=path.format(here=folder.parents[3])))

    return change


def link_out(folder, canary):
    outside = folder.parents[2].parent / "outside.npy"
    (folder / "0.npy").rename(outside)
    (folder / "0.npy").symlink_to(outside)


def link_for_a_folder(folder, canary):
    outside = folder.parents[2].parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    folder.rename(outside)
    folder.symlink_to(outside)


def huge_header(folder, canary):
    with (folder / "0.npy").open("wb") as stream:
        stream.write(b"\x93NUMPY\x03\x00" + (2**32 - 1).to_bytes(4, "little") + b"{'descr': '<f8', ")
        stream.truncate(2**32)


def terabytes(folder, canary):
    forge(folder, lambda body: first_array(body).update(shape=[2**40]))


def terabytes_that_are_not_there(folder, canary):
    """A file of the right size with the right header, and nothing else in it."""
    array = {}
    forge(folder, lambda body: array.update(first_array(body)) or first_array(body).update(shape=[2**37]))
    manifest = json.loads((folder / NAME).read_bytes())["body"]
    from recipes_core.cache.npy import header_of

    header = header_of(np.dtype(array["dtype"]), (first_array(manifest)["shape"][0],))
    with (folder / array["file"]).open("wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + 2**37 * np.dtype(array["dtype"]).itemsize)


def terabytes_inline(folder, canary):
    def change(body):
        array = first_array(body)
        del array["file"]
        array.update(shape=[2**40], data="")

    forge(folder, change)


def deep(folder, canary):
    forge(folder, lambda body: b"[" * 5_000_000 + b"]" * 5_000_000)


def huge_manifest(folder, canary):
    os.truncate(folder / NAME, 2**40)


def other_key(folder, canary):
    forge(folder, lambda body: body.update(key="0" * 64))


def other_kind(folder, canary):
    forge(folder, lambda body: body.update(kind="os:system"))


def pipe(folder, canary):
    (folder / "0.npy").unlink()
    os.mkfifo(folder / "0.npy")


HOSTILE = [
    pickled, bare_pickle, object_type, inline_objects,
    elsewhere("../../../../other.npy"), elsewhere("{here}/other.npy"), link_out,
    link_for_a_folder, huge_header, terabytes, terabytes_that_are_not_there, terabytes_inline, deep, huge_manifest, other_key, other_kind, pipe,
]  # fmt: skip
MEMORY = 6 * 2**30


@pytest.mark.parametrize("start", range(0, len(HOSTILE), len(PLACES)))
def test_hostile_entries_are_refused(filled, start):
    canary = filled.folder / "canary"
    attacks = dict(zip(PLACES, HOSTILE[start : start + len(PLACES)], strict=False))
    damage = {place: lambda folder, attack=attack: attack(folder, canary) for place, attack in attacks.items()}
    run_with(filled, damage, FAULT_MEMORY=str(MEMORY))
    assert not canary.exists()


DEEP = b"[" * 1_000_000 + b"]" * 1_000_000
SMALL = ("memo", "stamps", "history", "runs", "pins", "locks")


OTHERS = [pytest.param(content, marks=pytest.mark.slow) for content in (b"\x80\x04.", b"null", b"[]", b"{}")]


@pytest.mark.parametrize("content", [DEEP, b"\0" * 4096, *OTHERS], ids=lambda content: str(content[:3]))
def test_hostile_small_files_are_ignored(filled, content):
    """Memos of digests, stamps of results, what is known of earlier runs, their records, pins and names of holders."""
    output = filled.folder / "out"
    commands = [filled.words(0, output)]
    if content == DEEP:
        recipe = str(filled.recipe)
        commands += [["runs", "ls"], ["cache", "ls"], ["cache", "gc"], ["explain", recipe], ["status", recipe]]
    for words in commands:
        files = [path for name in SMALL for path in (*(filled.cache / name).glob("*"), filled.cache / name / "more.json")]
        for path in files:
            if path.suffix != ".lock":
                path.write_bytes(content)
        ended = filled.call(*words, FAULT_MEMORY=str(MEMORY))
        assert (ended.code, ended.err) == (0, ""), words
        assert filled.wrong_results(output, 0, complete=True) == []
