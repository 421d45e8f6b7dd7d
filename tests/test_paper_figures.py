"""Figures as they are printed: widths, fonts, greys, panels, and one that draws itself again."""

import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_views import full_lane, luminance

from core.citations import read
from workbench import composing, figures, look, many
from workbench.plate import INCH, PAPERS, Plate
from workbench.views import bands, views

ROOT = Path(__file__).resolve().parents[1]

BY_SAMPLE = ("energy_depth", "total", "probability")


@pytest.fixture(scope="module")
def seeds():
    """Three seeds, each other by a factor of ten to the third of a decade."""
    found = []
    for k in range(3):
        one = full_lane()
        random = np.random.default_rng(k)
        scaled = {name: one[name] * random.uniform(0.5, 1) for name in one if one[name].ndim > 1}
        found.append(one.assign(scaled))
    return many.combine({"seed": [0, 1, 2]}, found)


def drawn(plate, trace, monkeypatch, *endings):
    for ending in set(figures.FORMATS) - set(endings):
        monkeypatch.delitem(figures.FORMATS, ending)
    return figures.drawn(plate, trace)


@pytest.mark.oracle("closed form")
def test_a_figure_is_as_wide_as_its_paper(monkeypatch):
    for paper, columns, width in (("Nature", 1, 89), ("NeurIPS", 2, 5.5 * INCH)):
        plate = Plate(("alignment",), paper=paper, columns=columns)
        pdf = drawn(plate, full_lane(), monkeypatch, "pdf")["figure.pdf"]
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
        assert box and float(box[1]) / 72 * INCH == pytest.approx(width, abs=0.01)
    assert all(45 < one.one <= one.two < 200 for one in PAPERS.values())  # they fit a page, in mm


@pytest.mark.parametrize("name", views())
def test_every_view_is_drawn_over_seeds_with_embedded_truetype(name, seeds, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdf = drawn(Plate((name,), 5, over=("seed",)), seeds, monkeypatch, "pdf")["figure.pdf"]
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_palettes_survive_greyscale():
    """Lightness rises along every map, and lines of one panel differ in it by a fifth or more."""
    light = look.LIGHT
    for name in (light.energy, light.precision):
        greys = [luminance(colour) for colour in look.shades(name, 16)]
        assert np.all(np.diff(greys) > 0)
    greys = np.array([luminance(colour) for colour in look.layer_colours(5)])
    assert np.all(np.diff(greys) > 0)
    lightness = [116 * luminance(c) ** (1 / 3) - 16 for c in (light.ink, light.accent, light.ghost)]
    assert np.all(np.diff(sorted(lightness)) > 20)


def test_several_views_are_panels_with_letters_and_none_lies_over_another(seeds):
    names = ("energy_depth", "total", "imbalance")
    for columns, across in ((1, 1), (2, 2)):
        figure = composing.figure(full_lane(), Plate(names, 5, columns=columns))
        letters = {t.get_text(): t for t in figure.texts}
        assert list(letters) == ["(a)", "(b)", "(c)"]
        x, y = zip(*(letters[k].get_position() for k in letters), strict=True)
        assert (x[1] > 0.5) == (across == 2)
        assert y[0] > y[2] and (y[0] == y[1]) == (across == 2)
        boxes = [part.get_tightbbox() for part in figure.subfigs]  # in pixels
        for k, one in enumerate(boxes):
            assert one.x0 > -2 and one.x1 < figure.bbox.x1 + 2
            for other in boxes[:k]:
                over = min(one.x1, other.x1) - max(one.x0, other.x0)
                assert over < 3 or min(one.y1, other.y1) - max(one.y0, other.y0) < 3


def test_a_band_lies_between_its_ends_and_says_how_many(seeds):
    plate = Plate(("errors",), over=("seed",), spread="median")
    figure = composing.figure(seeds, plate)
    ax = figure.axes[0]
    (legend,) = [one.get_text() for one in ax.get_legend().get_texts()]
    assert legend == "median and quartiles, $n=3$ seeds"
    _, known = bands.measured(views()["errors"], seeds, plate)
    band = ax.collections[-1].get_paths()[0].vertices[:, 1]
    top = known.isel(layer=-1)
    assert band.min() == pytest.approx(float(top["error_low"].min()))
    assert band.max() == pytest.approx(float(top["error_high"].max()))


@pytest.mark.parametrize("name", BY_SAMPLE)
def test_views_of_samples_are_drawn_for_paper_and_screen(name):
    holoviews = pytest.importorskip("holoviews")
    plate = Plate((name,), over=("sample",))
    assert composing.figure(full_lane(), plate).axes
    shown = bands.view(views()[name], full_lane(), plate)
    assert holoviews.renderer("bokeh").get_plot(shown).state is not None


def test_a_view_without_samples_says_so():
    with pytest.raises(ValueError, match=r"^errors: the trace has no error"):
        composing.figure(full_lane(), Plate(("errors",), over=("sample",)))


def test_a_bundle_draws_itself_again_with_the_same_pixels(seeds, tmp_path):
    plate = Plate(("imbalance", "energy_time"), 4, "NeurIPS", 1, ("seed",), "median")
    out = figures.export(plate, seeds, tmp_path / "figure.zip")
    place = tmp_path / "clean"
    with zipfile.ZipFile(out) as held:
        held.extractall(place)
    for name in ("recipe.toml", "events.json", "README.txt", "figure.svg"):
        (place / name).unlink()
    words = [sys.executable, "redraw.py"]
    given = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=place, env=given, check=True, capture_output=True)
    first, again = (
        np.asarray(Image.open(one / "figure.png")) for one in (place, place / "redrawn")
    )
    np.testing.assert_array_equal(first, again)
    assert (place / "figure.pdf").read_bytes() == (place / "redrawn/figure.pdf").read_bytes()


def test_a_bundle_cites_its_methods_and_says_what_the_caption_needs(seeds):
    files = figures.bundle(Plate(("total",), over=("seed",)), seeds)
    cited = read(files["references.bib"].decode(), "references.bib")
    said = files["README.txt"].decode()
    assert cited and all(key in said for key in cited)
    for part in ("T = 2 steps", "rate 0.1", "seed 0..2", "mean over n = 3 seeds", "82.55 mm"):
        assert part in said, part
