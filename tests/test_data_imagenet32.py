"""ImageNet at 32 x 32: eleven files as its makers publish them, with a few images in each."""

import numpy as np
import pytest
import torch

from core.catalogue import BadInput, make

TRAIN = [f"train_data_batch_{k}.npz" for k in range(1, 11)]
"""In this order, which is not the order of names: 10 would come before 2."""

FILES = [*TRAIN, "val_data.npz"]


def laid(folder, count=6, classes=3):
    """Files of so many images, of labels 1 to `classes` in turn; returns their arrays."""
    noise, arrays = np.random.default_rng(0), []
    for name in FILES:
        data = noise.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = noise.permutation(np.arange(count) % classes) + 1
        np.savez(folder / name, data=data, labels=labels, mean=data.mean(0))
        arrays.append((data, labels))
    return arrays


def taken(folder, **dials):
    return make("dataset", "ImageNet32", {"path": str(folder), "scale": "0..1", **dials})()


def test_its_files_are_read_in_the_order_of_their_numbers(tmp_path):
    *train, test = laid(tmp_path)
    images = taken(tmp_path)
    assert (images.shape, images.classes) == ((3, 32, 32), 1000)
    for split, parts in (("train", train), ("test", [test])):
        x, y = images.split(split)
        raw = np.concatenate([data for data, _ in parts]).reshape(-1, 3, 32, 32)
        assert y.tolist() == [int(k) - 1 for _, labels in parts for k in labels]
        torch.testing.assert_close(x, torch.from_numpy(raw / 255).float(), rtol=0, atol=1e-7)
    assert [images.class_names[int(k)] for k in images.test_y] == [str(k) for k in test[1]]


@pytest.mark.oracle("paper")
def test_it_is_standardised_by_the_moments_of_imagenet(tmp_path):
    (data, _), *_ = laid(tmp_path)
    x = taken(tmp_path, scale="standard").train_x[: len(data)]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    raw = data.reshape(-1, 3, 32, 32) / 255
    expected = (raw - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(x, torch.from_numpy(expected).float(), rtol=0, atol=1e-5)


def test_a_fraction_is_the_first_images_of_each_class_over_all_files(tmp_path):
    *train, _ = laid(tmp_path)  # 60 images to train on, 20 of each class, two in each file
    images = taken(tmp_path, fraction=0.25)
    first = train[:3]
    labels = np.concatenate([labels for _, labels in first]) - 1
    seen = [int((labels[:k] == labels[k]).sum()) for k in range(len(labels))]
    kept = [k for k in range(len(labels)) if seen[k] < 5]
    raw = np.concatenate([data for data, _ in first])[kept].reshape(-1, 3, 32, 32)
    assert images.train_y.tolist() == labels[kept].tolist()
    torch.testing.assert_close(
        images.train_x, torch.from_numpy(raw / 255).float(), rtol=0, atol=1e-7
    )
    assert len(images.test_x) == 6


def test_a_file_that_was_replaced_is_read_again(tmp_path):
    laid(tmp_path)
    before = taken(tmp_path)
    assert taken(tmp_path) is before
    np.savez(tmp_path / TRAIN[0], data=np.zeros((2, 3072), np.uint8), labels=np.array([1, 2]))
    assert len(taken(tmp_path).train_x) == len(before.train_x) - 4


WRONG = {
    "float": ({"data": np.zeros((4, 3072))}, r"dataset\.data: float64 .* uint8 of shape"),
    "flat": ({"data": np.zeros(3072, np.uint8)}, r"dataset\.data: uint8 of shape \(3072,\)"),
    "other pixels": ({"data": np.zeros((4, 768), np.uint8)}, r"\(4, 768\).*uint8 of shape"),
    "few labels": ({"labels": np.ones(3, int)}, r"dataset\.labels: .*\(3,\).*of shape \(4,\)"),
    "real labels": ({"labels": np.ones(4)}, r"dataset\.labels: float64 of shape"),
    "label 0": ({"labels": np.arange(4)}, r"dataset\.labels: 0\.\.3 in .*; 1\.\.1000"),
    "label 1001": ({"labels": np.array([1, 2, 3, 1001])}, r"dataset\.labels: 1\.\.1001 in"),
    "objects": ({"labels": np.array([1, 2, 3, None])}, r"dataset\.labels: python objects"),
}


@pytest.mark.parametrize("at", [TRAIN[0], TRAIN[9], FILES[-1]])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_such_file_holds_is_refused_with_its_name(wrong, at, tmp_path):
    laid(tmp_path)
    change, line = WRONG[wrong]
    held = {"data": np.zeros((4, 3072), np.uint8), "labels": np.arange(1, 5)} | change
    np.savez(tmp_path / at, **held)
    with pytest.raises(BadInput, match=line) as refused:
        taken(tmp_path)
    assert at in str(refused.value) or wrong == "objects"


@pytest.mark.parametrize("gone", FILES)
def test_a_file_that_is_missing_is_named(gone, tmp_path):
    laid(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(BadInput, match=rf"^dataset\.path: .*; {gone} is not there$"):
        taken(tmp_path)


def test_no_folder_and_no_path_say_what_is_wanted(tmp_path):
    with pytest.raises(
        BadInput, match=r"^dataset\.path: nothing; a folder with train_data_batch_1"
    ):
        make("dataset", "ImageNet32")()
    with pytest.raises(BadInput, match=r"^dataset\.path: .*is not there; a folder with"):
        taken(tmp_path / "none")


def test_memory_is_asked_for_before_images_are_read(tmp_path, monkeypatch):
    laid(tmp_path, count=60)
    monkeypatch.setattr("core.datasets.imagenet32._images", lambda path: 1 / 0)
    with pytest.raises(BadInput, match=r"^dataset\.limit: 0\.001 GB; 0\.0101 GB or more, for 660 "):
        taken(tmp_path, limit=0.001)
