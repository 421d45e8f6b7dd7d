"""Maps in Chromium: tiles follow the cursor, a tap chooses a unit, nothing spills or stops."""

import time

from driving import (
    changed,
    colours,
    menu,
    open_drawer,
    press,
    set_speed,
    settle,
    shot,
    step,
    still,
    until,
    wait_for,
    wait_in_drawer,
)

from workbench.dials import KINDS

BOXES = """() => {
  const found = [];
  const walk = root => { for (const e of root.children ?? []) {
    const b = e.getBoundingClientRect();
    if (b.width && (e.tagName === 'SELECT' || e.tagName === 'BUTTON' || e.classList.contains(
        'bk-Figure'))) found.push({what: e.tagName, right: b.right});
    if (e.shadowRoot) walk(e.shadowRoot);
    walk(e);
  } };
  walk(document.getElementById('drawer'));
  return found; }"""


def row_said(page):
    return int(wait_in_drawer(page, r"row (\d+), sample")[1])


def figure(page, nth):
    """A figure of the tab that is open: channels, places, what a unit reads."""
    return page.locator("#drawer .bk-Figure").filter(visible=True).nth(nth)


def with_convolutions(page):
    """A small VGG under the page, with the tab of maps open."""
    open_drawer(page)
    menu(page, "first weights").select_option(label="random")
    menu(page, KINDS["network"]).select_option(label="VGG classifier")
    wait_for(page, lambda r: r["layers"] == 5, timeout=60, what="a VGG")
    open_drawer(page, "maps")
    wait_in_drawer(page, "8 × 14 × 14")  # earlier tests may have left it at another layer
    menu(page, "layer").select_option(index=0)
    wait_in_drawer(page, r"layer 1, channel 0")


def test_nothing_spills_out_of_the_drawer_and_the_dense_network_is_shown_too(fresh):
    page = fresh
    open_drawer(page, "maps")
    wait_in_drawer(page, "layer 1, unit 0")
    menu(page, "layer").select_option(index=8)
    wait_in_drawer(page, "layer 9, unit 0")
    settle(page)
    every = {"SELECT", "BUTTON", "DIV"}
    until(lambda: {one["what"] for one in page.evaluate(BOXES)} == every, "all parts are there")
    assert [one for one in page.evaluate(BOXES) if one["right"] > 1280] == []


def test_channels_follow_the_cursor_and_a_tap_chooses_a_unit(page):
    with_convolutions(page)
    menu(page, "shows").select_option(label="error e")
    settle(page)
    blank = until(lambda: colours(shot(figure(page, 0))), "the first row")
    assert blank > 1
    step(page, 6)
    wait_in_drawer(page, "row 6, sample 0")
    until(lambda: colours(shot(figure(page, 0))) > blank, "the errors of row 6")
    press(page, "ArrowLeft")
    wait_in_drawer(page, "row 5, sample 0")
    wait_for(page, lambda r: (r["row"], r["cursor"]) == (6, 5), what="a row back")
    settle(page)
    box = still(figure(page, 0))
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.3 * box["height"])
    channel = int(wait_in_drawer(page, r"layer 1, channel ([1-9]\d*), row")[1])
    assert channel == 3  # the last tile of the first line of eight in two lines
    settle(page)
    before = shot(figure(page, 2))
    menu(page, "layer").select_option(index=2)
    wait_in_drawer(page, "layer 3, channel 0")
    changed(figure(page, 2), before)


def test_maps_keep_up_with_a_session_that_plays_and_do_not_hold_it(page):
    with_convolutions(page)
    set_speed(page, "free")
    press(page, " ")
    rows, end = set(), time.monotonic() + 60
    while time.monotonic() < end and len(rows) < 4:
        rows.add(row_said(page))
        time.sleep(0.1)
    press(page, " ")
    shown = wait_for(page, lambda r: not r["playing"], what="it has stopped")
    assert len(rows) >= 4
    wait_in_drawer(page, f"row {shown['row']}, sample 0")
