"""Entries of one's own: they are in the catalogue at once, and a bad plugin leaves no trace."""

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest

from core import BadInput, Experiment, bibtex, cards, make, plugins, relax
from core.catalogue import KINDS
from core.datasets.small_digits import SmallDigits
from core.networks.mlp import MLP

EXAMPLE = Path(__file__).parents[1] / "plugins" / "example.py"

HEAD = "from dataclasses import dataclass\nfrom core import dial, entry\n"
"""Two lines."""


def one(name="Mine", kind="init", fields="", head=HEAD):
    """The text of a plugin with one entry; its decorator stands on the line after the head."""
    return (
        f"{head}@entry({kind!r}, 'Mine', formula='1', source='this project')\n"
        f"@dataclass(frozen=True)\nclass {name}:\n    '''Mine.'''\n{fields}\n"
    )


@pytest.fixture
def plugin(tmp_path, scratch):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refusal(path):
    """The line with which a plugin is refused; catalogue and disk are as before."""
    before = {kind: cards(kind) for kind in KINDS}
    on_disk = sorted(Path(path).parent.rglob("*"))
    with pytest.raises(plugins.BadPlugin) as caught:
        plugins.load(path)
    assert {kind: cards(kind) for kind in KINDS} == before
    assert plugins.loaded() == []
    assert sorted(Path(path).parent.rglob("*")) == on_disk
    line = str(caught.value)
    assert len(line.splitlines()) == 1 and line.startswith(f"plugin: {path}")
    return line.removeprefix(f"plugin: {path}")


def test_the_entries_of_a_file_are_in_the_catalogue(scratch):
    found = plugins.load(EXAMPLE)
    assert [(card.kind, card.name) for card in found.cards] == [
        ("precision", "Ramp"),
        ("dynamics", "ClippedDescent"),
    ]
    assert found.name == "example.py"
    assert found.sha256 == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    assert make("precision", "Ramp", {"n": 3}).n == 3
    assert plugins.loaded() == [found]
    assert not (EXAMPLE.parent / "__pycache__").exists()


def test_an_experiment_uses_them_and_its_trace_names_the_plugin(scratch):
    found = plugins.load(EXAMPLE)
    plain = Experiment(
        network=MLP((4,)), dataset=SmallDigits(), pretraining="random", steps=3, batch_size=10
    )
    assert plugins.used(plain) == []
    own = plain.changed(precision=make("precision", "Ramp", {"n": 2}))
    trace = relax(own)
    # (t + 1) / 2, at most one
    assert trace["precision"][:, 0].values.tolist() == [0.5, 1.0, 1.0, 1.0]
    wanted = [{"name": "example.py", "sha256": found.sha256}]
    assert plugins.used(own) == json.loads(trace.attrs["plugins"]) == wanted
    assert json.loads(relax(plain).attrs["plugins"]) == []
    assert Experiment.from_dict(own.to_dict()) == own


def test_its_works_are_cited(scratch):
    plugins.load(EXAMPLE)
    text = bibtex(Experiment(precision=make("precision", "Ramp")))
    assert "@misc{nobody2026," in text and "@article{whittington2017," in text


def test_a_file_is_run_once_and_again_when_it_has_changed(plugin):
    path = plugin(one() + "print('run')")
    first = plugins.load(path)
    assert plugins.load(path) is first
    made = make("init", "Mine")
    plugin(one("Other"))
    second = plugins.load(path)
    assert "Other" in cards("init") and "Mine" not in cards("init")
    assert plugins.loaded() == [second] and second.sha256 != first.sha256
    assert type(made) is first.cards[0].entry


def test_a_changed_file_that_is_bad_leaves_the_old_entries(plugin):
    path = plugin(one())
    first = plugins.load(path)
    plugin(one("Other") + "1/0")
    with pytest.raises(plugins.BadPlugin, match="ZeroDivisionError"):
        plugins.load(path)
    assert cards("init")["Mine"] is first.cards[0] and "Other" not in cards("init")
    assert plugins.loaded() == [first]


def test_two_files_of_one_name_are_two_plugins(plugin, tmp_path):
    plugins.load(plugin(one("Mine")))
    (tmp_path / "other").mkdir()
    plugins.load(plugin(one("Other"), "other/mine.py"))
    assert {"Mine", "Other"} <= set(cards("init"))
    (tmp_path / "third").mkdir()
    with pytest.raises(plugins.BadPlugin, match=r"line 3; init: 'Mine' is already the name of an"):
        plugins.load(plugin(one("Mine"), "third/mine.py"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:\n", ", line 1; SyntaxError: "),
        ("\nimport no_such_package\n", ", line 2; No module named 'no_such_package'"),
        ("a = 1\n\n1 / 0\n", ", line 3; ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('a\\nb')\nf()", ", line 2; KeyError: 'a\\nb'"),
        ("raise SystemExit(3)", ", line 1; SystemExit: 3"),
        ("raise ValueError('\\x1b[2J')", ", line 1; '\\x1b[2J'"),
        ("raise OSError", ", line 1; OSError"),
        (one("Zero"), ", line 3; init: 'Zero' is already the name of an entry"),
        (one(fields="    rate: float = 0.1"), ", line 3; rate: every field of an entry is a dial"),
        (one(kind="inits"), ", line 3; kind: inits; one of init, "),
        (
            one(fields="    a: int = dial(9, bounds=(0, 1), help='a')"),
            ", line 3; init.a: 9; an int",
        ),
        (one().replace("(frozen=True)", ""), ", line 3; Mine: no frozen dataclass; put @dataclass"),
        ("x = 1", "; adds nothing: decorate a frozen dataclass with entry"),
        ("", "; adds nothing"),
        (one() + one("Zero", head=""), ", line 8; init: 'Zero' is already"),
    ],
)
def test_a_bad_file_is_refused_with_the_line_of_its_fault(plugin, text, said):
    line = refusal(plugin(text))
    assert line.startswith(said), line
    assert line.isprintable()


def test_a_file_that_is_no_text_is_refused(tmp_path, scratch):
    path = tmp_path / "mine.py"
    for content in (b"\x00", b"# caf\xe9\n", b"\xff\xfe"):
        path.write_bytes(content)
        assert refusal(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere.py", "; no file"), ("mine.txt", "; a Python file"), ("folder.py", "; a Python")],
)
def test_what_is_no_python_file_is_refused(plugin, tmp_path, name, said):
    plugin(one(), "mine.txt")
    (tmp_path / "folder.py").mkdir()
    assert refusal(tmp_path / name).startswith(said)


def test_bad_works_beside_a_plugin_are_refused_before_it_is_run(plugin):
    plugin("@misc{a, author = {A}}", "mine.bib")
    path = plugin("raise RuntimeError")
    with pytest.raises(plugins.BadPlugin, match=r"mine\.bib; references: mine\.bib, line 1"):
        plugins.load(path)


def test_works_of_this_project_cannot_be_replaced(plugin):
    shutil.copy(EXAMPLE.with_suffix(".bib"), plugin(one()).parent / "mine.bib")
    path = plugin("", "mine.bib")
    path.write_text(
        "@misc{qi2026, author = {Nobody}, title = {T}, year = {2026}, note = {Not read}}"
    )
    plugins.load(plugin(one()))
    assert "Nobody" not in bibtex(Experiment(precision=make("precision", "Spiking")))


# Installed packages ------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, scratch, monkeypatch):
    """Install a package whose one module is a plugin."""

    def install(text, module="own_entries"):
        (tmp_path / f"{module}.py").write_text(text)
        about = tmp_path / "own_package-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text(f"[{plugins.GROUP}]\nown = {module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()

    yield install
    import sys

    sys.modules.pop("own_entries", None)


def test_the_entries_of_an_installed_package_are_taken_over_once(installed):
    installed(one())
    (found,) = plugins.load_installed()
    assert found.name == "own-package 1.2: own"
    assert found.sha256 == hashlib.sha256(one().encode()).hexdigest()
    assert [card.name for card in found.cards] == ["Mine"] and "Mine" in cards("init")
    assert plugins.load_installed() == [found] == plugins.loaded()


def test_a_bad_package_is_named(installed):
    installed(one("Zero"))
    before = cards("init")
    with pytest.raises(plugins.BadPackage) as caught:
        plugins.load_installed()
    line = str(caught.value)
    assert line.startswith("plugin: own of own-package 1.2; init: 'Zero' is already the name")
    assert line.endswith("uninstall or mend it")
    assert cards("init") == before and plugins.loaded() == []


def test_where_no_package_offers_entries_there_are_none(scratch):
    assert plugins.load_installed() == []
    assert issubclass(plugins.BadPackage, BadInput)
