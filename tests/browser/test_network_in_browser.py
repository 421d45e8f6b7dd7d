"""The drawing in Chromium: it follows the cursor, a click on a state chooses it in other tabs."""

import time

import pytest
from driving import (
    changed,
    colours,
    menu,
    open_drawer,
    press,
    push,
    readout,
    settle,
    shot,
    step,
    still,
    until,
    wait_for,
    wait_in_drawer,
)
from playwright.sync_api import expect

from workbench.dials import KINDS


def figure(page):
    """The drawing."""
    return page.locator("#drawer .bk-Figure").filter(visible=True).first


def drawn(page, states):
    """The box of the drawing, once so many states have their room and nothing moves."""

    def large():
        box = figure(page).bounding_box()
        return box and box["height"] > 30 * states

    until(large, f"a drawing of {states} states")
    settle(page)
    return still(figure(page))


def click_state(page, row, states):
    """A click on a state, by its row from the bottom."""
    box = still(figure(page))
    y = box["height"] * (states - row - 0.5) / states
    figure(page).click(position={"x": 0.4 * box["width"], "y": y})


def test_the_drawing_follows_the_cursor(visit):
    page = visit("?theme=dark", viewport={"width": 1280, "height": 900})
    step(page, 6)
    open_drawer(page, "network")
    wait_in_drawer(page, "11 states, 10 layers, 84,170 parameters")
    drawn(page, 11)
    wait_in_drawer(page, r"phase relax, t = 6")
    wait_in_drawer(page, r"clamped · E [\d.]+ nat")
    settle(page)
    until(lambda: colours(shot(figure(page))) > 40, "it has its colours")
    late = shot(figure(page))
    press(page, "Home")
    wait_in_drawer(page, "phase relax, t = 0")
    changed(figure(page), late)
    expect(figure(page)).to_have_attribute(
        "aria-label", "Network: 11 states, 10 layers, 84,170 parameters"
    )


def test_a_click_chooses_a_state_in_maps_and_for_pokes(page):
    step(page, 6)
    open_drawer(page, "network")
    wait_in_drawer(page, "11 states")
    drawn(page, 11)
    click_state(page, 9, 11)
    wait_in_drawer(page, r"layer 9 · 64 units · Linear 64 → 64, tanh · 4,160 parameters")
    energy = float(wait_in_drawer(page, r"layer 9 · .*?free · E ([\d.e-]+)")[1])
    assert energy == pytest.approx(readout(page)["energies"][8], rel=1e-2)
    click_state(page, 1, 11)
    wait_in_drawer(page, "layer 1 · 64 units · Linear 784.*?E not reached")
    click_state(page, 9, 11)
    wait_in_drawer(page, "layer 9 · 64 units")
    push(page, "look into it")
    wait_in_drawer(page, "layer 9, unit 0")
    open_drawer(page, "poke")
    expect(menu(page, "state")).to_have_value("9: 64 units")


def test_it_keeps_up_with_a_session_that_plays_and_does_not_hold_it(page):
    open_drawer(page, "network")
    wait_in_drawer(page, "11 states")
    press(page, " ")
    found, end = set(), time.monotonic() + 60
    while time.monotonic() < end and len(found) < 4:
        found.add(int(wait_in_drawer(page, r"phase relax, t = (\d+)")[1]))
        time.sleep(0.1)
    press(page, " ")
    shown = wait_for(page, lambda r: not r["playing"], what="it has stopped")
    assert len(found) >= 4
    wait_in_drawer(page, f"phase relax, t = {shown['step']};")


def test_skips_are_drawn_and_what_is_said_stays_in_sight_when_scrolled(page):
    open_drawer(page)
    menu(page, "first weights").select_option(label="random")
    menu(page, KINDS["network"]).select_option(label="ResNet classifier")
    wait_for(page, lambda r: r["layers"] == 13, timeout=60, what="a ResNet")
    open_drawer(page, "network")
    wait_in_drawer(page, "19 states, 13 layers, 5 relays")
    box = drawn(page, 19)
    page.mouse.move(box["x"] + 50, box["y"] + 300)
    page.mouse.wheel(0, 2000)
    click_state(page, 3, 19)  # the relay 2s
    wait_in_drawer(page, r"state 2s · relay · 4 × 28 × 28 .* reads 1 · read by 3s")
    wait_in_drawer(page, "a delay · no energy of its own")
    said = still(page.get_by_text("a delay").first)
    assert 0 < said["y"] < 400, "what is said of it stays above the drawing"


def test_the_equation_lights_the_nudge(page):
    open_drawer(page)
    menu(page, KINDS["task"]).select_option(label="Free and nudged phases")
    wait_for(page, lambda r: len(r["phases"]) == 3, timeout=60, what="three phases")
    open_drawer(page, "network")
    wait_in_drawer(page, "phase free, t = 0, β = 0;")
    step(page, 2)
    wait_in_drawer(page, "phase plus, t = 1, β = 0.05")
    lit = page.locator("#drawer .acting b").filter(visible=True)
    expect(lit).to_have_text("β = 0.05")
