"""How does predictive coding in bare PyTorch leave a run? Three lines of it: open, append, close.

    python tests/examples/torch_loop.py runs/torch-loop

The page then draws the run, while it is written too: `panel serve apps/`, `?page=runs`.
"""

import sys
from itertools import pairwise

import torch
from torch import nn

import core

SIZES = (8, 16, 16, 4)
RATE, STEPS = 0.1, 12


def errors(layers: nn.ModuleList, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of each layer, its state less what the layer below predicts, (B, d) each."""
    predicted = [layer(h) for layer, h in zip(layers, states[:-1], strict=True)]
    return [h - mu for h, mu in zip(states[1:], predicted, strict=True)]


def train(path: str, batches: int = 3, device: str = "cpu") -> nn.ModuleList:
    """Relax and learn, batch after batch, and log it; returns the layers."""
    torch.manual_seed(0)
    layers = nn.ModuleList(
        nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in pairwise(SIZES)
    ).to(device)
    learn = torch.optim.SGD(layers.parameters(), lr=0.01)
    log = core.Trace.open(path, layers=SIZES[1:], about={"rate": RATE, "code": "bare PyTorch"})
    for batch in range(batches):
        x, y = torch.randn(32, SIZES[0], device=device), torch.randn(32, SIZES[-1], device=device)
        log.weights(layers.state_dict())
        with torch.no_grad():  # a forward pass
            states = [x]
            for layer in layers:
                states.append(layer(states[-1]))
        states[-1] = y
        for t in range(STEPS + 1):
            hidden = [h.detach().requires_grad_() for h in states[1:-1]]
            states = [x, *hidden, y]
            wrong = errors(layers, states)
            energy = [0.5 * e.square().sum(1) for e in wrong]  # of each sample, (B,) each
            log.append(
                batch=batch,
                T=STEPS,
                energy=[E.mean() for E in energy],
                error=[e.square().mean().sqrt() for e in wrong],
                energy_sample=energy,
            )
            total = torch.stack(energy).sum()
            if t < STEPS:
                forces = torch.autograd.grad(total, hidden)
                moved = [h - RATE * g for h, g in zip(hidden, forces, strict=True)]
                states = [x, *moved, y]
        learn.zero_grad()
        (total / len(x)).backward()
        learn.step()
        log.batch(update_norm=[0.01 * _norm(layer) for layer in layers])
    log.close()
    return layers


def _norm(layer: nn.Module) -> torch.Tensor:
    """Euclidean norm of a layer's gradients."""
    return torch.stack([p.grad.norm() for p in layer.parameters() if p.grad is not None]).norm()


if __name__ == "__main__":
    train(sys.argv[1], batches=200)
