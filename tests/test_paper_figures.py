"""Figures as they are printed: widths, fonts, greys, panels, and one that draws itself again."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_views import full_lane, luminance

from core.citations import read
from workbench import composing, figures, look, many
from workbench.plate import INCH, Plate
from workbench.views import bands, views

ROOT = Path(__file__).resolve().parents[1]

BY_SAMPLE = ("energy_depth", "probability")


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


@pytest.fixture(scope="module")
def bundle(seeds):
    """The files of one small figure over seeds."""
    return figures.bundle(Plate(("alignment",), 4, "Nature", 1, ("seed",), "median"), seeds)


@pytest.mark.oracle("closed form")
def test_a_figure_is_as_wide_as_its_paper(bundle):
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", bundle["figure.pdf"])
    assert box and float(box[1]) / 72 * INCH == pytest.approx(89, abs=0.01)  # points to mm
    assert Image.open(io.BytesIO(bundle["figure.png"])).width == int(89 / INCH * 400)
    for paper, columns, width in (("ICML", 2, 171.45), ("NeurIPS", 1, 139.7), ("Nature", 2, 183)):
        assert Plate(("total",), paper=paper, columns=columns).width == pytest.approx(width)


def test_fonts_are_truetype_in_a_figure_over_seeds_too(bundle):
    assert b"/FontFile2" in bundle["figure.pdf"] and b"/Type3" not in bundle["figure.pdf"]


@pytest.mark.parametrize("name", views())
def test_every_view_is_drawn_over_seeds_and_says_how_many(name, seeds):
    plate = Plate((name,), 5, over=("seed",))
    with look.paper_style():
        drawn = bands.figure.__wrapped__(views()[name], seeds, plate)  # without the layout
    (said,) = [one.get_text() for one in drawn.axes[0].get_legend().get_texts()]
    assert said == "mean ± s.d., $n=3$ seeds"
    assert all(ax.get_ylabel() for ax in drawn.axes if ax.lines)


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


def test_several_views_are_panels_with_letters_and_none_lies_over_another():
    names = ("energy_depth", "total", "imbalance")
    figure = composing.figure(full_lane(), Plate(names, 5, columns=2))
    letters = {t.get_text(): t for t in figure.texts}
    assert list(letters) == ["(a)", "(b)", "(c)"]
    x, y = zip(*(letters[k].get_position() for k in letters), strict=True)
    assert x[0] == x[2] < 0.5 < x[1] and y[0] == y[1] > y[2]
    boxes = [part.get_tightbbox() for part in figure.subfigs]  # in pixels
    for k, one in enumerate(boxes):
        assert one.x0 > -2 and one.x1 < figure.bbox.x1 + 2
        for other in boxes[:k]:
            over = min(one.x1, other.x1) - max(one.x0, other.x0)
            assert over < 3 or min(one.y1, other.y1) - max(one.y0, other.y0) < 3


def test_panels_lie_where_the_last_digits_of_the_layout_do_not_matter():
    figure = composing.figure(full_lane(), Plate(("energy_time", "total", "precision"), columns=2))
    for part in figure.subfigs:
        ends = part.bbox_relative.get_points()
        np.testing.assert_array_equal(ends, np.round(ends, 6))


def test_a_band_lies_between_its_ends_and_says_how_many(seeds):
    plate = Plate(("errors",), over=("seed",), spread="median")
    with look.paper_style():
        ax = bands.figure.__wrapped__(views()["errors"], seeds, plate).axes[0]
    (legend,) = [one.get_text() for one in ax.get_legend().get_texts()]
    assert legend == "median and quartiles, $n=3$ seeds"
    _, known = bands.measured(views()["errors"], seeds, plate)
    band = ax.collections[-1].get_paths()[0].vertices[:, 1]
    top = known.isel(layer=-1)
    assert band.min() == pytest.approx(float(top["error_low"].min()))
    assert band.max() == pytest.approx(float(top["error_high"].max()))


@pytest.mark.parametrize("name", BY_SAMPLE)
def test_views_of_samples_are_drawn_for_the_screen(name):
    holoviews = pytest.importorskip("holoviews")
    shown = bands.view(views()[name], full_lane(), Plate((name,), over=("sample",)))
    assert holoviews.renderer("bokeh").get_plot(shown).state is not None


def test_a_view_without_samples_says_so():
    with pytest.raises(ValueError, match=r"^errors: the trace has no error"):
        composing.figure(full_lane(), Plate(("errors",), over=("sample",)))


def test_a_bundle_draws_itself_again_with_the_same_pixels(bundle, tmp_path):
    for name in ("redraw.py", "data.nc"):  # all that it needs
        (tmp_path / name).write_bytes(bundle[name])
    words = [sys.executable, "redraw.py"]
    given = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=tmp_path, env=given, check=True, capture_output=True)
    again = Image.open(tmp_path / "redrawn" / "figure.png")
    first = Image.open(io.BytesIO(bundle["figure.png"]))
    np.testing.assert_array_equal(np.asarray(first), np.asarray(again))
    assert (tmp_path / "redrawn" / "figure.pdf").read_bytes() == bundle["figure.pdf"]


def test_a_bundle_cites_its_methods_and_says_what_the_caption_needs(bundle):
    cited = read(bundle["references.bib"].decode(), "references.bib")
    said = bundle["README.txt"].decode()
    assert cited and all(key in said for key in cited)
    for part in ("T = 2 steps", "rate 0.1", "seed 0..2", "median over n = 3 seeds (0..2)", "89 mm"):
        assert part in said, part
