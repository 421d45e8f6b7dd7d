"""What each learning rule would do: plain torch and the known cases of each rule are the judges."""

import re

import pytest
import torch
from torch.testing import assert_close

from core import BadInput, Experiment, Training, cards, make
from core.datasets.small_digits import SmallDigits
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.tasks.generate import Generate
from core.tasks.nudge import Nudge
from core.whatif import NO_LOSS, what_if

EXPERIMENT = Experiment(
    network=make("network", "MLP", {"hidden": (7, 6, 5)}),
    dataset=SmallDigits(),
    pretraining="random",
    batch_size=10,
    steps=6,
    dtype="float64",
)
B, L = 10, 4


def relaxing(experiment, steps):
    """A relaxation after so many updates of the states."""
    images = experiment.dataset()
    training = Training(experiment, images, experiment.build(images.shape, images.classes))
    relaxation = training.relaxation(training.batches.batch(0), train=False)
    for _ in range(steps):
        relaxation.advance()
    return relaxation


def asked(experiment, steps):
    """The updates by the name of their rule, and all of the answer."""
    found = what_if(relaxing(experiment, steps).step(), experiment)
    return {one.rule: one for one in found.updates}, found


def test_every_rule_is_there_and_the_one_in_force_first():
    forward = EXPERIMENT.changed(learning=ForwardUpdate(weighted=True))
    by, found = asked(forward, 3)
    assert set(by) == set(cards("learning")) and found.updates[0].rule == "ForwardUpdate"
    assert [one.rule for one in found.updates if one.chosen] == ["ForwardUpdate"]
    assert by["EquilibriumPropagation"].why
    for name, one in by.items():
        assert (one.norm is None) == bool(one.why)
        if one.why:
            with pytest.raises(BadInput, match=re.escape(one.why)):
                forward.changed(learning=make("learning", name))


@pytest.mark.oracle("other implementation")
def test_norms_are_those_of_plain_torch():
    relaxation = relaxing(EXPERIMENT, 5)
    step, network = relaxation.step(), relaxation.network
    by = {one.rule: one for one in what_if(step, EXPERIMENT).updates}
    h, first = step.states, step.first
    for rule, read in (("PredictiveCoding", h), ("Incremental", h), ("ForwardUpdate", first)):
        for k in range(1, L + 1):
            own = list(network.maps[str(k)].parameters())
            mu = network.maps[str(k)](read[k - 1])
            energy = 0.5 * (h[k] - mu).square().sum() / B
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(energy, own)])
            assert_close(by[rule].norm[k - 1], flat.norm(), rtol=1e-12, atol=0)


@pytest.mark.oracle("paper")
def test_the_forward_update_gives_the_output_backprops_gradient_and_backprop_is_itself():
    by, _ = asked(EXPERIMENT, 6)
    for rule, layers in (("Backprop", range(L)), ("ForwardUpdate", [L - 1])):
        found = by[rule].likeness
        for k in layers:
            for one in (found.cosine, found.ratio, found.agreement):
                assert_close(one[k], torch.ones((), dtype=torch.float64), rtol=1e-12, atol=0)
    assert float(by["PredictiveCoding"].likeness.cosine[L - 1]) < 1 - 1e-6


@pytest.mark.oracle("paper")
def test_after_a_forward_init_only_the_output_would_learn_and_one_more_layer_each_step():
    for t in range(4):
        by, _ = asked(EXPERIMENT, t)
        moved = [bool(n > 0) for n in by["PredictiveCoding"].norm]
        assert moved == [k >= L - t for k in range(1, L + 1)]
        turn = [bool(n > 0) for n in by["ZIL"].norm]
        assert turn == [k == L - t for k in range(1, L + 1)], "only layer L - t learns at step t"


@pytest.mark.oracle("paper")
def test_a_centered_pair_is_closer_to_backprop_than_one_nudge():
    task = Nudge(beta=0.01, free_steps=1)
    experiment = EXPERIMENT.changed(
        task=task, learning=make("learning", "EquilibriumPropagation"), steps=300
    )
    relaxation = relaxing(experiment, 0)
    relaxation.run()
    found = what_if(relaxation.step(), experiment).updates[0]
    assert found.rule == "EquilibriumPropagation"
    assert float((1 - found.likeness.cosine).abs().max()) < 1e-4
    assert_close(found.likeness.ratio, torch.ones(L).double(), rtol=1e-2, atol=0)


@pytest.mark.oracle("closed form")
def test_drift_is_zero_at_first_and_then_that_of_the_states_below():
    assert asked(EXPERIMENT, 0)[1].drift.tolist() == [0.0] * L
    relaxation = relaxing(EXPERIMENT, 4)
    step, network = relaxation.step(), relaxation.network
    drift = what_if(step, EXPERIMENT).drift
    for k in range(1, L + 1):
        now, old = (network.maps[str(k)](h[k - 1]) for h in (step.states, step.first))
        expected = float((now - old).detach().square().mean()) ** 0.5
        assert float(drift[k - 1]) == pytest.approx(expected, rel=1e-12)


def test_without_a_loss_nothing_is_compared_and_norms_are_still_told():
    made = EXPERIMENT.changed(
        network=make("network", "Decoder"), task=Generate(), init=make("init", "Normal")
    )
    by, found = asked(made, 3)
    assert found.why == NO_LOSS
    assert by["PredictiveCoding"].likeness is None and bool((by["PredictiveCoding"].norm > 0).any())
    assert by["Backprop"].why


def test_asking_moves_nothing():
    relaxation = relaxing(EXPERIMENT.changed(learning=PredictiveCoding()), 3)
    states = [h.clone() for h in relaxation.states]
    weights = [p.detach().clone() for p in relaxation.network.parameters()]
    what_if(relaxation.step(), EXPERIMENT)
    assert all(torch.equal(a, b) for a, b in zip(states, relaxation.states, strict=True))
    kept = zip(weights, relaxation.network.parameters(), strict=True)
    assert all(torch.equal(a, b) and b.grad is None for a, b in kept)
