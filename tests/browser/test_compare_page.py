"""Runs side by side in a browser: chosen, read at one cursor, zoomed, selected, watched."""

import sys
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from driving import assert_whole, colours, serving, settle, shot, still, until, wait_for
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recordings import SMALL, record

from core import make
from core.layout import Layout
from core.recorder import Chunk
from core.runs import Writer, annotate
from workbench.look import OKABE_ITO, layer_colours

HOSTILE = '<img src=x onerror="window.hit=1">'

PLOTS = ("curve", "other", "profile", "maps", "difference", "distances", "cloud")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of runs of the server: two trainings, and one of own code."""
    root = tmp_path_factory.mktemp("runs")
    slow = make("dynamics", "GradientDescent", {"rate": 0.03})
    record(root / "plain", states=True)
    record(root / "slow", SMALL.changed(dynamics=slow), states=True)
    record(root / "seed-1", SMALL.changed(seed=1))
    return root


@pytest.fixture(scope="module")
def server(server, tmp_path_factory, root):
    """A server that looks for runs there, and has the other one's weights."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, runs=root, cache=server.cache) as running:
        yield running


@pytest.fixture
def compare(visit):
    """Opens the page with these runs, and waits until they are drawn."""

    def opened(*runs, **asked):
        given = "".join(f"&{name}={value}" for name, value in asked.items())
        names = "".join(f"&run={name}" for name in runs)
        page = visit(f"?page=compare{names}{given}", ready=False)
        wait_for(page, lambda r: r.get("ready"), 90, "the page")
        if runs:
            wait_for(page, lambda r: len(r["lanes"]) == len(runs), 60, "the lanes")
        return page

    return opened


def has(pixels, colour):
    """Whether more than a few pixels are of a colour."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return (np.abs(pixels.astype(int) - wanted).max(-1) <= 8).sum() > 8


def plot(page, section):
    """The box of a plot, once the page has come to rest."""
    settle(page)
    return still(page.locator(f"#{section} canvas").first)


def drag(page, section, begin, end):
    """Draw a box over a plot, by shares of its width and height."""
    box = plot(page, section)
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (begin, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=8)
    page.mouse.up()


def click(page, section, x, y):
    box = plot(page, section)
    page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)


def test_two_runs_are_drawn_side_by_side_with_what_differs(compare):
    page = compare("plain", "slow", theme="light")
    shown = wait_for(page, lambda r: r["difference"] == "drawn" and r["distances"] == 5)
    assert shown["rows"] == [18, 18]
    assert shown["maps"] == [[4, 18], [4, 18]]
    assert "part by more than 0.3 decades first at step" in shown["parting"]
    expect(page.locator("#experiments")).to_contain_text("dynamics.rate")
    expect(page.locator("#experiments")).not_to_contain_text("network.hidden ")
    for name in PLOTS:
        page.locator(f"#{name} canvas").first.wait_for()
    settle(page)

    def drawn(name):
        return shot(page.locator(f"#{name}"))

    for name in ("curve", "other", "profile"):  # the lines of A and B
        until(lambda n=name: all(has(drawn(n), one) for one in OKABE_ITO[:2]), name)
    for name, count in (("distances", 5), ("cloud", 4)):  # of inner states and layers
        inner = layer_colours(count, "light")[1:-1]
        until(lambda n=name, inner=inner: any(has(drawn(n), one) for one in inner), name)
    for name in ("maps", "difference"):
        until(lambda n=name: colours(drawn(n)) > 40, name)
    assert_whole(page)
    assert_a_box_selects_rows(page)


def test_one_cursor_is_moved_by_click_and_key_and_stands_in_the_address(compare):
    page = compare("plain", "slow")
    click(page, "curve", 0.5, 0.4)
    at = wait_for(page, lambda r: r["at"] is not None, what="a cursor")["at"]
    assert at == round(at) and 3 < at < 14
    page.keyboard.press("ArrowRight")
    shown = wait_for(page, lambda r: r["at"] == at + 1, what="one row on")
    expect(page.locator("#lanes")).to_contain_text(f"{int(at) + 1}")
    until(lambda: f"at={int(at) + 1}" in page.url, "the address names the row")
    again = compare("plain", "slow", at=int(at) + 1)
    wait_for(again, lambda r: r["at"] == shown["at"], what="the same row")


def test_zoom_is_shared_and_stays_while_a_run_grows(compare, root):
    L = 3
    writer = Writer(root / "live")
    sizes = tuple(range(L + 1))
    writer.lane(Layout(sizes[1:], tuple("abcd"), sizes[1:], (0,) * (L + 1), (True,) * L, 1e-7))

    def log(first, rows):
        step = np.arange(first, first + rows)
        none = np.zeros(rows, int)
        energy = (0.9 ** step[:, None] * np.ones((1, L))).astype(np.float32)
        index = {"step": step, "batch": none, "t": step, "recipe_id": none, "T": none + 99}
        writer.append(0, Chunk({**index, "phase": np.full(rows, "relax"), "energy": energy}))

    log(0, 20)
    page = compare("live", curve="E")
    wait_for(page, lambda r: r["rows"] == [20], what="the rows so far")
    drag(page, "curve", (0.35, 0.3), (0.7, 0.35))
    zoom = wait_for(page, lambda r: r["zoom"] is not None, what="a zoom")["zoom"]
    assert 0 < zoom[0] < zoom[1] < 19
    click(page, "curve", 0.5, 0.4)
    at = wait_for(page, lambda r: r["at"] is not None, what="a cursor")["at"]
    log(20, 5)
    begun = time.monotonic()
    shown = wait_for(page, lambda r: r["rows"] == [25], 30, "new rows")
    assert time.monotonic() - begun < 25
    assert (shown["zoom"], shown["at"]) == (zoom, at)
    page.locator("#bar button", has_text="whole range").click()
    wait_for(page, lambda r: r["zoom"] is None, what="the whole range")
    writer.close()


def assert_a_box_selects_rows(page):
    """A box in the difference selects rows of the table."""
    shown = wait_for(page, lambda r: r["points"] > 40, what="the points")
    points = shown["points"]
    assert shown["selected"] == points
    drag(page, "difference", (0.45, 0.2), (0.62, 0.5))
    shown = wait_for(page, lambda r: r["selected"] < points, what="a selection")
    assert 0 < shown["selected"]
    expect(page.locator("#rows")).to_contain_text(f"{shown['selected']} selected")
    page.locator("#bar button", has_text="select nothing").click()
    wait_for(page, lambda r: r["selected"] == points, what="no selection")


def test_lanes_are_swapped_and_axes_that_cannot_be_are_grey(compare, root):
    page = compare("plain", "slow", x="SMM")
    page.locator("#side button", has_text="swap").click()
    wait_for(page, lambda r: r["lanes"] == ["slow", "plain"], 30, "another order")
    until(lambda: page.url.index("run=slow") < page.url.index("run=plain"), "so does the address")
    other = compare("plain", several="seeds as one")
    expect(other.locator("#side")).to_contain_text("no two of these lanes differ")


def test_runs_that_differ_in_their_seed_are_offered_as_one(compare):
    page = compare()
    expect(page.locator("#lanes")).to_contain_text("Choose runs or lanes")
    wait_for(page, lambda r: r["groups"] == 1, what="a group of seeds")
    menu = page.locator("#side select", has=page.locator("option", has_text="seeds 0, 1"))
    menu.select_option(index=1)
    shown = wait_for(page, lambda r: len(r["curves"]) == 1, 30, "a band")
    assert shown["curves"] == ["AB: mean ± sd of log₁₀, n = 2 seeds"]


def test_what_cannot_be_opened_is_said_and_hostile_titles_are_text(compare, root):
    annotate(root / "slow", title=HOSTILE)
    page = compare("slow", theme="dark")
    expect(page.locator("#lanes")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hit") is None
    annotate(root / "slow", title="")
    evil = compare(run=quote(HOSTILE))
    expect(evil.locator("#said")).to_contain_text(HOSTILE)
    assert evil.evaluate("window.hit") is None
    lost = compare("plain", theme="dark", x="stepz")
    expect(lost.locator("#said")).to_contain_text("x: stepz")
    none = compare(run="plian")
    expect(none.locator("#said")).to_contain_text("plain")


@pytest.mark.parametrize("name", ["relax", "runs", "compare"])
def test_what_stands_in_an_address_is_text_on_every_page(visit, name):
    evil = quote("<img src=x onerror=window.hit=1>")
    page = visit(f"?page={name}&run={evil}&lane={evil}&x={evil}", ready=False)
    page.get_by_text("img src=x").filter(visible=True).first.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    assert page.evaluate("window.hit") is None
