"""The home page: every preset and what came of it, the newest runs; each a link that opens."""

import re
from urllib.parse import parse_qs

import pytest

from core.runs.train import train
from tests.workbench.sessions import SMALL
from tests.workbench.test_recording_sessions import runs
from workbench import home_page
from workbench.address import Address
from workbench.pages import BUILDERS
from workbench.presets import named, presets, published
from workbench.shell import TITLES

__all__ = ["runs"]


@pytest.fixture
def shown(monkeypatch):
    """What the page's template is given."""
    held = {}
    monkeypatch.setattr(
        home_page.shell,
        "template",
        lambda page, theme, panels, **given: held.update(given["variables"], page=page),
    )
    home_page.home_page("dark")
    return held


def asked(href):
    return Address.of(parse_qs(href.removeprefix("?")), "secret")


def test_every_page_has_a_door_and_every_door_a_page():
    assert set(TITLES) == set(BUILDERS)


def test_each_preset_is_there_once_and_its_link_opens_it(shown):
    cards = [*shown["cards"], *(one for found in shown["works"].values() for one in found)]
    assert [one.name for one in cards] == list(named())
    assert len(shown["cards"]) == len(presets()) and shown["page"] == "home"
    for one in cards:
        to = asked(one.href)
        assert to.preset == one.name and "page=relax" in one.href and "theme=dark" in one.href
        state = to._asked(None)
        assert state.layout == {"preset": one.name} and not state.log.events


def test_what_came_of_a_published_one_is_told_as_it_stands_in_its_file(shown):
    cards = {one.name: one for found in shown["works"].values() for one in found}
    for name, preset in published().items():
        one, printed = cards[name], preset.printed
        assert (one.status, one.ours, one.place) == (printed.status, printed.ours, printed.place)
        assert one.theirs.removesuffix(" *") == printed.theirs
        assert one.theirs.endswith(" *") == (printed.second_hand and bool(printed.theirs))
        assert all(sentence in one.differs for sentence in printed.differs)


def test_the_newest_runs_are_shown_and_one_that_is_damaged_says_so(runs, monkeypatch):
    for k in range(3):
        train(SMALL.changed(seed=k, pretraining="random"), runs / f"run-{k}", batches=2)
    (runs / "run-1" / "rows.sqlite").write_bytes(b"no database")
    monkeypatch.setattr(home_page, "NEWEST", 2)
    found = home_page._runs("light")
    assert len(found) == 2 and {one.name for one in found} < {"run-0", "run-1", "run-2"}
    monkeypatch.setattr(home_page, "NEWEST", 8)
    states = {one.name: one for one in home_page._runs("light")}
    assert set(states) == {"run-0", "run-1", "run-2"}
    assert states["run-2"].state == "finished" and "2 batches" in states["run-2"].told
    assert states["run-1"].state != "finished"
    assert all(
        asked(one.href).watches and asked(one.href).run == name for name, one in states.items()
    )


def test_there_may_be_no_run(runs):
    assert home_page._runs("light") == []


def test_text_of_others_is_escaped_wherever_the_template_names_it():
    text = (home_page.assets() / "look" / "home.html").read_text("utf-8")
    named_there = re.findall(r"\{\{ (.*?) \}\}", text)
    for one in named_there:
        assert one.endswith("| e") or one.startswith(("n", "status", "found | length", '"s" if')), (
            one
        )
    assert any("one.experiment" in one for one in named_there)
