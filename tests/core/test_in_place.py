"""Descent in place: the reference's numbers, from fewer kernels, and off where it may not be."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmarks.launches import count
from core import LEAN, BadInput, Experiment, Phase, Recipe, Recorder, Relaxation, chain, make, relax
from core.datasets.small_digits import SmallDigits
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.energies.cross_entropy import CrossEntropy
from core.engines import CHAIN, LOCAL, PLAIN, engine_for, engine_name
from core.engines import in_place as in_place_engine
from core.engines.chain import Chain
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, Incremental, PredictiveCoding
from core.networks.activations import ACTIVATIONS
from core.networks.layers import layer
from core.networks.mlp import MLP
from core.networks.mupc import MuPC
from core.precisions.identity import Identity
from core.precisions.learned import Learned
from core.precisions.profile import Profile
from core.precisions.spiking import Spiking

WIDTHS = {
    "stacked": (7, 16, 16, 16, 16, 3),
    "tiny": (7, 4, 4, 4, 4, 3),
    "one by one": (7, 9, 8, 6, 5, 3),
    "two stacks": (7, 16, 16, 16, 32, 32, 32, 3),
    "wide": (5, *(300,) * 3, 4),
    "wide and deep": (5, *(260,) * 8, 4),
    "one hidden": (7, 6, 3),
}


def net(widths=WIDTHS["stacked"], phi="tanh", dtype=torch.float64, bias=True, samples=5):
    torch.manual_seed(0)
    kinds = [phi] * (len(widths) - 2) + ["identity"]
    pairs = zip(widths, widths[1:], kinds, strict=False)
    network = chain([layer(a, b, k, bias=bias) for a, b, k in pairs], [(n,) for n in widths])
    network.to(dtype)
    x, y = torch.randn(samples, widths[0]), torch.randn(samples, widths[-1])
    return network, {0: x.to(dtype), network.top: y.to(dtype)}


def made(problem, engine, T=12, *, learns=False, phase=(), **choices):
    network, clamped = problem
    chosen = {
        "init": Forward(),
        "precision": Identity(),
        "dynamics": GradientDescent(0.1),
        "learning": PredictiveCoding(),
        "steps": T,
    }
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1) if learns else None
    return Relaxation(
        network,
        [Phase("relax", clamped=clamped, **dict(phase))],
        Recipe(**(chosen | choices)),
        generator=torch.Generator().manual_seed(1),
        optimiser=optimiser,
        engine=engine,
    )


def in_place(relaxation) -> Any:
    return relaxation._descent()


def end(relaxation):
    relaxation.run()
    return relaxation.states


# The same numbers --------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1), Profile(g=0.7)])
@pytest.mark.parametrize("init", [Forward(), Normal(sd=0.3)])
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["double", "single"]
)
def test_states_and_gradients_are_the_reference_s(widths, init, precision, dtype, rtol):
    problem = net(widths, dtype=dtype)
    fast, plain = (made(problem, e, init=init, precision=precision) for e in (CHAIN, PLAIN))
    assert in_place(fast) is not None
    size = max(float(h.abs().max()) for h in end(plain))
    for h, k in zip(end(fast), plain.states, strict=True):
        assert_close(h, k, rtol=rtol, atol=rtol * size)
    gradients = [one.recipe.learning.gradients(one.step()) for one in (fast, plain)]
    size = max(float(g.abs().max()) for g in gradients[1])
    for g, k in zip(*gradients, strict=True):
        assert_close(g, k, rtol=rtol, atol=rtol * size)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1)])
def test_single_precision_is_as_exact_as_the_reference_s(precision):
    # A product of 300 terms that were added to the states, one by one, would be ten times worse.
    widths = WIDTHS["wide"]
    (exact,), *singles = (
        [end(made(net(widths, dtype=dtype), engine, precision=precision)) for engine in engines]
        for dtype, engines in ((torch.float64, [PLAIN]), (torch.float32, [CHAIN, PLAIN]))
    )
    exact = [h.float().double() for h in exact]
    fast, plain = (
        max(float((h.double() - k).abs().max()) for h, k in zip(states, exact, strict=True))
        for states in singles[0]
    )
    assert fast < 2 * plain


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("phi", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_every_activation_with_and_without_bias(phi, bias):
    problem = net(phi=phi, bias=bias)
    assert_close(end(made(problem, CHAIN)), end(made(problem, PLAIN)), rtol=1e-12, atol=1e-13)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    "choices",
    [
        {"window": True},
        {"output_precision": 0.3},
        {"window": True, "precision": Spiking(rest=0.1), "output_precision": 2.0},
        {"learning": ForwardUpdate()},
        {"learning": PredictiveCoding(weighted=True), "precision": Profile(g=0.7)},
    ],
)
@pytest.mark.parametrize("T", [0, 1, 3, 12])
def test_terms_of_the_recipe_and_few_steps(choices, T):
    ends = []
    for engine in (CHAIN, PLAIN):
        problem = net()
        one = made(problem, engine, T, learns=True, **choices)
        one.run()
        one.learn()
        ends.append([*one.states, *problem[0].parameters()])
    assert_close(*ends, rtol=1e-12, atol=1e-13)


@pytest.mark.oracle("other implementation")
def test_a_clamped_nudge_divides_its_update_by_its_share():
    share = torch.tensor([0.5, 0.25, 1.0, 0.1, 2.0], dtype=torch.float64)
    for value in (0.5, share):
        found = []
        for engine in (CHAIN, PLAIN):
            one = made(net(), engine, phase={"share": value})
            one.run()
            found.append(one.recipe.learning.gradients(one.step()))
        assert_close(*found, rtol=1e-12, atol=1e-13)


@pytest.mark.oracle("other implementation")
def test_batch_after_batch_with_weights_that_move():
    ends = []
    for engine in (CHAIN, PLAIN):
        problem = net()
        for _ in range(4):
            one = made(problem, engine, learns=True)
            one.run()
            one.learn()
        ends.append(list(problem[0].parameters()))
    assert_close(*ends, rtol=1e-11, atol=1e-12)


# What is left out --------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", ["tanh", "gelu"])
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1)])
@pytest.mark.parametrize("T", [3, 12])
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
def test_savings_change_no_bit(widths, T, precision, phi):
    problem = net(widths, phi, torch.float32)
    kept = []
    for savings in (True, False):
        one = made(problem, CHAIN, T, precision=precision)
        one.engine = Chain(problem[0], savings=savings)
        rows = [[h.clone() for h in step.states] for step in one]
        kept.append([*rows, one.recipe.learning.gradients(one.step())])
    for a, b in zip(*kept, strict=True):
        assert all(torch.equal(h, k) for h, k in zip(a, b, strict=True))


def test_the_front_goes_down_by_one_layer_a_step():
    one = made(net(), CHAIN, 8)
    fronts = []
    while not one.done:
        fronts.append(in_place(one).front)
        one.advance()
    assert fronts == [5, 4, 3, 2, 1, 1, 1, 1]


def other_init(one):
    one.states = [h.clone() for h in one.states]


def poke(one):
    one.states = [h + 0.5 if i == 2 else h for i, h in enumerate(one.states)]


def weight_step(one):
    with torch.no_grad():
        for p in one.network.parameters():
            p.mul_(1.1)


def fork(one):
    one.run()
    mark = one.snapshot()
    one.recipe = replace(one.recipe, steps=40)
    one.restore(mark)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("change", [other_init, poke, weight_step, fork])
@pytest.mark.parametrize("after", [0, 2])
def test_what_is_not_swept_any_more_is_followed_everywhere(change, after):
    ends = []
    for engine in (CHAIN, PLAIN):
        one = made(net(), engine, 8)
        for _ in range(after):
            one.advance()
        change(one)
        one._step = None
        if engine == CHAIN:
            assert in_place(one).front == 1
        one.recipe = replace(one.recipe, steps=20)
        ends.append(end(one))
    assert_close(*ends, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("init", [Zero(), Normal(sd=0.1)])
def test_another_init_has_errors_everywhere(init):
    assert in_place(made(net(), CHAIN, init=init)).front == 1


MASK = torch.arange(16).expand(5, 16) < 8


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    "choices",
    [
        {"dynamics": HeavyBall(0.05, 0.5)},
        {"dynamics": make("dynamics", "Langevin")},
        {"dynamics": make("dynamics", "Adam")},
        {"activity_decay": 0.1},
        {"tolerance": 1e-3},
        {"tolerance": 1e-2, "stop": "sample"},
        {"precision": Learned()},
        {"learning": Incremental(), "learns": True},
        {"phase": {"held": {2: (torch.zeros(5, 16).double(), MASK)}}},
    ],
)
def test_what_needs_a_look_goes_layer_by_layer(choices):
    ends = []
    for engine in (CHAIN, PLAIN):
        one = made(net(), engine, 30, **choices)
        assert in_place(one) is None
        ends.append([*end(one), torch.tensor(one.t)])
    assert_close(*ends, rtol=1e-11, atol=1e-12)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("free", [0, 5])
def test_a_free_end_goes_layer_by_layer(free):
    network, clamped = net()
    del clamped[free]
    ends = []
    for engine in (CHAIN, PLAIN):
        one = made((network, clamped), engine, init=Zero(), phase={"target": torch.zeros(5, 1)})
        assert in_place(one) is None
        ends.append(end(one))
    assert_close(*ends, rtol=1e-12, atol=1e-13)


# Between two steps -------------------------------------------------------------------------------


def rate(recipe):
    return replace(recipe, dynamics=GradientDescent(0.03))


def spikes(recipe):
    return replace(recipe, precision=Spiking(rest=0.1))


def momentum(recipe):
    return replace(recipe, dynamics=HeavyBall(0.05, 0.5))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("there", [rate, spikes, momentum])
def test_choices_toggled_there_and_back(there):
    ends = []
    for engine in (CHAIN, PLAIN):
        one = made(net(), engine)
        first = one.recipe
        for recipe in (there(first), first):
            for _ in range(3):
                one.advance()
            one.recipe = recipe
        ends.append(end(one))
    assert_close(*ends, rtol=1e-12, atol=1e-13)


def test_a_rewind_gives_the_same_bits():
    one = made(net(dtype=torch.float32), CHAIN)
    for _ in range(4):
        one.advance()
    mark = one.snapshot()
    kept = [h.clone() for h in end(one)]
    one.restore(mark)
    again = end(one)
    assert all(torch.equal(h, k) for h, k in zip(kept, mark.states, strict=True)) is False
    assert_close(again, kept, rtol=1e-6, atol=1e-6)
    one.restore(mark)
    assert all(torch.equal(h, k) for h, k in zip(end(one), again, strict=True))


def test_what_was_handed_out_stays_as_it_was():
    one = made(net(), CHAIN)
    seen = [(step, [h.clone() for h in step.states]) for step in one]
    for step, states in seen:
        assert all(torch.equal(h, k) for h, k in zip(step.states, states, strict=True))
    for (old, _), (new, _) in pairwise(seen):
        assert all(torch.equal(h, k) for h, k in zip(new.before or [], old.states, strict=True))


# Kernels and recording ---------------------------------------------------------------------------


def lean(one):
    return Recorder(one.network, len(one.states[0]), level=LEAN)


@pytest.fixture
def stacking(monkeypatch):
    """A machine whose batched products have the bits of single ones."""
    monkeypatch.setattr(in_place_engine, "batched_is_single", lambda *shape: True)


def rows_of(recorder):
    chunk = recorder.drain()
    assert chunk is not None
    return chunk.rows


def take(recorder, one):
    recorder.take(one, row=one.t, batch=0, recipe_id=0)


@pytest.mark.parametrize("hidden", [4, 8, 16, 32])
@pytest.mark.parametrize("init", [Forward(), Zero()])
def test_a_step_is_nine_kernels_at_any_depth_and_two_more_record_it(hidden, init, stacking):
    one = made(net((7, *(16,) * hidden, 3), samples=8), CHAIN, 100, init=init)
    recorder = lean(one)
    for _ in range(hidden + 1):
        one.advance()
    step = count(one.advance)
    assert (step.launches, step.reads) == (9, 0)
    both = count(lambda: (take(recorder, one), one.advance()))
    assert (both.launches, both.reads) == (11, 0)


@pytest.mark.parametrize("engine", [CHAIN, LOCAL, PLAIN])
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1)])
def test_no_step_waits_for_the_device(engine, precision):
    one = made(net(), engine, 20, precision=precision, learns=True)
    recorder = lean(one)
    take(recorder, one)  # what is laid out on the host is laid out with the first step
    one.advance()
    found = count(lambda: [(take(recorder, one), one.advance()) for _ in range(19)])
    assert found.reads == 0 < found.launches
    assert count(one.learn).reads == 0


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("level", ["lean", "full"])
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1)])
def test_the_record_is_the_reference_s(level, precision):
    found = []
    for engine in (CHAIN, PLAIN):
        one = made(net(), engine, 20, precision=precision)
        recorder = Recorder(one.network, 5, level=level, capacity=8)
        while True:
            take(recorder, one)
            if one.done:
                break
            one.advance()
        found.append(rows_of(recorder))
    fast, plain = found
    assert set(fast) == set(plain)
    for name, values in plain.items():
        if name == "phase":
            assert (fast[name] == values).all()
        else:
            assert_close(
                torch.as_tensor(fast[name]), torch.as_tensor(values), rtol=1e-11, atol=1e-13
            )


def test_a_speed_that_nobody_measured_is_not_a_number():
    one = made(net(), CHAIN)
    recorder = Recorder(one.network, 5)
    for _ in range(3):
        one.advance()
    take(recorder, one)
    one.advance()
    take(recorder, one)
    speed = torch.as_tensor(rows_of(recorder)["speed"])
    assert speed[0].isnan().all() and speed[1].isfinite().all()


# Which engine ------------------------------------------------------------------------------------


def others():
    conv = chain([nn.Conv2d(1, 1, 3), nn.Linear(3, 3)], [(1, 5, 5), (1, 3, 3), (1, 3, 3)])
    entropy, _ = net()
    entropy.give_output_energy(CrossEntropy())
    pre = MLP(hidden=(4, 4), site="pre")((1, 2, 2), 3)
    return {"conv": conv, "muPC": MuPC()((1, 2, 2), 3), "pre": pre, "cross-entropy": entropy}


@pytest.mark.parametrize("name", list(others()))
def test_other_networks_go_layer_by_layer_or_are_refused(name):
    network = others()[name]
    assert engine_name(network) == LOCAL
    with pytest.raises(BadInput, match=r"^engine: chain; a chain of linear layers"):
        engine_for(network, CHAIN)


def test_auto_goes_in_place_where_nobody_looks():
    network, _ = net()
    assert engine_name(network) == CHAIN
    assert engine_name(network, watched=True) == LOCAL
    assert engine_name(network, PLAIN, watched=True) == PLAIN


def test_the_trace_names_the_engine():
    small = Experiment(
        dataset=SmallDigits(), network=MLP(hidden=(8, 8)), pretraining="random", batch_size=10
    )
    assert relax(small, level=LEAN).attrs["engine"] == CHAIN
    assert relax(small).attrs["engine"] == LOCAL
    assert relax(small.changed(engine=CHAIN)).attrs["engine"] == CHAIN
    assert relax(small.changed(engine=PLAIN), level=LEAN).attrs["engine"] == PLAIN


def test_equal_layers_are_stacked_where_that_pays(stacking):
    runs = {name: len(in_place(made(net(widths), CHAIN)).runs) for name, widths in WIDTHS.items()}
    # The clamped top is a run of its own.
    assert runs["stacked"] == runs["wide and deep"] == runs["one hidden"] == 2
    assert runs["two stacks"] == 3
    assert runs["one by one"] == 5
    assert runs["wide"] == 4


def test_layers_are_not_stacked_where_that_would_give_other_bits(monkeypatch):
    monkeypatch.setattr(in_place_engine, "batched_is_single", lambda *shape: False)
    one = made(net(), CHAIN, 8)
    assert len(in_place(one).runs) == 5
    assert in_place(one).front == 5  # single products are those of the sweep
