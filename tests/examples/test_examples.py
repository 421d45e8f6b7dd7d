"""The worked examples are run, and what they log is what the core finds with the same weights."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from core import chain
from core.dynamics.gradient import GradientDescent
from core.networks.layers import chain_maps
from core.runs import Run
from tests.examples import torch_loop
from tests.problems import relaxation


def ours(network, clamped, rate, steps):
    """Energies (T + 1, L, B) by the core."""
    made = relaxation((network, clamped), dynamics=GradientDescent(rate), steps=steps)
    return np.stack([step.free_energy.energies(step.states).numpy() for step in made])


@pytest.mark.oracle("closed form")
def test_the_loop_of_the_readme_goes_downhill_and_its_run_can_be_read(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    block = readme.partition("## Your own code's runs")[2].partition("```python\n")[2]
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(block.partition("```")[0], "README.md", "exec"), {})
    run = Run(tmp_path / "runs" / "mine")
    total = run.dataset()["energy"].sum("layer").values
    # F is a quadratic function; at a rate below 2 by its largest curvature it falls at every step.
    assert run.state == "finished" and len(total) == 21
    assert (np.diff(total) < 0).all()


@pytest.mark.oracle("other implementation")
def test_the_bare_loop_in_torch_logs_the_energies_of_the_core(tmp_path):
    torch_loop.train(str(tmp_path / "x"), batches=2)
    run = Run(tmp_path / "x")
    data, sizes = run.dataset(), torch_loop.SIZES
    assert run.state == "finished" and data["T"].values.tolist() == [12] * 26
    assert data["layer_size"].values.tolist() == list(sizes[1:])
    torch.manual_seed(0)  # the loop draws first weights, then the data of each batch
    parts = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in pairwise(sizes)]
    for batch in range(2):
        nn.ModuleList(parts).load_state_dict(run.weights(batch))
        x, y = torch.randn(32, sizes[0]), torch.randn(32, sizes[-1])
        energies = ours(chain(parts, [(n,) for n in sizes]), {0: x, 3: y}, torch_loop.RATE, 12)
        rows = data.isel(step=data["batch"].values == batch)
        logged = rows["energy_sample"].transpose("step", "layer", "sample")
        assert_allclose(logged, energies, rtol=1e-5, atol=1e-6)
        assert_allclose(rows["energy"], energies.mean(2), rtol=1e-5, atol=1e-6)
        # |e|^2 / 2 is the energy, and RMS is over units and samples
        wide = np.array(sizes[1:])
        assert_allclose(rows["error"], np.sqrt(2 * energies.mean(2) / wide), rtol=1e-4, atol=1e-6)
    assert (run.batches()["update_norm"].values > 0).all()
    assert_array_equal(run.batches()["rows"], [13, 13])
    assert json.loads(json.dumps(run.manifest["about"]))["rate"] == torch_loop.RATE


@pytest.mark.oracle("other implementation")
def test_the_loop_of_pcx_logs_the_energies_of_the_core(tmp_path):
    pytest.importorskip("pcx", reason="needs pcx, which Python 3.14 cannot have")
    from tests.examples import pcx_loop

    sizes = pcx_loop.SIZES
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = chain_maps(list(sizes), "tanh", bias=True, site="post")
        data = [(torch.randn(6, 12), torch.eye(5)[torch.randint(5, (6,))]) for _ in range(2)]
    network = chain(maps, [(n,) for n in sizes])
    held = [p.detach().numpy().copy() for p in network.parameters()]
    weights = list(zip(held[::2], held[1::2], strict=True))
    pcx_loop.relax(str(tmp_path / "x"), weights, [(x.numpy(), y.numpy()) for x, y in data])
    logged = Run(tmp_path / "x").dataset()
    assert logged["energy"].sizes == {"step": 26, "layer": 3}
    found = [ours(network, {0: x, 3: y}, pcx_loop.RATE, pcx_loop.STEPS) for x, y in data]
    energies = np.concatenate(found)
    samples = logged["energy_sample"].transpose("step", "layer", "sample")
    assert_allclose(samples, energies, rtol=1e-5, atol=1e-6)
    assert_allclose(logged["energy"], energies.mean(2), rtol=1e-5, atol=1e-6)
    assert (energies[-1] > 1e-4).all(), "every layer has energy that can be compared"
