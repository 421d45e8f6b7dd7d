"""Files, names and addresses of somebody who means harm: each is refused and nothing is run.

What such a file would do is make the canary; what it would read or write lies outside.
Attacks on the server itself, which needs a process of its own, are in `test_serving.py`.
"""

import base64
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib

import netCDF4
import numpy as np
import pytest
import torch

from core.catalogue import BadInput, make
from core.datasets.archives import unpack
from core.datasets.cifar import ARCHIVES
from core.own import toml as own_toml
from core.runs import Run, Writer, annotate, rename
from core.runs.packing import unpack as unpacked_head
from core.runs.shelf import check_name, found, run_named
from tests.faults.known import ABOUT, Deed
from tests.workbench.sessions import SMALL, do
from workbench import archives, files, links
from workbench.address import Address
from workbench.figures import load
from workbench.runs_desk import head
from workbench.runs_reader import Detail
from workbench.runs_shelf import Entry
from workbench.session import Session

SCRIPT = '<img src=x onerror="window.hit=1">'


class Runs:
    """What a pickle does when it is loaded: it makes the canary."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def field(tmp_path, monkeypatch):
    """A folder of runs within another one, in which nothing may appear."""
    root = tmp_path / "home" / "runs"
    root.mkdir(parents=True)
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(root))
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "home" / "cache"))
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path


def run_of(field, name="kept"):
    with Writer(field / "home" / "runs" / name, **ABOUT) as writer:
        Deed("lane").do(writer)
        Deed("rows", count=3).do(writer)
    return writer.path


def refused(call, *args, said=""):
    """The one line of a refusal."""
    with pytest.raises((BadInput, ValueError)) as caught:
        call(*args)
    line = str(caught.value)
    assert "\n" not in line and said in line, line


# Names -------------------------------------------------------------------------------------------

NAMES = {
    "a name that climbs": "../escape",
    "a name from the root": "/etc/passwd",
    "a name of two lines": "a\nb",
    "a hidden name": ".ssh",
    "a name of look-alike letters": "р\u0443n",
    "a name of a device": "NUL",
    "a name that ends a string": "a\0b",
    "a name of markup": SCRIPT,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leaves_its_folder(field, name, record_property):
    path = run_of(field)
    refused(check_name, name, "run")
    refused(rename, path, name)
    refused(run_named, name)
    refused(lambda: Address("12345678", run=name).opened(1, print))
    assert path.is_dir()
    assert Address.of({"session": [name]}, "s").session.isalnum()
    record_property("count: attacks: refused", 1)


# Files -------------------------------------------------------------------------------------------


def pickled(path):
    path.write_bytes(pickle.dumps(Runs(path.parent / "canary")))
    return path


def of_torch(path):
    torch.save({"W1": Runs(path.parent / "canary")}, path)
    return path


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def array(shape, descr="<f8", content=b""):
    """A file of numpy that declares a shape."""
    text = io.BytesIO()
    claim = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, claim)
    return text.getvalue() + content


def objects(path):
    return npz(path, **{"x.npy": array((1,), "|O", pickle.dumps(Runs(path.parent / "canary")))})


def tensors(path, header, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(text)) + text + bytes(64))
    return path


def netcdf(path, compound=False):
    with netCDF4.Dataset(path, "w") as held:
        held.createDimension("step", 10**12)
        held.createVariable("energy", "f8", ("step",), zlib=True, chunksizes=(1000,))
        if compound:
            held.createCompoundType(np.dtype([("a", "f8"), ("b", "f8")]), "pair")
    return path


def one_layer():
    return make("network", "MLP", {"hidden": [2]})((1, 1, 2), 2)


FILES = {
    "weights that are a pickle": lambda p: (files.read_weights, pickled(p), one_layer()),
    "weights that are an archive of torch": lambda p: (
        files.read_weights,
        of_torch(p),
        one_layer(),
    ),
    "weights with a header without end": lambda p: (
        files.read_weights,
        tensors(p, b"{}", length=2**60),
        one_layer(),
    ),
    "weights that declare terabytes": lambda p: (
        files.read_weights,
        tensors(
            p,
            {"W1": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}},
        ),
        one_layer(),
    ),
    "data that are a pickle": lambda p: (archives.read_data, pickled(p)),
    "data with objects of Python": lambda p: (archives.read_data, objects(p)),
    "data that declare terabytes": lambda p: (
        archives.read_data,
        npz(p, **{"x.npy": array((10**9, 1000), content=bytes(8))}),
    ),
    "data that unpack to gigabytes": lambda p: (
        archives.read_data,
        npz(p, **{"x.npy": array((1,)) + bytes(2**26), "y.npy": array((1,), content=bytes(8))}),
    ),
    "data with a member that climbs": lambda p: (
        archives.read_data,
        npz(p, **{"../canary.npy": array((1,), content=bytes(8))}),
    ),
    "a trace that declares terabytes": lambda p: (load, netcdf(p)),
    "a trace with types of its own": lambda p: (load, netcdf(p, compound=True)),
    "a head of a run that unpacks to gigabytes": lambda p: (
        unpacked_head,
        zlib.compress(bytes(2**20 + 1), 9),
    ),
}


@pytest.mark.parametrize("attack", FILES.values(), ids=FILES)
def test_no_file_is_run_or_believed(field, attack, record_property, monkeypatch):
    monkeypatch.setattr("core.runs.packing.LARGEST", 2**20)
    call, *args = attack(field / "home" / "hostile")
    refused(call, *args)
    assert not list(field.rglob("canary*"))
    record_property("count: attacks: refused", 1)


def texts(path, text):
    path.write_text(text)
    return path


CALL = "__import__('os').system('touch canary')"
LAYER = "[[layer]]\nname = 'a'\nmodules = [{type = %s}]\n"
MINE = "title = 'Mine'\nname = 'Mine'\n"

TEXTS = {
    "an expression for numbers": (files.read_recipe, f'[precision]\nname="Table"\nrows="{CALL}"'),
    "a power without end": (files.read_recipe, '[precision]\nname="Table"\nrows="9**9**9"'),
    "brackets without end": (files.read_recipe, "x = " + "[" * 100_000),
    "keys without end": (files.read_recipe, "a" + ".a" * 30_000 + " = 1"),
    "a file without end": (files.read_recipe, "x = '" + "a" * 2**20 + "'"),
    "a module of another library": (own_toml.read, MINE + LAYER % "'os.system'"),
    "a private name of torch": (own_toml.read, MINE + LAYER % "'__builtins__'"),
    "a layer of terabytes": (
        own_toml.read,
        MINE + LAYER % "'Linear', in_features = 1000000, out_features = 1000000",
    ),
    "keys of a network without end": (own_toml.read, "a" + ".a" * 30_000 + " = 1"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_is_evaluated_or_without_bound(field, name, record_property, scratch):
    read, text = TEXTS[name]
    path = texts(field / "home" / "hostile.toml", text)
    if read is own_toml.read:
        refused(read, path, path.read_bytes())
    else:
        refused(read, path)
    assert not list(field.rglob("canary*"))
    record_property("count: attacks: refused", 1)


# Archives, links, addresses, markup --------------------------------------------------------------


def test_members_of_an_archive_stay_where_they_belong(field, record_property):
    inner = field / "home" / "data"
    for number, about in enumerate(
        (
            {"name": "../canary"},
            {"name": str(field / "canary")},
            {"name": "canary", "type": tarfile.SYMTYPE, "linkname": str(field)},
            {"name": f"{ARCHIVES['CIFAR10'].folder}/../../canary"},
        )
    ):
        with tarfile.open(field / "a.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(about["name"])
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(b""))
        refused(unpack, field / "a.tar.gz", ARCHIVES["CIFAR10"], inner)
        assert not list(field.rglob("canary*")), number
        record_property("count: attacks: refused", 1)


def test_a_run_behind_a_link_is_neither_listed_nor_written(field, record_property):
    outside = field / "outside"
    run_of(field).rename(outside)
    (field / "home" / "runs" / "link").symlink_to(outside)
    before = {one.name: one.stat().st_mtime_ns for one in outside.iterdir()}
    refused(lambda: Writer(field / "home" / "runs" / "link", resume=True), said="link")
    assert {one.name: one.stat().st_mtime_ns for one in outside.iterdir()} == before
    record_property("count: attacks: refused", 1)


def address(data):
    body = base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode(), 9)).rstrip(b"=")
    return f"1.{body.decode()}"


def log(**more):
    return {"log": {"experiment": {}, "events": [], "taken": 0} | more, "layout": {}}


def asked(command, **args):
    return log(events=[{"command": command, "args": args, "asked": 0, "applied": 0}], taken=1)


ADDRESSES = {
    "a state that unpacks to gigabytes": address("x" * 2**24),
    "brackets without end in a state": "1."
    + base64.urlsafe_b64encode(zlib.compress(b"[" * 2**19, 9)).rstrip(b"=").decode(),
    "a plugin by an address": address(asked("reload", files=[{"name": "evil.py"}])),
    "a method that is no command": address(asked("_prepare")),
    "a recording by an address": address(asked("record", name="x")),
    "an entry that nobody has loaded": address(log(experiment={"network": "Evil"})),
    "a run outside of its folder": address(log(begin={"run": "../x", "lane": 0, "batch": 0})),
}


@pytest.mark.parametrize("text", ADDRESSES.values(), ids=ADDRESSES)
def test_no_address_asks_for_what_no_page_does(field, text, record_property):
    refused(links.unpacked, text)
    assert not list((field / "home" / "runs").iterdir())
    record_property("count: attacks: refused", 1)


def test_a_network_beyond_memory_is_refused_before_it_is_built(field, record_property):
    mlp = {"name": "MLP", "hidden": [65536] * 200}
    experiment = {"network": mlp, "pretraining": "random", "dtype": "float64"}
    state = links.unpacked(address(log(experiment=experiment)))
    refused(Session(state.log.experiment)._prepare, said=" GB of weights and ")
    session = Session(SMALL)
    session._prepare()
    do(session, "change", **experiment)
    assert " GB of weights and " in session.message and len(session.lanes) == 1
    do(session, "step", 2)
    assert session.row == 2 and not session.message
    record_property("count: attacks: refused", 1)


def test_a_plugin_is_no_part_of_an_address(field, record_property):
    held = Address.of({"plugin": ["evil.py"], "file": ["evil.py"]}, "secret")
    assert "evil.py" not in str(held)
    record_property("count: attacks: refused", 1)


def test_markup_in_what_a_run_says_is_shown_as_text(field, record_property):
    path = run_of(field)
    annotate(path, SCRIPT, SCRIPT, (SCRIPT,))
    assert found(path.parent) == [path]
    notes = Run(path).notes
    entry = Entry(path, "finished", title=notes.title)
    about = {"manifest": {"about": {SCRIPT: SCRIPT}}, "lanes": ((0, SCRIPT),), "lane": 0}
    shown = head(Detail(path, state=SCRIPT, recovered=SCRIPT, **about), entry)
    assert "<img" not in shown and "&lt;img" in shown
    record_property("count: attacks: refused", 1)
