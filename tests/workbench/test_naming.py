"""Layers are counted as works count them: on axes, in sentences, in what leaves the page."""

import pytest
from bokeh.models import LinearAxis

from core import make
from tests.workbench.sessions import SMALL, do, opened
from workbench import figures
from workbench.blank import name_layers
from workbench.naming import FIRST_LAYER, FROM_OUTPUT, NAMINGS, OURS, called, countable, in_poke
from workbench.places import assets
from workbench.sight import Sight
from workbench.views.marks import layer_names

STATES = ("0", "1", "2", "3")
SKIPS = ("1", "2", "3", "3s", "4")


@pytest.mark.parametrize(
    ("naming", "names", "expected"),
    [
        (OURS, STATES, ("0", "1", "2", "3")),
        (FIRST_LAYER, STATES, ("x", "0", "1", "2")),  # layer_i of the code is our i + 1
        (FIRST_LAYER, STATES[1:], ("0", "1", "2")),
        (FROM_OUTPUT, STATES, ("3", "2", "1", "0")),
        (FROM_OUTPUT, STATES[1:], ("2", "1", "0")),
        (FROM_OUTPUT, SKIPS, ("3", "2", "1", "1s", "0")),
    ],
)
def test_layers_are_counted_as_each_work_counts_them(naming, names, expected):
    assert called(names, naming) == expected


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("names", [("conv1", "2", "3"), ("1", "3"), ("2", "3"), ()])
def test_names_that_do_not_count_stay(naming, names):
    assert not countable(names) and called(names, naming) == names


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_name_is_given_to_one_state_alone(naming):
    names = [str(k) for k in range(20)]
    assert len(set(called(names, naming))) == 20


def test_every_work_is_in_the_references():
    known = (assets() / "references.bib").read_text("utf-8")
    assert all(f"{{{key}," in known for key in NAMINGS if key != OURS)


def test_a_poke_is_told_of_the_state_as_it_is_called():
    told = {"2": "0", "fc:1": "b"}
    assert in_poke("poke 2: noise 0.5, sample 2", told) == "poke 0: noise 0.5, sample 2"
    assert in_poke("poke 7: zero", told) == "poke 7: zero"
    assert in_poke("init Zero -> Forward", told) == "init Zero -> Forward"


def test_an_axis_names_every_layer_and_shows_as_many_as_there_is_room_for():
    axis = LinearAxis()
    names = called([str(k) for k in range(1, 41)], FROM_OUTPUT)
    name_layers(axis, names, 10)
    assert axis.ticker.ticks == list(range(1, 41, 4))
    assert axis.major_label_overrides[1] == "39" and axis.major_label_overrides[40] == "0"
    ticker = axis.ticker
    name_layers(axis, ["a", "b"], 10)
    assert axis.ticker is ticker and ticker.ticks == [1, 2]


def test_an_exported_figure_and_its_caption_count_as_the_page_does(monkeypatch):
    monkeypatch.setattr(figures, "drawn", lambda *given: {})
    session, naming = opened(), FROM_OUTPUT
    do(session, "step", 3)
    sight = Sight(naming=naming)
    trace = session.lane.trace.dataset()
    files = figures.bundle("energy_time", sight.named(trace))
    assert NAMINGS[naming].about in files["README.txt"].decode()
    assert layer_names(sight.named(trace)) == ["3", "2", "1", "0"]
    assert sight.named(trace)["layer"].values.tolist() == [1, 2, 3, 4], "numbers stay ours"
    assert Sight().named(trace) is trace, "no word where layers are counted as everywhere here"


def test_layers_of_a_network_with_names_of_its_own_are_exported_under_them():
    session = opened(SMALL)
    do(session, "step", 1)
    trace = session.lane.trace.dataset()
    own = trace.assign_coords(layer_name=("layer", ["in", "a", "b", "out"]))
    assert Sight(naming=FROM_OUTPUT).named(own) is own


def test_an_address_brings_sample_and_names_and_nothing_that_is_none():
    sight = Sight(7, FROM_OUTPUT)
    again = Sight()
    again.lay_out(sight.layout)
    assert again == sight
    for wrong in ({"sample": "-1", "naming": "<b>"}, {"sample": "1" * 30}, {"sample": "²"}, {}):
        again = Sight()
        again.lay_out(wrong)
        assert again == Sight()


def test_the_input_of_a_generative_network_is_counted_too():
    network = make("network", "Decoder", {"latent": 6, "hidden": (8,)})
    task, init = make("task", "Reconstruct", {}), make("init", "Zero")
    session = opened(SMALL.changed(network=network, task=task, init=init))
    names = session.lane.trace.names
    assert Sight(naming=FROM_OUTPUT).told(names) == {"0": "2", "1": "1", "2": "0"}
