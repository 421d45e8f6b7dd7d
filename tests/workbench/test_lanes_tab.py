"""The tab of lanes: what the list says of each, what is drawn of two, and the row they part at."""

import html
import re
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from sessions import SMALL, do, opened

from core import Trace, make
from workbench import lanes_list, lanes_tab
from workbench.axes import ENERGY_LIMITS
from workbench.compare_choices import read
from workbench.lanes_list import MOST, Entry, entry, listed
from workbench.lanes_plot import LEAST
from workbench.lanes_tab import LanesTab
from workbench.look import palette
from workbench.sight import Sight
from workbench.watched import Watched


def told(session):
    """What the list says of each lane: words, from where, last row."""
    found = [entry(one, session.lanes) for one in session.lanes]
    return [(one.words, one.came, one.first, one.last) for one in found]


def test_each_lane_says_how_it_came_about():
    session = opened()
    do(session, "step", 6)
    do(session, "seek", 2)
    do(session, "step", 3)
    do(session, "seek", 4)
    do(session, "change", precision=make("precision", "Spiking"))
    do(session, "step", 2)
    do(session, "restart")
    do(session, "change", init=make("init", "Normal"))
    do(session, "warm_up", 1)
    do(session, "poke", layer="2", how="shift", amount=0.5)
    assert told(session) == [
        ("start", "", 0, 6),
        ("the same choices", "from row 2 of lane 0", 2, 5),
        ("precision: Identity -> Spiking", "from row 4 of lane 1", 4, 6),
        ("restart", "batch 0 again, from row 6 of lane 2", 0, 0),
        ("init: Forward -> Normal", "batch 0 again, from row 0 of lane 3", 0, 0),
        (
            f"1 batches relaxed first; row 0: {session.lane.pokes[0].poke.sentence()}",
            "batch 0 again, from row 0 of lane 4",
            0,
            0,
        ),
    ]


def test_a_lane_that_diverged_says_so():
    session = opened(SMALL.changed(dynamics=make("dynamics", "GradientDescent", {"rate": 10.0})))
    do(session, "step", 200)
    [one] = [entry(lane, session.lanes) for lane in session.lanes]
    assert one.stopped == session.lane.diverged and one.stopped.startswith("diverged at")
    assert html.escape(one.stopped) in listed([one], 0, None)


def test_the_list_marks_A_and_B_and_asks_for_the_others():
    entries = [Entry(k, f"lane <{k}>", "", 0, 9) for k in range(4)]
    text = listed(entries, 2, 0)
    assert re.findall(r'data-ask="([a-z_]+ \d)"', text) == [
        "open_lane 3",
        "compare_with 3",
        "open_lane 2",
        "open_lane 1",
        "compare_with 1",
        "open_lane 0",
        "compare_with 0",
    ]
    assert text.count('class="as A"') == text.count('class="as B"') == 1
    assert text.index('class="as A"') < text.index('class="as B"'), "the newest is on top"
    assert "&lt;2&gt;" in text and "<2>" not in text


def test_of_many_lanes_the_newest_and_those_that_are_drawn_are_listed(monkeypatch):
    monkeypatch.setattr(lanes_list, "entry", lambda lane, _: Entry(lane.id, "w" * 999, "", 0, 9))
    lanes = [SimpleNamespace(id=k) for k in range(MOST + 10)]
    place = SimpleNamespace(lane=lanes[3], ghost=lanes[1])
    text = lanes_list.of_session(SimpleNamespace(showing=place, lanes=lanes))
    shown = [int(k) for k in re.findall(r"open_lane (\d+)", text)]
    assert shown == [*range(MOST + 9, 9, -1), 3, 1]
    assert "and 8 older" in text and len(text) < 40_000


class Page:
    """What the tab needs of a page."""

    def __init__(self, session, watches=False):
        self.session, self.look = session, palette("light")
        self.board = SimpleNamespace(limits=ENERGY_LIMITS)
        self.address = SimpleNamespace(watches=watches, session="mine", run="kept")
        self.sight = Sight()
        self.redrawn = 0

    def do(self, act):
        act(self.session)

    def redraw(self):
        self.redrawn += 1


@pytest.fixture
def tab(monkeypatch):
    monkeypatch.setattr(lanes_tab, "EVERY", 0.0)
    monkeypatch.setattr(lanes_tab, "LATEST", 0.0)
    session = opened()
    do(session, "step", 8)
    made = LanesTab(Page(session), "")
    made.session = session
    session._show()
    made.follow()
    return made


def do_and_follow(tab, name, *args, **choices):
    do(tab.session, name, *args, **choices)
    tab.session._show()
    tab.follow()


def image(tab, k):
    return tab._plot._values[k].data["image"]


def test_one_lane_has_its_strip_and_says_how_to_get_another(tab):
    assert [pane.visible for pane in tab._panes] == [True, False, False]
    assert "One lane so far" in tab._said.object and tab.parted is None and tab._go.disabled
    assert image(tab, 0)[0].shape == (4, 9) and image(tab, 1) == image(tab, 2) == []


def test_a_fork_shows_three_strips_and_the_row_they_part_at(tab):
    do_and_follow(tab, "seek", 3)
    do_and_follow(tab, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do_and_follow(tab, "step", 4)
    assert [pane.visible for pane in tab._panes] == [True] * 3
    assert tab.parted == 4 and tab._page.redrawn == 1
    assert "first at <b>row 4</b>" in tab._said.object
    lines = tab._plot._lines
    assert [line.location for line in lines] == [3.5] * 3 and all(line.visible for line in lines)
    assert [one.location for one in tab._plot._cursors] == [7] * 3
    a, b, ratio = (image(tab, k)[0] for k in range(3))
    assert a.shape == b.shape == ratio.shape == (4, 9)
    there = np.isfinite(ratio)
    np.testing.assert_allclose(ratio[there], (a - b)[there], atol=1e-5)
    assert (ratio[:, :4][there[:, :4]] == 0).all(), "the rows of the parent"
    scale = tab._plot._ratios
    assert scale.low == -scale.high and scale.high >= np.nanmax(np.abs(ratio)) >= LEAST
    assert (tab._plot._energies.low, tab._plot._energies.high) == ENERGY_LIMITS
    link = urlsplit(html.unescape(re.search('href="(.*?)"', tab._more.object)[1]))
    asked, refused = read(parse_qs(link.query))
    assert asked.run == ("~mine:1", "~mine:0") and not refused


def test_another_amount_moves_the_line_and_a_bad_one_is_refused(tab):
    do_and_follow(tab, "seek", 3)
    do_and_follow(tab, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do_and_follow(tab, "step", 4)
    tab._amount.value = "99.9"
    tab.follow()
    assert tab.parted is None and "never part by more than 99.9 %" in tab._said.object
    assert not any(line.visible for line in tab._plot._lines)
    tab._amount.value = "<b>"
    tab.follow()
    assert "lanes.part: &lt;b&gt;; % between 0 and 100" in tab._refused.object
    assert tab.parted is None and tab._go.disabled
    tab._amount.value = "1"
    tab.follow()
    assert tab.parted == 4 and not tab._refused.object


def test_networks_of_other_depth_say_why_they_are_not_compared(tab):
    do_and_follow(tab, "change", network=make("network", "MLP", {"hidden": (8, 8)}))
    assert "lane 1 has 3 layers, lane 0 4" in tab._said.object
    assert [pane.visible for pane in tab._panes] == [True, False, False]
    assert image(tab, 0)[0].shape == (3, 1)


def test_buttons_and_taps_ask_the_session(tab):
    do_and_follow(tab, "seek", 3)
    do_and_follow(tab, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do_and_follow(tab, "step", 4)
    session = tab.session
    row = tab.view[0]
    for label, lane in (("undo", 0), ("redo", 1), ("lane before", 0), ("lane after", 1)):
        [button] = [one for one in row if one.label == label]
        button.clicks += 1
        do_and_follow(tab, "follow")
        assert session.lane.id == lane, label
    tab._go.clicks += 1
    do_and_follow(tab, "pause")
    assert session.cursor == tab.parted == 4
    tab._plot._tapped(SimpleNamespace(x=1.6))
    do_and_follow(tab, "pause")
    assert session.cursor == 2


def test_what_has_not_changed_is_not_drawn_again(tab, monkeypatch):
    drawn = []
    monkeypatch.setattr(lanes_tab, "strips", lambda *a: drawn.append(1))
    tab.follow()
    tab.follow(draws=False)
    assert not drawn


def test_the_list_escapes_what_is_in_a_title(tab, monkeypatch):
    tab.session.lane.title = "<script>"
    tab._key = None
    tab.follow()
    assert "&lt;script&gt;" in tab._list.object and "<script>" not in tab._list.object
    assert lanes_list.of_session(SimpleNamespace(showing=None, lanes=[])) == ""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A session of two lanes that was recorded, and the run of it."""
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    monkeypatch.setattr(lanes_tab, "EVERY", 0.0)
    monkeypatch.setattr(lanes_tab, "LATEST", 0.0)
    session = opened()
    do(session, "record", "kept")
    do(session, "step", 8)
    do(session, "seek", 3)
    do(session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do(session, "step", 4)
    do(session, "stop_recording")
    session._show()
    watched = Watched("kept")
    watched.look()
    return session, watched


def test_a_run_that_is_watched_has_the_strips_of_its_session(kept):
    tabs = [LanesTab(Page(one, watches=isinstance(one, Watched)), "") for one in kept]
    for tab in tabs:
        tab.follow()
    assert [one.parted for one in tabs] == [4, 4]
    for k in range(3):
        np.testing.assert_array_equal(*(image(one, k)[0] for one in tabs))
    alive, run = tabs
    assert run._said.object == alive._said.object
    assert "run=kept" in run._list.object and "data-ask" not in run._list.object
    assert "kept%3A1" in run._more.object and "A press on" not in run.view[-1].object
    assert [one.disabled for one in run.view[0]] == [True] * 4 + [False]


def test_keys_that_need_a_session_say_why_a_run_does_not_hear_them(kept):
    _, watched = kept
    before = watched.lane.id, watched.cursor
    for act, line in (
        (lambda: watched.next_lane(-1), "the lanes of this run are listed"),
        (watched.undo, "nothing to undo"),
        (watched.redo, "nothing to undo"),
    ):
        changes = watched.changes
        act()
        assert line in watched.message and watched.changes == changes + 1
    assert (watched.lane.id, watched.cursor) == before


def test_energies_that_were_not_logged_have_no_strips(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    with Trace.open(tmp_path / "own", layers=[2, 3]) as log:
        for _ in range(3):
            log.append(error=[1.0, 2.0])
    watched = Watched("own")
    watched.look()
    tab = LanesTab(Page(watched, watches=True), "")
    tab.follow()
    assert tab._said.object == "<small>lane 0: energies were not logged</small>"
    assert not any(pane.visible for pane in tab._panes)
