"""What the page says by theory, against relaxations, other algorithms and numbers of the papers."""

import numpy as np
import pytest
import torch

from core import make
from core.experiment import Experiment
from core.theory.accounts import accounts
from tests.workbench.sessions import SMALL, assert_same_rows, do, opened, rows, waited
from workbench import predictions
from workbench.outlook import LIMITS, outlook, situation
from workbench.presets import presets
from workbench.scene import scene
from workbench.session import Session
from workbench.theorist import Theorist
from workbench.theory_tab import brief

EXACT = SMALL.changed(dtype="float64")
LINEAR = EXACT.changed(
    network=make("network", "MLP", {"hidden": (8, 8, 8), "activation": "identity"})
)


def asked(session):
    """The outlook at the newest row, with its numbers in the trace."""
    at = situation(session)
    found = outlook(at)
    session.lane.trace.attrs["theory"] = {str(at.batch): found.known}
    return found


def line(found, name):
    return next(one for one in found.lines if one.name == name)


def by_rule(rule, **dials):
    return EXACT.changed(dynamics=make("dynamics", rule, dials))


def state_hessian(session):
    """By torch's own functional Hessian, of sample 0 over all hidden units."""
    step = session._relaxation.step()
    network = step.free_energy.network
    states = [h[:1] for h in step.states]
    sizes = [h.numel() for h in states[1:-1]]

    def F(flat):
        free = [one[None] for one in flat.split(sizes)]
        full = [states[0], *free, states[-1]]
        errors = [h - mu for h, mu in zip(full[1:], network.predictions(full), strict=True)]
        return 0.5 * sum(e.square().sum() for e in errors)

    flat = torch.cat([h.flatten() for h in states[1:-1]])
    return torch.autograd.functional.hessian(F, flat)


def test_the_largest_rate_is_two_over_the_largest_eigenvalue():
    session = opened(EXACT)
    do(session, "step", 4)
    found = asked(session)
    eigenvalues = torch.linalg.eigvalsh(state_hessian(session))
    assert found.largest_rate == pytest.approx(2 / float(eigenvalues[-1]), rel=1e-9)
    assert not any(one.alarm for one in found.lines)


def test_a_rate_above_it_is_a_warning():
    session = opened(by_rule("GradientDescent", rate=1.9))
    found = asked(session)
    assert found.largest_rate < 1.9
    assert found.lines[0].alarm and "above" in found.lines[0].name
    words, alarm = brief(found, None)
    assert alarm and words.startswith("rate above the stable one: α 1.9 ≥ ")


@pytest.mark.parametrize("rule", ["GradientDescent", "HeavyBall", "Nesterov"])
@pytest.mark.parametrize("m", [0.0, 0.3, 0.9])
def test_the_bound_of_each_rule_divides_convergence_from_divergence(rule, m):
    """On one mode of curvature k the rule's own recursion shrinks just below, grows just above."""
    share, _ = LIMITS[rule]
    m = 0.0 if rule == "GradientDescent" else m
    k = 3.0
    for factor, grows in ((0.98, False), (1.02, True)):
        rate, h, b = factor * share(m) / k, 1.0, 0.0
        for _ in range(4000):
            g = k * h
            b = m * b + g
            h -= rate * (g + m * b if rule == "Nesterov" else b)
            if abs(h) > 1e9:
                break
        assert (abs(h) > 1) == grows


def test_F_at_rest_is_where_a_linear_network_relaxes_to_and_the_gap_closes():
    session = opened(LINEAR.changed(dynamics=make("dynamics", "GradientDescent", {"rate": 0.3})))
    found = asked(session)
    do(session, "step", 600)
    drawn = scene(session, theory=True)
    assert drawn.curves.total[-1] == pytest.approx(found.known["F"], rel=1e-9)
    np.testing.assert_allclose(drawn.predicted["rest"], drawn.curves.raw[-1], rtol=1e-7)
    assert drawn.rest == found.known["F"]
    assert "F − F* " in brief(found, drawn)[0]
    assert scene(session).predicted == {}, "only where it is asked for"


def test_a_network_that_is_not_linear_has_no_known_rest():
    found = asked(opened(EXACT))
    assert "F" not in found.known
    assert line(found, "F at rest").value == "not known"


def test_precisions_that_move_have_no_rest():
    found = asked(opened(LINEAR.changed(precision=make("precision", "Spiking"))))
    assert "F" not in found.known and "move" in line(found, "F at rest").note


def test_the_rest_is_of_the_precisions_in_force_only():
    session = opened(LINEAR)
    asked(session)
    do(session, "change", precision={"name": "Table", "rows": [[2.0]]})
    assert scene(session, theory=True).rest is None


def test_the_arrival_law_is_what_a_small_rate_measures():
    session = opened(by_rule("GradientDescent", rate=1e-4))
    asked(session)
    do(session, "step", 5)
    drawn = scene(session, theory=True)
    np.testing.assert_allclose(drawn.predicted["arrival"], drawn.curves.raw[-1], rtol=4e-3)
    do(session, "seek", 2)
    drawn = scene(session, theory=True)
    assert np.isnan(drawn.predicted["arrival"][0]) and drawn.curves.raw[2, 0] == 0


def test_the_spiking_form_is_the_displacement_that_is_measured():
    """c_l delta_l is exact as the resting precision tends to zero."""
    session = opened(
        by_rule("GradientDescent", rate=0.6).changed(
            precision=make("precision", "Spiking", {"rest": 1e-6}), steps=6
        )
    )
    asked(session)
    first = [h.clone() for h in session._relaxation.states]
    for t in range(1, 7):
        do(session, "step", 1)
        predicted = scene(session, theory=True).predicted
        if t < 2:
            continue
        moved = [
            0.5 * float((h - h0).square().sum(1).mean())
            for h, h0 in zip(session._relaxation.states[1:-1], first[1:-1], strict=True)
        ]
        there = np.array(moved) > 0
        np.testing.assert_allclose(
            predicted["spiking"][:-1][there], np.array(moved)[there], rtol=1e-4
        )
        assert np.isnan(predicted["spiking"][:-1][~there]).all()


@pytest.mark.parametrize(
    "choices",
    [
        {"init": make("init", "Zero")},
        {"init": make("init", "Forward", {"noise": 0.1})},
        {"dynamics": make("dynamics", "HeavyBall")},
        {"precision": make("precision", "Decaying")},
        {"output_precision": 2.0},
        {"activity_decay": 0.1},
        {"learning": make("learning", "Incremental")},
        {"window": True},
        {
            "task": make("task", "Nudge"),
            "learning": make("learning", "EquilibriumPropagation"),
        },
    ],
)
def test_a_law_is_not_drawn_where_it_does_not_hold(choices):
    session = opened(EXACT.changed(**choices))
    found = asked(session)
    do(session, "step", 3)
    assert scene(session, theory=True).predicted == {}
    assert line(found, "arrival law").value == "does not hold here"
    assert line(found, "arrival law").note


def test_a_law_ends_where_the_recipe_changes_on_the_way():
    session = opened(by_rule("GradientDescent", rate=0.01))
    asked(session)
    do(session, "step", 2)
    assert set(scene(session, theory=True).predicted) == {"arrival"}
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 0.02})
    do(session, "step", 1)
    assert scene(session, theory=True).predicted == {}
    do(session, "seek", 1)
    assert set(scene(session, theory=True).predicted) == {"arrival"}


def test_the_figure_of_a_saved_trace_predicts_what_the_page_does():
    session = opened(by_rule("GradientDescent", rate=0.01))
    asked(session)
    do(session, "step", 4)
    data = session.lane.trace.dataset()
    shown = scene(session, theory=True).predicted
    np.testing.assert_array_equal(predictions.of_trace(data, 4)["arrival"], shown["arrival"])
    assert predictions.of_trace(data.drop_attrs(deep=False), 4) == {}


def test_layers_that_the_dtype_keeps_still_are_a_warning():
    deep = SMALL.changed(
        network=make("network", "MLP", {"hidden": (8,) * 11}),
        dynamics=make("dynamics", "GradientDescent", {"rate": 1e-3}),
        steps=12,
    )
    found = asked(opened(deep))
    still = line(found, "still in float32 at T = 12")
    assert still.alarm and still.value.startswith("layers 1–")
    tame = asked(
        opened(deep.changed(dtype="float64", dynamics=make("dynamics", "GradientDescent")))
    )
    assert not line(tame, "still in float64 at T = 12").alarm


# What it costs -----------------------------------------------------------------------------------


def counted(experiment):
    """SMM of a batch, and multiply-adds or why there are none."""
    session = opened(experiment.changed(pretraining="random"))
    network, plan = session.lane.training.network, session.lane.plan
    return accounts(session.lane.experiment, network, plan)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("plain", 2 * 20 + 10),
        ("average", 2 * 12 + 4),
        ("spiking", 2 * 12 + 10),
        ("incremental", 2 * 8 + 10),
        ("reconstruct", 2 * 40),
        ("ep", 5 + 2 * 4 * 5),
        ("errors", 10 + 20 * (2 * 10 - 1) + 10),
        ("zil", 3 * 10),
        ("langevin", 2 * 200 + 10),
        ("memory", 2 * 20 + 3 + 4),
    ],
)
def test_products_in_sequence_of_the_presets(preset, expected):
    """By the formulas of the papers: 2T + L, 2T + m, L + 2K * 4, T(2L - 1) + 2L, 3L, 2T + 3 + L."""
    found = counted(Experiment.from_dict(presets()[preset].choices))
    assert not isinstance(found, str)
    assert found[0].total == expected


def test_what_no_source_counts_is_said_in_a_sentence():
    found = counted(EXACT.changed(dynamics=make("dynamics", "FixedPrediction")))
    assert (
        found == "Fixed prediction has no account: its products are not counted by any source here"
    )


def test_multiply_adds_of_a_small_chain_by_hand():
    # 64-8-8-8-10 on 8 x 8 images: P = 10 (512 + 64 + 64 + 80) = 7200, 2080 without the first layer.
    # One sweep, five steps of both products, one of weight gradients.
    sequential, each = counted(EXACT)
    assert sequential.total == 2 * 5 + 4
    assert each.total == 7200 + 5 * (7200 + 2080) + 7200


# Asking ------------------------------------------------------------------------------------------


def test_looking_changes_nothing_and_is_not_logged():
    session = opened(EXACT)
    do(session, "step", 3)
    before, log = rows(session.lane), session.log()
    session.aside(lambda: asked(session))
    do(session, "step", 2)
    assert_same_rows(before, rows(session.lane), upto=3)
    assert len(session.log()["events"]) == len(log["events"]) + 1
    untouched = opened(EXACT)
    do(untouched, "step", 5)
    assert_same_rows(rows(untouched.lane), rows(session.lane))


def test_a_choice_that_is_refused_behind_a_look_is_not_wanted_any_more():
    session = opened(EXACT)
    session.change(dataset={"name": "MNIST", "root": "/nowhere"})
    session.aside(lambda: None)
    do(session, "step", 1)
    assert type(session.wanted.dataset).__name__ == "SmallDigits"


def test_it_is_asked_anew_where_weights_or_recipe_have_changed_and_only_then():
    session = Session(EXACT)
    session.start()
    waited(lambda: session.ready)
    theorist = Theorist(session)
    try:
        theorist.follow()
        assert not theorist.busy, "off at first"
        theorist.on = True

        def next_answer(old):
            theorist._free_at = 0.0
            waited(lambda: (theorist.follow(), theorist.newest is not old)[1])
            waited(lambda: not theorist.busy)
            return theorist.newest

        first = next_answer(None)
        session.step(2)
        waited(lambda: session.row == 2)
        theorist._free_at = 0.0
        theorist.follow()
        assert not theorist.busy, "states alone do not count"
        session.change(dynamics={"name": "GradientDescent", "rate": 0.01})
        waited(lambda: session.lane.experiment.dynamics.rate == 0.01)
        second = next_answer(first)
        assert second.lines[0].value.startswith("α 0.01 < ")
        session.set_gear("batch")
        session.run_to_end()
        session.step(1)
        waited(lambda: session.lane.starts[-1][1] == 1)
        next_answer(second)
        assert set(session.lane.trace.attrs["theory"]) == {"0", "1"}
        theorist.follow()
        assert not theorist.busy, "and never more often than it may"
    finally:
        session.close()
