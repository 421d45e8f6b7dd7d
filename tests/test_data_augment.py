"""Varied training images: what torchvision would make of the same lots, and when they are drawn."""

import pytest
import torch
from torchvision.transforms import v2

from core.augment import Augment
from core.batches import Batches, ImageSet
from core.datasets.pixels import image_set


def raw(count=12, size=(6, 5), channels=3, seed=0):
    """Bytes (count, channels, *size) that hold 0 and 255, and labels of three classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, channels, *size), generator=generator, dtype=torch.uint8)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 255
    return x, torch.arange(count) % 3


def made(augment="flip + crop 4", scale="standard", **about):
    """A set of 12 + 12 images."""
    about = {"full": 255.0, "scale": scale, "class_names": ("a", "b", "c"), **about}
    return image_set("toy", raw(), raw(seed=1), augment=augment, **about)


def lots_of(augment, x, shape, seed):
    return augment.lots(x.shape, shape, torch.Generator().manual_seed(seed))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("augment", ["flip + crop 4", "flip + crop 8"])
def test_padding_after_normalisation_is_torchvisions_before_it(augment):
    images = made(augment)
    bytes_x, _ = raw()
    mean, std = (
        (bytes_x.double() / 255).mean((0, 2, 3)),
        (bytes_x.double() / 255).std((0, 2, 3), correction=0),
    )
    normalise = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.tolist(), std.tolist())]
    )
    index, padding = torch.tensor([3, 0, 3, 11]), int(augment[-1])
    seen = set()
    for seed in range(6):
        ours = images.augment(images.train_x, index, torch.Generator().manual_seed(seed))
        mirrored, top, left = lots_of(images.augment, bytes_x[index], images.train_x.shape, seed)
        for i, k in enumerate(index.tolist()):
            padded = v2.functional.pad(bytes_x[k], [padding])
            theirs = v2.functional.crop(padded, int(top[i]), int(left[i]), 6, 5)
            if mirrored[i]:
                theirs = v2.functional.horizontal_flip(theirs)
            torch.testing.assert_close(ours[i], normalise(theirs), rtol=0, atol=1e-6)
            seen.add(bool(mirrored[i]))
    assert seen == {True, False}


@pytest.mark.oracle("other implementation")
def test_crops_of_larger_images_are_torchvisions_and_tests_are_their_centres():
    x, y = raw(size=(9, 9))
    about = {"full": 255.0, "scale": "0..1", "class_names": ("a", "b", "c"), "side": 6}
    images = image_set("toy", (x, y), (x, y), augment="flip + crop", **about)
    centres = v2.functional.center_crop(x, [6, 6]) / 255
    assert images.shape == (3, 6, 6)
    assert torch.equal(images.train_x, centres) and torch.equal(images.test_x, centres)
    index = torch.arange(12)
    found = images.augment(images.train_x, index, torch.Generator().manual_seed(0))
    mirrored, top, left = lots_of(images.augment, x, images.train_x.shape, 0)
    assert int(top.max()) <= 3 and int(left.max()) <= 3
    for i in range(12):
        theirs = v2.functional.crop(x[i], int(top[i]), int(left[i]), 6, 6) / 255
        assert torch.equal(found[i], theirs.flip(-1) if mirrored[i] else theirs)


@pytest.mark.oracle("closed form")
def test_every_place_of_a_crop_and_both_sides_are_equally_likely():
    # 20,000 lots of nine places: chi-square of 8 degrees, 99.9 % below 26.1; the coin within 4 sd.
    augment = Augment(4, (0.0,))
    shape = torch.Size((20_000, 1, 8, 8))
    mirrored, *corner = augment.lots(shape, shape, torch.Generator().manual_seed(0))
    for places in corner:
        counts = torch.bincount(places, minlength=9)
        assert len(counts) == 9
        assert float(((counts - 20_000 / 9) ** 2 / (20_000 / 9)).sum()) < 26.1
    assert abs(float(mirrored.double().mean()) - 0.5) < 4 * 0.5 / 20_000**0.5


def test_without_padding_and_room_an_image_is_itself_or_its_mirror():
    x = torch.arange(12.0).reshape(1, 1, 3, 4).expand(8, 1, 3, 4)
    found = Augment(0, (0.0,))(x, torch.arange(8), torch.Generator().manual_seed(0))
    same = (found == x).flatten(1).all(1)
    assert torch.equal(found[~same], x[~same].flip(-1))
    assert 0 < int(same.sum()) < 8


def test_a_varied_batch_depends_on_its_number_and_not_on_what_was_asked_before():
    one, other = (Batches(made(), 6, aligned=True, seed=3) for _ in range(2))
    forward = {k: one.batch(k) for k in range(9)}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for k in (8, 0, 5, 5, 1):
        again = other.batch(k)
        assert torch.equal(again.x, forward[k].x) and torch.equal(again.y, forward[k].y)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_epochs_vary_an_image_differently():
    x, y = raw()
    same = x[:1].expand(12, -1, -1, -1), y  # so that batches differ by their lots alone
    about = {"full": 255.0, "scale": "0..1", "class_names": ("a", "b", "c")}
    images = image_set("toy", same, same, augment="flip + crop 4", **about)
    crops = [
        Batches(images, 12, aligned=False, seed=seed).batch(k).x  # each batch is an epoch
        for seed in (0, 1)
        for k in range(4)
    ]
    for i, one in enumerate(crops):
        assert not any(torch.equal(one, other) for other in crops[:i])


def test_order_and_labels_are_those_of_the_set_as_it_is():
    plain, varied = (
        Batches(made(augment), 6, aligned=False, seed=3).batch(4)
        for augment in ("none", "flip + crop 4")
    )
    assert torch.equal(plain.index, varied.index) and torch.equal(plain.y, varied.y)
    assert not torch.equal(plain.x, varied.x)


def test_test_batches_and_the_arrays_of_both_splits_are_never_varied():
    plain, varied = made("none"), made()
    for k in range(3):
        test = Batches(varied, 6, aligned=False, seed=0, split="test").batch(k)
        assert torch.equal(test.x, varied.test_x[test.index])
    assert torch.equal(varied.train_x, plain.train_x) and torch.equal(varied.test_x, plain.test_x)
    assert plain.augment is None and isinstance(plain, ImageSet)


def test_what_is_done_to_a_varied_batch_does_not_reach_the_set():
    images = made()
    before = images.train_x.clone()
    Batches(images, 6, aligned=False, seed=0).batch(0).x.zero_()
    assert torch.equal(images.train_x, before)
