"""How do entries of one's own come into the catalogue? From a Python file, a package or TOML.

A plugin is Python code that decorates classes with `core.entry`, as the files of this project do,
or hands modules to `core.own.network`. It is run when it is loaded, so load only what you would
run. A TOML file describes a network and is not run. A file FILE.bib beside it holds the works that
its entries are from.
"""

import hashlib
import sys
import traceback
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType
from typing import Any

from core import citations
from core.catalogue import KINDS, BadInput, Card, card_of, cards, change, make, withdraw
from core.experiment import Experiment
from core.own.toml import read

GROUP = "relaxoscope.plugins"
"""Entry points of this group name modules of installed packages that are plugins."""


class BadPlugin(BadInput):
    """A plugin that cannot be used; the line says where the fault is."""


class BadPackage(BadPlugin):
    """An installed package whose plugin cannot be used: a fault of the environment."""


@dataclass(frozen=True)
class Plugin:
    """Code that added entries.

    Args:
        name: of its file, or of its package with the version.
        sha256: of its file, as it was run.
        cards: of the entries that it added.
        path: of its file, where it came from one that was named.
    """

    name: str
    sha256: str
    cards: tuple[Card, ...]
    path: Path | None = None


_loaded: dict[str, Plugin] = {}

_earlier: list[Plugin] = []
"""What files were before they were saved anew: their entries may still be in use."""


def loaded() -> list[Plugin]:
    """The plugins that are in the catalogue, in the order in which they came."""
    return list(_loaded.values())


def load(path: str | Path) -> Plugin:
    """Run or read a file and take its entries over; one that has not changed is left alone.

    Raises:
        BadPlugin: in one line with the number of the faulty line, where there is one. The catalogue
            is then as it was.
    """
    path = Path(path)
    if path.suffix not in (".py", ".toml") or not path.is_file():
        wanted = "a Python file, .py, or a network in TOML, .toml" if path.exists() else "no file"
        raise BadPlugin(f"plugin: {path}; {wanted}")
    try:
        source = path.read_bytes()
    except OSError as failed:
        raise BadPlugin(f"plugin: {path}; cannot be read ({failed.strerror})") from failed
    key, digest = str(path.resolve()), hashlib.sha256(source).hexdigest()
    if key in _loaded and _loaded[key].sha256 == digest:
        return _loaded[key]
    with change() as added:
        works = _works(path.with_suffix(".bib"))
        if path.suffix == ".toml":
            _describe(path, source)
        else:
            name = hashlib.sha256(key.encode()).hexdigest()[:12]
            _run(path, source, f"relaxoscope_plugin_{name}")
        new = added()
        if not new:
            raise BadPlugin(f"plugin: {path}; adds nothing: decorate a frozen dataclass with entry")
        if key in _loaded:  # at the end, so that no name is missing in between
            withdraw(_loaded[key].cards)
            _earlier.append(_loaded[key])
    citations.add(works)
    _loaded[key] = Plugin(path.name, digest, new, path)
    return _loaded[key]


def load_installed() -> list[Plugin]:
    """Take over the entries of every installed package that offers some, each once.

    Raises:
        BadPackage: naming the package whose plugin cannot be used.
    """
    return [_load_point(point) for point in metadata.entry_points(group=GROUP)]


def used(experiment: Experiment) -> list[dict[str, Any]]:
    """What a run of an experiment needs besides this project: plugins with their SHA-256."""
    return [{"name": one.name, "sha256": one.sha256} for one in behind(experiment)]


def versions() -> list[Plugin]:
    """What is loaded, and what was before a file was saved anew."""
    return [*_earlier, *loaded()]


def behind(experiment: Experiment) -> list[Plugin]:
    """The plugins whose entries an experiment has, each in the version that it has."""
    chosen = [card_of(getattr(experiment, kind)) for kind in KINDS]
    return [one for one in versions() if any(card is its for card in chosen for its in one.cards)]


def renewed(experiment: Experiment) -> dict[str, Any]:
    """What an experiment has of files that were loaded again since, in the newest version, by kind.

    Dials keep their values where the new version has them and takes the value.

    Raises:
        BadInput: where the file no longer has the entry.
    """
    found = {}
    for kind in KINDS:
        choice = getattr(experiment, kind)
        name = type(choice).__name__
        card = cards(kind).get(name)
        if card is None:
            raise BadInput(f"{kind}: {name}; the file has it no longer, the version before stays")
        if card.entry is not type(choice):
            held = {d.name: getattr(choice, d.name) for d in card.dials if hasattr(choice, d.name)}
            found[kind] = make(kind, name, {d: v for d, v in held.items() if _fits(card, d, v)})
    return found


def _fits(card: Card, name: str, value: Any) -> bool:
    """Whether a dial takes a value."""
    try:
        next(one for one in card.dials if one.name == name).check(value, name)
    except BadInput:
        return False
    return True


def told(failed: BaseException) -> str:
    """Why something failed, with file and line where that was in a plugin."""
    for plugin in reversed(versions()):
        number = plugin.path and _line(failed, plugin.path)
        if number:
            return f"{plugin.name}, line {number}; {_reason(failed)}"
    return str(failed)


def _load_point(point: metadata.EntryPoint) -> Plugin:
    """The plugin that an entry point names."""
    if point.value in _loaded:
        return _loaded[point.value]
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.name
    with change() as added:
        try:
            module = point.load()
        except (Exception, SystemExit) as failed:
            line = f"plugin: {point.name} of {package}; {_reason(failed)}; uninstall or mend it"
            raise BadPackage(line) from failed
        file = Path(getattr(module, "__file__", None) or "")
        source = file.read_bytes() if file.is_file() else b""
        digest = hashlib.sha256(source).hexdigest()
        _loaded[point.value] = Plugin(f"{package}: {point.name}", digest, added())
    return _loaded[point.value]


def _works(path: Path) -> dict[str, citations.Reference]:
    """The references beside a plugin, if it has some."""
    if not path.is_file():
        return {}
    try:
        return citations.read(path.read_text("utf-8"), path.name)
    except (BadInput, OSError, UnicodeDecodeError) as failed:
        raise BadPlugin(f"plugin: {path}; {_reason(failed)}") from failed


def _describe(path: Path, source: bytes) -> None:
    """Read a network."""
    try:
        read(path, source)
    except BadInput as refused:
        raise BadPlugin(f"plugin: {path}; {refused}") from refused


class _Loader(SourceFileLoader):
    """Runs the bytes whose SHA-256 is noted, and writes no compiled copy beside them."""

    def __init__(self, name: str, path: Path, source: bytes) -> None:
        super().__init__(name, str(path))
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, self.path)


def _run(path: Path, source: bytes, name: str) -> None:
    """Import a file under a module name of its own."""
    loader = _Loader(name, path, source)
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look for the module of their class
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as failed:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        number = _line(failed, path)
        where = f", line {number}" if number else ""
        raise BadPlugin(f"plugin: {path}{where}; {_reason(failed)}") from failed


def _line(failed: BaseException, path: Path) -> int | None:
    """The number of the line of a file at which it failed, if it was in that file."""
    if isinstance(failed, SyntaxError) and failed.filename == str(path):
        return failed.lineno
    frames = traceback.extract_tb(failed.__traceback__)
    return next((one.lineno for one in reversed(frames) if one.filename == str(path)), None)


def _reason(failed: BaseException) -> str:
    """Why it failed, in one line; what the catalogue and the import system say needs no name."""
    said = failed.msg if isinstance(failed, SyntaxError) else " ".join(str(failed).split())
    said = said if said.isprintable() else repr(said)
    if said and type(failed) in (ValueError, BadInput, ModuleNotFoundError):
        return said
    return f"{type(failed).__name__}: {said}".removesuffix(": ")
