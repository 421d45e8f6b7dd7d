"""A rule that is saved again acts at once on the same batch; one that fails leaves what was."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows, settle

from core import BadInput, make, plugins
from core.catalogue import cards
from workbench import own_files
from workbench.dials import Kind
from workbench.links import packed
from workbench.look import palette
from workbench.own_files import OwnFiles, Renewal, versions
from workbench.session import Session

RULE = """
from dataclasses import dataclass

from core import dial, entry


@entry("dynamics", "Mine", formula=r"h - k \\alpha \\partial F", source="this project")
@dataclass(frozen=True)
class Mine:
    '''Descent, a number of times as fast.'''

    rate: float = dial(0.1, bounds=(1e-8, 10.0), help="rate")
    {dial}

    def init(self, free_energy, states, generator):
        return None

    def step(self, free_energy, states, memory):
        {before}
        forces = free_energy.forces(states)
        moved = [
            h if i in free_energy.clamped else h - {times} * self.rate * g
            for i, (h, g) in enumerate(zip(states, forces, strict=True))
        ]
        return moved, memory
"""


class Saved:
    """A file, a session that uses it, and the looks of a page."""

    def __init__(self, folder, monkeypatch):
        self.path = folder / "mine.py"
        self.now = 100.0
        self.count = 0
        monkeypatch.setattr(own_files.time, "monotonic", lambda: self.now)
        self.files = OwnFiles()
        self.save()
        plugins.load(self.path)
        self.session = opened(SMALL.changed(dynamics=make("dynamics", "Mine", {"rate": 0.05})))
        self.renewal = Renewal(self.session)
        self.look()

    def save(self, times=1, before="pass", dial="", text=None):
        """Write the file; every writing has a time of its own."""
        self.path.write_text(text or RULE.format(times=times, before=before, dial=dial))
        self.count += 1
        os.utime(self.path, (self.count, self.count))

    def look(self, times=3):
        for _ in range(times):
            self.now += 1.0
            self.files.look()
            self.renewal.follow()
            settle(self.session)


@pytest.fixture
def saved(tmp_path, monkeypatch, scratch):
    return Saved(tmp_path, monkeypatch)


def test_saving_runs_the_same_batch_again_up_to_the_cursor(saved):
    session = saved.session
    do(session, "step", 4)
    before = rows(session.lane)
    saved.save(times=2)
    saved.look()
    lane = session.lane
    assert (lane.id, lane.parent, lane.title) == (1, 0, "mine.py saved again")
    assert (session.row, session.cursor) == (4, 4)
    assert lane.experiment.dynamics.rate == 0.05, "the dials stay"
    twice = opened(
        SMALL.changed(dynamics=make("dynamics", "GradientDescent", {"rate": 0.1}))
    )  # two times 0.05
    do(twice, "step", 4)
    np.testing.assert_allclose(
        rows(lane)["energy"], rows(twice.lane)["energy"], rtol=1e-5, atol=1e-12
    )
    assert_same_rows(before, rows(session.lanes[0]))
    assert session.log()["events"][-1]["args"]["files"][0]["name"] == "mine.py"
    do(session, "swap")
    do(session, "step", 2)
    assert session.lane.id == 0 and session.row == 6, "the lane before goes on by its own version"
    saved.look()
    assert len(session.lanes) == 2, "going back to it is not saving"


def test_a_trace_names_the_version_that_made_it(saved):
    do(saved.session, "step", 2)
    saved.save(times=3)
    saved.look()
    shas = [lane.trace.attrs["plugins"][0]["sha256"] for lane in saved.session.lanes]
    assert len(set(shas)) == 2
    assert shas[1] == plugins.loaded()[0].sha256


def test_an_old_row_is_run_to_that_row(saved):
    do(saved.session, "step", 5)
    do(saved.session, "seek", 2)
    saved.save(times=2)
    saved.look()
    assert (saved.session.lane.id, saved.session.row) == (1, 2)


def test_a_file_that_does_not_load_is_told_with_its_line_and_nothing_changes(saved):
    do(saved.session, "step", 3)
    saved.save(text="import torch\n\nnonsense here\n")
    saved.look()
    line = saved.files.trouble_of(saved.session.wanted)
    assert line.startswith(f"plugin: {saved.path}, line 3; ")
    assert saved.files.trouble_by_kind() == {"dynamics": line}
    assert len(saved.session.lanes) == 1
    do(saved.session, "step", 2)
    assert saved.session.row == 5 and saved.session.message == ""
    saved.save(times=2)
    saved.look()
    assert saved.files.troubles == {} and len(saved.session.lanes) == 2


def test_a_rule_that_fails_while_it_runs_leaves_the_lane_that_was(saved):
    do(saved.session, "step", 3)
    before = rows(saved.session.lane)
    saved.save(before="undefined + 1")
    saved.look()
    session = saved.session
    number = RULE[: RULE.index("{before}")].count("\n") + 1
    assert session.message.startswith(f"reload: mine.py, line {number}; NameError: ")
    assert session.message.endswith("the version before stays")
    assert len(session.lanes) == 1 and session.lane.id == 0
    assert_same_rows(before, rows(session.lane))
    do(session, "step", 2)
    assert session.row == 5
    saved.look()
    assert len(session.lanes) == 1, "it is asked for once"
    saved.save(times=3)
    saved.look()
    assert len(session.lanes) == 2


def test_a_rule_that_fails_later_says_where(saved):
    saved.save(before="undefined + 1")
    saved.look()  # at row 0 nothing is stepped
    assert len(saved.session.lanes) == 2
    do(saved.session, "step", 1)
    number = RULE[: RULE.index("{before}")].count("\n") + 1
    assert saved.session.message.startswith(f"stopped: mine.py, line {number}; NameError")


def test_a_new_dial_has_its_first_value_and_one_that_no_longer_fits_too(saved):
    saved.save(dial='k: int = dial(3, bounds=(1, 9), help="k")')
    saved.look()
    assert saved.session.lane.experiment.dynamics.k == 3
    saved.save(text=RULE.format(times=1, before="pass", dial="").replace("1e-8, 10.0", "0.06, 1.0"))
    saved.look()
    assert saved.session.lane.experiment.dynamics.rate == 0.1


def test_an_entry_that_is_gone_stays_in_the_lane(saved):
    saved.save(text=RULE.format(times=1, before="pass", dial="").replace("Mine", "Other"))
    saved.look()
    assert "Mine" not in cards("dynamics") and "Other" in cards("dynamics")
    do(saved.session, "step", 2)
    assert saved.session.row == 2 and len(saved.session.lanes) == 1


def test_a_file_that_is_gone_or_only_touched_changes_nothing(saved):
    os.utime(saved.path, (1e6, 1e6))
    saved.look()
    saved.path.unlink()
    saved.look()
    assert len(saved.session.lanes) == 1
    assert "no file" in saved.files.trouble_of(saved.session.wanted)


def test_a_file_that_is_being_written_waits(saved):
    saved.save(text="half of a")
    saved.look(times=1)
    saved.save(times=2)
    saved.look()
    assert saved.files.troubles == {} and len(saved.session.lanes) == 2


def test_what_ran_in_two_versions_is_neither_linked_nor_repeated(saved):
    do(saved.session, "step", 2)
    saved.save(times=2)
    saved.look()
    log = saved.session.log()
    with pytest.raises(BadInput, match=r"^link: mine\.py was saved again"):
        packed(log, {})
    with pytest.raises(BadInput, match=r"^reload: mine\.py was saved again .* cannot be repeated"):
        Session.replay(log)


def test_the_menu_offers_what_the_file_has_now(saved):
    sent = []
    menu = Kind("dynamics", sent.append, palette("light"), "")
    menu.show(saved.session.wanted)
    assert menu.menu.value == "Mine"
    other = RULE.format(times=1, before="pass", dial="").replace('"Mine"', '"Mine, faster"')
    saved.save(text=other)
    saved.look()
    menu.show(saved.session.wanted)
    assert menu.menu.value == "Mine, faster" and "Mine" not in menu.menu.options
    assert sent == []
    menu.warn("plugin: mine.py, line 2; wrong")
    assert "line 2" in menu._error.object and menu._error.visible
    assert versions(saved.session.lane.experiment) == []


def test_a_network_of_ones_own_is_built_again(tmp_path, monkeypatch, scratch):
    path = tmp_path / "net.toml"

    def write(width, at):
        path.write_text(
            f"""title = "Net of mine"
[[layer]]
modules = [{{ type = "Flatten" }}, {{ type = "Linear", in_features = 64, out_features = {width} }}]
[[layer]]
modules = [{{ type = "Linear", in_features = {width}, out_features = 10 }}]
"""
        )
        os.utime(path, (at, at))

    write(6, 1)
    [card] = plugins.load(path).cards
    session = opened(SMALL.changed(network=card.entry()))
    do(session, "step", 3)
    now = SimpleNamespace(at=10.0)
    monkeypatch.setattr(own_files.time, "monotonic", lambda: now.at)
    files, renewal = OwnFiles(), Renewal(session)
    write(9, 2)
    for _ in range(3):
        now.at += 1
        files.look()
        renewal.follow()
        settle(session)
    assert session.lane.training.network.nodes[1].shape == (9,)
    assert (session.lane.id, session.row) == (1, 3)
