"""What is on the page of an entry? Its card, what docs/methods says of it, and a real run."""

import re
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import tomli_w
from pybtex.database import parse_string
from pybtex.plugin import find_plugin

from core.catalogue import BadInput, Card, Dial, card_of, cards, to_dict
from core.citations import OURS, references
from docs.site import drawing, own
from docs.site.methods import TITLES, Method
from docs.site.methods import methods as said

TRAINED = ("learning", "weights")
"""Kinds whose entries are shown by a training."""


def write(source: Path, tell: Callable[[str], None], keep: bool) -> dict[str, list[str]]:
    """Write the pages of all entries that have something to show; gives their names by kind.

    Args:
        source: folder of Sphinx's sources.
        tell: hears what was made, and what was left out.
        keep: whether pictures that are there are kept.
    """
    found: dict[str, list[str]] = {}
    for kind in TITLES:
        found[kind] = []
        for name, card in cards(kind).items():
            picture = source / "methods" / kind / f"{name}.svg"
            try:
                caption = drawing.once(
                    picture,
                    lambda card=card, picture=picture: draw(
                        card, said()[card.kind][card.name], picture
                    ),
                    keep=keep,
                )
            except BadInput as refused:
                tell(f"left out: {kind} {name}; nothing to show: {refused}")
                continue
            picture.with_suffix(".md").write_text(
                page(card, said()[kind][name], picture.name, caption), "utf-8"
            )
            found[kind].append(name)
            tell(f"{kind} {name}")
        _write_kind(source, kind, found[kind])
    _write_index(source, found)
    return found


def draw(card: Card, method: Method, picture: Path) -> str:
    """Draw what is shown of an entry; gives the caption.

    Raises:
        BadInput: if what it needs is not on this machine.
    """
    if card.kind == "dataset":
        images = own.images(card)
        drawing.images_svg(images, picture)
        return (
            f"The first training images of each class, as they come to the network; "
            f"{len(images.train_y):,} train, {len(images.test_y):,} test."
        )
    if card.kind in TRAINED:
        return _draw_training(card, picture)
    trace = drawing.relaxed(method.experiment, warm_up=method.warm_up)
    drawing.svg(method.views, trace, picture)
    return f"{method.shows} {drawing.numbers(trace)}"


def _draw_training(card: Card, picture: Path) -> str:
    """Accuracy while it is trained, before those of its siblings."""
    held = {one.title: _course(one.kind, name) for name, one in cards(card.kind).items()}
    drawing.courses_svg(held, card.title, 0.1, picture)
    batches, found = held[card.title]
    made = said()[card.kind][card.name].experiment
    return (
        f"Test accuracy from random weights in {batches[-1]} batches of {made.batch_size} digits, "
        f"grey its siblings, each with the choices of its own preset: {found[-1]:.0%} at the end."
    )


@cache
def _course(kind: str, name: str) -> tuple[list[int], list[float]]:
    return drawing.course(said()[kind][name].experiment)


def page(card: Card, method: Method, picture: str, caption: str) -> str:
    """The page of an entry in Markdown."""
    parts = [
        f"# {card.title}",
        f"$$\n{card.formula}\n$$",
        _body(card),
        f"```{{figure}} {picture}\n:alt: {card.title}, a run made for this page\n\n{caption}\n```",
        f"## When it fails\n\n{method.fails}",
        f"## When not to use it\n\n{method.avoid}",
        _dials(card),
        _chosen(card, method),
        _source(card),
    ]
    return "\n\n".join(one for one in parts if one) + "\n"


def _body(card: Card) -> str:
    """The docstring without the lines that stand elsewhere on the page."""
    text = _dedented(card.doc)
    for head in ("\nSource:", "\nRaises:"):
        text = text.partition(head)[0]
    text = text.replace("/*", r"/\*")  # of file names
    # A formula that goes on in the next line may begin it with a minus, which would be a list.
    return re.sub(r"\$[^$]+\$", lambda one: " ".join(one[0].split()), text).strip()


def _dedented(doc: str) -> str:
    first, _, rest = doc.strip().partition("\n")
    return f"{first}\n{textwrap.dedent(rest)}"


def _dials(card: Card) -> str:
    if not card.dials:
        return "## Dials\n\nIt has none."
    rows = ["| dial | | default | legal | |", "|---|---|---|---|---|"]
    rows += [_row(one) for one in card.dials]
    return "## Dials\n\n" + "\n".join(rows)


def _row(one: Dial) -> str:
    default = one.default if one.default != "" else "empty"
    if isinstance(default, tuple) and len(default) > 2 and len(set(default)) == 1:
        default = f"{len(default)} x {default[0]}"
    cells = (f"`{one.name}`", one.symbol, f"{default}", one.legal, one.help)
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def _chosen(card: Card, method: Method) -> str:
    """How it is written in a recipe and in Python."""
    if card.kind == "dataset":
        choice = card.entry()
    else:
        choice = getattr(method.experiment, card.kind)
    plain = to_dict(choice)
    plain = {key: value for key, value in plain.items() if value != ""}
    recipe = tomli_w.dumps({card.kind: plain}).strip()
    dials = ", ".join(
        f"{one.name}={getattr(choice, one.name)!r}"
        for one in card.dials
        if getattr(choice, one.name) != one.default
    )
    module = card_of(choice).entry.__module__
    python = f"from {module} import {card.name}\n\n{card.kind} = {card.name}({dials})"
    return f"## Choose it\n\n```toml\n{recipe}\n```\n\n```python\n{python}\n```"


def _source(card: Card) -> str:
    told = _dedented(card.doc).partition("\nSource:")[2].partition("\n\n")[0]
    line = " ".join(told.split())
    if card.source == OURS:
        return f"## Source\n\n{line or 'This project.'}"
    return f"## Source\n\n{cited(card.source)}\n\n{line}"


def cited(key: str) -> str:
    """A work as Markdown: its authors, title, place and year, and what of it was read.

    Raises:
        KeyError: if no work has that key.
    """
    work = parse_string(references()[key].text, "bibtex").entries
    style, backend = (
        find_plugin(f"pybtex.{kind}", name)()
        for kind, name in (("style.formatting", "unsrt"), ("backends", "markdown"))
    )
    (told,) = style.format_entries(work.values())
    return told.text.render(backend)


def _write_kind(source: Path, kind: str, names: list[str]) -> None:
    """The page that lists the entries of a kind."""
    known = cards(kind)
    rows = [f"- [{known[name].title}]({kind}/{name}.md): {known[name].line}" for name in names]
    listed = "\n".join(f"{kind}/{name}" for name in names)
    text = [
        f"# {TITLES[kind]}",
        "\n".join(rows),
        f"```{{toctree}}\n:hidden:\n\n{listed}\n```",
    ]
    (source / "methods" / f"{kind}.md").write_text("\n\n".join(text) + "\n", "utf-8")


def _write_index(source: Path, found: dict[str, list[str]]) -> None:
    count = sum(map(len, found.values()))
    listed = "\n".join(kind for kind, names in found.items() if names)
    rows = "\n".join(
        f"- [{TITLES[kind]}]({kind}.md): "
        + ", ".join(f"[{cards(kind)[one].title}]({kind}/{one}.md)" for one in names)
        for kind, names in found.items()
        if names
    )
    text = (
        f"# Methods\n\n{count} entries of the catalogue, each with its formula, its source, a run "
        "that was made for its page, how it fails and when not to use it. Data sets that are not "
        "on the machine that builds these pages have none.\n\n"
        f"{rows}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )
    (source / "methods" / "index.md").write_text(text, "utf-8")
