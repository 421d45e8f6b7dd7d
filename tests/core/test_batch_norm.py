"""BatchNorm in a relaxation: whose statistics are in force, and when the running ones move."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from core import BadInput, Experiment, Recipe, Training, make
from core.dynamics.cascade import Cascade
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.free_energy import FreeEnergy
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.learning.z_il import ZIL
from core.networks.vgg import VGG
from core.normalization import BatchNorm
from core.phase import Phase
from core.precisions.identity import Identity
from core.ranks import ALONE
from core.relaxation import Relaxation
from core.tasks.clamped_nudge import ClampedNudge
from core.tasks.dream import Dream
from core.theory import spectrum
from core.training import accuracy
from core.weights.sgd import SGD

SHAPE = (2, 16, 16)


def problem(how, site="post", batch=4):
    """A narrow VGG5 whose gains, shifts and running statistics are not those of the beginning."""
    torch.manual_seed(0)
    network = VGG(width=1 / 64, batch_norm=how, site=site, activation="tanh")(SHAPE, 10).double()
    for one in network.norms:
        nn.init.uniform_(one.weight, 0.5, 1.5)
        nn.init.normal_(one.bias)
        one.running_mean.normal_()
        one.running_var.uniform_(0.5, 2.0)
    x = torch.randn(batch, *SHAPE, dtype=torch.float64)
    y = functional.one_hot(torch.arange(batch) % 10, 10).double()
    return network, {0: x, network.top: y}


def relaxation(network, clamped, engine="local", optimiser=None, **choices):
    given = {
        "init": Forward(),
        "precision": Identity(),
        "dynamics": GradientDescent(0.1),
        "learning": PredictiveCoding(),
        "steps": 6,
    }
    phases = [Phase("relax", clamped=clamped)]
    recipe = Recipe(**given | choices)
    return Relaxation(network, phases, recipe, engine=engine, optimiser=optimiser)


def torch_twin(network):
    """The whole network as torch's modules, with the same weights and running statistics."""
    parts = []
    for i in network.layers:
        module = network.maps[str(i)]
        for one in module if isinstance(module, nn.Sequential) else [module]:
            one = copy.deepcopy(one)
            if isinstance(one, BatchNorm):
                norm = nn.BatchNorm2d(len(one.weight)).to(one.weight)
                norm.load_state_dict(one.state_dict(), strict=False)  # all but its count of calls
                one = norm
            parts.append(one)
    return nn.Sequential(*parts)


def seen_by(twin, x):
    """Mean and biased variance of the input of each norm in a forward pass in training mode."""
    found, h = [], x
    for one in twin.train():
        if isinstance(one, nn.BatchNorm2d):
            over = (0, 2, 3)
            found.append((h.mean(over).detach(), h.var(over, unbiased=False).detach()))
        h = one(h)
    return found


def running(network):
    return [one.clone() for name, one in network.named_buffers() if "running" in name]


# Statistics in force -----------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("how", ["frozen", "batch"])
@pytest.mark.parametrize("site", ["post", "pre"])
def test_a_forward_sweep_is_torch_s_in_training_and_running_ones_stay(how, site):
    network, clamped = problem(how, site)
    before = running(network)
    made = relaxation(network, clamped)
    twin = torch_twin(network).train()
    mu = made.step().free_energy.balance(made.states).predictions[-1]
    assert_close(mu, twin(clamped[0]), rtol=1e-12, atol=1e-12)
    made.run()
    assert all(torch.equal(a, b) for a, b in zip(before, running(network), strict=True))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("init", [Forward(), Zero(), make("init", "Normal")])
def test_frozen_ones_are_those_of_the_forward_pass_whatever_the_init(init):
    network, clamped = problem("frozen")
    made = relaxation(network, clamped, init=init)
    expected = seen_by(torch_twin(network), clamped[0])
    for _ in made:
        for one, (mean, variance) in zip(network.norms, expected, strict=True):
            assert_close(one.given.mean, mean, rtol=1e-12, atol=1e-12)
            assert_close(one.given.variance, variance, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("how", "alone"), [("frozen", True), ("batch", False)])
def test_only_batch_statistics_make_samples_read_each_other(how, alone):
    network, clamped = problem(how)
    made = relaxation(network, clamped)
    states = [h + torch.randn_like(h) for h in made.states]
    other = [torch.cat([h[:1], torch.randn_like(h[1:])]) for h in states]
    a, b = (made.network.predictions(one)[1][:1] for one in (states, other))
    assert torch.equal(a, b) == alone == (not network.mixes)


def judged(network, states, how):
    """E_l summed over samples, by torch's functions with the statistics that belong to `how`."""
    total = states[0].new_zeros(())
    for k, i in enumerate(network.layers):
        h, module = states[i - 1], network.maps[str(i)]
        for one in module if isinstance(module, nn.Sequential) else [module]:
            if not isinstance(one, BatchNorm):
                h = one(h)
            elif how == "batch":
                h = functional.batch_norm(h, None, None, one.weight, one.bias, training=True)
            else:
                mean, variance, _ = network.statistics.moments[k]
                h = functional.batch_norm(h, mean, variance, one.weight, one.bias)
        total = total + 0.5 * (states[i] - h).square().sum()
    return total


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("how", ["frozen", "batch"])
@pytest.mark.parametrize("site", ["post", "pre"])
@pytest.mark.parametrize("engine", ["plain", "local"])
def test_gradients_are_those_of_autograd_of_the_total_energy(how, site, engine):
    network, clamped = problem(how, site)
    made = relaxation(network, clamped, engine)
    states = [clamped.get(i, torch.randn_like(h)) for i, h in enumerate(made.states)]
    free_energy = made.step().free_energy
    leaves = [h.clone().requires_grad_() for h in states]
    weights = list(network.parameters())
    expected = torch.autograd.grad(judged(network, leaves, how), [*leaves[1:-1], *weights])
    found = [*free_energy.forces(states)[1:-1], *free_energy.weight_gradients(states)]
    before = expected[0]
    for g, wanted in zip(found, expected, strict=True):
        scale = wanted  # but for a bias before batch statistics, whose derivative is zero
        if how == "batch" and float(wanted.norm()) < 1e-9 * float(before.norm()):
            scale = before
        assert float((g - wanted).norm() / scale.norm()) < 1e-12
        before = wanted


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("engine", ["plain", "local"])
def test_z_il_and_fixed_prediction_are_backprop_through_batch_statistics(engine):
    network, clamped = problem("batch")
    twin = torch_twin(network).train()
    loss = 0.5 * (clamped[network.top] - twin(clamped[0])).square().sum()
    expected = torch.autograd.grad(loss, list(twin.parameters()))
    steps = relaxation(network, clamped, engine, dynamics=Cascade(), learning=ZIL(), steps=5)
    found = [None] * len(expected)
    for step in steps:
        found = [b if a is None else a for a, b in zip(found, ZIL().gradients(step), strict=True)]
    rules = {"dynamics": FixedPrediction(0.5), "learning": ForwardUpdate(), "steps": 150}
    fixed = relaxation(network, clamped, engine, **rules)
    fixed.run()
    for other in (found, ForwardUpdate().gradients(fixed.step())):
        for g, wanted in zip(other, expected, strict=True):
            assert_close(g, wanted, rtol=1e-10, atol=1e-12)


def test_what_has_no_forward_pass_goes_by_the_running_ones():
    network, clamped = problem("frozen")
    made = relaxation(network, {network.top: clamped[network.top]}, init=make("init", "Normal"))
    mu = made.network.predictions(made.states)
    with network.evaluating():
        again = network.predictions(made.states)
    assert all(torch.equal(a, b) for a, b in zip(mu, again, strict=True))
    assert network.statistics is not None


# Running statistics ------------------------------------------------------------------------------

RULES = ["PredictiveCoding", "ForwardUpdate", "Incremental", "ZIL", "Backprop"]


def experiment(how, **choices):
    return Experiment(
        network=VGG(width=1 / 32, pools=2, batch_norm=how),
        dataset=make("dataset", "SmallDigits"),
        pretraining="random",
        dtype="float64",
        steps=5,
        **choices,
    )


def training(chosen):
    data = chosen.dataset()
    return Training(chosen, data, chosen.build(data.shape, data.classes))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("how", ["frozen", "batch"])
@pytest.mark.parametrize("rule", [*RULES, "EquilibriumPropagation"])
def test_running_ones_move_once_a_training_batch_as_torch_s_do_in_one_pass(how, rule):
    task = make("task", "Nudge" if rule == "EquilibriumPropagation" else "Classify")
    made = training(experiment(how, learning=make("learning", rule), task=task, weights=SGD(0.0)))
    twin = torch_twin(made.network).train()
    for number in range(2):
        batch = made.batches.batch(number)
        before, seen = running(made.network), []
        run = made.relaxation(batch, train=True)
        for _ in run:
            seen.append(running(made.network))
        for now in seen:
            assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
        made.finish(run)
        twin(batch.x.double())
        expected = [one for name, one in twin.named_buffers() if "running" in name]
        for a, b in zip(running(made.network), expected, strict=True):
            assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("how", ["frozen", "batch"])
def test_running_ones_stay_where_nothing_is_learnt(how):
    made = training(experiment(how))
    before = running(made.network)
    run = made.relaxation(made.batches.batch(0), train=False)
    run.run()
    made.finish(run)
    assert all(torch.equal(a, b) for a, b in zip(before, running(made.network), strict=True))


@pytest.mark.oracle("other implementation")
def test_accuracy_reads_the_running_ones_in_the_midst_of_a_relaxation():
    network, clamped = problem("frozen", batch=40)
    made = relaxation(network, clamped)
    labels = torch_twin(network).eval()(clamped[0]).argmax(1)
    at_ease = torch_twin(network).train()(clamped[0]).argmax(1)
    assert not torch.equal(labels, at_ease)
    before = made.step().free_energy.energies(made.states)
    assert accuracy(network, clamped[0], labels) == 1.0
    made.restore(made.snapshot())
    assert torch.equal(made.step().free_energy.energies(made.states), before)


# Coming back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["frozen", "batch"])
@pytest.mark.parametrize("rule", ["PredictiveCoding", "Incremental"])
def test_a_rewind_across_batches_is_exact_to_the_bit(how, rule):
    chosen = experiment(how, learning=make("learning", rule), dynamics=HeavyBall(0.1, 0.5))
    made = training(chosen)
    first = made.relaxation(made.batches.batch(0), train=True)
    first.advance()
    first.advance()
    snapshot, before = first.snapshot(), running(made.network)
    seen = _rest(first)
    made.finish(first)
    after = running(made.network)
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    second = made.relaxation(made.batches.batch(1), train=True)
    second.run()
    made.finish(second)
    first.restore(snapshot)
    assert all(torch.equal(a, b) for a, b in zip(before, running(made.network), strict=True))
    again = _rest(first)
    assert all(torch.equal(a, b) for a, b in zip(seen, again, strict=True))
    made.finish(first)
    assert all(torch.equal(a, b) for a, b in zip(after, running(made.network), strict=True))


def _rest(run):
    """All states, energies and weights from here to the end."""
    found = []
    for step in run:
        found += [h.clone() for h in step.states]
        found.append(step.free_energy.energies(step.states).clone())
        found += [p.detach().clone() for p in run.network.parameters()]
    return found


@pytest.mark.parametrize("how", ["frozen", "batch"])
def test_two_relaxations_in_turns_on_one_network_do_not_disturb_each_other(how):
    network, clamped = problem(how)
    other = {**clamped, 0: 3 * torch.randn_like(clamped[0]) + 1}
    alone = [_rest(relaxation(network, one)) for one in (clamped, other)]
    runs = [relaxation(network, one) for one in (clamped, other)]
    found = [[], []]
    for pair in zip(*runs, strict=True):
        for k, step in enumerate(pair):
            runs[k].step()
            found[k] += [h.clone() for h in step.states]
            found[k].append(step.free_energy.energies(step.states).clone())
            found[k] += [p.detach().clone() for p in network.parameters()]
    for a, b in zip(alone, found, strict=True):
        assert len(a) == len(b)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_relaxation_taken_from_another_s_snapshot_has_its_statistics():
    made = training(experiment("frozen"))
    first = made.relaxation(made.batches.batch(0), train=True)
    first.advance()
    snapshot = first.snapshot()
    seen = _rest(first)
    made.finish(first)
    fork = made.relaxation(made.batches.batch(0), train=True)  # measured with the later weights
    fork.restore(snapshot)
    assert all(torch.equal(a, b) for a, b in zip(seen, _rest(fork), strict=True))


# Next to it --------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
def test_a_clamped_nudge_begins_at_the_forward_pass_of_its_own_batch():
    task = ClampedNudge(beta=0.25)
    made = training(experiment("frozen", task=task))
    for number in range(2):
        batch = made.batches.batch(number)
        twin = torch_twin(made.network).train()
        run = made.relaxation(batch, train=True)
        y = functional.one_hot(batch.y, 10).double()
        share = run.phase.share
        expected = torch.lerp(twin(batch.x.double()), y, share)
        assert_close(run.phase.clamped[made.network.top], expected, rtol=1e-10, atol=1e-12)
        run.run()
        made.finish(run)


def test_a_hessian_of_one_sample_is_refused_where_samples_read_each_other():
    network, clamped = problem("batch")
    made = relaxation(network, clamped)
    free_energy = made.step().free_energy
    with pytest.raises(BadInput, match=r"^network\.batch_norm: batch; frozen or none"):
        spectrum(free_energy, made.states)
    network, clamped = problem("frozen")
    made = relaxation(network, clamped)
    assert spectrum(made.step().free_energy, made.states, 0).largest > 1.0


def test_a_dream_has_batch_statistics_of_its_present_images():
    chosen = experiment("batch", task=Dream(), init=make("init", "Normal"))
    run = training(chosen).relaxation(training(chosen).batches.batch(0), train=False)
    one = run.network.maps["1"]
    a = one[0](run.states[0])
    expected = functional.batch_norm(a, None, None, one[1].weight, one[1].bias, training=True)
    assert_close(one[1](a), expected, rtol=1e-10, atol=1e-12)


def test_a_batch_of_one_value_a_channel_stays_finite():
    norm = BatchNorm(3)
    norm.measures = ALONE
    norm(torch.randn(1, 3, 1, 1))
    norm.take(norm.given)
    assert bool(torch.isfinite(norm.running_var).all())


def test_free_energy_without_a_relaxation_goes_by_the_running_ones():
    network, clamped = problem("frozen")
    states = [torch.randn(4, *node.shape).double() for node in network.nodes]
    precision = torch.ones(5).double()
    found = FreeEnergy(network, precision, clamped).energies(states)
    with network.evaluating():
        assert torch.equal(found, FreeEnergy(network, precision, clamped).energies(states))
