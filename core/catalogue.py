"""What can be chosen? One card per entry: its menu name, dials, formula and source.

An entry is a frozen dataclass whose *fields are its dials*. The decorator `entry` registers it
under a kind ("init", "precision", ...); everything else (menus, command line, recipes, law tests)
reads the card. Nothing in the code looks an entry up by name except menus, presets and saved
recipes.
"""

import dataclasses
import difflib
import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

T = TypeVar("T")

KINDS = (
    "init",
    "precision",
    "dynamics",
    "learning",
    "energy",
    "task",
    "network",
    "dataset",
    "weights",
)

_cards: dict[str, dict[str, "Card"]] = {kind: {} for kind in KINDS}

_withdrawn: dict[type, "Card"] = {}
"""Cards of classes that are no longer offered, but may still be in use."""


class BadInput(ValueError):
    """A refused value: one line that names the field, what came and what is legal."""


@dataclass(frozen=True)
class Dial:
    """One setting of an entry, as a menu or a command line needs to know it."""

    name: str
    type: type
    default: Any
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    symbol: str = ""
    help: str = ""
    log: bool = False
    table: bool = False

    @property
    def legal(self) -> str:
        """What may be entered, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is bool:
            return "true or false"
        if self.type is tuple:
            low, high = self.bounds or (1, 65536)
            if self.table:
                return f"a table of finite numbers in [{low:g}, {high:g}], rows of one length"
            return f"a list of integers {int(low)}..{int(high)}"
        if self.type is str:
            return "a text"
        noun = "an integer" if self.type is int else "a finite number"
        if self.bounds is None:
            return noun
        low, high = self.bounds
        if self.type is int:
            return f"{noun} {int(low)}..{int(high)}"
        return f"{noun} in [{low:g}, {high:g}]"

    def check(self, value: Any, field: str) -> Any:
        """Return `value` in this dial's type, or refuse it in one line.

        Raises:
            BadInput: if the value is of another type, not finite, or outside the bounds.
        """
        refused = BadInput(f"{field}: {shown(value)}; {self.legal}")
        if self.type is bool:
            if not isinstance(value, bool):
                raise refused
            return value
        if self.type is tuple:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise refused
            items = tuple(value)
            if self.table:
                return self._check_table(items, field)
            inner = dataclasses.replace(self, type=int)
            return tuple(inner.check(item, f"{field}[{i}]") for i, item in enumerate(items))
        if self.type is str:
            if not isinstance(value, str):
                raise refused
            if self.choices and value not in self.choices:
                raise BadInput(f"{field}: {unknown(value, self.choices)}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise refused
        if self.type is int and not isinstance(value, int):
            raise refused
        if not abs(value) <= sys.float_info.max:  # nan, inf, or an integer that no float can hold
            raise refused
        if self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]:
            raise refused
        return self.type(value)

    def _check_table(self, rows: tuple[Any, ...], field: str) -> tuple[tuple[float, ...], ...]:
        """The rows as numbers, or a refusal that names the cell."""
        inner = dataclasses.replace(self, type=float, table=False)
        checked = []
        for i, row in enumerate(rows):
            if isinstance(row, str) or not isinstance(row, Iterable):
                raise BadInput(f"{field}[{i}]: {shown(row)}; {self.legal}")
            checked.append(
                tuple(inner.check(cell, f"{field}[{i}][{j}]") for j, cell in enumerate(row))
            )
        if not checked or len({len(row) for row in checked}) != 1 or not checked[0]:
            lengths = [len(row) for row in checked]
            raise BadInput(f"{field}: rows of lengths {shown(lengths)}; {self.legal}")
        return tuple(checked)


@dataclass(frozen=True)
class Card:
    """All that is known about one entry of a kind."""

    kind: str
    name: str
    title: str
    formula: str
    source: str
    entry: type
    dials: tuple[Dial, ...]
    doc: str

    @property
    def line(self) -> str:
        """The first line of the entry's docstring."""
        return self.doc.strip().splitlines()[0]


def dial(
    default: Any,
    *,
    bounds: tuple[float, float] | None = None,
    choices: Iterable[str] = (),
    symbol: str = "",
    help: str,
    log: bool = False,
    table: bool = False,
) -> Any:
    """Declare one field of an entry as a dial; use it as the field's default.

    Args:
        default: its value when nothing is said.
        bounds: smallest and largest legal number (for a list: of each item).
        choices: the legal texts of a text dial.
        symbol: as written in the formula.
        help: one line beside the dial.
        log: whether a slider should move through powers of ten.
        table: whether it is a list of rows of numbers.
    """
    about = {"bounds": bounds, "choices": tuple(choices), "symbol": symbol, "help": help}
    return dataclasses.field(
        default=default, metadata={"dial": about | {"log": log, "table": table}}
    )


def entry(kind: str, title: str, *, formula: str, source: str) -> Callable[[type[T]], type[T]]:
    r"""Register the frozen dataclass below it as a choice of `kind`.

    Args:
        kind: one of `KINDS`.
        title: the name in the menu.
        formula: LaTeX without dollar signs.
        source: BibTeX key of the work it is from, or "this project".

    Raises:
        ValueError: when the kind is unknown, the name is taken, a default is out of its bounds, a
            field is no dial, or the class is no frozen dataclass.
    """

    def register(cls: type[T]) -> type[T]:
        if kind not in _cards:
            raise ValueError(f"kind: {unknown(kind, KINDS)}")
        if cls.__name__ in _cards[kind] and not _is_reload(kind, cls):
            raise ValueError(f"{kind}: {cls.__name__!r} is already the name of an entry")
        _check_frozen(cls)
        dials = tuple(_dial_of(field) for field in dataclasses.fields(cast(Any, cls)))
        card = Card(kind, cls.__name__, title, formula, source, cls, dials, cls.__doc__ or "")
        for one in dials:
            one.check(one.default, f"{kind}.{one.name}")
        _check_at_the_door(cls, kind, dials)
        _cards[kind][card.name] = card
        return cls

    return register


@contextmanager
def change() -> Iterator[Callable[[], tuple[Card, ...]]]:
    """Let entries come and go; if an error ends the block, the catalogue is as it was.

    Gives a function that returns the cards that have come since.
    """
    before = {kind: dict(found) for kind, found in _cards.items()}

    def added() -> tuple[Card, ...]:
        old = [card for found in before.values() for card in found.values()]
        now = [card for found in _cards.values() for card in found.values()]
        return tuple(card for card in now if not any(card is one for one in old))

    try:
        yield added
    except BaseException:
        for kind, found in before.items():
            _cards[kind].clear()
            _cards[kind].update(found)
        raise


def withdraw(gone: Iterable[Card]) -> None:
    """Take cards out of the catalogue; `card_of` still knows those of what is in use."""
    for card in gone:
        _withdrawn[card.entry] = card
        if _cards[card.kind].get(card.name) is card:
            del _cards[card.kind][card.name]


def cards(kind: str) -> dict[str, Card]:
    """The cards of a kind by name, in the order of registration."""
    if kind not in _cards:
        raise BadInput(f"kind: {unknown(kind, KINDS)}")
    return dict(_cards[kind])


def card_of(choice: Any) -> Card:
    """The card of an entry's instance or class."""
    cls = choice if isinstance(choice, type) else type(choice)
    for kind in KINDS:
        card = _cards[kind].get(cls.__name__)
        if card is not None and card.entry is cls:
            return card
    if cls in _withdrawn:
        return _withdrawn[cls]
    raise ValueError(f"{cls.__name__} is not registered: decorate it with @entry")


def make(kind: str, name: str, dials: Mapping[str, Any] | None = None) -> Any:
    """An entry from its name and dials: the one door for menus, files and links.

    Raises:
        BadInput: for an unknown name or dial (the nearest is offered) or an illegal value.
    """
    known = cards(kind)
    if not isinstance(name, str) or name not in known:
        raise BadInput(f"{kind}: {unknown(name, known, or_else='is a plugin missing?')}")
    given = dict(dials or {})
    names = [one.name for one in known[name].dials]
    for key in given:
        if key not in names:
            raise BadInput(f"{kind}.{key}: {unknown(key, names)}")
    return known[name].entry(**given)


def to_dict(choice: Any) -> dict[str, Any]:
    """An entry as plain data: its name and every dial."""
    card = card_of(choice)
    values = {one.name: getattr(choice, one.name) for one in card.dials}
    return {"name": card.name, **{key: _plain(value) for key, value in values.items()}}


def from_dict(kind: str, data: Any) -> Any:
    """The entry that `to_dict` wrote; a bare text is a name with default dials."""
    if isinstance(data, str):
        return make(kind, data)
    if not isinstance(data, Mapping) or "name" not in data:
        raise BadInput(f"{kind}: {shown(data)}; a name, or a table with a name and dials")
    return make(kind, data["name"], {key: value for key, value in data.items() if key != "name"})


def discover(package: str) -> None:
    """Import every module of `package`, so that its entries register themselves."""
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        importlib.import_module(f"{package}.{found.name}")


def unknown(name: Any, legal: Iterable[str], or_else: str = "") -> str:
    """The end of an error line about an unknown name: the name, the legal ones and the nearest.

    Args:
        name: that is not known.
        legal: the names that are.
        or_else: another question that may help.
    """
    legal = list(legal)
    near = difflib.get_close_matches(str(name), legal, n=1, cutoff=0.5) or [
        one for one in legal if str(name).lower() == one.lower()
    ]
    hints = [f"did you mean {near[0]}?"] if near else []
    hints += [or_else] if or_else else []
    return f"{shown(name)}; one of {', '.join(legal)}" + (f" ({' '.join(hints)})" if hints else "")


def shown(value: Any) -> str:
    """A value in an error line: on one line and not too long."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    """Tuples as lists, as files hold them."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _check_frozen(cls: type) -> None:
    """Refuse a class that is no frozen dataclass."""
    made = cls.__dict__.get("__dataclass_params__")
    if made is None or not made.frozen:
        raise ValueError(
            f"{cls.__name__}: no frozen dataclass; put @dataclass(frozen=True) below @entry(...)"
        )


def _is_reload(kind: str, cls: type) -> bool:
    """Whether `cls` is the same entry, imported again."""
    known = _cards[kind][cls.__name__].entry
    return (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)


def _dial_of(field: "dataclasses.Field[Any]") -> Dial:
    about = field.metadata.get("dial")
    if about is None:
        raise ValueError(f"{field.name}: every field of an entry is a dial; use core.dial(...)")
    return Dial(name=field.name, type=type(field.default), default=field.default, **about)


def _check_at_the_door(cls: type, kind: str, dials: tuple[Dial, ...]) -> None:
    """Make the class check its dials whenever one of it is made."""
    made = cls.__init__

    @functools.wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        for one in dials:
            checked = one.check(getattr(self, one.name), f"{kind}.{one.name}")
            object.__setattr__(self, one.name, checked)

    cls.__init__ = init
