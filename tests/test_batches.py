"""Batches: what is dealt out, in which order, and what is refused at the door."""

import re

import pytest
import torch

from core.batches import Batches, ImageSet
from core.catalogue import BadInput

NAN = float("nan")


def image_set(counts=(6, 6, 6), test_counts=None, seed=0):
    """Random 2 x 3 images, `counts[c]` of class c, mixed; pixel 0 of an image is its position."""
    splits = []
    for sizes in (counts, test_counts or counts):
        generator = torch.Generator().manual_seed(seed)
        y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        y = y[torch.randperm(len(y), generator=generator)]
        x = torch.rand(len(y), 1, 2, 3, generator=generator)
        x[:, 0, 0, 0] = torch.arange(len(y))
        splits += [x, y]
    names = tuple("abcdefghij"[: len(counts)])
    return ImageSet("toy", *splits, classes=len(counts), class_names=names, low=0.0, high=1.0)


def changed(**fields):
    images = image_set()
    kept = {name: getattr(images, name) for name in images.__dataclass_fields__}
    return ImageSet(**(kept | fields))


def epoch(batches, number):
    start = number * batches.per_epoch
    return [batches.batch(k) for k in range(start, start + batches.per_epoch)]


def indices(found):
    return torch.cat([batch.index for batch in found])


@pytest.mark.parametrize("aligned", [False, True])
def test_a_batch_depends_on_its_number_and_not_on_what_was_asked_before(aligned):
    images = image_set((20, 20, 20))
    one, other = (Batches(images, 6, aligned=aligned, seed=3) for _ in range(2))
    forward = {k: one.batch(k) for k in range(35)}
    for k in (34, 0, 20, 9, 10, 10, 1):
        again = other.batch(k)
        assert again.number == k
        assert torch.equal(again.index, forward[k].index)
        assert torch.equal(again.x, forward[k].x)
        assert torch.equal(again.y, forward[k].y)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_batch_knows_its_epoch(aligned):
    batches = Batches(image_set((20, 20, 20)), 6, aligned=aligned, seed=0)  # ten an epoch
    assert [batches.batch(k).epoch for k in (0, 9, 10, 19, 20, 105)] == [0, 0, 1, 1, 2, 10]


@pytest.mark.parametrize("aligned", [False, True])
def test_index_points_at_the_samples_of_the_split(aligned):
    images = image_set((8, 8, 8), test_counts=(5, 5, 5))
    for split in ("train", "test"):
        batch = Batches(images, 6, aligned=aligned, seed=0, split=split).batch(2)
        x, y = images.split(split)
        assert torch.equal(batch.x, x[batch.index])
        assert torch.equal(batch.y, y[batch.index])
        assert torch.equal(batch.x[:, 0, 0, 0].long(), batch.index)


def test_shuffled_epochs_hold_each_sample_at_most_once_and_drop_the_remainder():
    batches = Batches(image_set((7, 9, 10)), 4, aligned=False, seed=0)
    assert batches.per_epoch == 26 // 4
    for number in range(5):
        assert len(indices(epoch(batches, number)).unique()) == 24


def test_the_dropped_remainder_changes_from_epoch_to_epoch():
    batches = Batches(image_set((7, 9, 10)), 4, aligned=False, seed=0)
    seen = torch.cat([indices(epoch(batches, number)) for number in range(30)])
    # A sample is missed by one epoch with probability 1/13; by all thirty with 13^-30.
    assert len(seen.unique()) == 26


@pytest.mark.parametrize("aligned", [False, True])
def test_seeds_and_epochs_give_shuffles_of_their_own(aligned):
    images = image_set((20, 20, 20))
    orders = [
        tuple(indices(epoch(Batches(images, 6, aligned=aligned, seed=seed), number)).tolist())
        for seed in (0, 1, 2, 2**32 - 1)
        for number in range(4)
    ]
    assert len(set(orders)) == 16  # in particular seed 1, epoch 0 is not seed 0, epoch 1


def test_every_position_of_a_shuffle_is_equally_likely():
    # Chi-square of where sample 0 goes over 2,000 epochs of 8: mean 7, 99.9 % below 24.3.
    batches = Batches(image_set((4, 4)), 8, aligned=False, seed=5)
    places = torch.tensor([int((batches.batch(k).index == 0).nonzero()) for k in range(2000)])
    counts = torch.bincount(places, minlength=8)
    assert ((counts - 250.0) ** 2 / 250).sum() < 24.3


def test_batches_neither_use_nor_move_the_global_generator():
    images = image_set((20, 20, 20))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = Batches(images, 6, aligned=True, seed=3).batch(12)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(Batches(images, 6, aligned=True, seed=3).batch(12).index, one.index)


def test_what_is_done_to_a_batch_does_not_reach_the_set_or_the_next_caller():
    images = image_set()
    batches = Batches(images, 6, aligned=True, seed=0)
    first = batches.batch(0)
    kept = first.index.clone()
    first.x.zero_(), first.y.zero_(), first.index.zero_()
    assert torch.equal(batches.batch(0).index, kept)
    assert images.fingerprint == image_set().fingerprint


@pytest.mark.parametrize("counts", [(6, 6, 6), (7, 12, 9), (2, 30, 5)])
def test_aligned_slots_hold_one_class_in_every_batch(counts):
    batches = Batches(image_set(counts), 6, aligned=True, seed=1)
    for k in range(3 * batches.per_epoch):
        assert batches.batch(k).y.tolist() == [0, 0, 1, 1, 2, 2]


def test_aligned_epochs_of_equal_classes_hold_each_sample_once():
    batches = Batches(image_set((8, 8, 8)), 6, aligned=True, seed=1)
    assert batches.per_epoch == 4
    for number in range(4):
        assert torch.equal(indices(epoch(batches, number)).sort().values, torch.arange(24))


@pytest.mark.parametrize(
    ("counts", "per_class"), [((7, 12, 9), 2), ((3, 30, 5), 3), ((1, 6, 5), 4)]
)
def test_short_classes_are_cycled_as_evenly_as_counting_allows(counts, per_class):
    images = image_set(counts)
    batches = Batches(images, 3 * per_class, aligned=True, seed=1)
    assert batches.per_epoch == max(counts) // per_class
    for number in range(3):
        times = torch.bincount(indices(epoch(batches, number)), minlength=sum(counts))
        for c, n in enumerate(counts):
            used = times[images.train_y == c]
            slots = batches.per_epoch * per_class
            assert used.sum() == slots
            assert used.min() >= slots // n
            assert used.max() <= -(-slots // n)


def test_a_sample_comes_twice_in_an_aligned_batch_only_if_its_class_is_too_small():
    counts, per_class = (3, 20, 2), 3
    batches = Batches(image_set(counts), 9, aligned=True, seed=0)
    for k in range(batches.per_epoch):
        for c, block in enumerate(batches.batch(k).index.split(per_class)):
            assert len(block.unique()) == min(per_class, counts[c])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_a_fraction_uses_the_first_samples_of_each_class(aligned, fraction):
    images = image_set((8, 12, 20))
    batches = Batches(images, 3, aligned=aligned, seed=0, fraction=fraction)
    used = torch.cat([indices(epoch(batches, number)) for number in range(60)]).unique()
    expected = []
    for c, n in enumerate((8, 12, 20)):
        expected += (images.train_y == c).nonzero().flatten()[: int(n * fraction)].tolist()
    assert used.tolist() == sorted(expected)
    assert batches.count == 40 * fraction


def test_a_tiny_fraction_leaves_one_sample_of_each_class():
    assert Batches(image_set(), 3, aligned=True, seed=0, fraction=1e-6).count == 3


def test_a_float_that_falls_short_of_a_whole_number_does_not_lose_a_sample():
    assert 0.29 * 100 < 29
    assert Batches(image_set((100,)), 1, aligned=False, seed=0, fraction=0.29).count == 29


def test_the_fingerprint_is_sixteen_digits_and_the_same_for_equal_arrays():
    assert re.fullmatch("[0-9a-f]{16}", image_set().fingerprint)
    assert image_set().fingerprint == image_set().fingerprint


@pytest.mark.parametrize("field", ["train_x", "train_y", "test_x", "test_y"])
def test_the_fingerprint_changes_with_any_array(field):
    array = getattr(image_set(), field).clone()
    array[-1] = (array[-1] + 1) % 3
    assert changed(**{field: array}).fingerprint != image_set().fingerprint


def test_the_fingerprint_sees_the_border_between_the_splits():
    images = image_set()
    x, y = torch.cat([images.train_x, images.test_x]), torch.cat([images.train_y, images.test_y])
    moved = changed(train_x=x[:17], train_y=y[:17], test_x=x[17:], test_y=y[17:])
    assert moved.fingerprint != images.fingerprint


def test_a_set_without_test_images_can_train_but_deals_no_test_batches():
    images = changed(test_x=torch.zeros(0, 1, 2, 3), test_y=torch.zeros(0, dtype=torch.int64))
    assert len(Batches(images, 6, aligned=True, seed=0).batch(0).y) == 6
    assert re.fullmatch("[0-9a-f]{16}", images.fingerprint)
    with pytest.raises(BadInput, match=r"^split: test of toy has no images; at least one"):
        Batches(images, 1, aligned=False, seed=0, split="test")


def poked(field, where, value):
    array = getattr(image_set(), field).clone()
    array[where] = value
    return {field: array}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (poked("train_x", (12, 0, 1, 2), NAN), "dataset.train_x[12, 0, 1, 2]: nan; finite pixels"),
        (poked("test_x", (0, 0, 0, 1), float("inf")), "dataset.test_x[0, 0, 0, 1]: inf; finite"),
        (poked("train_y", 5, 3), "dataset.train_y[5]: 3; a class 0..2"),
        (poked("test_y", 7, -1), "dataset.test_y[7]: -1; a class 0..2"),
        ({"train_y": torch.zeros(18)}, "dataset.train_y: torch.float32; class indices 0..2"),
        (
            {"train_y": torch.zeros(18, 3, dtype=torch.int64)},
            "dataset.train_y: shape (18, 3); (18,), one class index per image",
        ),
        ({"test_y": torch.zeros(17, dtype=torch.int64)}, "dataset.test_y: shape (17,); (18,)"),
        ({"train_x": torch.zeros(18, 6)}, "dataset.train_x: shape (18, 6); (n, C, H, W)"),
        (
            {"train_x": torch.zeros(18, 1, 2, 3, dtype=torch.uint8)},
            "dataset.train_x: torch.uint8; floating-point pixels",
        ),
        (
            {"test_x": torch.zeros(18, 1, 3, 3)},
            "dataset.test_x: images of shape (1, 3, 3); (1, 2, 3), as in train_x",
        ),
        ({"class_names": ("a", "b")}, "dataset.class_names: 2 names; 3, one for each class"),
        ({"classes": 0, "class_names": ()}, "dataset.classes: 0; an integer of 1 or more"),
        ({"black": (0.0, 0.0)}, "dataset.black: 2 values; 1, one for each channel, or none"),
        ({"white": (1.0, 1.0)}, "dataset.white: 2 values; 1, one for each channel, or none"),
    ],
)
def test_a_set_that_would_mislead_is_refused_in_one_line(fields, line):
    with pytest.raises(BadInput) as refused:
        changed(**fields)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_of_several_bad_values_the_first_is_named():
    y = image_set().train_y.clone()
    y[4:] = 99
    with pytest.raises(BadInput, match=r"train_y\[4\]: 99"):
        changed(train_y=y)
    x = image_set().train_x.clone()
    x[3:] = NAN
    with pytest.raises(BadInput, match=r"train_x\[3, 0, 0, 0\]"):
        changed(train_x=x)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"size": 0}, "batch_size: 0; an integer 1..80 (train images of toy)"),
        ({"size": -3}, "batch_size: -3; an integer 1..80"),
        ({"size": 81}, "batch_size: 81; an integer 1..80"),
        ({"size": 12.5}, "batch_size: 12.5; an integer 1..80"),
        ({"size": True}, "batch_size: True; an integer 1..80"),
        ({"size": 41, "fraction": 0.5}, "batch_size: 41; an integer 1..40"),
        (
            {"size": 50, "aligned": True},
            "batch_size: 50; a multiple of 4 classes (48, 52) for stream-aligned batches",
        ),
        ({"size": 3, "aligned": True}, "batch_size: 3; a multiple of 4 classes (4) for"),
        ({"size": 79, "aligned": True}, "batch_size: 79; a multiple of 4 classes (76, 80) for"),
        ({"seed": -1}, "seed: -1; an integer 0..4294967295"),
        ({"seed": 2**32}, "seed: 4294967296; an integer 0..4294967295"),
        ({"seed": 1.5}, "seed: 1.5; an integer"),
        ({"fraction": 0.0}, "fraction: 0.0; a number in (0, 1]"),
        ({"fraction": 1.1}, "fraction: 1.1; a number in (0, 1]"),
        ({"fraction": NAN}, "fraction: nan; a number in (0, 1]"),
        ({"split": "tets"}, "split: tets; one of train, test (did you mean test?)"),
    ],
)
def test_batches_that_cannot_be_made_are_refused_in_one_line(settings, line):
    with pytest.raises(BadInput) as refused:
        Batches(
            image_set((20, 20, 20, 20)), **({"size": 8, "aligned": False, "seed": 0} | settings)
        )
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_an_empty_class_is_named_where_every_slot_needs_a_sample():
    images = image_set((6, 0, 6))
    assert Batches(images, 6, aligned=False, seed=0).count == 12
    with pytest.raises(BadInput, match=r"^dataset.train_y: no image of class 1 \(b\); at least"):
        Batches(images, 6, aligned=True, seed=0)


@pytest.mark.parametrize("k", [-1, 1.0, True])
def test_a_batch_number_is_an_integer_from_zero(k):
    with pytest.raises(BadInput, match=r"^batch: .*; an integer of 0 or more"):
        Batches(image_set(), 6, aligned=False, seed=0).batch(k)
