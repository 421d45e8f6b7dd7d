"""Lanes side by side, in Chromium: a press opens a lane, keys go to and fro, strips are drawn."""

import re

import numpy as np
from driving import (
    changed,
    colours,
    leave_field,
    menu,
    open_drawer,
    press,
    push,
    shot,
    step,
    turn,
    until,
    wait_for,
    wait_in_drawer,
    wait_refused,
)
from playwright.sync_api import expect


def fork(page):
    """A lane that goes on from row 4 under another precision, to row 9; its parent has 13 rows.

    Returns the numbers of the parent and of the fork.
    """
    shown = step(page, 12)
    parent, new = shown["lane"], shown["lanes"]
    for key, row in (("Shift+ArrowLeft", 2), ("ArrowRight", 3), ("ArrowRight", 4)):
        press(page, key)
        wait_for(page, lambda r, row=row: r["cursor"] == row, what=f"row {row}")
    open_drawer(page, "choices")
    menu(page, "Precision").select_option(label="Spiking")
    wait_for(page, lambda r: r["lane"] == new, what="a new lane")
    step(page, 5)
    open_drawer(page, "lanes")
    return parent, new


def strips(page):
    """The strips in sight."""
    return page.locator("#drawer .bk-Figure").filter(visible=True)


def ask(page, what):
    page.locator(f'#drawer [data-ask="{what}"]').click()


def test_one_lane_says_how_to_get_another_and_no_lane_parts_from_itself(fresh):
    page = fresh
    step(page, 6)
    open_drawer(page, "lanes")
    wait_in_drawer(page, "One lane so far")
    expect(strips(page)).to_have_count(1)
    press(page, "r")
    wait_for(page, lambda r: r["lane"] == 1, what="a restart")
    step(page, 6)
    wait_in_drawer(page, "A and B do not part: no more than rounding in 7 common rows")
    wait_for(page, lambda r: r["parted"] is None, what="nothing parts them")


def test_a_press_on_a_lane_opens_it_and_another_lets_it_stand_behind(page):
    parent, new = fork(page)
    wait_in_drawer(page, "precision: Identity → Spiking")
    wait_in_drawer(page, f"from row 4 of lane {parent} · 10 rows")
    ask(page, f"open_lane {parent}")
    shown = wait_for(page, lambda r: r["lane"] == parent, what="the parent")
    assert (shown["ghost"], shown["row"], shown["lanes"]) == (new, 12, new + 1)
    press(page, "r")
    wait_for(page, lambda r: r["lane"] == new + 1 and r["ghost"] == parent, what="a third lane")
    wait_in_drawer(page, f"batch 0 again, from row 12 of lane {parent}")
    ask(page, f"compare_with {new}")
    shown = wait_for(page, lambda r: r["ghost"] == new, what="the fork behind it")
    assert shown["lane"] == new + 1
    marks = page.locator("#drawer .lane .as")
    others = ["B"] * (new + 1)  # the newest first; the one behind is filled
    expect(marks).to_have_text(["A", *others])
    page.locator(f'#drawer .lane .as.B[data-ask="compare_with {new}"]').wait_for()
    page.locator(f'#drawer [data-ask="open_lane {parent}"]').press("Enter")
    wait_for(page, lambda r: r["lane"] == parent, what="by the keyboard too")


def test_keys_go_to_the_lanes_before_and_after_and_undo_and_redo(page):
    parent, new = fork(page)
    leave_field(page)
    for key, lane, cursor in (
        ("[", parent, 12),
        ("]", new, 9),
        ("u", parent, 4),
        ("Shift+U", new, 9),
        ("Control+z", parent, 4),
        ("Control+Shift+Z", new, 9),
    ):
        press(page, key)
        wait_for(page, lambda r, to=(lane, cursor): (r["lane"], r["cursor"]) == to, what=key)
    press(page, "]")
    shown = wait_for(page, lambda r: r["message"], what="there is none behind it")
    assert shown["message"] == f"lane {new} is the last one" and shown["lane"] == new
    press(page, "u")
    wait_for(page, lambda r: r["lane"] == parent and r["cursor"] == 4)
    press(page, "ArrowRight")
    shown = wait_for(page, lambda r: r["cursor"] == 5, what="one row on")
    assert shown["lane"] == parent, "an old row that is there is looked at"


def test_the_step_at_which_two_lanes_part_is_said_and_drawn(page):
    fork(page)
    said = wait_in_drawer(
        page, r"part by more than 1 % first at row (\d+) ?: batch 0, \S+, t = (\d+), layer (\d+)"
    )
    row, t = int(said[1]), int(said[2])
    assert row == t == 5, "the first that the other precisions have made"
    wait_for(page, lambda r: r["parted"] == 5, what="the readout says it")
    expect(strips(page)).to_have_count(3)
    for k in range(3):
        until(lambda k=k: colours(shot(strips(page).nth(k))) > 16, f"strip {k} is drawn")
    first = shot(strips(page).nth(0))
    a, b, ratio = first[:100], *(shot(strips(page).nth(k))[:100] for k in (1, 2))
    assert a.shape == b.shape == ratio.shape
    assert np.any(a != b) and np.any(a != ratio) and np.any(b != ratio)

    push(page, "go there")
    wait_for(page, lambda r: r["cursor"] == 5, what="the row at which they part")
    changed(strips(page).nth(0), first)  # the cursor has moved

    turn(page, "part by more than %", "99.9999")
    wait_in_drawer(page, re.escape("99.9999 %"))
    turn(page, "part by more than %", "101")
    wait_in_drawer(page, re.escape("lanes.part: 101; % between 0 and 100"))
    wait_for(page, lambda r: r["parted"] is None, what="nothing is said")
    wait_refused(page, "^lanes.part: 101; % between 0 and 100$")
