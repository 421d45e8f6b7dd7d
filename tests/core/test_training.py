"""Training: what one batch leaves for the next, and that it can be repeated."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Training, accuracy, cards, chain, make
from core.batches import Batches, ImageSet
from core.companions import companions
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.energies.cross_entropy import CrossEntropy
from core.inits.average import Average
from core.inits.forward import Forward
from core.inits.memory import Memory
from core.inits.normal import Normal
from core.inits.null import Null
from core.inits.zero import Zero
from core.learning.backprop import Backprop
from core.learning.local import ForwardUpdate, Incremental
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.precisions.learned import Learned
from core.precisions.spiking import Spiking
from core.tasks.reconstruct import Reconstruct
from core.training import accuracies
from core.weights.adamw import AdamW
from core.weights.sgd import SGD
from tests.problems import linear

PLAIN = Experiment(
    network=MLP(hidden=(6, 5)),
    batch_size=20,
    steps=4,
    dtype="float64",
    pretraining="random",
    weights=SGD(rate=0.1),
)
DECODER = PLAIN.changed(
    network=Decoder(latent=3, hidden=(5,)), task=Reconstruct(), init=Zero(), weights=AdamW()
)


def images(seed=0, count=60):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 3, 2, generator=generator)
    y = torch.arange(count) % 10
    return ImageSet("toy", x, y, x[:9], y[:9], 10, tuple("abcdefghij"), 0.0, 1.0)


def begun(experiment, **options):
    data = images()
    return Training(experiment, data, experiment.build(data.shape, data.classes), **options)


def train(training, batches):
    """The relaxations of the next batches, each relaxed and learnt from."""
    for number in range(batches):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        relaxation.run()
        training.finish(relaxation)
        yield relaxation


def weights_of(training):
    return [p.detach().clone() for p in training.network.parameters()]


@pytest.mark.parametrize(
    "experiment",
    [
        PLAIN,
        PLAIN.changed(init=Normal(), weights=AdamW(), dtype="float32"),
        PLAIN.changed(init=Forward(noise=0.3), precision=Spiking(), learning=ForwardUpdate()),
        PLAIN.changed(init=Average(m=1), dynamics=HeavyBall()),
        PLAIN.changed(init=Null(), learning=Incremental()),
        PLAIN.changed(init=Memory(), precision=Learned()),
        PLAIN.changed(init=Average(keep=0.5), window=True, tolerance=0.05, stop="sample"),
        DECODER.changed(init=Memory(heads=4)),
        PLAIN.changed(energy=CrossEntropy(), learning=Backprop()),
        DECODER,
    ],
)
def test_the_same_experiment_trains_to_the_same_weights_bit_for_bit(experiment):
    one, two = begun(experiment), begun(experiment)
    first = weights_of(one)
    for a, b in zip(train(one, 7), train(two, 7), strict=True):
        assert all(torch.equal(h, k) for h, k in zip(a.states, b.states, strict=True))
    torch.rand(5)  # what others draw does not matter
    assert all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(two), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(weights_of(one), first, strict=True))


def test_another_seed_gives_other_weights_batches_and_noise():
    one, two = (begun(PLAIN.changed(init=Normal(), seed=seed)) for seed in (0, 1))
    assert not torch.equal(weights_of(one)[0], weights_of(two)[0])
    a, b = one.batches.batch(0), two.batches.batch(0)
    assert not torch.equal(a.index, b.index)
    h, k = one.relaxation(a, train=False).states, two.relaxation(a, train=False).states
    assert not torch.equal(h[1], k[1])


def test_the_noise_of_a_batch_depends_on_its_number_and_not_on_what_was_before():
    training = begun(PLAIN.changed(init=Normal()))
    batch = training.batches.batch(3)
    once = training.relaxation(batch, train=False).states
    list(train(training, 2))
    again = training.relaxation(batch, train=False).states
    other = training.relaxation(training.batches.batch(4), train=False).states
    assert torch.equal(once[1], again[1])
    assert not torch.equal(once[1], other[1])


@pytest.mark.parametrize("init", [Normal(), Forward(noise=0.5)])
def test_noise_is_drawn_anew_for_each_batch(init):
    training = begun(PLAIN.changed(init=init, seed=3))
    swept = training.network.sweep({0: torch.zeros(20, 6).double()})[1] * 0
    drawn = []
    for number in range(40):
        relaxation = training.relaxation(training.batches.batch(number), train=False)
        mean = swept if isinstance(init, Normal) else training_sweep(relaxation)[1]
        drawn.append((relaxation.first[1] - mean).detach().flatten())
    found = torch.corrcoef(torch.stack(drawn)) - torch.eye(40).double()
    assert float(found.abs().max()) < 0.5  # by chance the sd is 1 / 11


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("energy", ["SquaredError", "CrossEntropy"])
@pytest.mark.parametrize("weights", [SGD(rate=0.2, momentum=0.9), AdamW(rate=0.01, decay=0.1)])
def test_training_with_backprop_is_torch_s_own_loop(energy, weights):
    experiment = PLAIN.changed(learning=Backprop(), energy=make("energy", energy), weights=weights)
    training, twin = begun(experiment), begun(experiment).network
    model = torch.nn.Sequential(*[twin.maps[str(i)] for i in twin.layers])
    optimiser = weights(twin)
    for number, _ in enumerate(train(training, 6)):
        batch = training.batches.batch(number)
        output = model(batch.x.flatten(1).double())
        if energy == "CrossEntropy":
            loss = torch.nn.functional.cross_entropy(output, batch.y)
        else:
            target = torch.nn.functional.one_hot(batch.y, 10)
            loss = 0.5 * (output - target).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    expected = [p.detach() for p in model.parameters()]
    assert_close(weights_of(training), expected, rtol=1e-11, atol=1e-13)


def test_with_spiking_and_the_forward_update_the_output_layer_trains_as_by_backprop():
    made = [
        begun(PLAIN.changed(learning=rule, precision=Spiking(rest=0.0), steps=3))
        for rule in (ForwardUpdate(), Backprop())
    ]
    for training in made:
        list(train(training, 1))
    own, reference = (weights_of(training) for training in made)
    assert_close(own[-2:], reference[-2:], rtol=1e-13, atol=1e-15)  # weight and bias of layer L
    assert not torch.allclose(own[0], reference[0])


@pytest.mark.parametrize("name", cards("learning"))
def test_relaxing_without_training_leaves_the_weights_unless_the_rule_is_of_every_step(name):
    training = begun(PLAIN.changed(**companions(PLAIN, make("learning", name))))
    before = weights_of(training)
    relaxation = training.relaxation(training.batches.batch(0), train=False)
    relaxation.run()
    training.finish(relaxation)
    moved = not all(torch.equal(a, b) for a, b in zip(weights_of(training), before, strict=True))
    assert moved == training.experiment.learning.every_step


# What a batch leaves behind ----------------------------------------------------------------------


def test_batches_are_aligned_where_the_init_asks_for_it():
    for init in cards("init"):
        asks = getattr(make("init", init), "aligned", False)
        training = begun(PLAIN.changed(init=make("init", init)))
        assert training.aligned == asks
        assert training.batches.aligned == asks
    assert begun(PLAIN, aligned=True).batches.batch(0).y.tolist() == [k // 2 for k in range(20)]
    assert begun(PLAIN.changed(init=Null()), aligned=False).aligned is False


def test_null_begins_each_batch_where_the_one_before_ended():
    training = begun(PLAIN.changed(init=Null()))
    end = None
    for relaxation in train(training, 3):
        if end is not None:
            for i in (1, 2):
                assert torch.equal(relaxation.first[i], end[i])
            assert not torch.equal(relaxation.first[0], end[0])
        end = relaxation.states


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("aligned", [True, False])
def test_v16_average_begins_each_batch_at_the_class_means_of_the_one_before(aligned):
    training = begun(PLAIN.changed(init=Average(m=1)), aligned=aligned)
    before = None
    for number, relaxation in enumerate(train(training, 4)):
        y = training.batches.batch(number).y
        assert torch.equal(relaxation.start.labels, y)
        if before is not None:
            labels, end = before
            for slot, label in enumerate(y.tolist()):
                if (labels == label).any():
                    mean = end[2][labels == label].mean(0)
                    assert_close(relaxation.first[2][slot], mean, rtol=0, atol=1e-15)
        before = (y, relaxation.states)


def training_sweep(relaxation):
    """The forward pass of a relaxation's batch, with the weights as they are now."""
    with torch.no_grad():
        return relaxation.network.sweep({0: relaxation.first[0]})


def test_hybrid_average_sweeps_the_new_input_up_to_m():
    training = begun(PLAIN.changed(init=Average(m=1)))
    list(train(training, 1))
    relaxation = training.relaxation(training.batches.batch(1), train=True)
    swept = training_sweep(relaxation)
    assert torch.equal(relaxation.first[1], swept[1])
    assert not torch.allclose(relaxation.first[2], swept[2])


def test_the_means_are_of_the_relaxed_states_before_the_next_batch_begins():
    training = begun(PLAIN.changed(init=Average(m=0)))
    (relaxation,) = train(training, 1)
    means, known = training.memory
    labels = training.batches.batch(0).y
    for c in range(10):
        assert_close(means[1][c], relaxation.states[1][labels == c].mean(0))
    assert known.all()


def test_a_class_that_a_batch_lacks_keeps_its_mean_from_the_batches_before():
    training = begun(PLAIN.changed(init=Average(m=0), batch_size=10), aligned=False)
    held = {}
    for number, relaxation in enumerate(train(training, 5)):
        y = training.batches.batch(number).y
        assert len(y.unique()) < 10
        for c in y.unique().tolist():
            held[c] = relaxation.states[1][y == c].mean(0)
        means, known = training.memory
        assert known.nonzero().flatten().tolist() == sorted(held)
        for c, mean in held.items():
            assert_close(means[1][c], mean, rtol=0, atol=1e-15)


def test_learned_precisions_are_carried_from_batch_to_batch():
    training = begun(PLAIN.changed(precision=Learned(rate=0.5)))
    seen = []
    for relaxation in train(training, 3):
        end = relaxation.precisions[1]
        assert not any(torch.equal(end, old) for old in seen)
        seen.append(end)
        later = training.relaxation(training.batches.batch(7), train=False).step()
        assert torch.equal(later.free_energy.precision, end.exp())


def test_a_schedule_in_between_leaves_what_was_learnt():
    training = begun(PLAIN.changed(precision=Learned(rate=0.5)))
    list(train(training, 2))
    learnt = training.precisions[1].clone()
    training.follow(training.experiment.changed(precision=Spiking()))
    list(train(training, 1))
    training.follow(training.experiment.changed(precision=Learned(rate=0.25)))
    made = training.relaxation(training.batches.batch(7), train=False)
    assert torch.equal(made.step().free_energy.precision, learnt.exp())


@pytest.mark.parametrize("experiment", [PLAIN, DECODER], ids=["classify", "reconstruct"])
def test_a_memory_s_first_batch_begins_like_one_without_a_past(experiment):
    memory = begun(experiment.changed(init=Memory()))
    null = begun(experiment.changed(init=Null()), aligned=False)
    one, two = (
        made.relaxation(made.batches.batch(0), train=False).first for made in (memory, null)
    )
    assert all(torch.equal(h, k) for h, k in zip(one, two, strict=True))


def test_other_dials_of_an_optimiser_keep_its_memory_and_another_one_begins_empty():
    training = begun(PLAIN.changed(weights=SGD(rate=0.1, momentum=0.9)))
    list(train(training, 2))
    held = [s["momentum_buffer"].clone() for s in training.optimiser.state.values()]
    training.follow(training.experiment.changed(weights=SGD(rate=0.5, momentum=0.8)))
    kept = [s["momentum_buffer"] for s in training.optimiser.state.values()]
    assert len(kept) == 6
    assert all(torch.equal(a, b) for a, b in zip(held, kept, strict=True))
    (group,) = training.optimiser.param_groups
    assert (group["lr"], group["momentum"]) == (0.5, 0.8)
    training.follow(training.experiment.changed(weights=AdamW(rate=0.25)))
    assert type(training.optimiser) is torch.optim.AdamW
    assert not training.optimiser.state
    list(train(training, 1))


def test_the_stream_is_that_of_the_experiment_s_seed_and_size():
    training = begun(PLAIN.changed(seed=5))
    expected = Batches(training.images, 20, aligned=False, seed=5).batch(2)
    assert torch.equal(training.batches.batch(2).index, expected.index)


def test_accuracy_is_the_share_of_images_in_their_class():
    # Class scores are the pixels: the brightest pixel is the class.
    network = chain([linear(torch.eye(3).tolist())], [(3,), (3,)])
    x = torch.tensor([[0.9, 0, 0], [0, 0.8, 0], [0, 0.9, 0.1], [0.2, 0, 0.1]])
    found = accuracy(network, x.reshape(4, 1, 1, 3), torch.tensor([0, 1, 2, 0]))
    assert found == 0.75


def test_top_k_is_the_share_of_images_whose_class_is_among_the_k_brightest_pixels():
    network = chain([linear(torch.eye(6).tolist())], [(6,), (6,)])
    generator = np.random.default_rng(0)
    x = np.stack([generator.permutation(6) for _ in range(40)]) / 6.0  # all different
    y = generator.integers(0, 6, 40)
    rank = (x > x[np.arange(40), y][:, None]).sum(1)  # how many pixels are brighter
    images = torch.tensor(x, dtype=network.example.dtype).reshape(40, 1, 1, 6)
    found = accuracies(network, images, torch.tensor(y), (1, 2, 5, 6))
    assert found == [(rank < k).mean() for k in (1, 2, 5, 6)]


def test_accuracy_does_not_depend_on_the_relaxation():
    training = begun(PLAIN.changed(dynamics=GradientDescent(5.0)))
    x, y = training.images.split("test")
    before = accuracy(training.network, x, y)
    relaxation = training.relaxation(training.batches.batch(0), train=False)
    relaxation.run()
    assert accuracy(training.network, x, y) == before
