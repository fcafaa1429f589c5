"""The page of a run: what is on it, and how it looks in a browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from recipes_core import Figure, ImageStack, Localizations, Panel, Recipe, Scalars, Series, Table
from recipes_core.data import Document
from recipes_core.io import read_record
from recipes_core.report.content import Section

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RECIPE = """
- Locs_Simulate: {output_localizations: raw, n_localizations: 20000, n_frames: 3000}
- Locs_Post_Shift: {input_localizations: raw, input_drift_interpolator: drift_truth, output_name: corrected}
- Quality_Report: {input_localizations: corrected, n_splits: 3}
- Locs_Render: {input_localizations: corrected, pixel_size: 20}
- output.ReportOutput: {inputName: quality, input_results: [quality_figure, rendered, corrected], title: What I found,
    text: "One.\\n\\nTwo <b>.",
    filePattern: "{output_dir}/{file_stub}_page.html"}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a run, and the page that the recipe itself writes."""
    from recipes_core.cli.main import main

    folder = tmp_path_factory.mktemp("pages")
    (folder / "r.yaml").write_text(RECIPE)
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "run",
                str(folder / "r.yaml"),
                "-o",
                str(folder / "out"),
                "--report",
                str(folder / "report.html"),
                "-q",
                "--no-cache",
            ]
        )
    assert not ended.value.code
    return folder / "report.html", folder / "out" / "r_page.html"


def test_the_report_tells_all(pages):
    page = pages[0].read_text()
    for word in (
        "Locs_Simulate",
        "nena",
        "95 %",
        "How to do it again",
        "recipe run",
        "n_localizations",
        "4 steps ran",
        "1/um^2",
    ):
        assert word in page, word
    assert page.count("data:image/png;base64,") >= 2
    assert not re.search(r'(src|href)="(?!data:|#)', page), "it needs nothing else"
    assert len(page) < 5_000_000


def test_a_recipe_may_write_a_page(pages):
    page = pages[1].read_text()
    for word in ("What I found", "<p>One.</p>", "Two &lt;b&gt;", "nena", "Locs_Post_Shift", "error_x"):
        assert word in page, word
    record = read_record(pages[1])
    assert record is not None
    assert record["key"] == "quality"
    Recipe.from_yaml(record["recipe"])


def test_words_of_others_are_only_words(tmp_path):
    evil = "</script><script>alert(1)</script>"
    parts = {evil: Scalars({evil: 1.5, "word": evil}), "t": Table({evil: np.arange(3)})}
    from recipes_core import io

    io.save(Document(evil, parts, text=evil), tmp_path / "b.html", record={"recipe": evil, "key": "x"})
    page = (tmp_path / "b.html").read_text()
    assert "<script>alert" not in page
    assert read_record(tmp_path / "b.html") == {"recipe": evil, "key": "x"}


def test_a_template_of_ones_own_sees_values_and_nothing_else(tmp_path):
    from recipes_core import io
    from recipes_core.errors import DataError

    parts = {"locs": Localizations({"x": [1.0, 2.0], "y": [0.0, 0.0], "frame": [0, 1]}), "q": Scalars({"nena": 9.5})}
    template = "<!DOCTYPE html><h1>{{ data.x | sum }}</h1>{{ namespace.q.nena }} {{ recipe_context.title }}"
    io.save(Document("Mine", parts, template=template), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == "<!DOCTYPE html><h1>3.0</h1>9.5 Mine"
    for bad in (
        "{{ ''.__class__.__mro__ }}",
        "{{ data.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{{ 1 / 0 }}",
        "{{",
    ):
        with pytest.raises(DataError) as caught:
            io.save(Document("Mine", parts, template=bad), tmp_path / "b.html")
        assert caught.value.code == "D560"
    assert not (tmp_path / "b.html").exists()


def test_numbers_stand_with_their_bands():
    section = Section()
    section.add(
        "nena", Scalars({"precision": 10.0234, "band_95": [9.9, 10.1], "n": 1234567, "why": "a word"}, units={"precision": "nm"})
    )
    values = section.numbers[0][1]
    assert [value.name for value in values] == ["precision", "n", "why"]
    assert values[0].note == "95 %: 9.9 to 10.1"
    assert values[1].text == "1,234,567"


def test_images_keep_their_pixels_and_channels_their_colours():
    from recipes_core.io.png_image import pixels_of

    grey = ImageStack(np.arange(12, dtype=np.uint8).reshape(3, 4))
    np.testing.assert_array_equal(pixels_of(grey), grey.asarray()[0, 0])
    colours = np.zeros((1, 2, 5, 6), np.uint8)
    colours[0, 0, 1, 2], colours[0, 1, 3, 4] = 200, 100
    pixels = pixels_of(ImageStack(colours, channels=("a", "b")))
    assert pixels[1, 2].tolist() == [200, 0, 0]
    assert pixels[3, 4].tolist() == [0, 100, 0]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_wider_than_the_page(pages, tmp_path, which, width):
    measure = """<script>addEventListener("load", () => { const wide = [...document.querySelectorAll("body *")].filter(e =>
      e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".scroll, .graph, #zoom")).map(e => e.tagName);
      document.title = JSON.stringify({scroll: document.documentElement.scrollWidth, width: document.documentElement.clientWidth, wide,
      broken: [...document.images].filter(i => i.src && !i.naturalWidth).length}); });</script></body>"""
    page = tmp_path / "page.html"
    page.write_text(pages[which].read_text().replace("</body>", measure))
    # Chromium makes no window narrower than 500 pixels: a frame of that width stands for a phone.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>addEventListener("load", () => '
        'setTimeout(() => { document.body.append(document.getElementById("f").contentDocument.title); }, 300));</script>'
    )
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000",
         "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = json.loads(
        re.search(r"\{.*\}", done.stdout.split("</iframe>")[-1].replace("&quot;", '"').split("</script>")[-1]).group()
    )
    assert found["width"] <= width
    assert found["scroll"] <= found["width"]
    assert found["wide"] == []
    assert found["broken"] == 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_it_prints(pages, tmp_path):
    target = tmp_path / "page.pdf"
    subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
         f"--print-to-pdf={target}", pages[0].as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    content = target.read_bytes()
    assert content.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 10


def test_panels_beside_each_other_become_pictures_of_their_own():
    panel = Panel([Series("line", np.arange(3), np.arange(3))])
    section = Section()
    section.add("one", Figure([panel, panel]))
    section.add("two", Figure([panel, panel], n_columns=2))
    assert [(shot.label, shot.note) for shot in section.shots] == [("one", ""), ("two", "1 of 2"), ("two", "2 of 2")]
