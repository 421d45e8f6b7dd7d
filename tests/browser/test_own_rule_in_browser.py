"""A rule of one's own in Chromium: saving its file acts on the page, faults are said there."""

import pytest
from driving import (
    Witness,
    menu,
    open_drawer,
    readout,
    serving,
    step,
    wait_for,
    wait_in_drawer,
    wait_ready,
    wait_refused,
    wait_said,
)

WRITTEN = '''
from dataclasses import dataclass

from core import dial, entry


@entry("dynamics", "Mine", formula=r"h - c \\alpha \\, \\partial F / \\partial h", source="this project")
@dataclass(frozen=True)
class Mine:
    """Descent, c times as fast."""

    rate: float = dial(0.05, bounds=(1e-8, 10.0), symbol="α", help="state learning rate")

    def init(self, free_energy, states, generator):
        return None

    def step(self, free_energy, states, memory):
        forces = free_energy.forces(states)
        free = [i not in free_energy.clamped for i in range(len(states))]
        moved = [
            h - C * self.rate * g if moves else h
            for h, g, moves in zip(states, forces, free, strict=True)
        ]
        return moved, memory
'''  # noqa: E501


def written(times):
    return WRITTEN.replace("C *", f"{times} *")


@pytest.fixture(scope="module")
def owned(server, tmp_path_factory):
    """A server that was started with a rule of somebody's own, and the file of the rule."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(written(1))
    given = {"plugins": [folder / "mine.py"], "cache": server.cache}
    with serving(folder, grace=2.0, runs=folder / "runs", **given) as running:
        yield running, folder / "mine.py"


@pytest.fixture
def page(chromium, owned):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    witness = Witness(opened)
    opened.goto(owned[0].url, wait_until="commit")
    wait_ready(opened)
    yield opened
    context.close()
    assert (witness.errors, owned[0].complaints()) == ([], [])


def test_saving_acts_at_once_and_a_fault_is_said_beside_the_menu(page, owned):
    path = owned[1]
    open_drawer(page)
    menu(page, "State dynamics").select_option(label="Mine")
    wait_for(page, lambda r: r["experiment"]["dynamics"]["name"] == "Mine")
    before = step(page, 8)
    path.write_text(written(2))
    shown = wait_for(
        page, lambda r: r["lanes"] == before["lanes"] + 1 and r["row"] == before["row"]
    )
    assert shown["cursor"] == before["row"]
    assert shown["total"] < before["total"], "it descends faster"

    path.write_text(written(2).replace("return None", "return None +"))
    number = written(2)[: written(2).index("return None")].count("\n") + 1
    wait_in_drawer(page, rf"mine\.py, line {number}; ")
    wait_said(page, f"mine.py, line {number}; ")
    again = step(page, 1)
    assert (again["lanes"], again["row"]) == (shown["lanes"], shown["row"] + 1), "as before"

    path.write_text(written(2).replace("free = [", "free = 1 / 0 * ["))
    wait_said(page, "ZeroDivisionError", "the version before stays")
    assert readout(page)["lanes"] == shown["lanes"]

    path.write_text(written(3))
    wait_for(page, lambda r: r["lanes"] == shown["lanes"] + 1, what="the mended file")
    wait_said(page)
    wait_refused(page)
