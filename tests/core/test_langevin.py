"""Langevin sampling: the samples have the moments that the linear recursion gives them."""

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from core import Phase, Relaxation
from core.dynamics.gradient import GradientDescent
from core.dynamics.langevin import Langevin
from tests.problems import hessian, linear_net, relaxation, relaxed, scalar_net, tanh_mlp

CHAINS = 40_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(problem, rule, steps, **choices):
    """The last states of many chains of the first sample."""
    network, clamped = problem
    many = {i: value[:1].expand(CHAINS, -1) for i, value in clamped.items()}
    return relaxed(network, many, dynamics=rule, steps=steps, generator=seeded(), **choices)


def stationary(hessian, rule):
    """Covariance of h where z = (h, b) <- A z + (-alpha, 1) n: the solution of P = A P A^T + Q."""
    d, a, m = len(hessian), rule.rate, rule.momentum
    eye = torch.eye(d, dtype=torch.float64)
    A = torch.cat(
        [
            torch.cat([eye - a * hessian, -a * m * eye], dim=1),
            torch.cat([hessian, m * eye], dim=1),
        ]
    )
    into = torch.cat([-a * eye, eye])
    Q = 2 * rule.temperature * (1 - m) / a * into @ into.T
    whole = torch.eye(4 * d * d, dtype=torch.float64) - torch.kron(A, A)
    return torch.linalg.solve(whole, Q.flatten()).reshape(2 * d, 2 * d)[:d, :d]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (Langevin(0.01), 80),
        (Langevin(0.05), 30),
        (Langevin(0.1), 3),
        (Langevin(0.05, temperature=3.0), 30),
        (Langevin(0.01, momentum=0.5), 80),
        (Langevin(0.05, momentum=0.8), 80),
    ],
    ids=str,
)
def test_v10_one_unit_has_the_mean_and_variance_of_the_recursion(rule, steps):
    h = sampled(scalar_net(), rule, steps)[1]
    (variance,) = stationary(torch.tensor([[10.0]]).double(), rule).flatten()
    assert abs(float(h.mean()) - 1.7) < 5 * float((variance / CHAINS).sqrt())
    assert abs(float(h.var() - variance)) < 5 * float(variance) * (2 / CHAINS) ** 0.5
    if not rule.momentum:  # (v / k) / (1 - alpha k / 2) with k = 10
        expected = rule.temperature * 0.1 / (1 - 5 * rule.rate)
        assert_close(float(variance), expected, rtol=1e-12, atol=0)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rule", [Langevin(0.1), Langevin(0.05, momentum=0.5)], ids=str)
def test_all_units_have_the_covariance_of_the_recursion(rule):
    H = hessian(relaxation(linear_net()))
    expected = stationary(H, rule)
    if not rule.momentum:
        alone = torch.linalg.inv(H @ (torch.eye(4).double() - rule.rate / 2 * H))
        assert_close(expected, alone, rtol=1e-10, atol=1e-12)
    found = torch.cov(torch.cat(sampled(linear_net(), rule, 160)[1:3], dim=1).T)
    diagonal = expected.diagonal()
    error = ((diagonal[:, None] * diagonal + expected**2) / CHAINS).sqrt()
    assert ((found - expected).abs() < 5 * error).all()


def test_without_temperature_and_momentum_it_is_gradient_descent():
    problem = tanh_mlp()
    cold = relaxed(*problem, dynamics=Langevin(0.1, temperature=0.0), steps=20)
    plain = relaxed(*problem, dynamics=GradientDescent(0.1), steps=20)
    assert_close(cold, plain, rtol=1e-14, atol=1e-15)


def test_noise_is_new_in_every_step_state_and_sample_and_is_from_the_seed():
    def moves(seed):
        made = relaxation(tanh_mlp(), dynamics=Langevin(), generator=seeded(seed), steps=2)
        rows = [step.states for step in made]
        return [
            b - a for old, new in pairwise(rows) for a, b in zip(old[1:5], new[1:5], strict=True)
        ]

    drawn = torch.stack(moves(0)).reshape(-1, 8)
    assert len(drawn.unique(dim=0)) == len(drawn) == 2 * 4 * 4
    assert torch.equal(torch.stack(moves(0)), torch.stack(moves(0)))
    assert not torch.equal(torch.stack(moves(0)), torch.stack(moves(1)))


def test_without_a_generator_the_noise_is_from_torch_s_global_one():
    ends = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ends.append(relaxed(*tanh_mlp(), dynamics=Langevin(), steps=3)[2])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_clamped_states_and_held_units_get_no_noise():
    network, clamped = tanh_mlp()
    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[:, :3] = True
    value = torch.full((4, 8), 0.25).double()
    recipe = relaxation((network, clamped), dynamics=Langevin(), steps=5).recipe
    phase = Phase("held", clamped=clamped, held={2: (value, mask)})
    made = Relaxation(network, [phase], recipe, generator=seeded())
    made.run()
    assert torch.equal(made.states[0], clamped[0])
    assert torch.equal(made.states[5], clamped[5])
    assert (made.states[2][:, :3] == 0.25).all()
    assert (made.states[2][:, 3:] != made.first[2][:, 3:]).all()
