"""Menus, dials and the line of choices: every entry can be chosen, or says why not."""

import pytest

from core.catalogue import KINDS, BadInput, card_of, cards, make
from core.companions import refused_choices
from core.experiment import TERMS, Experiment
from tests.workbench.sessions import SMALL, do, opened
from workbench import look
from workbench.command import command, recipe_toml
from workbench.dials import Kind
from workbench.plan import rows_of
from workbench.presets import presets, whole
from workbench.scalars import OF_THE_RUN, TERMS_OF_F, Scalars
from workbench.scene import readout, scene
from workbench.summary import of_preset, terms, words

ON_DISK = {n for n, one in cards("dataset").items() if not hasattr(one.entry, "comes_with")}
"""Data that this machine may not have."""

POOLED = {"VGG": 2, "EquilibriumVGG": 2, "AlexNet": 2}
"""Networks that images of 8 x 8 are too small for, with the pools that they have room for."""

ENTRIES = [(kind, name) for kind in KINDS for name in cards(kind) if name not in ON_DISK]


class Asked(list):
    """Changes as a page sends them."""

    def __call__(self, choices):
        self.append(choices)


def picked(kind, name, experiment):
    """What is sent when an entry is picked in its menu; None where it is greyed."""
    asked = Asked()
    menu = Kind(kind, asked, look.LIGHT, "")
    menu.show(experiment)
    title = cards(kind)[name].title
    if title in menu.menu.disabled_options:
        return None, menu._about.object
    menu.menu.value = title
    return (asked[-1] if asked else {}), menu._error.object


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_of_every_menu_relaxes_or_is_greyed_with_its_sentence(kind, name):
    choices, said = picked(kind, name, SMALL)
    if choices is None:
        assert refused_choices(SMALL, kind)[name] and cards(kind)[name].title in said
        return
    session = opened()
    do(session, "change", **choices)
    if kind == "network" and name in POOLED:
        assert session.message.startswith("network.pools: ")
        assert "images of 8 x 8; fewer pools, or images of 1" in session.message
        assert session.wanted == SMALL
        do(session, "change", network=make("network", name, {"pools": POOLED[name]}))
    assert session.message == ""
    assert type(getattr(session.wanted, kind)).__name__ == name
    do(session, "step", 2)
    assert session.row == 2 and not session.message
    shown = readout(session, scene(session))
    assert shown["diverged"] is None and shown["total"] is not None
    words_of = words(session.wanted, kind)
    assert words_of.startswith(cards(kind)[name].title)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_from_every_entry_there_is_a_way_back(kind, name):
    """A user must never stand at choices from which every menu is greyed."""
    choices, _ = picked(kind, name, SMALL)
    if not choices:
        return
    there = SMALL.changed(**choices)
    for other in KINDS:
        assert type(getattr(there, other)).__name__ not in refused_choices(there, other)
    assert len(refused_choices(there, "task")) < len(cards("task")) - 1
    back, _ = picked("task", "Classify", there)
    assert back is not None


def shown_scalars(names, experiment):
    asked = Asked()
    group = Scalars(names, asked, "", "A title")
    group.show(experiment)
    return group, asked


def test_the_terms_of_the_recipe_have_dials_with_help_and_range():
    group, asked = shown_scalars(TERMS_OF_F, SMALL.changed(output_precision=2.5))
    assert set(group._inputs) | {"steps"} == set(TERMS)
    assert group._inputs["output_precision"].value == "2.5" and asked == []
    group._inputs["window"].value = True
    group._inputs["tolerance"].value = "1e-3"
    group._inputs["stop"].value = "sample"
    group._inputs["activity_decay"].value = "0.5"
    assert asked == [
        {"window": True}, {"tolerance": 1e-3}, {"stop": "sample"}, {"activity_decay": 0.5}
    ]  # fmt: skip


def test_a_term_that_cannot_be_read_is_refused_in_one_line_that_a_good_one_mends():
    group, asked = shown_scalars(TERMS_OF_F, SMALL)
    group._inputs["tolerance"].value = "soon"
    assert asked == [] and group._error.visible
    assert "tolerance: soon; a finite number in [0, 1000]" in group._error.object
    group._inputs["tolerance"].value = "0.1"
    assert asked == [{"tolerance": 0.1}] and not group._error.visible


def test_a_term_out_of_range_is_refused_at_the_door_and_shown_beside_its_dial():
    def refuse(choices):
        SMALL.changed(**choices)

    group = Scalars(TERMS_OF_F, refuse, "")
    group._inputs["output_precision"].value = "-1"
    assert "output_precision: -1.0; a finite number in [0, 1e+06]" in group._error.object
    group.complain("tolerance: 5; too late")
    assert "too late" in group._error.object
    before = group._error.object
    group.complain("seed: 1; not of this group")
    assert group._error.object == before


def test_the_dials_of_the_run_offer_devices_and_weights():
    group, asked = shown_scalars(OF_THE_RUN, SMALL)
    assert list(group._inputs["pretraining"].options) == ["random", "trained"]
    group._inputs["dtype"].value = "float64"
    group._inputs["seed"].value = "3"
    assert asked == [{"dtype": "float64"}, {"seed": 3}]


ACTING = {
    "window": True,
    "output_precision": 4.0,
    "activity_decay": 0.25,
    "tolerance": 1e-3,
    "stop": "sample",
}


def test_terms_stand_in_the_line_where_they_act():
    assert terms(SMALL) == {}
    assert terms(SMALL.changed(**ACTING)) == {
        "window": "energy window",
        "output_precision": "output λ 4",
        "activity_decay": "decay c 0.25",
        "tolerance": "stops at residual 0.001 of each sample",
    }


def test_the_command_and_the_recipe_carry_the_terms():
    import tomllib

    experiment = SMALL.changed(**ACTING)
    written = tomllib.loads(recipe_toml(experiment))
    assert {name: written[name] for name in ACTING} == ACTING
    assert Experiment.from_dict(written) == experiment
    said = command(experiment, 2)
    inside = said.partition("<<'TOML'\n")[2].removesuffix("TOML\n")
    assert Experiment.from_dict(tomllib.loads(inside)) == experiment


@pytest.mark.parametrize("name", presets())
def test_a_preset_names_its_work_and_what_to_look_at(name):
    from workbench.places import assets

    (path,) = (assets() / "presets").glob(f"*-{name}.toml")
    comment = path.read_text("utf-8").splitlines()[0]
    sources = {card_of(getattr(of_preset(name), kind)).source for kind in KINDS}
    named = comment.removeprefix("# ").partition(":")[0].lower()
    assert comment.startswith("# ") and named in {one.lower() for one in sources}
    assert len(presets()[name].about) > 40


def test_presets_have_names_and_titles_of_their_own_that_fit_the_menu():
    titles = [one.title for one in presets().values()]
    assert len(set(titles)) == len(titles) >= 14
    assert max(map(len, titles)) <= 26
    assert next(iter(presets())) == "plain"


@pytest.mark.parametrize("name", presets())
def test_every_preset_relaxes_a_whole_batch(name):
    session = opened(SMALL)
    chosen = whole(name) | {"pretraining": "random", "batch_size": 10}
    do(session, "change", **chosen)
    assert session.message == ""
    preset = of_preset(name)
    for kind in KINDS:
        assert getattr(session.wanted, kind) == getattr(preset, kind)
    T = min(preset.steps, 12)
    do(session, "change", steps=T)
    do(session, "run_to_end")
    shown = readout(session, scene(session))
    assert shown["row"] == rows_of(session.lane.plan) - 1 and shown["message"] == ""
    assert shown["total"] is not None and not shown["diverged"]


def test_a_preset_makes_every_choice_but_those_of_the_machine():
    odd = SMALL.changed(dtype="float64", seed=4, window=True, output_precision=3.0)
    new = odd.changed(**whole("plain"))
    assert new.to_dict() == of_preset("plain").to_dict() | {"dtype": "float64", "seed": 4}


def test_a_dial_of_an_entry_says_what_is_wrong_with_it():
    def refuse(choices):
        SMALL.changed(**choices)

    menu = Kind("dynamics", refuse, look.LIGHT, "")
    menu.show(SMALL)
    menu._inputs["rate"].value = "fast"
    assert "dynamics.rate: fast; a finite number" in menu._error.object
    with pytest.raises(BadInput):
        refuse({"steps": 0})
