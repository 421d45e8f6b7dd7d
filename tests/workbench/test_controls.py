"""A session in a notebook: its buttons ask for what a page's do, and it shows what is."""

import re

import numpy as np
import pytest
from bokeh.models import Plot
from sessions import SMALL, opened, settle

from core import make
from workbench.controls import RECIPE, Controls


@pytest.fixture(scope="module")
def shown():
    """A session and its controls, built once; each test leaves it as it likes."""
    session = opened(SMALL)
    return session, Controls(session)


def after(session, controls):
    """Let everything that was asked for have its effect, and be drawn."""
    settle(session)
    controls.look()


def press(shown, name):
    session, controls = shown
    controls.buttons[name].clicks += 1
    after(session, controls)
    return session


def test_buttons_step_rewind_restart_and_take_the_next_batch(shown):
    session = press(shown, "restart")
    assert session.row == 0
    assert press(shown, "step").row == 1
    assert press(shown, "end").row == SMALL.steps
    assert press(shown, "back").cursor == SMALL.steps - 1
    lanes = len(session.lanes)
    press(shown, "end")
    assert len(session.lanes) == lanes + 1, "relaxing on after a rewind is a new lane"
    assert press(shown, "next").lane.trace.row(session.row)["batch"] == 1


def test_play_begins_and_pauses(shown):
    session, controls = shown
    controls.buttons["play"].clicks += 1
    after(session, controls)
    assert session.playing and controls.buttons["play"].label == "pause"
    controls.buttons["play"].clicks += 1
    after(session, controls)
    assert not session.playing and controls.buttons["play"].label == "play"


@pytest.mark.oracle("closed form")
def test_what_is_drawn_at_the_cursor_are_the_energies_of_that_row(shown):
    session = press(shown, "restart")
    controls = shown[1]
    after(session, controls)
    layers, energies = controls.points
    # After a forward sweep hidden errors are zero, and F is half the squared error of the output.
    states = session._relaxation.states
    error = states[-1] - session.lane.training.network.predictions(states)[-1]
    assert layers.tolist() == [4]
    half = 0.5 * error.detach().square().sum(1).mean()
    np.testing.assert_allclose(energies, [float(half)], rtol=1e-6)
    assert f"F = {energies[0]:.3g} nat" in controls.line


def test_the_slider_looks_at_a_row(shown):
    session = press(shown, "restart")
    press(shown, "end")
    controls = shown[1]
    controls._row.value = 2
    after(session, controls)
    assert session.cursor == 2 and "row 2 of 5" in controls.line


def test_a_choice_changes_the_session_and_a_change_the_choice(shown):
    session, controls = shown
    assert set(controls.kinds) == set(RECIPE)
    controls.kinds["precision"].menu.value = "Spiking"
    after(session, controls)
    assert type(session.lane.experiment.precision).__name__ == "Spiking"
    session.change(precision=make("precision", "Identity"))
    after(session, controls)
    assert controls.kinds["precision"].menu.value == "Identity"


def test_a_session_shows_itself_and_fetches_nothing(shown):
    session, _ = shown
    bundle, _ = session._repr_mimebundle_()
    text = bundle["text/html"]
    assert "to the end" in text
    assert not re.findall(r"""(?:src|href)\s*=\s*\\?["']https?://""", text)


def test_a_session_that_is_shown_twice_has_plots_in_both_places(shown):
    session, _ = shown
    # A plot of Bokeh is in one place: where it is shown next it leaves the one before.
    roots = [session.controls().get_root() for _ in range(2)]
    first, second = ({one.id for one in root.select({"type": Plot})} for root in roots)
    assert len(first) == len(second) == 2 and not first & second
