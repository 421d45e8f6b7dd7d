"""The Hopfield memory: its formula, its first fit, its learning, and what it leaves alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Experiment, Network, Node, Training
from core.batches import ImageSet
from core.inits.memory import Memory
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.start import Start
from core.tasks.reconstruct import Reconstruct
from tests.problems import linear, network_of, relaxed, tanh_mlp


class Pair(nn.Module):
    """A prediction from two parents."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 2, dtype=torch.float64)

    def forward(self, a, b):
        return self.map(torch.cat([a, b], dim=1))


SIZES = (6, 8, 7, 3)
SHARP = Memory(patterns=5, sharpness=2.0, rate=0.01)


def started(batch=8, seed=0, memory=None, free=()):
    """A start of a tanh network, with some of its ends free, and its final states."""
    network, clamped = tanh_mlp(SIZES, batch=batch)
    torch.manual_seed(seed)
    clamped = {i: torch.randn_like(h) for i, h in clamped.items() if i not in free}
    final = relaxed(network, clamped, steps=5, init=Zero())
    generator = torch.Generator().manual_seed(seed)
    return Start(network, clamped, memory=memory, generator=generator), final


def observation(start):
    return torch.cat([start.clamped[i].flatten(1) for i in sorted(start.clamped)], dim=1)


def attention(init, start, one):
    """softmax(delta (o Q + b) K^T) of each head, written with the exponential function."""
    size, wide = init.embedding // init.heads, init.embedding
    o, found = observation(start), []
    for first in range(0, wide, size):
        own = slice(first, first + size)
        logits = init.sharpness * (o @ one.Q[:, own] + one.b[own]) @ one.K[:, own].T
        weights = (logits - logits.max(1, keepdim=True).values).exp()
        found.append(weights / weights.sum(1, keepdim=True))
    return found


def recalled(init, start, one):
    slices = one.V.tensor_split(init.heads, dim=1)
    return torch.cat(
        [A @ v for A, v in zip(attention(init, start, one), slices, strict=True)], dim=1
    )


def with_memory(start, memory):
    return Start(start.network, start.clamped, memory=memory, generator=start.generator)


# The formula -------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2, 4, 16])
def test_each_head_recalls_its_slice_of_the_units_by_its_own_attention(heads):
    init = Memory(patterns=5, heads=heads, embedding=32, sharpness=3.0)
    start, final = started()
    memory = init.observe(start, final, None)
    states = init(with_memory(start, memory))
    for i, one in memory.patterns.items():
        assert one.Q.shape == (9, 32)
        assert one.K.shape == (5, 32)
        assert one.V.shape == (5, SIZES[i])
        assert_close(states[i], recalled(init, start, one), rtol=1e-12, atol=1e-13)


def test_what_is_recalled_lies_between_the_patterns():
    start, final = started()
    memory = SHARP.observe(start, final, None)
    h, V = SHARP(with_memory(start, memory))[1], memory.patterns[1].V
    assert bool((h <= V.max(0).values + 1e-12).all() and (h >= V.min(0).values - 1e-12).all())


def test_without_sharpness_every_pattern_counts_the_same_and_with_much_only_one():
    start, final = started()
    for sharpness, share in ((0.0, 1 / 5), (1e4, 1.0)):
        init = Memory(patterns=5, sharpness=sharpness)
        one = init.observe(start, final, None).patterns[1]
        (A,) = attention(init, start, one)
        assert_close(A.max(1).values, torch.full((8,), share).double())


# Which states ------------------------------------------------------------------------------------


def test_with_clamped_roots_every_free_state_has_a_memory():
    start, final = started()
    assert list(SHARP.observe(start, final, None).patterns) == [1, 2]
    start, final = started(free=(3,))
    assert list(SHARP.observe(start, final, None).patterns) == [1, 2, 3]


def test_with_a_free_bottom_the_root_has_one_and_the_rest_is_a_sweep_from_it():
    start, final = started(free=(0,))
    memory = SHARP.observe(start, final, None)
    assert list(memory.patterns) == [0]
    assert memory.patterns[0].Q.shape[0] == 3  # it observes the clamped output
    states = SHARP(with_memory(start, memory))
    assert_close(states[0], recalled(SHARP, start, memory.patterns[0]), rtol=1e-12, atol=1e-13)
    for h, swept in zip(states[1:], start.network.sweep({0: states[0]})[1:], strict=True):
        assert_close(h, swept, rtol=0, atol=0)


def test_the_first_batch_is_a_sweep_or_zero_where_the_bottom_is_free():
    start, _ = started()
    for h, swept in zip(SHARP(start), start.network.sweep(start.clamped), strict=True):
        assert torch.equal(h, swept)
    start, _ = started(free=(0,))
    assert not any(h.any() for h in SHARP(start))


def test_without_anything_clamped_it_recalls_the_same_for_every_sample():
    network, _ = tanh_mlp(SIZES, batch=8)
    start = Start(network, {}, generator=torch.Generator().manual_seed(0), samples=8)
    final = [torch.randn(8, n).double() for n in SIZES]
    memory = SHARP.observe(start, final, None)
    h = SHARP(Start(network, {}, memory=memory, samples=8))[0]
    assert_close(h, final[0].mean(0).expand(8, -1))


@pytest.mark.parametrize("clamped", [(0,), ()])
def test_a_cycle_rules_out_the_sweep_and_every_free_state_has_a_memory(clamped):
    nodes = [
        Node((3,)),
        Node((2,), (0, 2), Pair(), depth=1),
        Node((2,), (1,), linear([[0.1, 0.2], [0.3, 0.4]]), depth=2),
    ]
    network = Network(nodes)
    final = [torch.randn(4, n, dtype=torch.float64) for n in (3, 2, 2)]
    held = {i: final[i] for i in clamped}
    start = Start(network, held, generator=torch.Generator().manual_seed(0), samples=4)
    assert not any(h.any() for i, h in enumerate(SHARP(start)) if i not in held)
    init = Memory(patterns=24, sharpness=1.0, cutoff=0.0)
    memory = init.observe(start, final, None)
    free = [i for i in range(3) if i not in held]
    assert list(memory.patterns) == free
    states = init(Start(network, held, memory=memory, samples=4))
    for i in free:
        mean = final[i].mean(0).expand(4, -1)
        assert_close(states[i], final[i] if held else mean, rtol=1e-8, atol=1e-9)


def test_states_of_any_shape_are_recalled():
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    clamped = {0: torch.randn(6, 2, 3, 3).double(), 2: torch.randn(6, 5).double()}
    start = Start(network, clamped, generator=torch.Generator().manual_seed(0))
    memory = SHARP.observe(start, network.sweep(clamped), None)
    assert [h.shape[1:] for h in SHARP(with_memory(start, memory))] == [(2, 3, 3), (4, 2, 2), (5,)]


# V11: the first fit ------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("seed", range(5))
def test_v11_few_samples_and_a_soft_attention_give_the_forward_states_exactly(seed):
    init = Memory(patterns=24, sharpness=1.0)
    start, final = started(batch=8, seed=seed)
    states = init(with_memory(start, init.observe(start, final, None)))
    swept = start.network.sweep(start.clamped)
    for i in (1, 2):
        off = (states[i] - swept[i]).detach()
        assert float(off.norm() / swept[i].detach().norm()) < 1e-12


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("n", "p", "sharpness"), [(8, 24, 1.0), (24, 24, 1.0), (200, 24, 1.0), (60, 5, 50.0)]
)
@pytest.mark.parametrize("free", [(), (0,)])
def test_v11_the_first_values_are_the_least_squares_fit(n, p, sharpness, free):
    # A^T (A V - H) = 0, whatever the rank of A; plain pseudo-inverse.
    init = Memory(patterns=p, sharpness=sharpness, cutoff=0.0)
    start, final = started(batch=n, free=free)
    memory = init.observe(start, final, None)
    wanted = final if free else start.network.sweep(start.clamped)
    for i, one in memory.patterns.items():
        (A,) = attention(init, start, one)
        off, scale = A.T @ (A @ one.V - wanted[i].detach()), A.T @ wanted[i].detach()
        assert float(off.norm()) < 1e-9 * float(scale.norm())


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(("n", "p"), [(8, 24), (24, 24), (200, 24), (60, 5)])
def test_v11_no_more_samples_are_fitted_than_there_are_patterns(n, p):
    init = Memory(patterns=p, sharpness=1.0)
    start, final = started(batch=n)
    memory = init.observe(start, final, None)
    with torch.no_grad():
        wanted = start.network.sweep(start.clamped)
    for i, one in memory.patterns.items():
        (A,) = attention(init, start, one)
        rank = int(torch.linalg.matrix_rank(A))
        assert rank == min(n, p)
        assert int(torch.linalg.matrix_rank(A @ one.V)) <= min(p, SIZES[i])
        if n > p:
            assert float((A @ one.V - wanted[i]).norm()) > 1e-3 * float(wanted[i].norm())


@pytest.mark.oracle("closed form")
def test_v11_a_saturated_attention_loses_rank_and_with_it_the_exact_fit():
    init = Memory(patterns=4, sharpness=1e4)
    start, final = started(batch=8)
    one = init.observe(start, final, None).patterns[1]
    (A,) = attention(init, start, one)
    used = int((A.max(0).values > 0.5).sum())
    assert int(torch.linalg.matrix_rank(A, rtol=1e-6)) == used <= 4
    # One pattern for each sample: V then holds the means of the samples that share it.
    wanted = start.network.sweep(start.clamped)[1]
    for k in A.argmax(1).unique().tolist():
        assert_close(one.V[k], wanted[A.argmax(1) == k].mean(0), rtol=1e-6, atol=1e-8)


def test_singular_values_below_the_cutoff_count_as_zero():
    init = Memory(patterns=24, sharpness=1.0, cutoff=0.2)
    start, final = started(batch=40)
    one = init.observe(start, final, None).patterns[1]
    (A,) = attention(init, start, one)
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    kept = S > 0.2 * S[0]
    assert 0 < int(kept.sum()) < 24
    wanted = start.network.sweep(start.clamped)[1]
    expected = Vh[kept].T @ ((U[:, kept].T @ wanted) / S[kept, None])
    assert_close(one.V, expected, rtol=1e-9, atol=1e-11)


def test_the_free_root_is_fitted_to_its_relaxed_states():
    init = Memory(patterns=24, sharpness=1.0, cutoff=0.0)
    start, final = started(batch=4, free=(0,))
    states = init(with_memory(start, init.observe(start, final, None)))
    assert_close(states[0], final[0], rtol=1e-8, atol=1e-9)


# Learning ----------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
def test_a_later_batch_takes_torch_s_own_step_of_adamw_on_all_four_tensors():
    start, final = started()
    memory = SHARP.observe(start, final, None)
    parts = {
        i: [part.clone().requires_grad_() for part in one.parts]
        for i, one in memory.patterns.items()
    }
    optimiser = torch.optim.AdamW([p for four in parts.values() for p in four], lr=0.01)
    for seed in (1, 2, 3):
        start, final = started(seed=seed, batch=8 + seed)
        memory = SHARP.observe(start, final, memory)
        loss = 0.0
        for i, (Q, b, K, V) in parts.items():
            A = torch.softmax(2.0 * (observation(start) @ Q + b) @ K.T, dim=1)
            loss = loss + (A @ V - final[i]).square().sum() / len(final[i])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for i, one in memory.patterns.items():
            for own, expected in zip(one.parts, parts[i], strict=True):
                assert_close(own, expected.detach(), rtol=1e-10, atol=1e-12)
                assert not own.requires_grad


def test_under_no_grad_it_learns_as_well():
    start, final = started()
    memory = SHARP.observe(start, final, None)
    expected = SHARP.observe(start, final, memory)
    with torch.no_grad():
        found = SHARP.observe(start, final, memory)
    for i, one in found.patterns.items():
        for a, b, old in zip(
            one.parts, expected.patterns[i].parts, memory.patterns[i].parts, strict=True
        ):
            assert torch.equal(a, b)
            assert not torch.equal(a, old)


def test_the_loss_falls_on_the_same_batch():
    init = Memory(patterns=5, sharpness=1.0, rate=0.003)
    start, final = started(batch=30)
    memory, losses = init.observe(start, final, None), []
    for _ in range(60):
        states = init(with_memory(start, memory))
        losses.append(sum(float((states[i] - final[i]).square().sum()) for i in (1, 2)))
        memory = init.observe(start, final, memory)
    assert losses[-1] < 0.7 * losses[0]


def test_a_memory_is_never_changed_in_place():
    # So that a mark that holds an older one can be gone back to.
    start, final = started()
    memories = [SHARP.observe(start, final, None)]
    copies = [copy.deepcopy(memories[0])]
    for _ in range(3):
        memories.append(SHARP.observe(start, final, memories[-1]))
        copies.append(copy.deepcopy(memories[-1]))
    for one, other in zip(memories, copies, strict=True):
        for i in one.patterns:
            assert all(map(torch.equal, one.patterns[i].parts, other.patterns[i].parts))
        for a, b in zip(one.optimiser.values(), other.optimiser.values(), strict=True):
            assert all(torch.equal(a[name], b[name]) for name in ("step", "exp_avg", "exp_avg_sq"))
    again = SHARP.observe(start, final, memories[2])
    for i, one in again.patterns.items():
        assert all(map(torch.equal, one.parts, memories[3].patterns[i].parts))


def test_a_start_without_a_generator_gives_the_same_memory_each_time():
    start, final = started()
    bare = Start(start.network, start.clamped)
    one, two = (SHARP.observe(bare, final, None).patterns[1] for _ in range(2))
    assert all(map(torch.equal, one.parts, two.parts))


def test_another_batch_size_is_recalled_and_learnt_from():
    start, final = started(batch=8)
    memory = SHARP.observe(start, final, None)
    start, final = started(batch=3, seed=1)
    assert [len(h) for h in SHARP(with_memory(start, memory))] == [3] * 4
    later = SHARP.observe(start, final, memory)
    assert [one.V.shape for one in later.patterns.values()] == [(5, 8), (5, 7)]


@pytest.mark.parametrize("other", [{"patterns": 6}, {"heads": 2}, {"embedding": 64}])
def test_a_memory_of_another_form_is_no_memory(other):
    start, final = started()
    memory = SHARP.observe(start, final, None)
    changed = replace(SHARP, **other)
    for h, swept in zip(
        changed(with_memory(start, memory)), start.network.sweep(start.clamped), strict=True
    ):
        assert torch.equal(h, swept)
    anew = changed.observe(started()[0], final, None)
    found = changed.observe(started()[0], final, memory)
    assert all(map(torch.equal, found.patterns[1].parts, anew.patterns[1].parts))


def test_what_was_learnt_with_the_label_is_not_recalled_without_it():
    start, final = started()
    memory = SHARP.observe(start, final, None)
    test, _ = started(free=(3,))
    for h, swept in zip(
        SHARP(with_memory(test, memory)), start.network.sweep(test.clamped), strict=True
    ):
        assert torch.equal(h, swept)


@pytest.mark.parametrize("dials", [{"sharpness": 9.0}, {"rate": 0.5}, {"cutoff": 0.3}])
def test_a_dial_that_is_moved_keeps_the_memory(dials):
    start, final = started()
    memory = SHARP.observe(start, final, None)
    changed = replace(SHARP, **dials)
    h = changed(with_memory(start, memory))[1]
    assert_close(h, recalled(changed, start, memory.patterns[1]), rtol=1e-12, atol=1e-13)


# In training -------------------------------------------------------------------------------------

PLAIN = {"steps": 4, "batch_size": 20, "dtype": "float64", "pretraining": "random"}
CLASSIFY = Experiment(network=MLP(hidden=(6, 5)), init=SHARP, **PLAIN)
DECODE = Experiment(network=Decoder(latent=3, hidden=(5,)), task=Reconstruct(), init=SHARP, **PLAIN)


def images():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 3, 2, generator=generator)
    y = torch.arange(60) % 10
    return ImageSet("toy", x, y, x[:9], y[:9], 10, tuple("abcdefghij"), 0.0, 1.0)


@pytest.mark.parametrize("experiment", [CLASSIFY, DECODE])
def test_training_remembers_from_batch_to_batch_and_can_be_repeated(experiment):
    ends = []
    for _ in range(2):
        data = images()
        training = Training(experiment, data, experiment.build(data.shape, data.classes))
        firsts = []
        for number in range(4):
            made = training.relaxation(training.batches.batch(number), train=True)
            firsts.append(made.first)
            start = made.start
            if number:
                for i, one in training.memory.patterns.items():
                    expected = recalled(experiment.init, start, one)
                    assert_close(made.first[i], expected, rtol=1e-11, atol=1e-12)
            made.run()
            training.finish(made)
        ends.append([*firsts, training.memory.patterns[0 if experiment is DECODE else 1].parts])
    for one, two in zip(*ends, strict=True):
        assert all(map(torch.equal, one, two))


def test_its_size_does_not_grow_and_is_told():
    start, final = started()
    memory, sizes = SHARP.observe(start, final, None), []
    for _ in range(4):
        memory = SHARP.observe(start, final, memory)
        parts = [p for one in memory.patterns.values() for p in one.parts]
        moments = [t for held in memory.optimiser.values() for t in held.values()]
        sizes.append(sum(t.nelement() for t in [*parts, *moments]))
    assert len(set(sizes)) == 1
    steps = sum(t.nelement() for held in memory.optimiser.values() for t in [held["step"]])
    assert memory.bytes == 8 * (sizes[0] - steps)
