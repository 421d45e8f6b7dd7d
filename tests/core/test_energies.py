"""Energies: the laws of their kind, and each one's own formula."""

import pytest
import torch
from torch.testing import assert_close

from core import cards, make
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError

ENERGIES = list(cards("energy"))
QUADRATIC = [name for name in ENERGIES if make("energy", name).quadratic]


def pair(shape=(5, 7), seed=0, target=False):
    generator = torch.Generator().manual_seed(seed)
    h, mu = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return (h.softmax(1) if target else h), mu


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_is_a_number_for_each_sample(name):
    h, mu = pair(target=True)
    energy = make("energy", name)
    found = energy(h, mu)
    assert found.shape == (5,)
    for b in range(5):
        assert_close(energy(h[b : b + 1], mu[b : b + 1])[0], found[b])


@pytest.mark.parametrize("name", ENERGIES)
def test_the_error_is_minus_the_derivative_by_the_prediction(name):
    # For targets that are distributions, as every energy here may be used with.
    h, mu = pair(target=True)
    energy = make("energy", name)
    mu.requires_grad_()
    (derivative,) = torch.autograd.grad(energy(h, mu).sum(), mu)
    assert_close(energy.error(h, mu).detach(), -derivative)


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_of_a_class_is_never_negative(name):
    _, mu = pair()
    label = torch.eye(7).double()[[0, 3, 3, 6, 1]]
    assert (make("energy", name)(label, mu) >= 0).all()


@pytest.mark.parametrize("name", ENERGIES)
def test_large_predictions_stay_finite(name):
    label, mu = torch.eye(3).double(), torch.full((3, 3), -1e4).double()
    mu[:, 0] = 1e4
    energy = make("energy", name)
    assert torch.isfinite(energy(label, mu)).all()
    assert torch.isfinite(energy.error(label, mu)).all()


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", QUADRATIC)
@pytest.mark.parametrize("shape", [(5, 7), (4, 2, 3, 3)])
def test_a_quadratic_energy_is_half_the_squared_error_of_all_units(name, shape):
    h, mu = pair(shape)
    energy = make("energy", name)
    expected = torch.stack([0.5 * ((a - b) ** 2).sum() for a, b in zip(h, mu, strict=True)])
    assert_close(energy(h, mu), expected)
    assert_close(energy.error(h, mu), h - mu)
    assert not energy(h, h).any()


@pytest.mark.oracle("closed form")
def test_squared_error_of_three_units_by_hand():
    h, mu = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 0.0, 5.0]])
    assert float(SquaredError()(h, mu)) == 4.5  # (1 + 4 + 4) / 2


@pytest.mark.oracle("other implementation")
def test_cross_entropy_is_torch_s_own():
    _, mu = pair()
    labels = torch.tensor([0, 3, 3, 6, 1])
    expected = torch.nn.functional.cross_entropy(mu, labels, reduction="none")
    assert_close(CrossEntropy()(torch.eye(7).double()[labels], mu), expected)


def test_cross_entropy_is_linear_in_the_state_and_not_zero_at_the_prediction():
    h, mu = pair(target=True)
    assert_close(CrossEntropy()(3 * h, mu), 3 * CrossEntropy()(h, mu))
    assert CrossEntropy()(mu.softmax(1), mu.softmax(1)).min() > 0.1
