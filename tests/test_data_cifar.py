"""CIFAR: what its binary files hold, how its archive is unpacked, and what is refused."""

import hashlib
import io
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch

from core.batches import Batches
from core.catalogue import BadInput, make
from core.datasets import archives, cifar, download
from core.datasets.archives import ARCHIVES, Unsound, unpack
from core.datasets.fetch import NotFetched

RECORDS = 20
NAMES = ("CIFAR10", "CIFAR100")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Files of 20 records, so that tests are small."""
    monkeypatch.setattr(archives, "RECORDS", RECORDS)


def contents(name, seed=0):
    """The files of a tiny set, by path in the archive, and its arrays in the order of the files."""
    rng, archive = np.random.default_rng(seed), ARCHIVES[name]
    files, arrays = {}, []
    for file, times in archive.files:
        count = times * RECORDS
        pixels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        classes = rng.permutation(np.arange(count) % (10 if name == "CIFAR10" else 100))
        labels = classes.astype(np.uint8)[:, None]
        if name == "CIFAR100":  # a coarse label, which is not the class, comes first
            labels = np.concatenate([rng.integers(0, 20, (count, 1), dtype=np.uint8), labels], 1)
        records = np.concatenate([labels, pixels.reshape(count, -1)], axis=1)
        files[f"{archive.folder}/{file}"] = records.tobytes()
        arrays.append((pixels, classes))
    return files, arrays


def laid(name, root):
    files, arrays = contents(name)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return arrays


def member(name, content=b"", **about):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in about.items():
        setattr(info, key, value)
    return info, content


def packed(path, members):
    """A tar.gz of members, as they are given."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def sound(name):
    """The members of a whole archive, with a folder and a page beside the files."""
    files, _ = contents(name)
    folder = ARCHIVES[name].folder
    beside = [member(folder, type=tarfile.DIRTYPE), member(f"{folder}/readme.html", b"<html>")]
    return beside + [member(path, content) for path, content in files.items()]


# What is read.


@pytest.mark.parametrize("name", NAMES)
def test_the_published_bytes_of_a_set_are_those_of_its_readme(name, monkeypatch):
    # 1 + 3072 bytes a record in CIFAR-10, 2 + 3072 in CIFAR-100; 50,000 and 10,000 records.
    monkeypatch.setattr(archives, "RECORDS", 10_000)
    *train, test = ARCHIVES[name].sizes()
    record = {"CIFAR10": 3073, "CIFAR100": 3074}[name]
    assert sum(train) == 50_000 * record and test == 10_000 * record


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_read_as_its_files_say(name, tmp_path):
    *train, test = laid(name, tmp_path)
    images = make("dataset", name, {"root": str(tmp_path), "scale": "0..1"})()
    assert images.shape == (3, 32, 32) and images.classes == make("dataset", name).classes
    for split, parts in (("train", train), ("test", [test])):
        x, y = images.split(split)
        raw = np.concatenate([pixels for pixels, _ in parts])
        assert y.tolist() == np.concatenate([classes for _, classes in parts]).tolist()
        torch.testing.assert_close(x, torch.from_numpy(raw / 255).float(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("name", "taken"), [("CIFAR10", 50), ("CIFAR100", 100)])
def test_half_of_a_set_has_half_of_each_class(name, taken, tmp_path):
    laid(name, tmp_path)  # 100 records to train on: ten of ten classes, or one of a hundred
    images = make("dataset", name, {"root": str(tmp_path), "fraction": 0.5})()
    assert images.train_y.bincount().tolist() == [taken // images.classes] * images.classes
    assert len(images.test_x) == RECORDS


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("CIFAR10", "c32a1d4ab5d03f1284b67883e8d87530"),
        ("CIFAR100", "03b5dce01913d631647c71ecec9e9cb8"),
    ],
)
def test_the_archive_is_known_by_the_md5_on_its_author_s_page(name, md5):
    assert ARCHIVES[name].md5 == md5
    assert "/~kriz/" in ARCHIVES[name].url and ARCHIVES[name].url.endswith("-binary.tar.gz")


def test_class_names_are_in_the_order_of_their_labels():
    # As in batches.meta.txt and fine_label_names.txt: both alphabetical.
    assert list(cifar.TEN) == sorted(cifar.TEN) and len(cifar.TEN) == 10
    assert list(cifar.HUNDRED) == sorted(set(cifar.HUNDRED)) and len(cifar.HUNDRED) == 100


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("CIFAR10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("CIFAR100", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    ],
)
def test_the_standard_scale_is_that_of_the_papers_code(name, mean, std, tmp_path):
    *_, (raw, _) = laid(name, tmp_path)
    images = make("dataset", name, {"root": str(tmp_path), "scale": "standard"})()
    mean, std = (np.array(one)[:, None, None] for one in (mean, std))
    expected = torch.from_numpy((raw / 255 - mean) / std).float()
    torch.testing.assert_close(images.test_x, expected, rtol=1e-5, atol=1e-6)


def test_only_training_batches_are_varied(tmp_path):
    laid("CIFAR10", tmp_path)
    source = make("dataset", "CIFAR10", {"root": str(tmp_path), "augment": "flip + crop 4"})
    images = source()
    train, test = (
        Batches(images, 10, aligned=False, seed=0, split=split).batch(3)
        for split in ("train", "test")
    )
    assert not torch.equal(train.x, images.train_x[train.index])
    assert torch.equal(test.x, images.test_x[test.index])
    plain = replace(source, augment="none")()
    assert plain.augment is None and plain.fingerprint == images.fingerprint


def test_a_set_is_read_again_when_its_files_change(tmp_path):
    laid("CIFAR10", tmp_path)
    source = make("dataset", "CIFAR10", {"root": str(tmp_path)})
    first = source()
    assert source() is first
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(bytes(RECORDS * 3073))
    assert torch.all(source().test_x == -1)


# What is refused.


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(name, tmp_path):
    with pytest.raises(BadInput) as refused:
        make("dataset", name, {"root": str(tmp_path / "no")})()
    line = str(refused.value)
    file = f"{ARCHIVES[name].folder}/{ARCHIVES[name].files[0][0]}"
    assert line.startswith(f"dataset.root: {tmp_path / 'no'}; {file} is not there, get it with: ")
    assert line.endswith(f"relaxoscope data {name} --root {tmp_path / 'no'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "longer", "by a record", "empty", "folder"])
def test_a_file_of_another_length_is_named(damage, tmp_path):
    laid("CIFAR100", tmp_path)
    path = tmp_path / "cifar-100-binary" / "test.bin"
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        cut = {"cut": -1, "by a record": -3074, "empty": -len(whole), "longer": len(whole)}[damage]
        path.write_bytes(whole[:cut] + (b"\0" if damage == "longer" else b""))
    with pytest.raises(BadInput, match=r"cifar-100-binary/test.bin is damaged, get it with: relax"):
        make("dataset", "CIFAR100", {"root": str(tmp_path)})()


def test_a_label_that_is_no_class_is_refused(tmp_path):
    laid("CIFAR10", tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[2 * 3073] = 10
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"^dataset.train_y\[22\]: 10; a class 0..9"):
        make("dataset", "CIFAR10", {"root": str(tmp_path)})()


# Archives.


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_is_unpacked_to_its_files_and_nothing_else(name, tmp_path):
    files, _ = contents(name)
    unpack(packed(tmp_path / "a.tar.gz", sound(name)), ARCHIVES[name], tmp_path / "root")
    found = {p.relative_to(tmp_path / "root").as_posix(): p for p in (tmp_path / "root").rglob("*")}
    assert set(found) == {ARCHIVES[name].folder, *files}
    assert all(found[path].read_bytes() == content for path, content in files.items())


@pytest.mark.row(47)
def test_members_whose_names_point_elsewhere_are_never_written(tmp_path):
    aside = tmp_path / "aside.bin"
    folder, inner = ARCHIVES["CIFAR10"].folder, tmp_path / "a" / "root"
    hostile = [
        member("../evil", b"x"),
        member(str(aside), b"x"),
        member(f"{folder}/../../evil", b"x"),
        member("link", type=tarfile.SYMTYPE, linkname=str(tmp_path)),
        member("link/evil", b"x"),
        member(f"{folder}/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member(f"{folder}/pipe", type=tarfile.FIFOTYPE),
    ]
    archive = packed(tmp_path / "a.tar.gz", hostile + sound("CIFAR10"))
    unpack(archive, ARCHIVES["CIFAR10"], inner)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()) == sorted(
        ["a.tar.gz", *(name for name, _ in ARCHIVES["CIFAR10"].files)]
    )


FOLDER = ARCHIVES["CIFAR10"].folder
FIRST = f"{FOLDER}/data_batch_1.bin"
SIZE = RECORDS * 3073


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: [one for one in m if one[0].name != FIRST], f"{FIRST} is not in a.tar.gz"),
        (lambda m: [member(FIRST, b"short"), *m], f"{FIRST} is 5 bytes; a file of {SIZE} bytes"),
        (lambda m: [*m, m[2]], f"{FIRST} is {SIZE} bytes for the second time; a file of {SIZE}"),
        (
            lambda m: [member(FIRST, type=tarfile.SYMTYPE, linkname="/etc/passwd"), *m],
            f"{FIRST} is no plain file; a file of {SIZE} bytes, once",
        ),
        (lambda m: [member(FIRST, type=tarfile.DIRTYPE), *m], f"{FIRST} is no plain file"),
    ],
)
def test_an_archive_with_other_members_is_refused_in_one_line(change, line, tmp_path):
    archive = packed(tmp_path / "a.tar.gz", change(sound("CIFAR10")))
    with pytest.raises(Unsound) as refused:
        unpack(archive, ARCHIVES["CIFAR10"], tmp_path / "root")
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "flipped"])
def test_a_damaged_archive_is_refused_in_one_line(damage, tmp_path):
    archive = packed(tmp_path / "a.tar.gz", sound("CIFAR10"))
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[20:60] = bytes(40)
    damaged = {"cut": whole[: len(whole) // 2], "noise": b"no archive", "empty": b""}
    archive.write_bytes(damaged.get(damage, bytes(flipped)))
    with pytest.raises(Unsound) as refused:
        unpack(archive, ARCHIVES["CIFAR10"], tmp_path / "root")
    assert "\n" not in str(refused.value)


# Downloading, from a server of our own.


class Mirror:
    """A server with the archive of a tiny set, whose MD5 is in the place of the published one."""

    def __init__(self, folder, monkeypatch):
        self.content = packed(folder / "a.tar.gz", sound("CIFAR10")).read_bytes()
        self.md5, self.asked = hashlib.md5(self.content).hexdigest(), []
        handler = type("Handler", (BaseHTTPRequestHandler,), {})
        handler.do_GET = lambda request: self.answer(request, body=True)
        handler.do_HEAD = lambda request: self.answer(request, body=False)
        handler.log_message = lambda *_: None
        self.server = HTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}/cifar-10-binary.tar.gz"
        here = replace(ARCHIVES["CIFAR10"], url=url, md5=self.md5)
        monkeypatch.setitem(ARCHIVES, "CIFAR10", here)
        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)

    def answer(self, request, body):
        if body:
            self.asked.append(request.path)
        request.send_response(404 if self.content is None else 200)
        request.send_header("Content-Length", str(len(self.content or b"")))
        request.end_headers()
        if body:
            request.wfile.write(self.content or b"")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    served = Mirror(tmp_path / "served", monkeypatch)
    yield served
    served.close()


def test_a_download_can_be_read_and_leaves_no_archive(mirror, tmp_path):
    told, root = [], tmp_path / "root"
    assert download("CIFAR10", str(root), lambda *news: told.append(news)) == root
    assert [share for _, share in told] == [0.0, 0.9, 1.0]
    mirror.asked.clear()
    _, arrays = contents("CIFAR10")
    images = make("dataset", "CIFAR10", {"root": str(root), "scale": "0..1"})()
    assert images.test_y.tolist() == arrays[-1][1].tolist()
    assert sorted(p.suffix for p in root.rglob("*") if p.is_file()) == [".bin"] * 6
    download("CIFAR10", str(root), lambda *news: told.append(news))
    assert mirror.asked == [] and told[-1] == ("cifar-10-batches-bin is here already", 1.0)


@pytest.mark.parametrize("fault", ["absent", "altered", "hostile"])
def test_what_does_not_arrive_is_one_line_and_leaves_nothing(fault, mirror, tmp_path, monkeypatch):
    if fault == "absent":
        mirror.content = None
    elif fault == "altered":
        mirror.content = mirror.content[:-9] + b"x" + mirror.content[-8:]
    else:
        files = [one for one in sound("CIFAR10") if "data_batch_1" not in one[0].name]
        mirror.content = packed(tmp_path / "other.tar.gz", files[:2]).read_bytes()
        md5 = hashlib.md5(mirror.content).hexdigest()
        monkeypatch.setitem(ARCHIVES, "CIFAR10", replace(ARCHIVES["CIFAR10"], md5=md5))
    root = tmp_path / "root"
    with pytest.raises(NotFetched) as failed:
        download("CIFAR10", str(root), lambda *_: None)
    line = str(failed.value)
    assert line.startswith("CIFAR10: cifar-10-binary.tar.gz did not arrive (http://127.0.0.1:")
    assert "\n" not in line and not root.exists()
