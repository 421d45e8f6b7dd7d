"""Guided starts in Chromium: from the home page through the stages of a tour, and away."""

import time

import pytest
from driving import DEEP_TEXT, line, readout, step, wait_for, wait_ready

from workbench.tours import tours


def told(page):
    """What the banner says."""
    return page.evaluate(DEEP_TEXT, "#tour")


def push(page, name):
    page.locator("#tour").get_by_role("button", name=name, exact=True).click()


def test_a_tour_is_gone_through_from_the_home_page(page, server):
    tour = tours()["spiking"]
    page.goto(f"{server.url}?page=home")
    page.get_by_role("link", name=tour.title).click()
    wait_ready(page)
    for k, stage in enumerate(tour.stages):
        if k:
            push(page, "next")
        shown = wait_for(page, lambda r, k=k: r["lane"] == k and r["row"] == 20, timeout=30)
        assert stage.sentence in told(page)
        for number in ("imbalance", "reached"):
            if number in stage.numbers:
                assert shown[number] == pytest.approx(stage.numbers[number], rel=0.05)
        assert shown["experiment"] == stage.experiment.to_dict()
    push(page, "back")
    wait_for(page, lambda r: r["lane"] == 4 and r["row"] == 20)
    assert tour.stages[2].sentence in told(page)
    step(page, 1)
    push(page, "end the tour")
    page.wait_for_function("!document.querySelector('#tour').innerText.trim()")
    assert readout(page)["lanes"] == 5


def test_a_tour_that_there_is_not_is_refused(page, server):
    page.goto(f"{server.url}?page=relax&tour=spikin")
    end = time.monotonic() + 30
    while "tour: spikin; one of" not in line(page):
        assert time.monotonic() < end, line(page)
        time.sleep(0.1)
