"""Samples in Chromium: sorted, tapped, and then looked at in the maps."""

import numpy as np
from driving import decoded, in_drawer, menu, open_drawer, press, step, wait_for, wait_in_drawer


def picture(page):
    return page.locator("#drawer .bk-Figure").filter(visible=True).first


def test_samples_are_sorted_and_one_is_looked_at(page):
    step(page, 12)
    open_drawer(page, "samples")
    wait_in_drawer(page, "row 12, batch 0, t = 12; samples lie")
    page.wait_for_timeout(500)
    before = decoded(picture(page).screenshot())
    menu(page, "samples").select_option(label="by energy")
    page.wait_for_timeout(800)
    assert np.any(decoded(picture(page).screenshot()) != before)
    worst = page.locator("#drawer table.worst tbody tr").first.locator("td").all_inner_texts()
    box = picture(page).bounding_box()
    page.mouse.click(box["x"] + 52, box["y"] + 0.4 * box["height"])
    page.wait_for_timeout(500)
    open_drawer(page, "maps")
    wait_in_drawer(page, f"row 12, sample {worst[0]}, label {worst[1]}")

    open_drawer(page, "samples")
    press(page, "ArrowLeft")
    wait_for(page, lambda r: r["cursor"] == 11)
    wait_in_drawer(page, "row 11, batch 0")
    assert "of the batch" in in_drawer(page)
