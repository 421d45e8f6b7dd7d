"""Projected sweeps: orders, projections, and the scheme of the paper written out by hand."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Phase, Relaxation, chain, own
from core.dynamics.gradient import GradientDescent
from core.dynamics.sweeping import Sweeping, ends_in_relu
from core.energies.squared_error import SquaredError
from core.tasks.nudge import cross_entropy
from tests.problems import column, linear, relaxation, scalar_net, tanh_mlp


def nudged(network, x, y, rule, steps, beta=0.1, cost=None, **phase):
    """A forward pass whose free output is nudged."""
    recipe = relaxation((network, {0: x}), dynamics=rule, steps=steps).recipe
    cost = cost or SquaredError()
    one = Phase("nudged", clamped={0: x}, nudge=beta, cost=cost, target=y, **phase)
    return Relaxation(network, [one], recipe)


def ran(made):
    made.run()
    return made.states


def relu_net():
    """Two convolutions, one of them pooled, and two dense layers; with one-hot targets."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        maps = [
            nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Flatten(), nn.Linear(36, 7), nn.ReLU()),
            nn.Linear(7, 3),
        ]
        x = torch.randn(5, 1, 6, 6).double()
    shapes = [(1, 6, 6), (3, 6, 6), (4, 3, 3), (7,), (3,)]
    y = torch.eye(3).double()[[0, 1, 2, 1, 0]]
    return chain([one.double() for one in maps], shapes), x, y


# How far a sweep carries -------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("order", "L", "sweeps"),
    [
        *(("synchronous", L, L) for L in (1, 4, 5, 10)),
        *(("backward", L, 1) for L in (1, 4, 5, 10)),
        *(("even-odd", L, (L + 1) // 2) for L in (1, 2, 5, 10)),
        ("odd-even", 10, 6),
        ("odd-even", 5, 3),
    ],
)
def test_v14_sweeps_until_the_error_reaches_layer_1(order, L, sweeps):
    network, clamped = tanh_mlp((3,) * (L + 1))
    made = nudged(network, clamped[0], clamped[L], Sweeping(order), L + 2)
    first = [t for t, step in enumerate(made) if (step.states[1] != step.first[1]).any()]
    assert first[0] == sweeps


# The scheme by hand ------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
def test_v14_the_scalar_example():
    network = chain([linear([[2.0]]), linear([[0.5]])], [(1,)] * 3)
    made = nudged(network, column(1), column(5), Sweeping(), 60)
    found = [(float(step.states[1]), float(step.states[2])) for step in made]
    assert_close(found[1:4], [(2.2, 1.4), (2.18, 1.46), (2.177, 1.444)], rtol=0, atol=1e-12)
    lam = 1 / 11  # beta / (1 + beta)
    assert_close(found[60][0], (2 + lam * 2.5) / (1 + lam * 0.25), rtol=0, atol=1e-12)


@pytest.mark.oracle("closed form")
def test_v14_a_strong_weight_converges_slowly():
    # W_2 = 3: both eigenvalues of a sweep have modulus sqrt(.9); read off three displacements.
    network, ends = scalar_net()
    rows = [step.states for step in nudged(network, ends[0], ends[2], Sweeping(), 5)]
    h = torch.stack([torch.cat([row[1], row[2]], dim=1)[0] for row in rows])  # (T + 1, 2)
    d = h[1:] - h[:-1]
    sweep = torch.linalg.solve(d[1:3], d[2:4]).T  # d_{t+1} = sweep d_t
    assert_close(torch.linalg.eigvals(sweep).abs(), torch.full((2,), 0.9**0.5, dtype=torch.float64))


@pytest.mark.oracle("closed form")
def test_v14_the_nudged_state_is_reached_in_a_few_sweeps():
    network, clamped = tanh_mlp((4, 6, 6, 3))
    x, y = clamped[0], torch.eye(3).double()[[0, 1, 2, 0]]
    options = {"beta": 0.05, "cost": cross_entropy}
    exact = ran(nudged(network, x, y, GradientDescent(0.2), 2000, **options))
    rows = [step.states for step in nudged(network, x, y, Sweeping(), 14, **options)]
    distance = [sum(float((a - b).norm()) for a, b in zip(h, exact, strict=True)) for h in rows]
    assert distance[14] < 1e-4 * distance[0]


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("rule", ["pgd", "mod-pgd"])
@pytest.mark.parametrize("beta", [0.05, -0.05])
def test_a_relu_network_is_swept_as_the_paper_says(rule, beta):
    network, x, y = relu_net()
    maps = [network.maps[str(i)] for i in range(1, 5)]
    relus = [maps[0][:1], nn.Sequential(maps[1][0], maps[1][2]), maps[2][:2], maps[3]]
    made = nudged(network, x, y, Sweeping(rule=rule), 6, beta=beta, cost=cross_entropy)
    h = list(made.first)
    for step in made:
        assert_close(step.states, h, rtol=0, atol=1e-12)
        for k in (4, 2, 1, 3):  # even layers (they are no neighbours), then odd ones
            if k == 4:
                h[4] = maps[3](h[3]).detach() - beta * (h[4].softmax(1) - y)
                continue
            at = h[k].clone().requires_grad_()
            (D,) = torch.autograd.grad(0.5 * (h[k + 1] - maps[k](at)).square().sum(), at)
            mu = (relus if rule == "mod-pgd" else maps)[k - 1](h[k - 1]).detach()
            h[k] = (mu - D).relu()


def test_the_two_rules_differ_only_in_inhibited_units_that_are_pulled_up():
    network, x, y = relu_net()
    pgd, mod = (
        nudged(network, x, y, Sweeping("backward", rule), 1, cost=cross_entropy)
        for rule in ("pgd", "mod-pgd")
    )
    a = network.maps["3"][:2](pgd.first[2]).detach()
    one, other = ran(pgd)[3], ran(mod)[3]
    apart = one != other
    assert apart.any()
    assert (a[apart] < 0).all()
    assert (one[apart] > other[apart]).all()


# Projections -------------------------------------------------------------------------------------


def test_where_a_relu_is_found():
    conv, dense, pool = nn.Conv2d(1, 1, 3), nn.Linear(2, 2), nn.MaxPool2d(2)
    for yes in (
        nn.Sequential(dense, nn.ReLU()),
        nn.Sequential(conv, nn.ReLU(), pool, nn.Flatten()),
        nn.Sequential(conv, nn.Tanh(), conv, nn.ReLU()),
    ):
        assert ends_in_relu(yes)
    for no in (dense, nn.Sequential(dense, nn.Tanh()), nn.Sequential(nn.ReLU(), dense), pool):
        assert not ends_in_relu(no)
    assert not ends_in_relu(nn.Sequential(nn.ReLU(), dense, nn.Tanh()))


@pytest.mark.parametrize(
    ("projection", "tanh_stays", "relu_stays"),
    [("auto", False, True), ("relu", True, True), ("none", False, False)],
)
def test_what_is_projected_and_that_the_output_never_is(projection, tanh_stays, relu_stays):
    rule = Sweeping(rule="pgd", projection=projection)
    network, clamped = tanh_mlp()
    tanh = ran(nudged(network, clamped[0], clamped[5], rule, 2))
    assert all(bool((h >= 0).all()) == tanh_stays for h in tanh[1:5])
    assert (tanh[5] < 0).any()
    network, x, y = relu_net()
    relu = ran(nudged(network, x, y, rule, 4, beta=1.0))
    assert bool((relu[3] >= 0).all()) == relu_stays
    assert (relu[4] < 0).any()


@pytest.mark.parametrize("rule", ["pgd", "mod-pgd"])
def test_without_a_relu_a_synchronous_sweep_is_gradient_descent(rule):
    problem = tanh_mlp()
    sweeps = relaxation(problem, dynamics=Sweeping("synchronous", rule, 0.1), steps=9)
    descent = relaxation(problem, dynamics=GradientDescent(0.1), steps=9)
    assert_close(ran(sweeps), ran(descent), rtol=0, atol=1e-14)


def test_each_sample_is_nudged_by_its_own_sign():
    network, x, y = relu_net()
    signs = torch.tensor([0.1, -0.1, 0.1, 0.0, -0.1]).double()
    together = ran(nudged(network, x, y, Sweeping(), 4, beta=signs, cost=cross_entropy))
    for b, sign in enumerate(signs.tolist()):
        one = slice(b, b + 1)
        made = nudged(network, x[one], y[one], Sweeping(), 4, beta=sign, cost=cross_entropy)
        assert_close([h[one] for h in together], ran(made), rtol=0, atol=1e-13)


def test_a_free_root_moves_with_the_even_layers_and_is_not_projected():
    network, x, y = relu_net()
    recipe = relaxation((network, {0: x}), dynamics=Sweeping(rate=0.5)).recipe
    phase = Phase("free", clamped={4: y}, given={0: x})
    made = Relaxation(network, [phase], type(recipe)(**{**vars(recipe), "init": Swept(x)}))
    (force, *_) = made.step().free_energy.forces(made.states)
    made.advance()
    assert torch.equal(made.states[0], x - 0.5 * force)
    assert (made.states[0] < 0).any()


class Swept:
    """Begin from another sweep than the network's own, so that there are errors everywhere."""

    def __init__(self, x):
        self.x = x

    def __call__(self, start):
        return start.network.sweep({0: self.x + 1.0})


def test_precision_scales_both_terms():
    # One sweep of the middle state of two linear layers: h - rate (Pi_1 e_1 - W_2 Pi_2 e_2).
    network, ends = scalar_net()
    recipe = relaxation((network, ends), dynamics=Sweeping(rate=0.1)).recipe
    made = Relaxation(network, [Phase("relax", clamped=ends)], recipe)
    f = type(made.step().free_energy)(network, torch.tensor([0.5, 2.0]).double(), {0, 2})
    states = [ends[0], column(1.0), ends[2]]
    moved, _ = Sweeping(rate=0.1).step(f, states, None)
    expected = 1.0 - 0.1 * (0.5 * (1.0 - 2.0) - 3.0 * 2.0 * (5.0 - 3.0))
    assert_close(float(moved[1]), expected, rtol=0, atol=1e-14)


class Sum(nn.Module):
    """A linear map of each of two states, added."""

    def __init__(self, wide, far, out):
        super().__init__()
        self.one, self.other = nn.Linear(wide, out), nn.Linear(far, out)

    def forward(self, h, far):
        return self.one(h) + self.other(far)


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("rule", ["pgd", "mod-pgd"])
def test_a_rectified_layer_that_reads_two_states_is_swept_as_the_paper_says(rule, scratch):
    # A graph of one's own: h_1 reads the image, h_2 both, the output h_2. Even is h_2 alone.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        nodes = {
            "a": ("input", nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU())),
            "b": (("a", "input"), nn.Sequential(Sum(6, 4, 5), nn.ReLU())),
            "y": ("b", nn.Linear(5, 3)),
        }
        nodes["b"][1][0].other = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
        entry = own.network("Sums", own.Graph(nodes), weights=True)
        network = entry()((1, 2, 2), 3).double()
        x, y = torch.randn(8, 1, 2, 2).double(), torch.eye(3).double()[[0, 1, 2, 0, 1, 2, 0, 1]]
    a, b, out = (network.maps[str(i)] for i in (1, 2, 3))
    assert ends_in_relu(b)
    made = nudged(network, x, y, Sweeping(rule=rule), 4, beta=0.5)
    h = list(made.first)
    for step in made:
        assert_close(step.states, h, rtol=0, atol=1e-12)
        at = h[2].clone().requires_grad_()
        (D,) = torch.autograd.grad(0.5 * (h[3] - out(at)).square().sum(), at)
        h[2] = ((b[0] if rule == "mod-pgd" else b)(h[1], x).detach() - D).relu()
        at = h[1].clone().requires_grad_()
        (D,) = torch.autograd.grad(0.5 * (h[2] - b(at, x)).square().sum(), at)
        h[1] = ((a[:2] if rule == "mod-pgd" else a)(x).detach() - D).relu()
        h[3] = out(h[2]).detach() - 0.5 * (h[3] - y)
    assert (made.states[2] == 0).any() and (made.states[2] != made.first[2]).any()
