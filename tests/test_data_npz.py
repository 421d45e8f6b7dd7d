"""Own images in an .npz file: what is read, and what is refused before it is."""

import io
import os
import zipfile

import numpy as np
import pytest
import torch

from core.catalogue import BadInput, make
from core.datasets import npz_file
from core.laws.of_data import dataset_classes, dataset_range, dataset_repeats

CLASSES = 3


def arrays(**changed):
    """Twelve and six colour images of 4 x 5 pixels, (n, H, W, C), in three classes."""
    rng = np.random.default_rng(0)
    found = {
        "x_train": rng.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    found["x_train"][0, 0, 0], found["x_train"][0, 0, 1] = 0, 255
    return found | changed


def kept(folder, held=None, **changed):
    path = folder / "mine.npz"
    np.savez(path, **(arrays(**changed) if held is None else held))
    return path


def source(path, **dials):
    return make("dataset", "Npz", {"path": str(path), "classes": CLASSES, **dials})


def refusal(path, **dials):
    with pytest.raises(BadInput) as refused:
        source(path, **dials)()
    line = str(refused.value)
    assert "\n" not in line
    return line


# What is read.


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard"])
def test_images_and_labels_are_those_of_the_file(scale, tmp_path):
    held = arrays()
    images = source(kept(tmp_path, held), scale=scale)()
    assert (images.name, images.shape, images.classes) == ("mine.npz", (3, 4, 5), CLASSES)
    for split in ("train", "test"):
        x, y = images.split(split)
        assert y.tolist() == held[f"y_{split}"].tolist()
        expected = torch.from_numpy(held[f"x_{split}"] / 255).float().permute(0, 3, 1, 2)
        torch.testing.assert_close(images.brightness(x), expected, rtol=0, atol=2e-6)
        assert float(x.min()) >= images.low and float(x.max()) <= images.high
    mean = float(images.train_x.mean())
    assert abs(mean) < 1e-5 if scale == "standard" else abs(mean) > 1e-3


def as_grey(x):
    return x[..., 0]


def as_nhw1(x):
    return x[..., :1]


def as_n1hw(x):
    return x[..., 0][:, None]


def as_nchw(x):
    return x.transpose(0, 3, 1, 2)


def as_it_is(x):
    return x


@pytest.mark.parametrize("order", [as_grey, as_nhw1, as_n1hw, as_nchw, as_it_is])
@pytest.mark.parametrize("dtype", ["uint8", "<f2", ">f4", "<f8", "fortran"])
def test_every_layout_and_type_gives_the_same_pixels(order, dtype, tmp_path):
    held = arrays()
    for name in ("x_train", "x_test"):
        x = order(held[name])
        if dtype == "fortran":
            x = np.asfortranarray(x)
        elif dtype != "uint8":
            x = (x / 255).astype(dtype)
        held[name] = x
    images = source(kept(tmp_path, held), scale="0..1")()
    whole = torch.from_numpy(arrays()["x_train"] / 255).float().permute(0, 3, 1, 2)
    expected = whole if order in (as_nchw, as_it_is) else whole[:, :1]
    atol = 1e-3 if dtype == "<f2" else 1e-6
    torch.testing.assert_close(images.train_x, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i8", "uint64"])
def test_labels_may_be_any_integers(dtype, tmp_path):
    y = (np.arange(12) % 3).astype(dtype)
    assert source(kept(tmp_path, y_train=y))().train_y.tolist() == y.tolist()


def test_a_compressed_file_with_further_arrays_is_read(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **arrays(), more=np.array([{"a": 1}], dtype=object))
    assert source(path)().fingerprint == source(kept(tmp_path))().fingerprint


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path):
    path = kept(tmp_path)
    first = source(path)()
    assert source(path)() is first
    kept(tmp_path, x_train=np.zeros((12, 4, 5, 3), np.uint8))
    os.utime(path, ns=(1, 1))
    assert torch.all(source(path)().train_x == -1)


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard"])
@pytest.mark.parametrize("augment", ["none", "flip + crop 4"])
@pytest.mark.parametrize("law", [dataset_classes, dataset_range, dataset_repeats])
def test_own_images_keep_the_laws_of_data_sets(law, scale, augment, tmp_path):
    assert list(law(source(kept(tmp_path), scale=scale, augment=augment))) == []


def test_training_images_can_be_varied(tmp_path):
    images = source(kept(tmp_path), augment="flip + crop 4", scale="standard")()
    assert images.augment.padding == 4 and images.augment.black == images.black


# What is refused.


@pytest.mark.parametrize(
    ("make_it", "line"),
    [
        (lambda f: "", "dataset.path: nothing; an .npz file with x_train, y_train"),
        (lambda f: f / "no.npz", "no.npz is not there; an .npz file"),
        (lambda f: f, " is a folder; an .npz file"),
        (lambda f: f / ("x" * 300), " is not there; an .npz file"),
        (lambda f: f"{f}\0", " is not there; an .npz file"),
    ],
)
def test_a_path_without_a_file_is_refused(make_it, line, tmp_path):
    assert line in refusal(make_it(tmp_path))


@pytest.mark.row(47)
@pytest.mark.parametrize("damage", ["empty", "noise", "cut", "flipped", "npy", "header", "version"])
def test_a_damaged_file_is_refused_in_one_line(damage, tmp_path):
    path = kept(tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        contents = {one: archive.read(one) for one in archive.namelist()}
    flipped = bytearray(whole)
    flipped[whole.index(contents["x_train.npy"][200:260])] ^= 1
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage in ("header", "version"):
        at = 6 if damage == "version" else 12
        bad = bytearray(contents["x_train.npy"])
        bad[at : at + 4] = b"\x09\x09{{"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, bytes(bad) if name == "x_train.npy" else content)
    else:
        damaged = {"empty": b"", "noise": b"no archive", "cut": whole[:-300], "flipped": flipped}
        path.write_bytes(damaged[damage])
    assert refusal(path).startswith(f"dataset.path: {path}; a whole .npz file (")


WRONG = [
    ({"x_train": np.zeros((12, 4))}, "dataset.x_train: shape (12, 4); (n, H, W), (n, H, W, C)"),
    ({"x_train": np.zeros(())}, "dataset.x_train: shape (); (n, H, W)"),
    ({"x_test": np.zeros((0, 4, 5, 3))}, "dataset.x_test: shape (0, 4, 5, 3); (n, H, W)"),
    ({"x_train": np.zeros((12, 4, 0))}, "dataset.x_train: shape (12, 4, 0); (n, H, W)"),
    ({"x_train": np.zeros((12, 4, 5, 2))}, "dataset.x_train: shape (12, 4, 5, 2); (n, H, W)"),
    ({"x_train": np.zeros((12, 3, 5, 3))}, "dataset.x_train: shape (12, 3, 5, 3); 1 or 3 either"),
    (
        {"x_test": np.zeros((6, 5, 4, 3), np.uint8)},
        "dataset.x_test: images of shape (3, 5, 4); (3, 4, 5), as in x_train",
    ),
    ({"x_test": np.zeros((6, 4, 5, 3))}, "dataset.x_test: float64; uint8, as in x_train"),
    ({"x_train": np.zeros((12, 4, 5, 3), int)}, "dataset.x_train: int64; uint8 in 0..255, or"),
    ({"x_train": np.zeros((12, 4, 5, 3), bool)}, "dataset.x_train: bool; uint8 in 0..255, or"),
    ({"x_train": np.zeros((12, 4, 5, 3), complex)}, "dataset.x_train: complex128; uint8 in"),
    pytest.param(
        {"x_train": np.zeros((12, 4, 5, 3), np.longdouble)},
        "dataset.x_train: float128; uint8 in",
        marks=pytest.mark.skipif(
            np.dtype(np.longdouble).itemsize == 8, reason="missing: floats longer than 64 bits"
        ),
    ),
    ({"x_train": np.zeros((12, 4, 5, 3), "U3")}, "dataset.x_train: <U3; uint8 in 0..255"),
    ({"y_train": np.arange(11)}, "dataset.y_train: int64 of shape (11,); integers of shape (12,)"),
    ({"y_test": np.zeros((6, 3), int)}, "dataset.y_test: int64 of shape (6, 3); integers of"),
    ({"y_test": np.zeros(6)}, "dataset.y_test: float64 of shape (6,); integers of shape (6,)"),
    ({"y_test": np.arange(6)}, "dataset.y_test[3]: 3; a class 0..2, as dataset.classes says"),
    ({"y_train": -(np.arange(12) % 3)}, "dataset.y_train[1]: -1; a class 0..2"),
    (
        {"y_train": np.full(12, 2**64 - 1, np.uint64)},
        "dataset.y_train[0]: 18446744073709551615; a class 0..2",
    ),
]


@pytest.mark.parametrize(("changed", "line"), WRONG)
def test_an_array_of_another_shape_or_type_is_named(changed, line, tmp_path):
    assert refusal(kept(tmp_path, **changed)).startswith(line)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
def test_floating_point_pixels_outside_of_the_unit_interval_are_refused(value, tmp_path):
    held = {name: x / 255 if name[0] == "x" else x for name, x in arrays().items()}
    held["x_train"][7, 1, 2, 0] = value
    line = refusal(kept(tmp_path, held))
    assert (
        line == f"dataset.x_train: {value:g} in image 7; uint8 in 0..255, or floating point in 0..1"
    )


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_array_is_named(name, tmp_path):
    held = arrays()
    del held[name]
    path = kept(tmp_path, held)
    assert refusal(path) == f"dataset.{name}: missing; one array {name} in {path}"


def test_python_objects_are_refused_without_being_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    held = arrays(y_train=np.array([Trap()], dtype=object))
    line = refusal(kept(tmp_path, held))
    assert line == "dataset.y_train: python objects; numbers, pickle is not accepted"
    assert not (tmp_path / "sprung").exists()


def test_a_set_above_the_limit_is_refused_by_its_header_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file.Member, "read", lambda self: pytest.fail("it read"))
    path = kept(tmp_path, x_train=np.zeros((12, 400, 500, 3), np.uint8), y_train=np.zeros(12, int),
                x_test=np.zeros((6, 400, 500, 3), np.uint8))  # fmt: skip
    # 18 images of 600,000 bytes, and four more for each: 54 MB.
    line = refusal(path, limit=0.05)
    assert line == "dataset.limit: 0.05 GB; 0.054 GB or more, for 18 images of 3 x 400 x 500"
    with pytest.raises(pytest.fail.Exception):
        source(path, limit=0.0541)()


def header(shape, dtype="|u1"):
    file = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def rewritten(path, **contents):
    """The file with other members, compressed."""
    with zipfile.ZipFile(path) as archive:
        held = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (held | {f"{k}.npy": v for k, v in contents.items()}).items():
            archive.writestr(name, content)


def test_a_header_that_declares_more_than_there_is_is_refused(tmp_path):
    path = kept(tmp_path)
    rewritten(path, x_train=header((10**9, 4, 5, 3)) + bytes(100))
    line = refusal(path)
    assert "x_train declares 60000000000 bytes, " in line and "are there" in line


@pytest.mark.row(47)
def test_a_bomb_is_refused_by_the_size_that_it_unpacks_to(tmp_path):
    path, huge = kept(tmp_path), 30 * 10**6
    rewritten(path, x_train=header((huge // 60, 4, 5, 3)) + bytes(huge))
    assert path.stat().st_size < huge / 500
    line = refusal(path, limit=0.1)
    assert line.startswith("dataset.y_train: int64 of shape (12,); integers of shape (500000,)")
    rewritten(path, y_train=header((huge // 60,)) + bytes(huge // 60))
    assert refusal(path, limit=0.1).startswith("dataset.limit: 0.1 GB; 0.15 GB or more, for 500006")


def test_a_bomb_whose_entry_lies_about_its_size_unpacks_no_more_than_it_says(tmp_path):
    path = kept(tmp_path)
    content = header((12, 4, 5, 3)) + bytes(10**7)
    rewritten(path, x_train=content)
    raw = bytearray(path.read_bytes())
    says = len(header((12, 4, 5, 3))) + 12 * 60
    for at in range(len(raw) - 4):
        if raw[at : at + 4] == len(content).to_bytes(4, "little"):
            raw[at : at + 4] = says.to_bytes(4, "little")
    path.write_bytes(raw)
    assert refusal(path).startswith(f"dataset.path: {path}; a whole .npz file (Bad CRC-32")


def test_an_array_that_is_there_twice_is_refused(tmp_path):
    path = kept(tmp_path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test.npy", b"")
    assert refusal(path) == f"dataset.y_test: 2 times there; one array y_test in {path}"


@pytest.mark.parametrize(
    ("dials", "line"),
    [
        ({"classes": 0}, "dataset.classes: 0; an integer 1..65536"),
        ({"limit": 0.0}, "dataset.limit: 0.0; a finite number in [0.001, 4096]"),
        ({"augment": "flip"}, "dataset.augment: flip; one of none, flip + crop 4, flip + crop 8"),
    ],
)
def test_dials_are_checked_at_the_door(dials, line):
    with pytest.raises(BadInput) as refused:
        source("mine.npz", **dials)
    assert str(refused.value).startswith(line)
