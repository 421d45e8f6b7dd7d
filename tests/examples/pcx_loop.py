"""How does a loop of PCX, on jax, leave a run? Three lines of it: open, append, close.

    python tests/examples/pcx_loop.py runs/pcx-loop

The model and the loop are those of the tutorials of pcx. The page then draws the run, while it is
written too: `panel serve apps/`, `?page=runs`.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise

import jax
import numpy as np
import optax
import pcx
import pcx.functional as pxf
import pcx.nn as pxn
import pcx.predictive_coding as pxc
import pcx.utils as pxu

import core

SIZES = (12, 16, 16, 5)
RATE, STEPS = 0.1, 12
STATES = pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))
"""Which parameters have an axis of samples."""
MOVING = pxu.M_hasnot(pxc.VodeParam, frozen=True)
DOWN = pxu.M_hasnot(pxc.VodeParam, frozen=True).to([False, True])
"""The states that move, and the same for their gradients: `to` changes a mask for good."""

Weights = Sequence[tuple[np.ndarray, np.ndarray]]
"""A matrix (out, in) and a bias (out,) for each layer."""


class Model(pxc.EnergyModule):
    """A chain of linear maps and tanh with a value node after each map."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.act = pcx.static(jax.nn.tanh)
        self.layers = [pxn.Linear(a, b) for a, b in pairwise(SIZES)]
        for layer, (W, b) in zip(self.layers, weights, strict=True):
            layer.nn.weight.set(jax.numpy.asarray(W))
            layer.nn.bias.set(jax.numpy.asarray(b))
        self.vodes = [pxc.Vode() for _ in self.layers]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        for layer, vode in zip(self.layers[:-1], self.vodes[:-1], strict=True):
            x = vode(self.act(layer(x)))
        self.vodes[-1](self.layers[-1](x))
        if y is not None:
            self.vodes[-1].set("h", y)
        return self.vodes[-1].get("u")


@pxf.vmap(STATES, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    return model(x, y)


@pxf.vmap(STATES, in_axes=(0,), out_axes=(None, 0), axis_name="batch")
def energy(x, *, model):
    y = model(x, None)
    return jax.lax.psum(model.energy(), "batch"), y


def relax(path: str, weights: Weights, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Relax the states of some batches, with a forward pass before, and log the energies.

    Args:
        path: of the run.
        weights: of the model.
        batches: inputs (B, 12) and targets (B, 5) of each.
    """
    model = Model(weights)
    log = core.Trace.open(path, layers=SIZES[1:], about={"rate": RATE, "code": "pcx"})
    for batch, (x, y) in enumerate(batches):
        with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
            forward(x, y, model=model)
        optimiser = pxu.Optim(lambda: optax.sgd(RATE), MOVING(model))
        for t in range(STEPS + 1):
            with pxu.step(model, clear_params=pxc.VodeParam.Cache):
                forward(x, None, model=model)
                each = [vode.energy() for vode in model.vodes]  # of each sample, (B,) each
            mean = [one.mean() for one in each]
            log.append(batch=batch, T=STEPS, energy=mean, energy_sample=each)
            if t < STEPS:
                with pxu.step(model, clear_params=pxc.VodeParam.Cache):
                    _, gradient = pxf.value_and_grad(DOWN, has_aux=True)(energy)(x, model=model)
                optimiser.step(model, gradient["model"])
    log.close()


if __name__ == "__main__":
    random = np.random.default_rng(0)
    drawn = [
        (random.normal(0, a**-0.5, (b, a)).astype("f4"), np.zeros(b, "f4"))
        for a, b in pairwise(SIZES)
    ]
    data = [(random.normal(size=(6, 12)), np.eye(5)[random.integers(5, size=6)]) for _ in range(20)]
    relax(sys.argv[1], drawn, [(x.astype("f4"), y.astype("f4")) for x, y in data])
