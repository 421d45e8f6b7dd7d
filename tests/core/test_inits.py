"""Inits: the laws of their kind, and each one's own formula."""

import pytest
import torch
from torch.testing import assert_close

from core import cards, make
from core.inits.average import Average
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.inits.null import Null
from core.inits.zero import Zero
from core.start import Start
from tests.problems import labelled, network_of, relaxation, relaxed, tanh_mlp

INITS = list(cards("init"))


def started(problem, labels=None, classes=0, seed=0, **past):
    network, clamped = problem
    generator = torch.Generator().manual_seed(seed)
    return Start(network, clamped, labels, classes, generator=generator, **past)


def pasts(name):
    """The first batch, and a batch with a past, of an init."""
    problem, labels = labelled()
    network, clamped = problem
    yield problem, started(problem, labels, 3)
    final = relaxed(network, clamped, steps=4)
    observe = getattr(make("init", name), "observe", None)
    memory = observe(started(problem, labels, 3), final, None) if observe else None
    yield problem, started(problem, labels, 3, memory=memory, previous=final)


@pytest.mark.parametrize("name", INITS)
def test_an_init_gives_one_state_for_each_node_in_its_shape_and_type(name):
    for (network, _), start in pasts(name):
        with torch.no_grad():
            states = make("init", name)(start)
        assert [h.shape for h in states] == [(6, *node.shape) for node in network.nodes]
        assert all(h.dtype == torch.float64 for h in states)
        assert all(torch.isfinite(h).all() for h in states)


@pytest.mark.parametrize("name", INITS)
def test_states_of_any_shape_are_made(name):
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    clamped = {0: torch.ones(6, 2, 3, 3).double(), 2: torch.ones(6, 5).double()}
    start = started((network, clamped), torch.tensor([0, 1, 2, 0, 1, 2]), 3)
    with torch.no_grad():
        states = make("init", name)(start)
    assert [h.shape for h in states] == [(6, 2, 3, 3), (6, 4, 2, 2), (6, 5)]


@pytest.mark.parametrize("name", INITS)
def test_a_relaxation_overwrites_what_is_clamped(name):
    problem, labels = labelled()
    _, clamped = problem
    inner = {**clamped, 2: torch.full((6, 5), 7.0).double()}
    made = relaxation(
        (problem[0], inner),
        init=make("init", name),
        labels=labels,
        classes=3,
        generator=torch.Generator().manual_seed(0),
    )
    for i, value in inner.items():
        assert torch.equal(made.states[i], value)


@pytest.mark.parametrize("name", INITS)
def test_the_same_generator_gives_the_same_states(name):
    for _, start in pasts(name):
        drawn = []
        for _ in range(2):
            start.generator.manual_seed(5)
            drawn.append(make("init", name)(start))
        for a, b in zip(*drawn, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", INITS)
def test_an_init_leaves_what_it_was_given_alone(name):
    for (_, clamped), start in pasts(name):
        before = {i: h.clone() for i, h in clamped.items()}
        previous = [h.clone() for h in start.previous or ()]
        make("init", name)(start)
        for i, h in before.items():
            assert torch.equal(clamped[i], h)
        for a, b in zip(start.previous or (), previous, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", [n for n in INITS if hasattr(make("init", n), "remembers")])
def test_an_init_that_remembers_says_what(name):
    assert make("init", name).remembers.strip()


@pytest.mark.parametrize("name", ["Null", "Average"])
def test_an_init_that_remembers_by_slot_or_class_wants_aligned_batches(name):
    assert make("init", name).aligned is True


def test_zero_is_zero():
    problem = tanh_mlp()
    assert not any(h.any() for h in Zero()(started(problem)))


def test_forward_leaves_no_hidden_error():
    network, clamped = tanh_mlp()
    step = relaxation((network, clamped), init=Forward()).step()
    errors = step.free_energy.errors(step.states)
    assert not any(e.any() for e in errors[:-1])
    assert errors[-1].any()


def test_forward_s_noise_is_added_after_the_sweep():
    # e_l of the hidden layers would be the noise itself if it were added on the way up.
    problem = tanh_mlp()
    clean = Forward()(started(problem))
    noisy = Forward(noise=0.5)(started(problem, seed=3))
    again = Forward(noise=0.25)(started(problem, seed=3))
    for h, full, half in zip(clean, noisy, again, strict=True):
        assert_close(full - h, 2 * (half - h))
        assert (full - h).any()


def test_forward_s_noise_is_standard_normal_times_its_dial():
    network, clamped = tanh_mlp(sizes=(2, 400, 2), batch=100)
    clean = Forward()(started((network, clamped)))[1]
    noise = (Forward(noise=0.3)(started((network, clamped)))[1] - clean).detach() / 0.3
    assert abs(float(noise.mean())) < 0.02  # 4 sd of a mean of 40,000
    assert abs(float(noise.var()) - 1) < 0.03


@pytest.mark.parametrize("init", [Forward(), Average()])
def test_a_sweep_with_a_free_root_names_it(init):
    network, clamped = tanh_mlp()
    with pytest.raises(ValueError, match="state 0 is a root and free"):
        init(started((network, {5: clamped[5]})))


def test_normal_has_its_mean_and_standard_deviation():
    problem = tanh_mlp(sizes=(2, 400, 2), batch=100)
    h = Normal(mean=-2.0, sd=0.1)(started(problem))[1]
    assert abs(float(h.mean()) + 2) < 0.002
    assert abs(float(h.std()) - 0.1) < 0.0015


def test_normal_draws_anew_for_each_batch_and_layer():
    start = started(tanh_mlp())
    one, two = Normal()(start), Normal()(start)
    assert not torch.equal(one[1], two[1])
    assert not torch.equal(one[1], one[2])


def test_null_begins_where_the_batch_before_ended():
    problem = tanh_mlp()
    final = relaxed(*problem, steps=5)
    for h, old in zip(Null()(started(problem, previous=final)), final, strict=True):
        assert torch.equal(h, old)


def test_null_s_first_batch_is_a_sweep_or_zero_where_the_bottom_is_free():
    network, clamped = tanh_mlp()
    swept = network.sweep({0: clamped[0]})
    for h, mu in zip(Null()(started((network, clamped))), swept, strict=True):
        assert torch.equal(h, mu)
    assert not any(h.any() for h in Null()(started((network, {5: clamped[5]}))))


@pytest.mark.oracle("closed form")
def test_v16_average_is_the_class_mean_of_the_batch_before():
    problem, _ = labelled(sizes=(2, 2, 2, 2), batch=4)
    labels = torch.tensor([0, 1, 0, 1])
    final = [torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]]).double()] * 4
    memory = Average().observe(started(problem, labels, 2), final, None)
    states = Average(m=0)(started(problem, labels, 2, memory=memory))
    expected = torch.tensor([[3.0, 4], [5, 6], [3, 4], [5, 6]]).double()
    for h in states[1:]:
        assert torch.equal(h, expected)


@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_average_sweeps_the_new_input_up_to_m_and_recalls_above(m):
    problem, labels = labelled()
    network, clamped = problem
    memory = Average().observe(
        started(problem, labels, 3), relaxed(network, clamped, steps=4), None
    )
    generator = torch.Generator().manual_seed(9)
    fresh = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    new = (network, {0: fresh, 3: clamped[3]})
    states = Average(m=m)(started(new, labels, 3, memory=memory))
    swept = network.sweep({0: fresh})
    for i in (1, 2):
        if i <= m:
            assert torch.equal(states[i], swept[i])
        else:
            for c in range(3):
                rows = states[i][labels == c]
                assert torch.equal(rows, rows[:1].expand_as(rows))
            assert not torch.equal(states[i][0], states[i][1])


def test_average_s_error_sits_above_layer_m():
    # Up to m the states are a sweep: the first hidden error is that of layer m + 1.
    problem, labels = labelled(sizes=(4, 5, 5, 5, 5, 3))
    network, clamped = problem
    memory = Average().observe(
        started(problem, labels, 3), relaxed(network, clamped, steps=9), None
    )
    new = {**clamped, 0: clamped[0].flip(0)}
    for m in (0, 1, 2, 3):
        step = relaxation(
            (network, new), init=Average(m=m), labels=labels, classes=3, memory=memory
        ).step()
        errors = step.free_energy.errors(step.states)
        assert [bool(e.any()) for e in errors] == [False] * m + [True] * (5 - m)


def test_average_uses_the_last_batch_only():
    problem, labels = labelled()
    start = started(problem, labels, 3)
    old = Average().observe(start, [torch.zeros(6, 2).double()] * 4, None)
    new = [torch.full((6, 2), 5.0).double()] * 4
    means, known = Average().observe(start, new, old)
    assert all(torch.equal(mean, torch.full((3, 2), 5.0).double()) for mean in means)
    assert known.all()


def test_a_running_mean_keeps_its_share_of_each_class_s_older_mean():
    # Means of class 0: 1, 5, 3; of class 1, which the second batch lacks: 2, none, 10.
    problem, _ = labelled(sizes=(2, 2, 2, 2), batch=2)
    init, memory = Average(keep=0.25), None
    for labels, values in (([0, 1], [1.0, 2.0]), ([0, 0], [4.0, 6.0]), ([0, 1], [3.0, 10.0])):
        final = [torch.tensor(values).double()[:, None].expand(2, 2)] * 4
        memory = init.observe(started(problem, torch.tensor(labels), 3), final, memory)
    means, known = memory
    zero = 0.25 * (0.25 * 1 + 0.75 * 5) + 0.75 * 3
    one = 0.25 * 2 + 0.75 * 10
    assert_close(means[1][:, 0], torch.tensor([zero, one, 0.0]).double())
    assert known.tolist() == [True, True, False]


def test_a_class_that_is_missing_keeps_its_older_mean():
    problem, _ = labelled(sizes=(2, 2, 2, 2), batch=2)
    first = [torch.tensor([[1.0, 1], [2, 2]]).double()] * 4
    second = [torch.tensor([[8.0, 8], [4, 4]]).double()] * 4
    memory = Average().observe(started(problem, torch.tensor([0, 1]), 3), first, None)
    memory = Average().observe(started(problem, torch.tensor([1, 1]), 3), second, memory)
    means, known = memory
    assert torch.equal(means[1], torch.tensor([[1.0, 1], [6, 6], [0, 0]]).double())
    assert known.tolist() == [True, True, False]


def test_a_class_that_was_never_seen_begins_from_the_sweep():
    problem, _ = labelled(sizes=(2, 2, 2, 2), batch=2)
    network, clamped = problem
    final = [torch.tensor([[1.0, 1], [2, 2]]).double()] * 4
    memory = Average().observe(started(problem, torch.tensor([0, 0]), 3), final, None)
    states = Average(m=0)(started(problem, torch.tensor([0, 2]), 3, memory=memory))
    swept = network.sweep({0: clamped[0]})
    assert torch.equal(states[1][0], torch.tensor([1.5, 1.5]).double())
    assert torch.equal(states[1][1], swept[1][1])


def test_average_s_class_mean_keeps_any_shape():
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    clamped = {0: torch.ones(4, 2, 3, 3).double(), 2: torch.ones(4, 5).double()}
    labels = torch.tensor([1, 0, 1, 0])
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(4, 4, 2, 2, generator=generator).double()
    start = started((network, clamped), labels, 2)
    memory = Average().observe(start, [clamped[0], h, clamped[2]], None)
    states = Average(m=0)(started((network, clamped), labels, 2, memory=memory))
    assert_close(states[1][0], (h[0] + h[2]) / 2)
    assert_close(states[1][3], (h[1] + h[3]) / 2)


def test_average_without_labels_says_so():
    problem, _ = labelled()
    with pytest.raises(ValueError, match="no labels"):
        Average().observe(started(problem), relaxed(*problem, steps=1), None)
