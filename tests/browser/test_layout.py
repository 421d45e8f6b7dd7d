"""Everything has its place: at two sizes of the window, in light and dark, nothing is cut off."""

from itertools import combinations

import pytest
from driving import (
    PLOTS,
    all_pixels,
    assert_whole,
    colours,
    open_drawer,
    press,
    settle,
    step,
    wait_for,
)

from workbench.shell import TITLES
from workbench.tabs import TABS

SIZES = [(1280, 800, "light"), (1280, 800, "dark"), (1920, 1080, "dark")]
"""Width and height of the window, and the theme, which moves nothing: not every pair is needed."""

MOST_CONTROLS = 15
"""Controls in sight before anything is opened; the doors to the pages are apart."""

CONTROLS = """() => {
  const found = [];
  const walk = root => { for (const e of root.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    const is = ['BUTTON', 'SELECT', 'INPUT', 'TEXTAREA', 'A'].includes(e.tagName)
      || e.classList.contains('noUi-target') || e.getAttribute('role') === 'button';
    const seen = e.checkVisibility({checkVisibilityCSS: true, checkOpacity: true})
      && box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth
      && box.bottom > 0 && box.top < innerHeight;
    const door = Boolean(e.closest('#pages'));
    if (is && seen) found.push({door, what: e.tagName + ' ' + (e.textContent || e.value || ''),
      left: box.left, top: box.top, right: box.right, bottom: box.bottom,
      spills: e.tagName !== 'SELECT' && e.scrollWidth > e.clientWidth + 1});
    if (e.shadowRoot) walk(e.shadowRoot);
  } };
  walk(document);
  return found; }"""

TEXTS = """() => {
  const found = [];
  const walk = root => { for (const e of root.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (own && e.getClientRects().length && !['STYLE', 'SCRIPT'].includes(e.tagName)) {
      const range = document.createRange(); range.selectNodeContents(e);
      const box = range.getBoundingClientRect();
      found.push({what: e.textContent.trim().slice(0, 60), left: box.left, right: box.right,
        cut: e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow === 'hidden'});
    }
    if (e.shadowRoot) walk(e.shadowRoot);
  } };
  walk(document.getElementById('line'));
  return found; }"""

DRAWER = """() => {
  const drawer = document.getElementById('drawer'), edge = drawer.getBoundingClientRect();
  const found = {cut: [], out: [], unseen: [], controls: []};
  const pen = document.createElement('canvas').getContext('2d');
  const walk = root => { for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) walk(e.shadowRoot);
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || !box.height || !e.checkVisibility({checkVisibilityCSS: true})) continue;
    if (!e.checkVisibility({checkOpacity: true})) {
      if (['BUTTON', 'INPUT', 'SELECT'].includes(e.tagName)) found.unseen.push(e.textContent);
      continue;
    }
    const what = e.tagName + ' ' + (e.textContent || e.value || '').trim().slice(0, 60);
    const own = [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    const scrolls = ['auto', 'scroll'].includes(style.overflowX);
    if (own && !scrolls && style.overflow === 'hidden' && e.scrollWidth > e.clientWidth + 1) {
      found.cut.push(what);
    }
    if (e.tagName === 'SELECT' && e.selectedOptions.length && e.size < 2) {
      pen.font = style.font;
      const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const text = e.selectedOptions[0].text;
      if (pen.measureText(text).width > room + 1) found.cut.push('SELECT ' + text);
    }
    const control = ['BUTTON', 'SELECT', 'INPUT', 'TEXTAREA'].includes(e.tagName);
    const inner = e.closest('.choices, .noUi-target, .bk-tab, .bk-spin-btn');  // parts of one
    if ((own || control) && (box.right > edge.right + 0.5 || box.left < edge.left - 0.5)) {
      found.out.push(what);
    }
    if (control && !inner) {
      const {left, top, right, bottom} = box;
      found.controls.push({what, left, top, right, bottom});
    }
  } };
  walk(drawer);
  return found; }"""
"""What of the open tab is cut off or outside, its controls, and those that only a key reaches."""

BOXES = """what => [...document.querySelectorAll(what)].map(e => {
  const b = e.getBoundingClientRect();
  return {what: e.id, left: b.left, top: b.top, right: b.right, bottom: b.bottom}; })"""


def overlaps(a, b):
    """Whether two boxes share more than an edge."""
    across = min(a["right"], b["right"]) - max(a["left"], b["left"])
    down = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    return across > 0.5 and down > 0.5


def outside(box, width, height):
    right, bottom = box["right"] > width + 0.5, box["bottom"] > height + 0.5
    return box["left"] < -0.5 or box["top"] < -0.5 or right or bottom


def assert_in_place(boxes, width, height):
    assert [b["what"] for b in boxes if outside(b, width, height)] == []
    pairs = combinations(boxes, 2)
    assert [(a["what"], b["what"]) for a, b in pairs if overlaps(a, b)] == []


EDGE = 3
"""Pixels of a section outside its canvas: the border and the inset."""


def assert_drawn_whole(drawn):
    """Nothing that is drawn runs into the edge of its canvas."""
    cut = []
    for name in PLOTS:
        one = drawn[name]
        assert colours(one) > 16, f"{name} is empty"
        inner = one[EDGE:-EDGE, EDGE:-EDGE]
        edges = {"top": inner[0], "bottom": inner[-1], "left": inner[:, 0], "right": inner[:, -1]}
        cut += [f"{name} at its {side}" for side, e in edges.items() if colours(e[None]) > 3]
    assert cut == []


def assert_drawer_in_place(page, shot, width, height):
    """The drawer lies beside the plots, which stay whole; closed, it leaves nothing behind."""
    open_drawer(page)
    settle(page)
    assert_whole(page, [(width, height)])
    page.screenshot(path=shot)
    areas = page.evaluate(BOXES, "#bar, #line, #board > section, #drawer")
    assert len(areas) == 3 + len(PLOTS)
    assert_in_place(areas, width, height)
    controls = [one for one in page.evaluate(CONTROLS) if one["bottom"] <= height]
    assert_in_place(controls, width, height)
    assert_drawn_whole(all_pixels(page))
    press(page, "c")
    wait_for(page, lambda r: not r["drawer"])
    settle(page)
    assert len([one for one in page.evaluate(CONTROLS) if not one["door"]]) <= MOST_CONTROLS


@pytest.mark.parametrize(("width", "height", "theme"), SIZES)
def test_everything_is_in_sight_and_nothing_overlaps(visit, tmp_path, width, height, theme):
    page = visit(f"?theme={theme}", viewport={"width": width, "height": height})
    step(page, 12)
    settle(page)
    page.screenshot(path=tmp_path / f"page-{width}-{theme}.png")

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate("() => document.documentElement.scrollHeight") <= height

    controls = page.evaluate(CONTROLS)
    inner = [one for one in controls if not one["door"]]
    assert 8 <= len(inner) <= MOST_CONTROLS, [one["what"] for one in inner]
    assert len(controls) - len(inner) == len(TITLES)
    assert_in_place(controls, width, height)
    assert [one["what"] for one in controls if one["spills"]] == []

    texts = page.evaluate(TEXTS)
    assert any("Gradient descent" in one["what"] for one in texts)
    assert [one for one in texts if one["left"] < 0 or one["right"] > width] == []
    assert [one["what"] for one in texts if one["cut"]] == []

    areas = page.evaluate(BOXES, "#bar, #line, #board > section")
    assert len(areas) == 2 + len(PLOTS)
    assert_in_place(areas, width, height)
    assert min(b["right"] - b["left"] for b in areas) > 150
    plots = page.evaluate(BOXES, "#board > section")
    covered = sum((b["right"] - b["left"]) * (b["bottom"] - b["top"]) for b in plots)
    assert covered > 0.8 * width * height, "the plots have most of the window"

    assert_drawn_whole(all_pixels(page))
    if (width, height, theme) == SIZES[0]:
        assert_drawer_in_place(page, tmp_path / f"drawer-{width}-{theme}.png", width, height)


def test_every_tab_of_the_drawer_fits_and_nothing_in_it_overlaps(visit):
    page = visit("", viewport={"width": 1280, "height": 800})
    step(page, 6)
    settle(page)
    wrong = {}
    for tab in TABS:
        open_drawer(page, tab)
        for _ in range(50):  # until it stands still, at most
            found = page.evaluate(DRAWER)
            pairs = combinations(found.pop("controls"), 2)
            found["over"] = [(a["what"], b["what"]) for a, b in pairs if overlaps(a, b)]
            if not any(found.values()):
                break
            page.wait_for_timeout(100)
        wrong |= {f"{tab}: {name}": what for name, what in found.items() if what}
    assert wrong == {}, "\n".join(f"{where}: {what}" for where, what in wrong.items())
