"""The page does what it says: every control is used as a person would, and its effect is read back.

Judged by the readout (what the page shows, as data), by exported files and by pixels.
"""

import json
import math
import re
import time
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from driving import (
    PLOTS,
    UNUSED,
    all_pixels,
    canvas_pixels,
    changed,
    choose_preset,
    click,
    colours,
    control,
    copied,
    dial,
    menu,
    open_drawer,
    press,
    progress,
    push,
    readout,
    set_speed,
    set_steps,
    settle,
    step,
    still,
    turn,
    until,
    wait_for,
    wait_in_line,
    wait_ready,
    wait_refused,
    wait_said,
)
from playwright.sync_api import expect

from core.catalogue import cards
from core.companions import refused_choices
from core.experiment import LIVE, Experiment
from workbench.dials import KINDS
from workbench.presets import presets

QUIET = 0.4
"""Seconds in which an effect that must not come would have come."""


def finite(value):
    return value is not None and math.isfinite(value)


# Opening -----------------------------------------------------------------------------------------


def test_the_page_opens_with_a_first_row_of_trained_weights(fresh):
    page = fresh
    shown = readout(page)
    assert (shown["row"], shown["cursor"], shown["step"], shown["batch"]) == (0, 0, 0, 0)
    assert shown["layers"] == len(shown["energies"]) == 10
    assert shown["energies"][:-1] == [0] * 9  # a forward sweep leaves every hidden error zero
    assert shown["total"] == pytest.approx(shown["energies"][-1]) and shown["total"] > 0
    assert shown["accuracy"] > 0.8
    assert not shown["playing"] and shown["lanes"] == 1 and shown["message"] == ""
    until(lambda: progress(page) == "", "no progress any more")
    wait_in_line(page, "trained weights, test accuracy")


def test_every_plot_is_drawn_and_fits_to_what_is_in_sight(page):
    step(page, 12)
    settle(page)
    until(lambda: all(colours(one) > 16 for one in all_pixels(page).values()), "none is empty")
    drawn = all_pixels(page)
    for name in ("heat", "errors", "depth", "total", "alignment", "precision"):
        spread = np.ptp(drawn[name].astype(int), axis=-1)
        assert (spread > 60).sum() > 30, f"{name} has no coloured marks"
    inside = drawn["images"][60:-60].reshape(-1, 3).astype(int)
    assert (inside.sum(1) < 30).mean() > 0.2, "no black of the images"
    assert (inside.sum(1) > 735).mean() > 0.05, "no white of the images"
    click(page, "fit")
    for name in ("heat", "depth", "errors", "total"):  # none keeps its limits
        changed(page.locator(f"#{name}"), drawn[name])
    settle(page)
    fitted = all_pixels(page)
    for name in ("images", "precision"):
        assert np.array_equal(fitted[name], drawn[name]), f"{name} has no limits to fit"


# Time --------------------------------------------------------------------------------------------


def test_a_step_by_key_or_button_is_exactly_one_row_and_with_shift_ten(page):
    for act in (lambda: press(page, "ArrowRight"), lambda: click(page, "step")):
        before = readout(page)
        act()
        wait_for(page, lambda r, b=before: r["cursor"] > b["row"], what="a row more")
        time.sleep(QUIET)
        after = readout(page)
        assert after["row"] == after["cursor"] == before["row"] + 1
        assert after["step"] == before["step"] + 1
        assert after["taken"] == before["taken"] + 1
        assert after["total"] < before["total"]  # gradient descent at a small rate
    press(page, "Shift+ArrowRight")
    wait_for(page, lambda r: r["cursor"] >= 12, what="row 12")
    time.sleep(QUIET)
    shown = readout(page)
    assert shown["row"] == shown["step"] == 12
    press(page, "Shift+ArrowLeft")
    assert wait_for(page, lambda r: r["cursor"] == 2)["row"] == 12


def test_T_is_where_relaxing_ends_and_what_is_no_T_is_refused(page):
    set_steps(page, "7")
    wait_for(page, lambda r: r["experiment"]["steps"] == 7, what="T 7")
    click(page, "end")
    wait_for(page, lambda r: r["cursor"] == 7, what="row 7")
    time.sleep(QUIET)
    after = readout(page)
    assert (after["row"], after["step"], after["playing"]) == (7, 7, False)
    for text in ("abc", "0", "-3", "2.5"):
        before = readout(page)
        set_steps(page, text)
        wanted = f"steps: {text}; an integer 1..100000"
        assert wait_said(page, wanted) == wanted
        after = readout(page)
        assert after["experiment"] == before["experiment"]
        assert after["commands"] == before["commands"]
    press(page, "Space")
    begun = wait_for(page, lambda r: r["playing"])["row"]
    set_steps(page, "none")
    wait_said(page, "steps: none; an integer 1..100000")
    wait_for(page, lambda r: r["row"] >= begun + 6)
    wait_said(page, "steps: none; an integer 1..100000")  # rows that come do not take it away
    click(page, "play")
    wait_for(page, lambda r: not r["playing"])
    wait_said(page)
    until(lambda: control(page, "T", "input").input_value() == "7", "T is again what it was")
    set_steps(page, "20")
    wait_for(page, lambda r: r["experiment"]["steps"] == 20, what="T of the page")


def test_play_moves_and_pause_stands_still(page):
    press(page, "Space")
    begun = time.monotonic()
    first = wait_for(page, lambda r: r["playing"] and r["row"] >= 1)
    wait_for(page, lambda r: r["row"] >= first["row"] + 6)
    taken = time.monotonic() - begun
    assert taken > 0.9, "6 steps at 6 per second"
    click(page, "play")
    still = wait_for(page, lambda r: not r["playing"], what="pause")
    settle(page)
    before = all_pixels(page)
    time.sleep(QUIET)
    again = all_pixels(page)
    for name in PLOTS:
        assert np.array_equal(before[name], again[name]), f"{name} moves while it is paused"
    after = readout(page)
    assert after["row"] == still["row"] == after["cursor"]

    step(page)
    for name in ("heat", "errors", "depth", "total"):
        changed(page.locator(f"#{name}"), again[name])

    def others_move():
        moved = all_pixels(page)
        return [n for n in ("images", "alignment") if not np.array_equal(again[n], moved[n])]

    until(others_move, "images or alignment move")


# Choices -----------------------------------------------------------------------------------------


def choose(page, kind, title):
    """Choose in a menu of the drawer; the complaint if its effect is not seen, or ""."""
    name = next(card.name for card in cards(kind).values() if card.title == title)
    before = readout(page)
    menu(page, KINDS[kind]).select_option(label=title)
    where = f"{kind} {title}"
    try:
        shown = wait_for(page, lambda r: r["experiment"][kind]["name"] == name, 40, where)
        shown = step(page)
        if kind in ("init", "precision", "dynamics", "learning"):
            assert shown["recipe"][kind]["name"] == name, f"{where}: the row has another recipe"
        newer = shown["recipe_id"] > before["recipe_id"] or shown["lane"] > before["lane"]
        assert newer, f"{where}: neither a recipe nor a lane is new"
        task = shown["experiment"]["task"] != before["experiment"]["task"]
        live = kind in LIVE and not task  # a learning rule may bring the task that it needs
        assert live or shown["lane"] > before["lane"], f"{where}: no new lane"
        assert not live or shown["lane"] == before["lane"], f"{where}: a new lane"
        assert finite(shown["total"]), f"{where}: total {shown['total']}"
        wait_refused(page)
        assert not shown["message"], f"{where}: {shown['message']}"
    except AssertionError as failed:
        return str(failed)
    return ""


def others(page, kind):
    """Titles of the enabled options of a menu that are not chosen, the chosen one last."""
    select = menu(page, KINDS[kind])
    select.wait_for()
    settle(page)
    titles = select.locator("option:not([disabled])").all_inner_texts()
    chosen = select.locator("option:checked").inner_text()
    assert {card.title for card in cards(kind).values()} >= set(titles)
    return [*(one for one in titles if one != chosen), chosen]


def some(titles):
    """Four of them, the last among them: tests/workbench/test_choices.py picks every one."""
    return [*titles[:-1][:: max(1, len(titles) // 3)], titles[-1]]


@pytest.mark.slow
def test_choices_that_act_between_two_steps_act(page):
    open_drawer(page)
    failed = []
    for kind in ("precision", "dynamics", "learning", "weights"):
        found = others(page, kind)
        assert len(found) == len(cards(kind)), f"{kind}: greyed: all but {found}"
        failed += filter(None, [choose(page, kind, title) for title in some(found)])
    assert failed == []


def random_weights(page):
    """Nothing is trained from here on, which takes long."""
    menu(page, "first weights").select_option(label="random")
    wait_for(page, lambda r: r["experiment"]["pretraining"] == "random" and r["row"] == 0)


@pytest.mark.slow
def test_choices_that_start_a_lane_start_one(page):
    open_drawer(page)
    random_weights(page)
    failed = []
    for kind in ("init", "energy"):
        found = others(page, kind)
        assert len(found) == len(cards(kind)), f"{kind}: greyed: all but {found}"
        failed += filter(None, [choose(page, kind, title) for title in some(found)])
    here = {"Digits, 28 x 28", "Digits, 8 x 8"}
    found = [title for title in others(page, "dataset") if title in here]
    assert set(found) == here
    failed += filter(None, [choose(page, "dataset", title) for title in found])
    for title in some(others(page, "task")):  # a task brings the network and the init that it needs
        failed.append(choose(page, "task", title))
        chosen = Experiment.from_dict(readout(page)["experiment"])
        assert chosen.network.image_at == chosen.task.image_at
    assert [one for one in failed if one] == []


def test_every_menu_of_a_dial_acts(page):
    open_drawer(page)
    random_weights(page)
    wanted = ["gelu", "relu", "leaky_relu", "elu", "hard_tanh", "identity", "tanh"]
    for name in wanted:
        menu(page, "activation φ").select_option(label=name)
        wait_for(page, lambda r, n=name: r["experiment"]["network"]["activation"] == n, what=name)
        assert finite(step(page)["total"]), name
    menu(page, "scale x").select_option(label="0..1")
    wait_for(page, lambda r: r["experiment"]["dataset"]["scale"] == "0..1", what="0..1")
    assert finite(step(page)["total"])
    menu(page, "dtype").select_option(label="float64")
    wait_for(page, lambda r: r["experiment"]["dtype"] == "float64", what="float64")
    assert finite(step(page)["total"])
    boxes = page.locator('#drawer input[type="checkbox"]')
    ticked = {
        "weighted": lambda r: r["experiment"]["learning"]["weighted"],
        "window": lambda r: r["experiment"]["window"],
        "bias": lambda r: r["experiment"]["network"]["bias"],
    }
    for k, (name, of) in enumerate(ticked.items()):
        was = of(readout(page))
        boxes.nth(k).click()
        wait_for(page, lambda r, of=of, w=was: of(r) != w, what=name)
        assert finite(step(page)["total"]), name


def test_a_dial_that_is_typed_acts_at_the_next_step(page):
    lane = step(page, 2)["lane"]
    open_drawer(page)
    turn(page, "rate α", "0.5")
    wait_for(page, lambda r: r["experiment"]["dynamics"]["rate"] == 0.5)
    shown = step(page)
    assert shown["recipe"]["dynamics"]["rate"] == 0.5 and shown["lane"] == lane
    turn(page, "batch size B", "40")
    shown = wait_for(page, lambda r: r["experiment"]["batch_size"] == 40, what="batch of 40")
    assert shown["lane"] == lane + 1 and shown["row"] == 0
    turn(page, "hidden", "32 x 3")
    shown = wait_for(page, lambda r: r["layers"] == 4, 60, what="four layers")
    assert shown["experiment"]["network"]["hidden"] == [32, 32, 32]
    assert finite(step(page)["total"])


def test_a_bad_value_of_a_dial_is_refused_in_a_line_that_names_field_and_range(page):
    step(page)
    open_drawer(page)
    for label, field, legal, texts in (
        ("rate α", "dynamics.rate", "[1e-08, 10]", ("nan", "-1", "fast", "1e99", "")),
        ("batch size B", "batch_size", "1..65536", ("0", "x")),
        ("hidden", "network.hidden", "1..65536", ("64 x 0", "0, 3", "wide")),
    ):
        before = readout(page)
        good = dial(page, label).input_value()
        for text in texts:
            turn(page, label, text)
            wait_refused(page, rf"^{field}(\[\d+\])?: .*{re.escape(legal)}")
            after = readout(page)
            assert after["experiment"] == before["experiment"]
            assert (after["row"], after["commands"]) == (before["row"], before["commands"])
            turn(page, label, good)
            wait_refused(page)
    time.sleep(QUIET)
    assert readout(page)["experiment"] == before["experiment"]
    step(page)


def told(page, lines):
    """Whether all these lines are among those about what is greyed."""
    text = " ".join(page.locator("#drawer small li").all_inner_texts())
    return all(one in text for one in lines)


def test_greyed_choices_are_those_that_do_not_go_together_each_with_its_sentence(page):
    open_drawer(page)
    random_weights(page)
    for task in ("Dream", "Reconstruct", "Classify"):
        menu(page, KINDS["task"]).select_option(label=task)
        shown = wait_for(page, lambda r, t=task: r["experiment"]["task"]["name"] == t, 40, task)
        settle(page)
        experiment = Experiment.from_dict(shown["experiment"])
        for kind in KINDS:
            refused = refused_choices(experiment, kind)
            off = menu(page, KINDS[kind]).locator("option[disabled]")
            titles = {cards(kind)[name].title for name in refused}
            until(lambda o=off, t=titles: set(o.all_inner_texts()) == t, f"{task}: {kind}")
            lines = {f"{cards(kind)[name].title}: {why}" for name, why in refused.items()}
            until(lambda w=lines: told(page, w), f"{task}: {kind}: {lines}")


def test_a_set_that_is_not_there_is_refused_with_the_command_that_gets_it(page):
    open_drawer(page)
    before = readout(page)
    menu(page, "Data").select_option(label="MNIST")
    wait_for(page, lambda r: "relaxoscope data MNIST" in r["message"], what="how to get MNIST")
    after = settle(page)
    assert after["experiment"] == before["experiment"]
    wait_refused(page, "relaxoscope data MNIST")
    wait_said(page, "relaxoscope data MNIST")
    expect(dial(page, "root")).to_be_visible()  # its folder can be given beside the menu
    step(page)
    expect(menu(page, "Data").locator("option:checked")).to_have_text("Digits, 28 x 28")


def test_presets_load_and_relax(page):
    """Some of them; tests/workbench/test_board.py draws every one."""
    found = list(presets().values())
    for preset in some([*found[1:], found[0]]):
        wanted = Experiment.from_dict(preset.choices).to_dict()
        choose_preset(page, preset.title)
        wait_for(page, lambda r, w=wanted: r["experiment"] == w, 60, preset.title)
        shown = step(page, 3)
        assert shown["message"] == "", preset.title
        assert shown["row"] >= 3 and finite(shown["total"]), preset.title
        assert shown["recipe"]["init"]["name"] == wanted["init"]["name"]
        for name in ("heat", "images"):
            until(lambda n=name: colours(canvas_pixels(page, n)) > 16, f"{preset.title}: {name}")


# Theory, phases, terms, self-test ----------------------------------------------------------------


def test_terms_act_are_refused_in_a_line_and_phases_go_to_their_end(page):
    open_drawer(page)
    turn(page, "output precision λ", "-1")
    found = wait_refused(page, "^output_precision: ")
    assert found == ["output_precision: -1.0; a finite number in [0, 1e+06]"]
    turn(page, "output precision λ", "4")
    wait_for(page, lambda r: r["experiment"]["output_precision"] == 4, what="the precision")
    wait_refused(page)
    assert step(page)["recipe"]["output_precision"] == 4
    wait_in_line(page, "output λ 4")
    random_weights(page)
    menu(page, KINDS["learning"]).select_option(label="Equilibrium propagation")
    wait_for(page, lambda r: r["phases"] == ["free", "plus", "minus"], what="the phases")
    set_steps(page, "4")
    wait_for(page, lambda r: r["experiment"]["steps"] == 4, what="T 4")
    click(page, "end")
    wait_for(page, lambda r: r["cursor"] == 10, what="the end of the last phase")
    time.sleep(QUIET)
    shown = readout(page)
    assert (shown["phase"], shown["step"], shown["row"]) == ("minus", 4, 10)
    push(page, "back to this preset")
    wait_for(page, lambda r: r["experiment"]["task"]["name"] == "Classify", 60, "the preset again")


def test_theory_warns_and_is_drawn_while_the_self_test_runs_beside(page):
    step(page, 6)
    settle(page)
    plain = canvas_pixels(page, "depth")
    open_drawer(page, "theory")
    shown = wait_for(page, lambda r: r["theory"], what="what theory says")
    assert shown["theory"].startswith("stable below α 0.4") and "50 SMM" in shown["theory"]
    said_by = page.locator("#drawer .said").filter(visible=True)
    until(lambda: said_by.count() >= 6, "what theory says")
    settle(page)
    behind = said_by.first.locator(".behind")
    expect(behind).to_be_hidden()
    said_by.first.hover()
    expect(behind).to_be_visible()
    expect(behind).to_contain_text("source")

    def accents(pixels):
        return (pixels == (194, 65, 12)).all(-1).sum()

    until(lambda: accents(canvas_pixels(page, "depth")) > accents(plain) + 30, "a dashed curve")
    open_drawer(page)
    turn(page, "rate α", "1.5")
    wait_for(page, lambda r: r["theory"].startswith("rate above the stable one: α 1.5"))
    open_drawer(page, "self-test")
    push(page, "run the self-test")
    table = page.locator("#drawer tbody tr").filter(visible=True)
    until(lambda: table.count() >= 4, "four results", 60)
    before = readout(page)["row"]
    assert step(page, 2)["row"] == before + 2, "the session goes on"
    push(page, "stop")
    expect(page.locator("#drawer [role=status]")).to_contain_text("stopped")


def test_an_init_that_remembers_offers_to_make_its_past(fresh):
    page = fresh
    open_drawer(page)
    menu(page, "Init").select_option(label="Average")
    shown = wait_for(page, lambda r: r["offer"], what="the offer")
    assert shown["offer"].startswith("Average init recalls")
    wait_said(page, shown["offer"])
    guess = settle(page)
    assert guess["reached"] == 1  # a first guess is the forward sweep
    past = page.locator("#line button", has_text="relax 5 batches first")
    still(past)
    past.click()
    shown = wait_for(page, lambda r: not r["offer"] and r["lane"] > guess["lane"], 30, "a past")
    assert shown["lane_title"] == "5 batches relaxed first"
    assert (shown["row"], shown["batch"]) == (0, guess["batch"])
    assert shown["reached"] >= 4  # the averaged states are no sweep, so energy stands in the depth
    expect(past).to_be_hidden()


# Lanes -------------------------------------------------------------------------------------------


def rewind(page, by):
    """To row 0, by hand."""
    if by == "home":
        press(page, "Home")
    elif by == "arrows":
        for row in reversed(range(readout(page)["cursor"])):
            press(page, "ArrowLeft")
            wait_for(page, lambda r, row=row: r["cursor"] == row, what=f"row {row}")
    else:
        # The handle follows a few times a second, glides for 0.3 s after a click, in which the
        # slider takes no other, and takes a click on itself for the beginning of a drag: a person
        # waits until it lies still.
        slider = control(page, "cursor", ".noUi-target")
        box = slider.bounding_box()
        handle = control(page, "cursor", ".noUi-handle")

        def far_and_still() -> bool:
            now, end = (float(handle.get_attribute(f"aria-value{k}")) for k in ("now", "max"))
            at = handle.bounding_box()
            centre = at["x"] + at["width"] / 2 - box["x"]
            glides = "noUi-state-tap" in slider.get_attribute("class")
            return now > 0 and not glides and abs(centre - box["width"] * now / end) < 1

        until(far_and_still, "the handle lies still")
        page.mouse.click(box["x"] + 1, box["y"] + box["height"] / 2)
    return wait_for(page, lambda r: r["cursor"] == 0, what=f"row 0 by {by}")


def test_relaxing_on_after_a_rewind_starts_a_lane_with_a_ghost(page):
    newest = step(page, 3)
    first = newest["lane"]
    more = newest["lanes"] - first
    for lane, by in enumerate(("home", "arrows", "slider"), start=first):
        shown = rewind(page, by)
        assert (shown["row"], shown["lanes"]) == (3, lane + more), "a rewind alone forks nothing"
        assert shown["step"] == 0 and shown["total"] > newest["total"]
        assert not shown["following"]
        press(page, "End")
        shown = wait_for(page, lambda r: r["following"], what="following")
        assert (shown["cursor"], shown["row"]) == (3, 3)
        rewind(page, by)
        for row in (1, 2, 3):
            click(page, "step")
            shown = wait_for(
                page, lambda r, n=(lane + 1, row): (r["lane"], r["cursor"]) == n, what=f"by {by}"
            )
        assert (shown["lanes"], shown["ghost"], shown["row"]) == (lane + more + 1, lane, 3)
        assert shown["energies"] == newest["energies"], "the same steps give the same energies"
    wait_in_line(page, f"grey: lane {first + 2}")


def test_the_other_lane_is_one_key_away(page):
    newest = step(page, 4)
    first, second = newest["lane"], newest["lanes"]
    rewind(page, "home")
    open_drawer(page)
    turn(page, "rate α", "0.5")
    wait_for(page, lambda r: r["lane"] == second, what="a change of the past starts a lane")
    press(page, "c")
    wait_for(page, lambda r: not r["drawer"])
    other = step(page, 2)
    assert other["ghost"] == first and other["energies"] != newest["energies"]
    settle(page)
    with_ghost = canvas_pixels(page, "total")
    press(page, "x")
    swapped = wait_for(page, lambda r: r["lane"] == first, what="the other lane")
    assert (swapped["ghost"], swapped["row"], swapped["lanes"]) == (second, 4, second + 1)
    assert swapped["energies"] == newest["energies"]
    assert swapped["recipe"]["dynamics"]["rate"] == 0.1
    changed(page.locator("#total"), with_ghost)
    press(page, "x")
    shown = wait_for(page, lambda r: r["lane"] == second, what="and back")
    assert (shown["row"], shown["energies"]) == (2, other["energies"])


def test_restart_begins_this_batch_and_next_takes_the_next(page):
    first = readout(page)
    step(page, 2)
    press(page, "n")
    second = wait_for(page, lambda r: r["batch"] == 1, what="batch 1")
    assert (second["row"], second["step"], second["lane"]) == (3, 0, first["lane"])
    assert second["energies"] != first["energies"]
    step(page)
    click(page, "restart")
    again = wait_for(page, lambda r: r["lane"] == first["lanes"], what="a new lane")
    assert (again["row"], again["step"], again["batch"]) == (0, 0, 1)
    assert again["energies"] == second["energies"], "the same batch under the same weights"
    click(page, "next")
    assert wait_for(page, lambda r: r["batch"] == 2)["lane"] == again["lane"]


def test_the_batch_gear_trains(page):
    lane = readout(page)["lanes"]  # of the next one
    set_steps(page, "2")
    wait_for(page, lambda r: r["experiment"]["steps"] == 2)
    for number in (1, 2, 3):  # in the gear of steps the weights stay
        press(page, "n")
        held = wait_for(page, lambda r, n=number: r["batch"] == n)
    press(page, "Home")
    wait_for(page, lambda r: r["cursor"] == 0)
    click(page, "gear")
    wait_for(page, lambda r: r["gear"] == "batch")
    set_speed(page, "free")
    press(page, "Space")
    shown = wait_for(page, lambda r: r["batch"] >= 5 and r["lane"] == lane, 30, "five batches")
    assert 0.5 < shown["accuracy"] <= 1
    press(page, "Space")
    wait_for(page, lambda r: not r["playing"])
    settle(page)
    for _ in range(40):
        shown = readout(page)
        if (shown["batch"], shown["step"]) == (3, 0):
            break
        key = "ArrowLeft" if shown["batch"] >= 3 and shown["cursor"] < 400 else "Home"
        far = shown["batch"] > 10
        press(page, f"Shift+{key}" if far else key)
        wait_for(page, lambda r, c=shown["cursor"]: r["cursor"] != c)
    assert (shown["batch"], shown["step"]) == (3, 0)
    assert shown["energies"] != held["energies"], "three updates change what batch 3 begins with"
    assert shown["reached"] == held["reached"] == 1
    wait_in_line(page, "test accuracy")


def test_a_divergence_stops_itself_and_names_step_and_layer(page):
    step(page, 2)
    open_drawer(page)
    turn(page, "rate α", "9.0")
    wait_for(page, lambda r: r["experiment"]["dynamics"]["rate"] == 9.0)
    set_speed(page, "free")
    press(page, "Space")
    shown = wait_for(
        page, lambda r: r["diverged"] and r["message"] == r["diverged"], what="a divergence"
    )
    assert not shown["playing"]
    found = re.match(r"diverged at step (\d+) of batch 0, layer (\d+): ", shown["diverged"])
    assert found, shown["diverged"]
    wait_said(page, shown["diverged"])
    stopped = settle(page)
    assert stopped["row"] == stopped["step"] == int(found[1])
    press(page, "ArrowRight")
    time.sleep(QUIET)
    assert readout(page)["row"] == stopped["row"], "a diverged lane does not go on"
    turn(page, "rate α", "0.1")
    wait_for(page, lambda r: r["experiment"]["dynamics"]["rate"] == 0.1)
    after = settle(page)
    assert after["row"] == after["step"] == stopped["row"], "the newest row is still the same step"
    press(page, "r")
    wait_for(page, lambda r: r["lane"] == stopped["lanes"] and r["row"] == 0, what="a restart")
    shown = step(page, 3)
    assert finite(shown["total"]) and shown["diverged"] is None and shown["message"] == ""


def zip_of(page):
    """What the export tab downloads."""
    open_drawer(page, "export")
    with page.expect_download(timeout=60_000) as coming:
        push(page, "figure, data and recipe")
    return coming.value.suggested_filename, zipfile.ZipFile(Path(coming.value.path()))


def test_commands_act_within_one_step_while_playing_freely(page):
    set_speed(page, "free")
    press(page, "Space")
    wait_for(page, lambda r: r["playing"] and r["row"] > 5)
    for _ in range(2):
        for act in ("gear", "gear", "live"):
            count = readout(page)["commands"]
            click(page, act)
            wait_for(page, lambda r, c=count: r["commands"] > c, what=f"{act} has acted")
    click(page, "play")
    wait_for(page, lambda r: not r["playing"])
    settle(page)
    _, bundle = zip_of(page)
    events = json.loads(bundle.read("events.json"))["events"]
    assert len(events) >= 8
    assert {one["command"] for one in events} >= {"play", "set_gear", "follow", "pause"}
    late = [one["applied"] - one["asked"] for one in events]
    assert min(late) >= 0 and max(late) <= 1, late
    assert events[-1]["command"] == "pause"
    assert events[-1]["applied"] == readout(page)["taken"], "no step was taken after the pause"
    open_drawer(page, "log")
    newest = page.locator("#drawer li", has_text=f"lane {readout(page)['lane']}, row").first
    expect(newest).to_have_text(re.compile(r"pause\s*$"))


# What leaves the page ----------------------------------------------------------------------------


def test_an_export_holds_figure_data_and_recipe_of_what_is_shown(visit, tmp_path):
    page = visit()
    step(page, 5)
    press(page, "ArrowLeft")
    wait_for(page, lambda r: r["cursor"] == 4)
    name, bundle = zip_of(page)
    shown = readout(page)
    assert name == "relaxoscope-energy_time.zip"
    files = {one: bundle.read(one) for one in bundle.namelist()}
    starts = {
        "figure.pdf": b"%PDF",
        "figure.png": b"\x89PNG",
        "data.nc": b"\x89HDF",
    }
    for file, start in starts.items():
        assert files[file].startswith(start), file
    assert b"<svg" in files["figure.svg"]
    assert files["data.csv"].count(b"\n") > 10
    assert tomllib.loads(files["recipe.toml"].decode()) == shown["experiment"]
    (tmp_path / "data.nc").write_bytes(files["data.nc"])
    trace = xr.load_dataset(tmp_path / "data.nc", engine="netcdf4")
    assert trace.sizes["step"] == 6
    here = trace.sel(step=shown["cursor"])
    np.testing.assert_allclose(here["energy"].values, shown["energies"], rtol=1e-6)
    seen = visit.witnesses[-1]  # of each page: nothing is asked of another machine
    assert len(seen.requests) > 5 and any(url.startswith("ws://") for url in seen.requests)
    assert seen.left == []


def test_the_command_that_is_copied_holds_the_whole_recipe(visit):
    came = []

    def listen(context):
        def heard(socket):
            socket.on("framereceived", lambda said: came.append(str(said)))

        context.on("page", lambda opened: opened.on("websocket", heard))

    page = visit(permissions=["clipboard-read", "clipboard-write"], prepare=listen)
    step(page)
    open_drawer(page)
    turn(page, "rate α", "0.25")
    shown = wait_for(page, lambda r: r["experiment"]["dynamics"]["rate"] == 0.25)
    open_drawer(page, "export")
    settle(page)
    [built] = [one for one in came if '"copy as command"' in one]
    for part in ("navigator.clipboard", "relaxoscope relax --recipe -", '"frame'):
        assert part in built, "a button is in sight before it acts, or before it stays where it is"
    text = copied(page, "copy as command")
    assert text.startswith("relaxoscope relax --recipe - --batch 0 ")
    recipe = text.partition("<<'TOML'\n")[2].rpartition("TOML")[0]
    assert tomllib.loads(recipe) == shown["experiment"]
    pre = page.locator("#drawer pre")
    until(lambda: pre.inner_text().strip() == text.strip(), "it stands in the tab")


def test_a_link_that_is_copied_shows_another_visitor_the_same(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    choose_preset(page, "Spiking + forward update")
    wait_for(page, lambda r: r["recipe"].get("precision", {}).get("name") == "Spiking")
    step(page, 6)
    rewind(page, "home")
    wait_for(page, lambda r: r["cursor"] == 0)
    open_drawer(page)
    turn(page, "rate α", "0.25")
    wait_for(page, lambda r: r["lane"] == 2, what="a change of the past starts a lane")
    press(page, "Escape")
    newest = step(page, 4)
    open_drawer(page, "export")
    settle(page)
    text = copied(page, "copy link")
    assert text.startswith(page.url.partition("?")[0] + "?page=relax&state=1.")
    until(lambda: "preset=spiking" in page.url, "a reload compares with it")
    other = visit("?" + text.partition("?")[2])
    shown = wait_for(other, lambda r: r["row"] == newest["row"] and r["drawer"], what="the layout")
    same = ("lane", "lanes", "ghost", "row", "cursor", "energies", "recipe", "experiment", "total")
    assert {name: shown[name] for name in same} == {name: newest[name] for name in same}
    assert "session=" in other.url and other.url.partition("session=")[2][:8] not in page.url
    step(other)  # it is a session of its own
    assert readout(page)["row"] == newest["row"]


def test_an_address_that_is_damaged_says_so_and_the_page_stays_calm(visit):
    page = visit("?page=relax&state=1.AAAA", ready=False)
    refused = page.locator("#line [role=status]", has_text="state: damaged")
    refused.wait_for(timeout=30_000)
    expect(page.locator("#line a", has_text="relax")).to_have_count(1)  # a way on


# The page itself ---------------------------------------------------------------------------------


def test_the_theme_switches_and_keeps_the_session(page):
    step(page, 2)
    settle(page)
    before, dark = readout(page), {}
    for theme in ("dark", "light"):
        click(page, "theme")
        page.wait_for_selector(f'#page[data-theme="{theme}"]')
        shown = wait_ready(page)
        assert (shown["row"], shown["lane"]) == (2, before["lane"])
        assert shown["energies"] == before["energies"]
        settle(page)
        until(lambda: colours(canvas_pixels(page, "errors")) > 16, "it is drawn")
        dark[theme] = np.median(canvas_pixels(page, "errors"))
    assert dark["dark"] < 80 < 200 < dark["light"]


def test_a_reload_brings_back_the_same_session(page):
    lanes = step(page, 3)["lanes"]
    press(page, "r")
    wait_for(page, lambda r: r["lane"] == lanes)
    before = step(page, 2)
    address = page.url
    assert "session=" in address
    page.reload(wait_until="commit")
    after = wait_ready(page)
    assert page.url == address
    for field in ("row", "cursor", "lane", "lanes", "ghost", "energies", "taken"):
        assert after[field] == before[field], field
    assert step(page)["row"] == 3, "it goes on"


def test_an_address_of_long_ago_brings_the_session_back(visit, server):
    page = visit()
    step(page, 2)
    click(page, "restart")
    wait_for(page, lambda r: r["lane"] == 1)
    step(page, 3)
    open_drawer(page, "poke")
    push(page, "poke", exact=True)  # noise, whose seed is logged
    wait_for(page, lambda r: r["poked"] == 3, what="a poke")
    before = step(page, 3)
    query = "?" + page.url.partition("?")[2]
    kept = server.cache / "sessions" / f"{query.rpartition('session=')[2]}.json"
    page.close()
    until(kept.exists, "the session is written when its grace time is over", 60)
    after = readout(visit(query))
    for field in ("row", "lane", "lanes", "ghost", "energies", "taken", "poked"):
        assert after[field] == before[field], field


def test_a_page_that_loads_slowly_keeps_its_session_and_asks_nobody_else(visit):
    """What no socket joins in time the server discards, and builds it anew for the socket."""

    def slowly(context):
        def late(route):
            time.sleep(UNUSED + 2)
            route.continue_()

        context.route("**/panel.min.js*", late, times=1)

    page = visit(prepare=slowly)
    step(page, 2)
    assert visit.witnesses[-1].left == []
    page.reload(wait_until="commit")
    assert wait_ready(page)["row"] == 2


def test_a_visitor_from_another_machine_is_told_how_and_gets_no_session(visit):
    page = visit(ready=False, extra_http_headers={"X-Forwarded-For": "10.0.0.9"})
    page.wait_for_load_state()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.get_by_text("This Relaxoscope serves its own machine only").wait_for()
    assert page.get_by_text("--basic-auth PASSWORD").count() == 1
    time.sleep(1)
    assert page.locator("#readout").count() == page.locator("#board").count() == 0
    assert "session=" not in page.url
    assert readout(page) == {}
    assert [url for url in asked if "://127.0.0.1:" not in url and url[:5] != "data:"] == []
