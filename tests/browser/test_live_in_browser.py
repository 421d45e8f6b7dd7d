"""What moves is drawn by the browser itself: it looks back without the server, and may hide."""

import os
import re
import signal
import time
from contextlib import contextmanager

import numpy as np
from driving import all_pixels, press, readout, set_speed, settle, step, wait_for

HELD = "() => ({row: frameBoard.cursor, confirmed: frameBoard.head.cursor})"

HIDE = """is => {
  Object.defineProperty(document, 'hidden', {configurable: true, get: () => is});
  document.dispatchEvent(new Event('visibilitychange')); }"""


@contextmanager
def stopped(server):
    """A server that does not answer for a while."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def places(page, section="heat"):
    """x of rows in a plot, and a y within it, on the page."""
    return page.evaluate(
        """name => {
          const {frame, canvas_view} = frameBoard.views[name], box = frame.bbox;
          const from = canvas_view.el.getBoundingClientRect();
          const of = row => from.left + frame.x_scale.compute(row);
          return {zero: of(0), one: of(1), y: from.top + (box.top + box.bottom) / 2}; }""",
        section,
    )


def test_no_message_waits_until_the_one_before_is_confirmed(page, server):
    count, kept = server.sockets()
    assert count >= 1 and kept == 0, "else frames come in twos, up to 50 ms late"


def test_a_drag_looks_back_while_the_server_is_silent(page, server):
    newest = step(page, 12)
    settle(page)
    before, at = all_pixels(page), places(page)
    x = {row: at["zero"] + row * (at["one"] - at["zero"]) for row in range(13)}
    with stopped(server):
        page.mouse.move(x[12], at["y"])
        page.mouse.down()
        for row in range(11, 2, -1):
            page.mouse.move(x[row], at["y"])
        page.wait_for_function("() => frameBoard.cursor === 3 && !frameBoard.due")
        assert page.evaluate(HELD)["confirmed"] == 12, "nobody has answered"
        meanwhile = all_pixels(page)
    changed = {n for n, one in before.items() if not np.array_equal(one, meanwhile[n])}
    assert {"heat", "errors", "depth", "total", "alignment", "imbalance"} <= changed
    page.mouse.up()
    shown = wait_for(page, lambda r: r["cursor"] == 3, what="the server's row")
    assert shown["row"] == newest["row"] and page.evaluate(HELD) == {"row": 3, "confirmed": 3}
    settle(page)
    after = all_pixels(page)
    for name in ("errors", "alignment", "total"):
        apart = np.abs(after[name][30:].astype(int) - meanwhile[name][30:])
        assert apart.max() <= 8, f"{name}: the server's row is what was drawn before it answered"


def test_an_arrow_key_moves_at_once_among_rows_that_are_there(page, server):
    step(page, 6)
    settle(page)
    with stopped(server):
        press(page, "ArrowLeft")
        press(page, "ArrowLeft")
        page.wait_for_function("() => frameBoard.cursor === 4")
        press(page, "ArrowRight")
        page.wait_for_function("() => frameBoard.cursor === 5")
    wait_for(page, lambda r: r["cursor"] == 5)
    press(page, "End")
    wait_for(page, lambda r: r["cursor"] == r["row"] == 6 and r["following"])


def test_a_page_that_nobody_sees_is_sent_next_to_nothing_and_catches_up(page):
    set_speed(page, "40 /s")
    page.evaluate(HIDE, True)
    time.sleep(0.5)
    press(page, "Space")
    begun = readout(page)["frame"]
    time.sleep(3)
    hidden = readout(page)["frame"] - begun
    page.evaluate(HIDE, False)
    seen = readout(page)["frame"]
    wait_for(page, lambda r: r["frame"] > seen + 5 and r["playing"], what="it goes on")
    press(page, "Space")
    wait_for(page, lambda r: not r["playing"] and r["row"] > 20, what="nothing was left out")
    assert page.evaluate("() => frameBoard.rows.step[frameBoard.rows.n - 1]") > 20
    assert hidden <= 6, "at 30 a second there would be 90"


TOLD = """() => {
  const readout = document.getElementById('readout'); window.told = [];
  new MutationObserver(() => window.told.push(JSON.parse(readout.textContent).frame))
    .observe(readout, {childList: true}); }"""


def test_the_page_hears_while_its_worker_draws_and_then_sees_the_newest_frame(page):
    [worker] = page.workers
    set_speed(page, "40 /s")
    press(page, "Space")
    wait_for(page, lambda r: r["playing"] and r["row"] > 5)
    page.evaluate(TOLD)
    worker.evaluate(
        """() => setTimeout(() => {
          const end = Date.now() + 1500; while (Date.now() < end); }, 0)"""
    )
    waits = page.wait_for_function(
        """() => {
          const told = JSON.parse(document.getElementById('readout').textContent).frame;
          const held = frameBoard.head.frame, {seen} = frameBoard;
          return held > seen + 1 && {held, seen, told}; }"""
    ).json_value()
    assert waits["told"] == waits["seen"], "the readout says what has been drawn"
    wait_for(page, lambda r: r["frame"] >= waits["held"], what="the newest, once there is time")
    press(page, "Space")
    wait_for(page, lambda r: not r["playing"])
    told = page.evaluate("() => window.told")
    assert told == sorted(set(told)), "no frame comes back"
    drawn = [frame for frame in told if frame > waits["seen"]]
    assert len(drawn) < drawn[-1] - waits["seen"], "some are passed over"


def test_a_press_on_a_picture_chooses_its_sample(page):
    step(page, 1)
    settle(page)
    before = all_pixels(page)["images"]
    x, y = page.evaluate(
        """() => {
          const [left, top, right, bottom] = frameBoard.tiles[2];
          const from = frameBoard.views.images.canvas_view.el.getBoundingClientRect();
          return [from.left + (left + right) / 2, from.top + (top + bottom) / 2]; }"""
    )
    page.mouse.click(x, y)
    wait_for(page, lambda r: r["sample"] == 2)
    settle(page)
    assert not np.array_equal(before, all_pixels(page)["images"]), "it is framed"
    page.mouse.click(x, y)
    wait_for(page, lambda r: r["sample"] is None)


def test_a_browser_that_has_missed_a_frame_is_sent_all_of_it(page):
    step(page, 3)
    page.evaluate("() => { frameBoard.head = {frame: frameBoard.head.frame - 1}; }")
    press(page, "ArrowRight")  # what this brings has nothing to stand on, nor what follows it
    press(page, "ArrowRight")
    wait_for(page, lambda r: r["row"] == r["cursor"] == 5)
    held = page.evaluate("() => [...frameBoard.rows.step.slice(0, frameBoard.rows.n)]")
    assert held == [0, 1, 2, 3, 4, 5] and not page.evaluate("() => frameBoard.lost")


def test_the_pointer_is_told_the_value_under_it_and_follows_the_rows(page):
    step(page, 6)
    settle(page)
    at = places(page)
    words = page.locator("#hover")
    layers = len(readout(page)["names"])
    # The map has one row of cells for each layer: the pointer stands in the middle one's.
    page.mouse.move(at["zero"] + 4 * (at["one"] - at["zero"]), at["y"])
    said = words.inner_text()
    layer, row, value = re.fullmatch(r"layer (\S+) · row (\d+): (.+)", said).groups()
    assert layer in readout(page)["names"] and row == "4"
    held = page.evaluate(
        "k => 10 ** frameBoard.rows.get(frameBoard.rows.near(4), SINGLE + k)",
        readout(page)["names"].index(layer),
    )
    if value != "not reached":
        assert value.endswith(" nat")
        shown = float(value.removesuffix(" nat").replace("\N{MINUS SIGN}", "-"))
        np.testing.assert_allclose(shown, held, rtol=6e-3)
    at = places(page, "depth")
    page.mouse.move(at["zero"] + layers * (at["one"] - at["zero"]), at["y"])
    newest = words.inner_text()
    assert newest.startswith(f"layer {readout(page)['names'][-1]}: ") and newest.endswith(" nat")
    press(page, "ArrowRight")
    page.wait_for_function("was => document.getElementById('hover').innerText !== was", arg=newest)
    page.mouse.move(5, 5)
    assert words.is_hidden()


def test_every_plot_over_rows_says_what_is_under_the_pointer(page):
    step(page, 6)
    settle(page)
    for panel in ("total", "imbalance", "errors", "precision", "alignment"):
        assert_told_under_the_pointer(page, panel)


def assert_told_under_the_pointer(page, panel):
    at = places(page, panel)
    x = at["zero"] + 5 * (at["one"] - at["zero"])
    inside = page.evaluate(
        """name => { const {frame, canvas_view} = frameBoard.views[name], box = frame.bbox;
          const top = canvas_view.el.getBoundingClientRect().top;
          return [top + box.top + 1, top + box.bottom - 1]; }""",
        panel,
    )
    found = set()
    for y in np.arange(inside[0], inside[1], 4):
        page.mouse.move(x, float(y))
        if page.locator("#hover").is_visible():
            found.add(page.locator("#hover").inner_text())
    assert found and all("row 5" in one for one in found), found
    layers = {one.partition(" · ")[0] for one in found}
    expected = {"total": 1, "imbalance": 1, "precision": readout(page)["layers"]}
    assert len(layers) >= expected.get(panel, 2)
