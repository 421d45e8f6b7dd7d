"""Guided starts in Chromium: from the home page through the stages of a tour, and away."""

import pytest
from driving import DEEP_TEXT, step, still, until, wait_for, wait_in_line, wait_ready

from workbench.tours import tours


def told(page):
    """What the banner says."""
    return page.evaluate(DEEP_TEXT, "#tour")


def push(page, name):
    button = page.locator("#tour").get_by_role("button", name=name, exact=True)
    button.wait_for()
    still(button)
    button.click()


def test_a_tour_is_gone_through_from_the_home_page(visit):
    tour = tours()["spiking"]
    page = visit("?page=home", ready=False)
    page.get_by_role("link", name=tour.title).click()
    wait_ready(page)
    for k, stage in enumerate(tour.stages):
        if k:
            push(page, "next")
        shown = wait_for(page, lambda r, k=k: r["lane"] == k and r["row"] == 20, timeout=30)
        until(lambda one=stage: one.sentence in told(page), f"stage {k} is told")
        for number in ("imbalance", "reached"):
            if number in stage.numbers:
                assert shown[number] == pytest.approx(stage.numbers[number], rel=0.05)
        assert shown["experiment"] == stage.experiment.to_dict()
    push(page, "back")
    wait_for(page, lambda r: r["lane"] == 4 and r["row"] == 20)
    until(lambda: tour.stages[2].sentence in told(page), "stage 2 is told again")
    shown = step(page, 1)
    push(page, "end the tour")
    page.wait_for_function("!document.querySelector('#tour').innerText.trim()")
    assert shown["lanes"] == 5


def test_a_tour_that_there_is_not_is_refused(visit):
    page = visit("?page=relax&tour=spikin", ready=False)
    wait_in_line(page, "tour: spikin; one of")
