"""Are kernels and multiply-adds counted as they are, and as the closed forms say?"""

from itertools import pairwise

import pytest
import torch
from torch import nn

from benchmarks import counts
from benchmarks.cases import Autograd, Backprop, Engine, Floor
from benchmarks.launches import Count, count, launches_per_step
from benchmarks.workloads import TINY, WORKLOADS
from core.engines import ENGINES, PLAIN
from core.inits.zero import Zero

DENSE = TINY["dense"]
L, T = len(DENSE.layers), DENSE.steps


@pytest.mark.oracle("closed form")
def test_a_linear_layer_is_one_kernel_and_its_multiply_adds():
    linear, x = nn.Linear(3, 5), torch.randn(7, 3)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = count(lambda: linear(x).view(35).reshape(7, 5).t())
        assert dict(found.kernels) == {"addmm": 1}
        assert found.multiply_adds == 3 * 5 * 7


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    "act",
    [
        lambda a, b, out: torch.mm(a, b, out=out),
        lambda a, b, out: out.addmm_(a, b),
        lambda a, b, out: torch.addmm(out, a, b, out=out),
        lambda a, b, out: out[None].baddbmm_(a[None], b[None], alpha=-0.1),
        lambda a, b, out: torch.baddbmm(out[None], a[None], b[None], beta=0),
        lambda a, b, out: torch.bmm(a[None], b[None], out=out[None]),
    ],
)
def test_products_in_place_and_into_given_memory_count_like_others(act):
    a, b, out = torch.randn(4, 3), torch.randn(3, 5), torch.zeros(4, 5)
    found = count(lambda: act(a, b, out))
    assert (found.launches, found.multiply_adds) == (1, 4 * 3 * 5)


@pytest.mark.oracle("closed form")
def test_a_convolution_counts_up_and_down():
    conv, x = nn.Conv2d(2, 3, 3, padding=1), torch.randn(4, 2, 6, 6, requires_grad=True)
    each = 4 * 6 * 6 * 9 * 2 * 3
    with Count() as up:
        y = conv(x)
    with Count() as down:
        y.sum().backward()
    assert up.multiply_adds == each
    assert down.multiply_adds == 2 * each


def test_a_number_on_the_host_is_a_read_and_no_kernel():
    found = count(torch.ones(()).item)
    assert (found.reads, found.launches) == (1, 0)


@pytest.mark.oracle("closed form")
def test_kernels_of_one_more_step_leave_out_what_happens_once():
    x = torch.ones(3)

    def make(T):
        def act():
            x.exp()
            for _ in range(T):
                x.sin().cos()

        return act

    assert launches_per_step(make, 4, 9) == 2


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", ["W1", "W2"])
def test_the_plain_count_is_that_of_the_mm_calls(name):
    workload = WORKLOADS[name]
    B, sizes = workload.batch, [784, *(one.out for one in workload.layers)]
    up = sum(B * a * b for a, b in pairwise(sizes))
    inner = up - B * sizes[0] * sizes[1]
    assert counts.plain(workload.products, workload.steps) == (
        2 * up + workload.steps * (up + inner)
    )


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("sizes", [(3, 4), (3, 4, 5), (2, 6, 5, 4, 3), (7, *(2,) * 9)])
@pytest.mark.parametrize("steps", [0, 1, 2, 4, 9, 30])
def test_the_exact_count_is_that_of_a_simulated_wave(sizes, steps):
    # Which states have moved, and which errors are not zero, followed step by step.
    products = [a * b for a, b in pairwise(sizes)]
    top = len(products)
    total, moved = sum(products), set()
    wrong = {top}
    for _ in range(steps):
        total += sum(products[layer - 1] for layer in wrong if layer > 1)
        moved = {state for layer in wrong for state in (layer - 1, layer) if 0 < state < top}
        total += sum(products[layer - 1] for layer in range(1, top + 1) if layer - 1 in moved)
        wrong |= {layer for layer in range(1, top + 1) if moved & {layer - 1, layer}}
    assert counts.exact(products, steps) == total + sum(products)


@pytest.mark.oracle("closed form")
def test_what_is_executed_is_what_the_formulas_say():
    up = sum(DENSE.products)
    floor = count(Floor(DENSE).batch)
    assert floor.multiply_adds == counts.plain(DENSE.products, T)
    assert floor.launches == L + T * (2 * L - 1) + L
    # A pass up more, the graph of the weight gradients; none of the clamped output in the sweep.
    found = count(Autograd(DENSE).batch).multiply_adds
    assert found == counts.plain(DENSE.products, T) + up - DENSE.products[-1]
    found = count(Backprop(DENSE, fused=False).batch).multiply_adds
    assert found == counts.backprop(DENSE.products)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("engine", [one for one in ENGINES if one != PLAIN])
def test_an_engine_executes_the_exact_count(engine):
    """But for a pass up where weight gradients are taken by a graph, and the output's prediction.

    That one may be made twice: by the sweep, and beside the output's clamped value.
    """
    up, products = sum(DENSE.products), DENSE.products
    legal = {0, up, products[-1], up + products[-1]}
    swept, zero = Engine(DENSE, engine), Engine(DENSE, engine, init=Zero())
    for case in (swept, zero):
        case.time()  # torch's first call may round in another way, which costs a saving
    assert count(swept.batch).multiply_adds - counts.exact(products, T) in legal
    assert count(zero.batch).multiply_adds - counts.kept(products, T) in legal
