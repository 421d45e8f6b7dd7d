"""Samples in Chromium: sorted, tapped, and then looked at in the maps."""

from driving import (
    changed,
    menu,
    open_drawer,
    press,
    settle,
    shot,
    step,
    still,
    wait_for,
    wait_in_drawer,
)


def picture(page):
    return page.locator("#drawer .bk-Figure").filter(visible=True).first


def test_samples_are_sorted_and_one_is_looked_at(page):
    step(page, 12)
    open_drawer(page, "samples")
    wait_in_drawer(page, "row 12, batch 0, t = 12; samples lie")
    settle(page)
    before = shot(picture(page))
    menu(page, "samples").select_option(label="by energy")
    changed(picture(page), before)
    worst = page.locator("#drawer table.worst tbody tr").first.locator("td").all_inner_texts()
    box = still(picture(page))
    page.mouse.click(box["x"] + 52, box["y"] + 0.4 * box["height"])
    open_drawer(page, "maps")
    wait_in_drawer(page, f"row 12, sample {worst[0]}, label {worst[1]}")

    open_drawer(page, "samples")
    press(page, "ArrowLeft")
    wait_for(page, lambda r: r["cursor"] == 11)
    wait_in_drawer(page, "row 11, batch 0.*of the batch")
