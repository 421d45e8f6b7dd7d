"""Runs on the Relax page: watched while they are written, played back, exported, and recorded."""

import time
import zipfile

import numpy as np
import pytest
from driving import (
    all_pixels,
    colours,
    control,
    decoded,
    open_drawer,
    press,
    push,
    set_speed,
    settle,
    step,
    turn,
    until,
    wait_for,
    wait_in_line,
    wait_said,
)

from core.layout import Layout
from core.recorder import Chunk
from core.runs import Run, Writer

L = 3


def rows(first, last):
    """Energies of one's own code, one decade from layer to layer."""
    n = np.arange(first, last)
    index = {"step": n, "batch": n // 10, "t": n % 10, "T": np.full(len(n), 9)}
    index |= {"phase": np.full(len(n), "relax"), "recipe_id": np.zeros(len(n), int)}
    return Chunk(index | {"energy": np.exp(-n[:, None] / 9) * 10.0 ** -np.arange(L)})


def lane_of(writer):
    states = tuple(range(L + 1))
    names = tuple(f"h{k}" for k in states)
    return writer.lane(Layout(states[1:], names, states[1:], (0,) * (L + 1), (True,) * L, 1e-7))


def test_a_run_of_own_code_is_watched_within_a_second_and_the_rest_is_grey(visit, server):
    with Writer(server.runs / "mine") as writer:
        lane = lane_of(writer)
        writer.append(lane, rows(0, 12))
        page = visit("?page=relax&run=mine")
        assert wait_for(page, lambda r: r["row"] == 11)["state"] == "live"
        taken = []
        for first, last in ((12, 15), (15, 20), (20, 25)):
            begun = time.monotonic()
            writer.append(lane, rows(first, last))
            shown = wait_for(page, lambda r, n=last - 1: r["cursor"] == n, what="the new rows")
            taken.append(time.monotonic() - begun)
        assert min(taken) < 1, "other work of the machine may hold up one look, not every"
        energies = np.exp(-24 / 9) * 10.0 ** -np.arange(L)
        assert shown["energies"] == pytest.approx(energies) and shown["total"] is None
        assert shown["imbalance"] == pytest.approx(L - 1)
        wait_in_line(page, "it can be watched, not relaxed on")
        settle(page)

        def coloured_in(drawn):
            return {n for n, one in drawn.items() if (np.ptp(one.astype(int), axis=-1) > 60).any()}

        until(lambda: {"heat", "depth"} <= coloured_in(all_pixels(page)), "its colours")
        drawn = all_pixels(page)
        coloured = coloured_in(drawn)
        assert not {"errors", "alignment", "images"} & coloured and colours(drawn["images"]) > 4
        for name in ("preset", "gear", "T"):
            what = {"preset": "select", "gear": "button", "T": "input"}[name]
            until(lambda n=name, what=what: control(page, n, what).is_disabled(), f"{name} is grey")
    wait_for(page, lambda r: r["state"] == "finished")
    press(page, "ArrowLeft")
    wait_for(page, lambda r: r["cursor"] == 23)
    press(page, "r")
    assert wait_for(page, lambda r: r["cursor"] == 20)["step"] == 0
    set_speed(page, "40 /s")
    press(page, "Home")
    wait_for(page, lambda r: r["cursor"] == 0)
    press(page, " ")
    wait_for(page, lambda r: r["cursor"] == 24 and not r["playing"], what="played to the end")
    open_drawer(page, "export")
    settle(page)
    with page.expect_download() as download:
        page.locator("#drawer a", has_text="figure, data").first.click()
    assert download.value.suggested_filename == "relaxoscope-mine-energy_time.zip"
    with zipfile.ZipFile(download.value.path()) as held:
        assert {"data.nc", "figure.pdf"} <= set(held.namelist())
    for tab in ("choices", "theory", "log"):
        open_drawer(page, tab)
        settle(page)


GAP = """() => {
  const {frame, canvas_view} = frameBoard.views.heat, {top, bottom} = frame.bbox;
  const from = canvas_view.el.getBoundingClientRect(), x = row => frame.x_scale.compute(row);
  return {x: from.left + x(12.5), y: from.top + top + 4,
          width: x(22.5) - x(12.5), height: bottom - top - 8}; }"""
"""Where lost rows 12 to 23 are on the page, without their edges."""


def test_rows_that_were_lost_are_hatched_over_what_is_drawn(visit, server):
    with Writer(server.runs / "holed") as writer:
        lane = lane_of(writer)
        writer.append(lane, rows(0, 12))
        writer.append(lane, rows(24, 30))
    page = visit("?page=relax&run=holed")
    wait_for(page, lambda r: r["row"] == 29)
    settle(page)

    def hatched():
        found = decoded(page.screenshot(clip=page.evaluate(GAP)))
        return np.ptp(found.astype(int), axis=-1).max() < 60 and colours(found) > 2

    until(hatched, "grey hatches in the place of the colours of a row before")


def test_a_session_is_recorded_from_the_drawer_and_gone_on_with_from_there(fresh, server, visit):
    page = fresh
    step(page, 3)
    open_drawer(page, "export")
    turn(page, "name of the run", "taped")
    push(page, "record this session")
    page.locator("#drawer button", has_text="stop recording").wait_for()
    step(page, 4)
    wait_in_line(page, "recording taped, 8 rows")
    page.locator("#drawer p", has_text="8 rows so far").wait_for()
    push(page, "stop recording")
    page.locator("#drawer p", has_text="8 rows, closed").wait_for()
    run = Run(server.runs / "taped")
    assert run.state == "finished" and run.rows() == 8 and run.kept() == [0]
    live = settle(page)

    watched = visit("?page=relax&run=taped&theme=dark")
    shown = wait_for(watched, lambda r: r["row"] == live["row"], what="all rows")
    for name in ("row", "energies", "total", "imbalance", "slope", "experiment"):
        assert shown[name] == live[name], name
    watched.locator("#begin").click()
    began = wait_for(watched, lambda r: r["ready"] and "run" not in r, timeout=60)
    assert (began["row"], began["batch"]) == (0, 0)
    wanted = Run(server.runs / "taped").dataset()["energy"].values[0]
    np.testing.assert_allclose(began["energies"], wanted, rtol=1e-5)
    step(watched)


def test_an_address_that_leads_nowhere_says_so_and_shows_the_way(visit):
    page = visit("?page=relax&run=no-such-run", ready=False)
    assert wait_said(page, "run: no-such-run;").startswith("run: no-such-run;")
    page.locator("#line a", has_text="relax").wait_for()
