"""YAML 1.2's scalars, and everything in a file that is refused before anyone looks at modules."""

from __future__ import annotations

import math

import pytest

from recipes_core.errors import ExitCode, RecipeInvalid, UsageError
from recipes_core.language import load, loads, parse_value
from recipes_core.language.faults import Faults
from recipes_core.language.yamlload import MAX_BYTES, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # https://yaml.org/spec/1.2.2/#103-core-schema
        ("1e-3", 0.001), ("1E3", 1000.0), ("-2.5", -2.5), (".5", 0.5), ("5.", 5.0), ("+12e03", 12000.0),
        ("0", 0), ("017", 17), ("0o17", 15), ("0xff", 255), ("-19", -19), ("+3", 3),
        ("true", True), ("False", False), ("TRUE", True), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("null", None), ("~", None), ("Null", None),
        ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("0b11", "0b11"), ("=", "="), ("0o8", "0o8"),
        (".inf", math.inf), ("-.INF", -math.inf), ("'1'", "1"), ('"true"', "true"), ("١٢", "١٢"), ("1e5x", "1e5x"),
        ("[1, 1e3, no]", [1, 1000.0, "no"]), ("{a: 1, b: ~}", {"a": 1, "b": None}),
        ('{"a":1,\t"b":[true]}', {"a": 1, "b": [True]}),
        ("{a: b.hdf?t=A}", {"a": "b.hdf?t=A"}),
        ("[a?, b??c#d, e?: f, g?]", ["a?", "b??c#d", {"e?": "f"}, "g?"]), ("[? a : b]", [{"a": "b"}]),
        (r'"\ud83d\ude00"', "\N{GRINNING FACE}"), ("", ""),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_not_a_number():
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize(
    ("text", "code", "line", "col", "words"),
    [
        ("- Shift: {a: [1}", "R101", 1, 16, "not valid YAML"),
        ("- Shift:\n\tamount: 1", "R101", 2, 1, "not tabs"),
        ("- Shift: {label: *x}", "R101", 1, 18, "'*x' names nothing"),
        ("- Correlate: {step: " + "9" * 5000 + "}", "R101", 1, 21, "too large"),
        ('- Correlate: {label: "\\UFFFFFFFF"}', "R101", 1, 25, "not valid YAML"),
        ('- Correlate: {label: "\\ud800"}', "R101", 1, 22, "half a letter"),
        ("- Shift:\n    label: a\x07b", "R102", 2, 13, "U+0007"),
        ("- Shift: {amount: !!float 1}", "R103", 1, 19, "'!!float'"),
        ("- Shift: {amount: !!python/object/apply:math.sqrt 4}", "R103", 1, 19, "!!python/object"),
        ("- !mine Shift: {}", "R103", 1, 3, "'!mine'"),
        ("- Shift:\n    amount: 1\n    amount: 2", "R104", 3, 5, "first in line 2"),
        ("recipe: 1\nmodules: []\nmodules: []", "R104", 3, 1, "'modules'"),
        ("- Shift: {}\n--- \n- Shift: {}", "R106", 2, 1, "several YAML documents"),
        ("# nothing\n", "R107", None, None, "is empty"),
        ("", "R107", None, None, "is empty"),
        ("~", "R107", None, None, "is empty"),
        ("- Correlate: &a {}\n- Shift:\n    <<: *a", "R108", 3, 5, "merge keys"),
        ("- Filter&Co:\n    filters: {1: [0, 1]}", "R109", 2, 15, "must be text, not 1"),
        ("- Filter&Co:\n    filters: {{a}: 1}", "R109", 2, 15, "not a list or mapping"),
        ("- &a [*a]", "R105", 1, 7, "inside of what it names"),
        ("[" * 1000, "R105", 1, 65, "64 deep"),
        ("- " * 10_000, "R105", 1, 129, "64 deep"),
        ("{a: " * 1000, "R105", 1, 257, "64 deep"),
        ("x" * (MAX_BYTES + 1), "R105", None, None, "longer than"),
    ],
)  # fmt: skip
def test_faults_of_yaml_name_their_place(fault, text, code, line, col, words):
    found = fault(text)
    assert found[:3] == (code, line, col)
    assert words in found[3]


def test_an_alias_is_followed(modules):
    steps = loads("- Correlate: {label: &name long text}\n- Correlate: {label: *name}").steps
    assert [step.module.label for step in steps] == ["long text", "long text"]


def test_an_alias_bomb_is_refused_where_it_grows_too_large(fault):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    code, line, _, message = fault("\n".join(lines))
    assert (code, line) == ("R105", 5)
    assert "more than 100,000 values" in message


def test_a_bomb_of_long_texts_is_refused(fault):
    text = "- a: &a '" + "x" * 100_000 + "'\n- [" + ", ".join(["*a"] * 1000) + "]"
    assert fault(text)[0] == "R105"


def test_faults_of_yaml_that_do_not_stop_the_reading_are_reported_together(faults):
    found = faults("- Shift: {amount: !x 1, amount: 2}\n- Correlate: {binsise: 3}")
    assert [problem.code for problem in found] == ["R103", "R104", "R203"]


def test_lines_are_those_of_editors(fault):
    assert fault("- Shift: {}\r- Shift: {}\r\n# \u2028 \x85\n- Shift:\n    x: 1")[:3] == ("R203", 5, 5)


def test_very_many_faults_are_counted(faults):
    found = faults("- Shift: {x: 1}\n" * 150)
    assert (len(found), found[-1].message) == (101, "there are 50 more faults.")


def test_every_node_knows_its_place():
    node = parse_yaml("a:\n  - b\n  - {c: d}\n", Faults())
    entry = node.get("a")
    inner = entry.value.items[1].get("c")
    places = (entry.mark, entry.value.mark, entry.value.items[0].mark, inner.mark, inner.value.mark)
    assert [str(mark) for mark in places] == ["1:1", "2:3", "2:5", "3:6", "3:9"]


@pytest.mark.parametrize(
    ("content", "words", "place"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", (None, None)),
        (b"II*\0" + bytes(100), "a TIFF file", (None, None)),
        ("- Shift: {}".encode("utf-16"), "UTF-16", (None, None)),
        (b"- Shift: {}\n- Correlate: {label: \xe9}", "no text in UTF-8 (byte 0xe9)", (2, 22)),
    ],
)
def test_files_that_are_no_text_in_utf8(tmp_path, content, words, place):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(RecipeInvalid) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == ("R102", str(file))
    assert (problem.line, problem.col) == place
    assert words in problem.message


def test_a_byte_order_mark_of_utf8_is_skipped(tmp_path, modules):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"\xef\xbb\xbf- Shift: {}\r\n- Correlate: {}\r\n")
    assert [step.mark.line for step in load(file).steps] == [1, 2]


def test_a_file_that_is_too_long(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"- a: b\n" * MAX_BYTES)
    with pytest.raises(RecipeInvalid, match="R105"):
        load(file)


def test_no_such_file_names_the_nearest(tmp_path):
    (tmp_path / "correct_drift.yaml").write_text("- Shift: {}")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "corect_drift.yaml")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "Did you mean 'correct_drift.yaml'?" in str(caught.value)
    with pytest.raises(UsageError, match="is a folder"):
        load(tmp_path)


def test_json_is_yaml(modules):
    document = loads('[\n\t{"Correlate": {"binsize": 20, "label": "a\\/b"}}\n]')
    assert document.steps[0].module.binsize == 20.0
    assert document.steps[0].module.label == "a/b"
