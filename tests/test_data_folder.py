"""Own images in folders: which are found, how they are brought to size, and what is refused."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from core.batches import Batches
from core.catalogue import BadInput, make
from core.datasets import photographs
from core.laws.of_data import dataset_classes, dataset_range, dataset_repeats

CLASSES = ("cat", "dog")


def picture(seed, size=(9, 7), mode="RGB"):
    """An image of noise, (width, height)."""
    rng = np.random.default_rng(seed)
    channels = {"RGB": (3,), "L": ()}[mode]
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8))


def laid(root, splits=("train", "test"), counts=(4, 2), size=(9, 7), suffix=".png"):
    """Images in folders of two classes; returns them by split and class."""
    found = {}
    for split, count in zip(splits, counts, strict=True):
        for k, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                made = picture(100 * k + 10 * len(found) + i, size)
                made.save(folder / f"{i}{suffix}")
                found.setdefault((split, name), []).append(made)
    return found


def source(root, **dials):
    return make("dataset", "Folder", {"path": str(root), "classes": 2, "side": 6, **dials})


def refusal(root, **dials):
    with pytest.raises(BadInput) as refused:
        source(root, **dials)()
    line = str(refused.value)
    assert "\n" not in line
    return line


def theirs(image, short, side):
    """Torchvision's Resize and CenterCrop, 0..1."""
    square = v2.CenterCrop(side)(v2.Resize(short)(image))
    return v2.functional.to_dtype(v2.functional.pil_to_tensor(square), torch.float64) / 255


# What is read.


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("size", [(9, 7), (7, 9), (30, 21), (4, 3), (6, 6), (6, 11)])
@pytest.mark.parametrize("short", [0, 8])
def test_images_are_torchvisions_resize_and_centre_crop(size, short, tmp_path):
    held = laid(tmp_path, size=size)
    images = source(tmp_path, short=short, scale="0..1")()
    assert images.shape == (3, 6, 6)
    for split in ("train", "test"):
        x, y = images.split(split)
        expected = [one for name in CLASSES for one in held[split, name]]
        assert y.tolist() == [k for k in (0, 1) for _ in held[split, CLASSES[k]]]
        for found, image in zip(x, expected, strict=True):
            # The centre of the centre is at most half a pixel off: sizes here are chosen even.
            square = theirs(image, short or 6, short or 6)
            at = ((short or 6) - 6) // 2
            want = square[:, at : at + 6, at : at + 6].float()
            torch.testing.assert_close(found, want, rtol=0, atol=1e-6)


@pytest.mark.oracle("other implementation")
def test_grey_is_the_luminance_of_pil(tmp_path):
    held = laid(tmp_path, size=(6, 6))
    images = source(tmp_path, colour="grey", scale="0..1")()
    assert images.shape == (1, 6, 6)
    expected = np.asarray(held["train", "cat"][0].convert("L")) / 255
    torch.testing.assert_close(images.train_x[0, 0], torch.from_numpy(expected).float())
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, rounded to whole greys
    by_hand = np.asarray(held["train", "cat"][0]) @ weights / 255
    assert np.abs(expected - by_hand).max() < 1.01 / 255


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".webp", ".JPG"])
def test_every_format_is_read(suffix, tmp_path):
    held = laid(tmp_path, size=(6, 6), suffix=suffix)
    images = source(tmp_path, scale="0..1")()
    expected = torch.from_numpy(np.asarray(held["train", "cat"][0]) / 255).permute(2, 0, 1)
    # JPEG and lossy WebP keep the mean of noise, not each of its pixels.
    lossy = suffix in (".webp", ".JPG")
    found = images.train_x[0].double()
    if lossy:
        assert abs(float((found - expected).mean())) < 0.1
    else:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_palettes_transparency_and_greys_become_colours(tmp_path):
    laid(tmp_path, size=(6, 6))
    first = picture(5, (6, 6))
    folder = tmp_path / "train" / "cat"
    first.convert("L").save(folder / "0.png")
    first.quantize(16).save(folder / "1.png")
    clear = first.copy()
    clear.putalpha(0)
    clear.save(folder / "2.png")
    images = source(tmp_path, scale="0..1")()
    grey, palette, bare = images.train_x[:3]
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2])
    expected = np.asarray(first.quantize(16).convert("RGB")) / 255
    torch.testing.assert_close(palette, torch.from_numpy(expected).float().permute(2, 0, 1))
    assert torch.equal(bare, torch.from_numpy(np.asarray(first) / 255).float().permute(2, 0, 1))


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(("share", "tested"), [(0.2, 2), (0.25, 2), (0.5, 5), (0.01, 1), (0.99, 9)])
def test_without_test_folder_the_last_share_of_each_class_tests(share, tested, tmp_path):
    held = laid(tmp_path, splits=("",), counts=(10,), size=(6, 6))
    images = source(tmp_path, share=share, scale="0..1")()
    assert images.test_y.bincount().tolist() == [tested] * 2
    for k, name in enumerate(CLASSES):
        whole = torch.stack([theirs(one, 6, 6).float() for one in held["", name]])
        torch.testing.assert_close(images.train_x[images.train_y == k], whole[:-tested])
        torch.testing.assert_close(images.test_x[images.test_y == k], whole[-tested:])


def test_val_tests_where_there_is_no_test_and_another_folder_where_it_is_named(tmp_path):
    laid(tmp_path, splits=("train", "val"))
    assert len(source(tmp_path)().test_y) == 4
    laid(tmp_path, splits=("test", "held out"), counts=(3, 1))
    assert len(source(tmp_path)().test_y) == 6
    assert len(source(tmp_path, tested="val")().test_y) == 4
    assert len(source(tmp_path, tested="held out")().test_y) == 2


def tabled(root, lines=None):
    """Test images as Tiny ImageNet has them, beside a test folder without classes."""
    laid(root, splits=("train",), counts=(4,))
    for folder in ("val/images", "test/images"):
        (root / folder).mkdir(parents=True)
    made = {f"val_{i}.JPEG": picture(50 + i) for i in range(5)}
    for name, one in made.items():
        one.save(root / "val" / "images" / name, format="PNG")
    picture(60).save(root / "test" / "images" / "test_0.JPEG")
    known = [f"{name}\t{CLASSES[i % 2]}\t0\t0\t5\t5" for i, name in enumerate(made)]
    table = "\n".join(known if lines is None else lines(known)) + "\n"
    (root / "val" / "val_annotations.txt").write_text(table)
    return list(made.values())


def test_a_table_of_classes_names_those_of_tiny_imagenet(tmp_path):
    held = tabled(tmp_path)
    images = source(tmp_path, tested="val", scale="0..1")()
    assert images.test_y.tolist() == [0, 1, 0, 1, 0]
    for x, one in zip(images.test_x, held, strict=True):
        torch.testing.assert_close(x, theirs(one, 6, 6).float(), rtol=0, atol=1e-6)
    assert "train has a folder cat, test has none" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda k: k[1:], "val_annotations.txt has no line for val_0.JPEG; one for each image"),
        (lambda k: [*k, "val_9.JPEG\tcat"], "val/images has no val_9.JPEG; each image of "),
        (lambda k: [*k, k[0]], r", line 6: 'val_0.JPEG\tcat\t0\t0\t5\t5'; the name of an"),
        (lambda k: [*k, "../train/cat/0.png\tcat"], "val/images has no ../train/cat/0.png; each"),
        (
            lambda k: ["val_0.JPEG\tfox", *k[1:]],
            r", line 1: 'val_0.JPEG\tfox'; the name of an image",
        ),
        (
            lambda k: ["nothing"],
            ", line 1: nothing; the name of an image, a tab and a class of train",
        ),
        (lambda k: ["\0" * 9, *k], ", line 1: '"),
    ],
)
def test_a_table_that_does_not_fit_its_images_is_refused(change, line, tmp_path):
    tabled(tmp_path, change)
    assert line in refusal(tmp_path, tested="val")


def test_folders_within_those_of_classes_count_and_hidden_and_other_files_do_not(tmp_path):
    laid(tmp_path)
    inner = tmp_path / "train" / "cat" / "images"
    inner.mkdir()
    picture(7).save(inner / "more.png")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / ".trash").mkdir()
    picture(8).save(tmp_path / "train" / "cat" / ".trash" / "old.png")
    picture(9).save(tmp_path / "train" / "cat" / ".thumb.png")
    (tmp_path / "train" / "cat" / "boxes.txt").write_text("0 0 1 1")
    (tmp_path / "train" / "list.txt").write_text("cat dog")
    images = source(tmp_path)()
    assert images.train_y.tolist() == [0] * 5 + [1] * 4
    assert images.class_names == CLASSES


def test_a_folder_is_read_once_and_again_when_a_file_changes(tmp_path):
    laid(tmp_path)
    first = source(tmp_path)()
    assert source(tmp_path)() is first
    path = tmp_path / "train" / "dog" / "3.png"
    Image.new("RGB", (9, 7)).save(path)
    os.utime(path, ns=(1, 1))
    again = source(tmp_path)()
    assert again is not first and torch.all(again.train_x[-1] == -1)


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard", "ImageNet"])
@pytest.mark.parametrize("augment", ["none", "flip + crop 8", "flip + crop"])
@pytest.mark.parametrize("law", [dataset_classes, dataset_range, dataset_repeats])
def test_own_images_keep_the_laws_of_data_sets(law, scale, augment, tmp_path):
    laid(tmp_path)
    assert list(law(source(tmp_path, short=7, scale=scale, augment=augment))) == []


@pytest.mark.oracle("paper")
def test_the_scale_of_imagenet_is_that_of_the_papers_code(tmp_path):
    laid(tmp_path)
    unit, found = (source(tmp_path, scale=scale)().train_x for scale in ("0..1", "ImageNet"))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for c in range(3):
        torch.testing.assert_close(found[:, c], (unit[:, c] - mean[c]) / std[c])


def test_crops_are_cut_anywhere_from_larger_squares_and_tests_from_the_centre(tmp_path):
    laid(tmp_path, size=(12, 10))
    images = source(tmp_path, short=10, augment="flip + crop", scale="standard")()
    plain = source(tmp_path, short=10, scale="standard")()
    assert images.shape == (3, 6, 6) and images.augment.wide.shape == (8, 3, 10, 10)
    assert torch.equal(images.test_x, plain.test_x)
    assert torch.equal(images.train_x, plain.train_x)
    assert images.fingerprint == plain.fingerprint
    batch = Batches(images, 8, aligned=False, seed=0).batch(0)
    for x, k in zip(batch.x, batch.index.tolist(), strict=True):
        wide = images.augment.wide[k]
        cuts = [wide[:, r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
        assert any(torch.equal(x, cut) or torch.equal(x, cut.flip(-1)) for cut in cuts)


# What is refused.


def emptied(root):
    laid(root)
    for path in (root / "train" / "dog").iterdir():
        path.unlink()


def renamed(root):
    laid(root)
    (root / "test" / "dog").rename(root / "test" / "fox")


def single(root):
    laid(root, splits=("",), counts=(1,))


def broken_link(root):
    laid(root)
    (root / "train" / "cat" / "9.png").symlink_to(root / "nowhere.png")


@pytest.mark.parametrize(
    ("lay", "line"),
    [
        (lambda root: None, "has no folders; one for each class"),
        (emptied, "train/dog has no images; at least one of .png, .jpg"),
        (renamed, "train has a folder dog, test has none: the same classes in both, or another"),
        (single, "cat has one image, and no folder of test images is there; two at least"),
        (broken_link, "train/cat/9.png cannot be read (No such file or directory); folders that"),
        (
            lambda root: laid(root, splits=("test", "cat")),
            "has test and no train; both, or neither",
        ),
    ],
)
def test_folders_that_do_not_fit_together_are_refused(lay, line, tmp_path):
    lay(tmp_path)
    found = refusal(tmp_path)
    assert found.startswith(f"dataset.path: {tmp_path}") and line in found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", "dataset.path: nothing; a folder with train/CLASS/*.png"),
        ("no", "no is not there; a folder with"),
        ("file", "file is a file; a folder with"),
    ],
)
def test_a_path_without_a_folder_is_refused(path, line, tmp_path):
    (tmp_path / "file").write_text("")
    assert line in refusal(tmp_path / path if path else "")


@pytest.mark.parametrize(
    ("dials", "line"),
    [
        ({"classes": 3}, "dataset.classes: 3; 2, the folders of classes in "),
        ({"short": 5}, "dataset.short: 5; 6 or more, the side, or 0"),
        ({"tested": "held"}, "dataset.tested: held; a folder in "),
        ({"augment": "flip + crop"}, "dataset.augment: flip + crop with images of 6; larger ones"),
        ({"colour": "grey", "scale": "ImageNet"}, "dataset.scale: ImageNet has three channels; "),
    ],
)
def test_dials_that_do_not_fit_are_refused(dials, line, tmp_path):
    laid(tmp_path)
    assert refusal(tmp_path, **dials).startswith(line)


def test_a_set_above_the_limit_is_refused_before_an_image_is_opened(tmp_path, monkeypatch):
    laid(tmp_path)
    monkeypatch.setattr(photographs, "_square", lambda *_: pytest.fail("it opened one"))
    # Twelve images of 3 x 1000 x 1000 bytes, and four more for each: 180 MB.
    line = refusal(tmp_path, side=8, short=1000, limit=0.179)
    assert line == "dataset.limit: 0.179 GB; 0.18 GB or more, for 12 images of 3 x 1000 x 1000"
    grey = refusal(tmp_path, side=8, short=1000, limit=0.05, colour="grey")
    assert grey.endswith("0.06 GB or more, for 12 images of 1 x 1000 x 1000")


def png(width, height):
    """A PNG that says it has so many pixels, of which none are there."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no image"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:90]),
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:60] + b"????" * 20),
    "gif": lambda path: picture(1).save(path, format="GIF"),
    "bomb": lambda path: path.write_bytes(png(60_000, 50_000)),
    "large": lambda path: path.write_bytes(png(10_000, 8_000)),
    "deep": lambda path: Image.fromarray(np.zeros((7, 9), np.uint16)).save(path),
    "thin": lambda path: Image.new("RGB", (700, 1)).save(path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_images_are_named_and_counted(damage, tmp_path):
    laid(tmp_path)
    for name in ("train/dog/1.png", "test/cat/0.png"):
        DAMAGE[damage](tmp_path / name)
    line = refusal(tmp_path)
    start = f"dataset.path: {tmp_path}; 2 of 12 images cannot be read, the first is train/dog/1.png"
    assert line.startswith(start)
    said = {
        "bomb": "exceeds limit",
        "large": "10000 x 8000 pixels, at most 67108864",
        "deep": "mode I;16; eight bits a channel",
        "thin": "700 x 1 pixels; sides whose ratio is at most 64",
        "gif": "cannot identify image file it",
    }
    assert said.get(damage, "") in line


def test_a_file_whose_name_breaks_lines_is_named_on_one(tmp_path):
    laid(tmp_path)
    (tmp_path / "train" / "cat" / "a\nb.png").write_bytes(b"")
    assert r"'train/cat/a\nb.png'" in refusal(tmp_path)
