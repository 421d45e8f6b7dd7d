"""Does the library of "Benchmarking Predictive Coding Networks" relax as this core does?

`pcx` is another implementation by other people on another tensor library (jax). It is in the test
extra, but for Pythons that its jax is not made for.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from core import chain
from core.dynamics.gradient import GradientDescent, HeavyBall, Nesterov
from core.energies.cross_entropy import CrossEntropy
from core.learning.local import PredictiveCoding
from core.networks.layers import chain_maps
from tests.problems import relaxation

pcx = pytest.importorskip(
    "pcx", reason="needs pcx, which Python 3.14 and later cannot have: pip install -e '.[test]'"
)
jax, optax, pxc, pxf, pxn, pxu = (
    pytest.importorskip(name)
    for name in ("jax", "optax", "pcx.predictive_coding", "pcx.functional", "pcx.nn", "pcx.utils")
)

pytestmark = pytest.mark.oracle("other implementation")

SIZES = (12, 16, 16, 16, 5)
BATCH, STEPS = 6, 12
ATOL = 1e-6
"""Of numbers of size one, eight roundings of float32."""
ACTIVATIONS = {"tanh": jax.nn.tanh, "leaky_relu": jax.nn.leaky_relu, "hard_tanh": jax.nn.hard_tanh}
STATES = pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))
"""Which parameters have a batch axis."""
DESCENTS = {
    "gradient descent": (GradientDescent(0.1), {"momentum": None}),
    "momentum": (HeavyBall(0.05, 0.65), {"momentum": 0.65}),
    "Nesterov": (Nesterov(0.05, 0.5), {"momentum": 0.5, "nesterov": True}),
}


class Model(pxc.EnergyModule):
    """A chain of linear maps with a value node after each, as in the tutorials of pcx."""

    def __init__(self, weights, activation, energy):
        super().__init__()
        self.activation = pcx.static(activation)
        self.layers = [pxn.Linear(wide, out) for wide, out in pairwise(SIZES)]
        for one, (W, b) in zip(self.layers, weights, strict=True):
            one.nn.weight.set(jax.numpy.asarray(W))
            one.nn.bias.set(jax.numpy.asarray(b))
        self.vodes = [*(pxc.Vode() for _ in self.layers[1:]), pxc.Vode(energy)]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        for layer, vode in zip(self.layers[:-1], self.vodes[:-1], strict=True):
            x = vode(self.activation(layer(x)))
        self.vodes[-1](self.layers[-1](x))
        if y is not None:
            self.vodes[-1].set("h", y)
        return self.vodes[-1].get("u")


@pxf.vmap(STATES, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    return model(x, y)


@pxf.vmap(STATES, in_axes=(0,), out_axes=(None, 0), axis_name="batch")
def total(x, *, model):
    out = model(x, None)
    return jax.lax.psum(model.energy(), "batch"), out


def theirs(weights, x, y, activation, energy, rate, options):
    """Energies (T + 1, L, B), states (T + 1, L, B, d) and weight gradients at the end, by pcx."""
    model = Model(weights, activation, energy)
    with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
        forward(x, y, model=model)
    moving = pxu.M_hasnot(pxc.VodeParam, frozen=True)
    optimiser = pxu.Optim(lambda: optax.sgd(rate, **options), moving(model))
    energies, states = [], []
    for t in range(STEPS + 1):
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            forward(x, None, model=model)
            energies.append(np.stack([np.asarray(v.energy()) for v in model.vodes]))
            states.append([np.asarray(v.get("h")) for v in model.vodes])
        if t < STEPS:
            with pxu.step(model, clear_params=pxc.VodeParam.Cache):
                down = pxf.value_and_grad(moving.to([False, True]), has_aux=True)(total)
                _, gradients = down(x, model=model)
            optimiser.step(model, gradients["model"])
    with pxu.step(model, clear_params=pxc.VodeParam.Cache):
        down = pxf.value_and_grad(pxu.M(pxn.LayerParam).to([False, True]), has_aux=True)(total)
        _, gradients = down(x, model=model)
    found = [
        np.asarray(part.get())
        for layer in gradients["model"].layers
        for part in (layer.nn.weight, layer.nn.bias)
    ]
    return np.stack(energies), states, found


def problem(activation):
    """A classifier with torch's own weights, images and one-hot targets, all in float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = chain_maps(list(SIZES), activation, bias=True, site="post")
        x = torch.randn(BATCH, SIZES[0])
    network = chain(maps, [(n,) for n in SIZES])
    y = torch.eye(SIZES[-1])[torch.arange(BATCH) % SIZES[-1]]
    return network, {0: x, len(SIZES) - 1: y}


@pytest.mark.parametrize("loss", ["squared error", "cross-entropy"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("descent", DESCENTS)
def test_energies_states_and_weight_gradients_are_those_of_pcx(descent, activation, loss):
    dynamics, options = DESCENTS[descent]
    network, clamped = problem(activation)
    if loss == "cross-entropy":
        network.give_output_energy(CrossEntropy())
    parameters = [p.detach().numpy().copy() for p in network.parameters()]
    x, y = (clamped[i].numpy() for i in (0, len(SIZES) - 1))
    energies, states, gradients = theirs(
        list(zip(parameters[::2], parameters[1::2], strict=True)),
        x,
        y,
        ACTIVATIONS[activation],
        pxc.ce_energy if loss == "cross-entropy" else pxc.se_energy,
        dynamics.rate,
        options,
    )
    made = relaxation((network, clamped), dynamics=dynamics, steps=STEPS)
    for step in made:
        t, found = step.moment.t, step.free_energy.energies(step.states).numpy()
        assert_allclose(found, energies[t], rtol=1e-5, atol=ATOL, err_msg=f"energies, step {t}")
        for own, other in zip(step.states[1:], states[t], strict=True):
            assert_allclose(own.numpy(), other, rtol=1e-5, atol=ATOL, err_msg=f"states, step {t}")
    assert energies.shape == (STEPS + 1, len(SIZES) - 1, BATCH)
    assert (energies[-1] > 1e-6).all(), "every layer has energy that can be compared"
    for own, other in zip(PredictiveCoding().gradients(made.step()), gradients, strict=True):
        assert own is not None
        assert_allclose(own.numpy(), other, rtol=1e-5, atol=ATOL, err_msg="weight gradients")
