"""Training from class means, beside a loop of matrix products that knows nothing of the core.

pinchetti2026, eq. 10: states above layer m begin at the class means of the batch before, those up
to m at the forward pass of the new input; then T simultaneous steps and one update of AdamW.
"""

import pytest
import torch
from torch.nn.functional import gelu, one_hot

from core import Experiment, Training, make

SIZES, BATCHES = (64, 12, 11, 10, 10), 6
"""L = 4; six batches: the first begins with a forward pass, the others at means."""


def slope(a):
    """The derivative of GELU, by the formula."""
    normal = torch.distributions.Normal(torch.zeros((), dtype=a.dtype), 1.0)
    return normal.cdf(a) + a * normal.log_prob(a).exp()


def by_hand(weights, batches, m, T, rate, optimiser):
    """Moves `weights`, pairs of matrix and bias, as the work's equations say."""
    L, means = len(weights), None
    for x, y in batches:
        target = one_hot(y, 10).double()

        def predict(k, h, weights=weights, L=L):
            a = h @ weights[k][0].T + weights[k][1]
            return a, a if k == L - 1 else gelu(a)

        h = [x]
        for k in range(L - 1):
            forwarded = means is None or k + 1 <= m
            h.append(predict(k, h[-1])[1] if forwarded else means[k + 1][y])
        h.append(target)
        for t in range(T + 1):
            a, mu = zip(*[predict(k, h[k]) for k in range(L)], strict=True)
            e = [h[k + 1] - mu[k] for k in range(L)]
            back = [e[k] if k == L - 1 else e[k] * slope(a[k]) for k in range(L)]
            if t == T:
                break
            moved = [h[k] - rate * (e[k - 1] - back[k] @ weights[k][0]) for k in range(1, L)]
            h = [x, *moved, target]
        means = [torch.stack([one[y == c].mean(0) for c in range(10)]) for one in h]
        for k, (W, b) in enumerate(weights):
            W.grad, b.grad = -back[k].T @ h[k] / len(x), -back[k].sum(0) / len(x)
        optimiser.step()


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(("m", "T"), [(0, 2), (1, 3), (2, 4), (3, 3)])
def test_a_training_from_class_means_is_that_of_the_equations(m, T):
    experiment = Experiment(
        init=make("init", "Average", {"m": m}),
        dynamics=make("dynamics", "GradientDescent", {"rate": 0.1}),
        network=make("network", "MLP", {"hidden": list(SIZES[1:-1]), "activation": "gelu"}),
        dataset=make("dataset", "SmallDigits"),
        weights=make("weights", "AdamW", {"rate": 0.01}),
        steps=T,
        batch_size=40,
        dtype="float64",
        pretraining="random",
    )
    images = experiment.dataset()
    training = Training(experiment, images, experiment.build(images.shape, images.classes))
    held = [p.detach().clone() for p in training.network.parameters()]
    weights = list(zip(held[::2], held[1::2], strict=True))
    assert [tuple(W.shape) for W, _ in weights] == list(zip(SIZES[1:], SIZES, strict=False))
    batches = [training.batches.batch(k) for k in range(BATCHES)]
    for batch in batches:
        relaxation = training.relaxation(batch, train=True)
        relaxation.run()
        training.finish(relaxation)
    optimiser = torch.optim.AdamW(held, lr=0.01, weight_decay=0.01)
    by_hand(weights, [(b.x.flatten(1).double(), b.y) for b in batches], m, T, 0.1, optimiser)
    for mine, theirs in zip(training.network.parameters(), held, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
