"""Engines: the same numbers as the reference, and nothing is left out that counts."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Network, Node, Phase, Recipe, Relaxation, cards, chain, make
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.engines import LOCAL, PLAIN
from core.engines.local import Local
from core.engines.maps import FormulaMap, ModuleMap, map_of
from core.free_energy import FreeEnergy
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, Incremental, PredictiveCoding
from core.networks.activations import ACTIVATIONS
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from tests.problems import PROBLEMS, labelled, relaxation, tanh_mlp

pytestmark = pytest.mark.oracle("other implementation")


def rows(problem, engine, **choices):
    made = relaxation(problem, engine=engine, **{"steps": 9, **choices})
    return [(step.states, step.free_energy.balance(step.states)) for step in made]


def assert_same_rows(problem, rtol=1e-12, **choices):
    for (h, a), (k, b) in zip(
        rows(problem, PLAIN, **choices), rows(problem, LOCAL, **choices), strict=True
    ):
        assert_close(k, h, rtol=rtol, atol=rtol)
        assert_close(b.energies, a.energies, rtol=rtol, atol=rtol)
        assert_close(b.forces, a.forces, rtol=rtol, atol=rtol)
        assert_close(b.predictions, a.predictions, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("init", [Forward(), Zero(), Normal(sd=0.5)])
@pytest.mark.parametrize("precision", [Identity(), Spiking(rest=0.1)])
def test_a_relaxation_is_the_same_by_either_engine(problem, init, precision):
    made = problem()
    generator = torch.Generator
    for dynamics in (GradientDescent(0.1), HeavyBall(0.05, 0.5)):
        a, b = (
            rows(
                made,
                engine,
                init=init,
                precision=precision,
                dynamics=dynamics,
                generator=generator().manual_seed(1),
            )
            for engine in (PLAIN, LOCAL)
        )
        for (h, one), (k, other) in zip(a, b, strict=True):
            assert_close(k, h, rtol=1e-12, atol=1e-13)
            assert_close(other.energies, one.energies, rtol=1e-12, atol=1e-13)
            assert_close(other.forces, one.forces, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(cards("dynamics")))
def test_every_dynamics_runs_on_either_engine(name):
    choices = {"dynamics": make("dynamics", name), "generator": None}
    found = []
    for engine in (PLAIN, LOCAL):
        choices["generator"] = torch.Generator().manual_seed(0)
        found.append([h for h, _ in rows(tanh_mlp(), engine, **choices)])
    assert_close(found[0], found[1], rtol=1e-11, atol=1e-12)


def test_single_precision_agrees_to_its_rounding():
    network, clamped = tanh_mlp()
    single = network.float(), {i: h.float() for i, h in clamped.items()}
    assert_same_rows(single, rtol=1e-6)


def test_cross_entropy_and_an_output_of_another_kind():
    (network, clamped), _ = labelled()
    network.give_output_energy(CrossEntropy())
    assert_same_rows((network, clamped))


def pieces(phi):
    linear = nn.Linear(5, 4, dtype=torch.float64)
    return [nn.Sequential(linear, phi), nn.Sequential(phi, linear), linear]


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "identity"])
def test_the_formula_of_an_activation_is_its_derivative(name):
    h = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for module in pieces(ACTIVATIONS[name]()):
        by_hand, by_graph = map_of(module), ModuleMap(module)
        assert isinstance(by_hand, FormulaMap)
        a, b = by_hand.predict((h,), (True,)), by_graph.predict((h,), (True,))
        assert_close(a.mu, b.mu)
        assert_close(by_hand.pull(a, v, (True,)), by_graph.pull(b, v, (True,)))


def test_an_activation_with_other_settings_keeps_them():
    for phi in (nn.GELU("tanh"), nn.LeakyReLU(0.3), nn.ELU(2.0), nn.Hardtanh(-0.5, 0.2)):
        h = torch.linspace(-2, 2, 35, dtype=torch.float64).reshape(7, 5)
        v = torch.ones(7, 4, dtype=torch.float64)
        module = pieces(phi)[0]
        a = map_of(module).predict((h,), (True,))
        b = ModuleMap(module).predict((h,), (True,))
        assert_close(map_of(module).pull(a, v, (True,)), ModuleMap(module).pull(b, v, (True,)))


def test_what_is_not_known_goes_by_its_graph():
    assert isinstance(map_of(nn.Sequential(nn.Linear(2, 2), nn.Softplus())), ModuleMap)
    assert isinstance(map_of(nn.Conv2d(1, 1, 3)), ModuleMap)

    class Doubled(nn.Linear):
        def forward(self, h):
            return 2 * super().forward(h)

    assert isinstance(map_of(Doubled(2, 2)), ModuleMap)


class Sum(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(n, 3, dtype=torch.float64) for n in sizes)

    def forward(self, *parents):
        return torch.tanh(sum(f(h) for f, h in zip(self.maps, parents, strict=True)))


def graph():
    """Two roots, a skip from the first over two layers, and a self-loop."""
    torch.manual_seed(0)
    nodes = [
        Node((2,)),
        Node((3,)),
        Node((3,), (0, 1), Sum(2, 3), depth=1),
        Node((3,), (2, 3), Sum(3, 3), depth=2),
        Node((3,), (0, 3), Sum(2, 3), depth=3),
    ]
    clamped = {
        0: torch.randn(4, 2, dtype=torch.float64),
        4: torch.randn(4, 3, dtype=torch.float64),
    }
    return Network(nodes), clamped


def test_skips_loops_and_free_roots():
    assert_same_rows(graph(), init=Zero())


def convolutional():
    torch.manual_seed(0)
    maps = [
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 5)),
    ]
    network = chain(maps, [(1, 8, 8), (3, 4, 4), (4, 4, 4), (5,)]).double()
    x, y = torch.randn(3, 1, 8, 8).double(), torch.randn(3, 5).double()
    return network, {0: x, 3: y}


def test_convolutions():
    assert_same_rows(convolutional())


def nudged(engine, beta):
    network, clamped = tanh_mlp()

    def half_square(h, y):
        return 0.5 * (h - y).square().sum(1)

    mask = torch.arange(8).expand(4, 8) < 3
    phases = [
        Phase("free", 0, {0: clamped[0]}),
        Phase("nudged", None, {0: clamped[0]}, beta, "free", half_square, clamped[5]),
        Phase("held", None, {0: clamped[0]}, held={2: (torch.zeros(4, 8).double(), mask)}),
    ]
    recipe = Recipe(
        Forward(), Identity(), GradientDescent(0.2), PredictiveCoding(), 6, activity_decay=0.1
    )
    return [
        (step.states, step.free_energy.balance(step.states))
        for step in Relaxation(network, phases, recipe, engine=engine)
    ]


@pytest.mark.parametrize("beta", [0.3, torch.tensor([0.1, -0.2, 0.3, 0.0]).double()])
def test_nudges_decay_and_held_units(beta):
    for (h, a), (k, b) in zip(nudged(PLAIN, beta), nudged(LOCAL, beta), strict=True):
        assert_close(k, h, rtol=1e-12, atol=1e-13)
        assert_close(b.forces, a.forces, rtol=1e-12, atol=1e-13)
        assert_close((b.cost, b.decay), (a.cost, a.decay))


# What is left out --------------------------------------------------------------------------------


class Counted(nn.Module):
    """A layer that counts how often it is asked."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.asked = inner, 0

    def forward(self, h):
        self.asked += 1
        return self.inner(h)


def counted(**choices):
    network, clamped = tanh_mlp()
    maps = [Counted(network.maps[str(i)]) for i in network.layers]
    made = relaxation(
        (chain(maps, [node.shape for node in network.nodes]), clamped), engine=LOCAL, **choices
    )
    return made, maps


def test_the_error_is_followed_from_the_output_and_the_first_layer_is_predicted_once():
    made, maps = counted(steps=6, dynamics=GradientDescent(0.1))
    after_sweep = [one.asked for one in maps]
    assert after_sweep == [1] * 5
    asked = []
    for step in made:
        step.free_energy.balance(step.states)
        asked.append([one.asked - 1 for one in maps])
    # The sweep has asked them all; a layer is asked again from the row at which its parent has
    # moved, and the first one never.
    assert asked[0] == [0, 0, 0, 0, 0]
    assert [now[0] for now in asked] == [0] * 7
    assert [b - a for a, b in zip(asked[0], asked[1], strict=True)] == [0, 0, 0, 0, 1]
    assert [b - a for a, b in zip(asked[5], asked[6], strict=True)] == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"dynamics": HeavyBall(0.1, 0.9)},
        {"precision": Spiking(rest=0.01)},
        {"init": Zero()},
        {"steps": 3},
    ],
)
def test_savings_change_no_bit(choices):
    network, clamped = tanh_mlp()
    kept = []
    for savings in (True, False):
        made = relaxation((network, clamped), engine=LOCAL, **{"steps": 12, **choices})
        made.engine = Local(network, savings=savings)
        kept.append([step.states for step in made])
    for a, b in zip(*kept, strict=True):
        assert all(torch.equal(h, k) for h, k in zip(a, b, strict=True))


def moved_by(change):
    """Rows after a change between two steps: by the engine that saves, and by the reference."""
    found = []
    for engine in (LOCAL, PLAIN):
        network, clamped = tanh_mlp()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        made = relaxation((network, clamped), engine=engine, steps=9, optimiser=optimiser)
        for step in made:
            step.free_energy.balance(step.states)
            if step.moment.t == 1:
                change(made)
        found.append(made.states)
    return found


def poke(made):
    made.states = [h + 0.5 if i == 1 else h for i, h in enumerate(made.states)]
    made._step = None


def toggle_weights(made):
    made.recipe = replace(made.recipe, learning=Incremental())


def weights_in_place(made):
    with torch.no_grad():
        for p in made.network.parameters():
            p.mul_(1.5)
    made._step = None


def decay(made):
    made.recipe = replace(made.recipe, activity_decay=0.5)


def clamp_elsewhere(made):
    phase = replace(made.phase, clamped={**made.phase.clamped, 2: made.states[2] + 1.0})
    made.phases = [phase]
    made.states = [phase.clamped.get(i, h) for i, h in enumerate(made.states)]
    made._step = None


def back_and_forth(made):
    mark = made.snapshot()
    made.advance()
    made.advance()
    made.restore(mark)


@pytest.mark.parametrize(
    "change", [poke, toggle_weights, weights_in_place, decay, clamp_elsewhere, back_and_forth]
)
def test_whatever_happens_between_two_steps_ends_what_was_known(change):
    saved, plain = moved_by(change)
    assert_close(saved, plain, rtol=1e-12, atol=1e-13)


def test_a_free_bottom_is_predicted_anew_every_step():
    network, clamped = tanh_mlp()
    assert_same_rows((network, {5: clamped[5]}), init=Zero())


def test_asking_twice_gives_the_same_answer():
    network, clamped = tanh_mlp()
    made = relaxation((network, clamped), steps=3)
    made.run()
    engine = Local(network)
    energy = FreeEnergy(network, torch.ones(5).double(), clamped, engine=engine)
    first = energy.balance(list(made.states))
    second = energy.balance(list(made.states))
    assert all(torch.equal(a, b) for a, b in zip(first.forces, second.forces, strict=True))


class Both(nn.Module):
    """The plain sum of its parents: one tensor is the pull to each of them."""

    def forward(self, *parents):
        return sum(parents)


@pytest.mark.parametrize("energy", [SquaredError(), CrossEntropy()])
def test_one_tensor_handed_to_two_parents_and_to_the_state_itself(energy):
    nodes = [
        Node((3,)),
        Node((3,), (0,), nn.Linear(3, 3, dtype=torch.float64), depth=1),
        Node((3,), (1, 2), Both(), depth=2),
        Node((3,), (1, 2), Both(), depth=3, energy=energy),
    ]
    clamped = {
        0: torch.randn(4, 3, dtype=torch.float64),
        3: torch.randn(4, 3, dtype=torch.float64).softmax(1),
    }
    assert_same_rows((Network(nodes), clamped), init=Zero(), dynamics=GradientDescent(0.05))


def test_forces_asked_for_after_the_weights_have_moved_are_refused():
    made = relaxation(tanh_mlp(), engine=LOCAL, init=Zero(), steps=3)
    step = made.step()
    step.free_energy.energies(step.states)
    with torch.no_grad():
        next(made.network.parameters()).mul_(2.0)
    with pytest.raises(RuntimeError, match="the weights have moved"):
        step.free_energy.forces(step.states)


@pytest.mark.parametrize("problem", [tanh_mlp, convolutional])
@pytest.mark.parametrize("init", [Forward(), Zero()])
@pytest.mark.parametrize("learning", [PredictiveCoding(weighted=True), ForwardUpdate()])
@pytest.mark.parametrize("steps", [1, 9])
def test_weight_gradients_are_the_reference_s(problem, init, learning, steps):
    found = []
    for engine in (LOCAL, PLAIN):
        choices = {"init": init, "learning": learning, "precision": Spiking(rest=0.1)}
        made = relaxation(problem(), engine=engine, steps=steps, **choices)
        made.run()
        found.append(learning.gradients(made.step()))
    assert_close(*found, rtol=1e-11, atol=1e-13)


def test_a_batch_of_convolutions_costs_one_forward_and_one_pull_where_the_error_has_been():
    network, clamped = convolutional()
    maps = [Counted(network.maps[str(i)]) for i in network.layers]
    counted_network = chain(maps, [node.shape for node in network.nodes])
    optimiser = torch.optim.SGD(counted_network.parameters(), lr=0.1)
    made = relaxation((counted_network, clamped), engine=LOCAL, steps=2, optimiser=optimiser)
    made.run()
    made.learn()
    # One for the sweep; then each layer once for every move of its parent: state 2 moves twice,
    # state 1 once, the clamped state 0 never. The weight gradients ask for nothing more.
    assert [one.asked for one in maps] == [1, 2, 3]
