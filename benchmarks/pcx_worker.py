"""How fast is pcx? The other side of benchmarks/peer.py, in an environment that has pcx.

Reads one JSON object a line from stdin and answers with one: {"do": "load", "workload": ...,
"arrays": "x.npz"} compiles everything and gives the energies of two batches; {"do": "time", "case":
name} does one batch from the first weights and gives its seconds. It imports nothing of this
project.
"""

import json
import os
import sys
import time
from importlib.metadata import version

import jax
import numpy as np
import optax
import pcx
import pcx.functional as pxf
import pcx.nn as pxn
import pcx.predictive_coding as pxc
import pcx.utils as pxu

STATES = pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))
"""Which parameters have a batch axis."""
CACHE = pxc.VodeParam.Cache


def pool(u):
    """The largest of each 2 x 2, (C, H, W).

    As pxn.MaxPool2d(2, 2), whose backward pass takes ten times as long on a CPU.
    """
    C, H, W = u.shape
    return u.reshape(C, H // 2, 2, W // 2, 2).max((2, 4))


def moving():
    """The states that are free; a mask of its own each time, because `to` changes it."""
    return pxu.M_hasnot(pxc.VodeParam, frozen=True)


def learnt():
    """The weights."""
    return pxu.M(pxn.LayerParam)


class Model(pxc.EnergyModule):
    """A chain of layers with a value node after each, as in the tutorials of pcx."""

    def __init__(self, layers):
        super().__init__()
        self.kinds = pcx.static(tuple((one["kind"], one["last"]) for one in layers))
        self.layers = [
            pxn.Linear(one["wide"], one["out"])
            if one["kind"] == "linear"
            else pxn.Conv2d(one["wide"], one["out"], 3, padding=one["padding"])
            for one in layers
        ]
        self.vodes = [pxc.Vode() for _ in layers]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        parts = zip(self.kinds.get(), self.layers, self.vodes, strict=True)
        for (kind, last), layer, vode in parts:
            u = layer(x.reshape(-1) if kind == "linear" else x)
            if not last:
                u = jax.nn.tanh(u)
            if kind == "conv":
                u = pool(u)
            x = vode(u)
        if y is not None:
            self.vodes[-1].set("h", y)


@pxf.vmap(STATES, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    model(x, y)


@pxf.vmap(STATES, in_axes=(0,), out_axes=(None, None), axis_name="batch")
def total(x, *, model):
    """Sum over layers and samples, and the sum of each layer."""
    model(x, None)
    each = jax.numpy.stack([vode.energy() for vode in model.vodes])
    return jax.lax.psum(each.sum(), "batch"), jax.lax.psum(each, "batch")


def descend(x, *, model, states):
    """One step of all states; energies of each layer before it."""
    with pxu.step(model, clear_params=CACHE):
        down = pxf.value_and_grad(moving().to([False, True]), has_aux=True)(total)
        (_, (each,)), gradients = down(x, model=model)
    states.step(model, gradients["model"])
    return each


class Loaded:
    """One workload, compiled."""

    def __init__(self, workload, arrays):
        self.T, self.unrolled = workload["steps"], workload["unrolled"]
        rate, eta, decay = (workload[name] for name in ("rate", "eta", "decay"))
        self.model = Model(workload["layers"])
        self.x, self.y = jax.numpy.asarray(arrays["x"]), jax.numpy.asarray(arrays["y"])
        self.first = []
        for k, layer in enumerate(self.model.layers):
            b = arrays[f"b{k}"]
            shaped = b.reshape(layer.nn.bias.get().shape)
            self.first += [
                (layer.nn.weight, jax.numpy.asarray(arrays[f"W{k}"])),
                (layer.nn.bias, jax.numpy.asarray(shaped)),
            ]
        self.again()
        self.weights = pxu.Optim(lambda: optax.adamw(eta, weight_decay=decay), learnt()(self.model))
        self.rate = rate
        self.compiled = {
            "pcx off": pxf.jit()(self.body(record=False)),
            "pcx lean": pxf.jit()(self.body(record=True)),
        }

    def body(self, record):
        def batch(x, y, *, model, weights):
            with pxu.step(model, (pxc.STATUS.INIT, None), clear_params=CACHE):
                forward(x, y, model=model)
            states = pxu.Optim(lambda: optax.sgd(self.rate), moving()(model))
            if self.unrolled:
                rows = [descend(x, model=model, states=states) for _ in range(self.T)]
                rows = jax.numpy.stack(rows) if record else None
            else:

                def one(_, *, model, states):
                    each = descend(x, model=model, states=states)
                    return (), each if record else None

                _, rows = pxf.scan(one, length=self.T)(model=model, states=states)
            with pxu.step(model, clear_params=CACHE):
                down = pxf.value_and_grad(learnt().to([False, True]), has_aux=True)(total)
                (_, (each,)), gradients = down(x, model=model)
            weights.step(model, gradients["model"], scale_by=1 / len(x))
            model.clear_params(pxc.VodeParam)
            if not record:
                return None
            return jax.numpy.concatenate([rows, each[None]]) / len(x)

        return batch

    def again(self):
        for parameter, value in self.first:
            parameter.set(value)

    def run(self, case):
        """One batch, waited for, with its energies on the host where it records them."""
        found = self.compiled[case](self.x, self.y, model=self.model, weights=self.weights)
        jax.block_until_ready([p.get() for p, _ in self.first])
        return None if found is None else np.asarray(found)

    def time(self, case):
        self.again()
        begun = time.perf_counter()
        self.run(case)
        return time.perf_counter() - begun


def answer(asked, held):
    if asked["do"] == "load":
        begun = time.perf_counter()
        with np.load(asked["arrays"]) as arrays:
            held["it"] = loaded = Loaded(asked["workload"], arrays)
        two = [np.asarray(loaded.run("pcx lean")).tolist() for _ in range(2)]
        loaded.time("pcx off")
        spent = time.perf_counter() - begun
        return {"energies": two, "cases": list(loaded.compiled), "seconds": spent}
    return {"seconds": held["it"].time(asked["case"])}


def main():
    # Whatever the libraries print goes to stderr; stdout is for answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    hello = {name: version(name) for name in ("pcx", "jax", "jaxlib", "optax")}
    print(json.dumps(hello | {"python": sys.version.split()[0]}), file=out, flush=True)
    held = {}
    for line in sys.stdin:
        try:
            found = answer(json.loads(line), held)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
        print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    main()
