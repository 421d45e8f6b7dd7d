"""The home page as a newcomer meets it: everything in sight, and one click into a relaxation."""

import pytest
from driving import assert_whole, step, wait_for, wait_ready
from playwright.sync_api import expect

from workbench.presets import presets, published
from workbench.tours import tours


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1920)])
def test_it_shows_all_presets_and_nothing_is_cut_off(visit, theme, width):
    page = visit(f"?page=home&theme={theme}", ready=False, viewport={"width": width, "height": 800})
    cards = page.locator(".cards")
    expect(cards.nth(0).locator("li")).to_have_count(len(tours()))
    expect(cards.nth(1).locator("li")).to_have_count(len(presets()))
    works = {one.printed.work for one in published().values()}
    expect(page.locator("#home details")).to_have_count(len(works))
    expect(page.locator("#home tbody tr")).to_have_count(len(published()))
    for fold in page.locator("#home summary").all():
        fold.click()
    assert_whole(page, [(width, 800)])
    box = page.locator("#home")
    assert box.evaluate("e => e.scrollWidth") <= box.evaluate("e => e.clientWidth")
    expect(page.locator("#pages a[aria-current]")).to_have_attribute("aria-label", "Home")
    expect(page.locator("#home .none", has_text="No run yet")).to_have_count(1)


def test_a_click_on_a_preset_opens_it_and_the_way_back_keeps_the_session(visit):
    page = visit("?page=home", ready=False)
    page.locator(".cards a", has_text="Z-IL").click()
    shown = wait_ready(page)
    assert shown["experiment"]["learning"]["name"] == "ZIL"
    row = step(page, 3)["row"]
    page.locator("#pages a[data-page=home]").click()
    page.locator(".cards li").first.wait_for()
    page.locator("#pages a[data-page=relax]").click()
    shown = wait_for(page, lambda r: r.get("row") == row, timeout=60)
    assert shown["experiment"]["learning"]["name"] == "ZIL"
