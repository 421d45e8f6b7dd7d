"""Does everything that can be chosen together run? A covering set of the catalogue; the product.

A *fact* is one choice: an entry of a kind, a value of one of its text or boolean dials, or a value
of a scalar of the recipe. A *row* is one fact for each of these factors. Entries of one kind share
a dial's factor where they share its name; a fact about a dial that the row's entry lacks says
nothing and counts as absent.

    python -m tests.product [--most N] [--processes 2]

relaxes the product of all entries, with dials and scalars drawn for each combination.
"""

import argparse
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from core import BadInput, Experiment, Training, cards, compatibility, make
from core.batches import ImageSet
from core.catalogue import KINDS
from core.compatibility import RULES
from core.diagnostics import diverged
from core.experiment import SCALARS
from core.recording import recorder_for
from core.relaxation import Relaxation

DATE = 20261121
"""Seed of everything that is drawn here."""

Row = Mapping[str, str]
"""Factor -> level, as text: `init` -> `Average`, `network.activation` -> `relu`, `steps` -> `3`."""

CHOSEN = tuple(kind for kind in KINDS if kind != "dataset")
TINY = {"hidden": (6, 5, 4), "latent": 3, "width": 5, "depth": 4, "patterns": 4, "embedding": 16}
"""Dials that decide how much there is to compute: L = 4 in every network of dense layers."""
TINY_OF = {
    "VGG": {"width": 1 / 128, "pools": 0},
    "EquilibriumVGG": {"width": 1 / 128, "pools": 0},
    "AlexNet": {"width": 1 / 128, "pools": 2},
    "ResNet": {"width": 1 / 128},
}
"""The same of single entries, for images of 8 x 8."""
NUMBERS = {
    "steps": (3, 10),
    "tolerance": (0.0, 0.05),
    "output_precision": (1.0, 0.5),
    "activity_decay": (0.0, 0.1),
    "batch_size": (10, 12),
}
"""Scalars that are numbers; 12 samples are no multiple of ten classes."""
FIXED = {"seed": 3, "device": "cpu", "pretraining": "random"}

COMPARED = ("alignment", "update_ratio", "agreement")
"""Measures against backprop, which are not a number where an update is exactly zero."""


@cache
def factors() -> dict[str, tuple[str, ...]]:
    """Every factor with its levels."""
    found: dict[str, tuple[str, ...]] = {kind: tuple(cards(kind)) for kind in CHOSEN}
    for kind in CHOSEN:
        for card in cards(kind).values():
            for one in card.dials:
                levels = ("False", "True") if one.type is bool else one.choices
                if levels:
                    name = f"{kind}.{one.name}"
                    found[name] = tuple(dict.fromkeys((*found.get(name, ()), *levels)))
    for name, one in SCALARS.items():
        if one.type is bool:
            found[name] = ("False", "True")
        elif name in NUMBERS:
            found[name] = tuple(map(str, NUMBERS[name]))
        elif name not in FIXED:
            assert one.choices, f"{name}: a scalar that is neither in NUMBERS nor FIXED"
            found[name] = one.choices
    return found


def facts(row: Row) -> list[tuple[str, str]]:
    """What a row says."""
    return [(name, level) for name, level in row.items() if _applies(name, level, row)]


@cache
def _dials(kind: str, name: str) -> dict[str, tuple[str, ...]]:
    """Text and boolean dials of an entry by factor, with their levels."""
    dials = [d for d in cards(kind)[name].dials if d.type is bool or d.choices]
    return {f"{kind}.{d.name}": d.choices or ("False", "True") for d in dials}


def _kind(name: str) -> str:
    """The kind that a factor belongs to; a scalar's own name."""
    return name.partition(".")[0]


def _applies(name: str, level: str, row: Row) -> bool:
    return "." not in name or level in _dials(_kind(name), row[_kind(name)]).get(name, ())


@cache
def _made(kind: str, name: str, given: tuple[tuple[str, str], ...]) -> Any:
    """An entry of tiny size with these texts and booleans, by factor."""
    types = {one.name: one.type for one in cards(kind)[name].dials}
    dials: dict[str, Any] = {dial: TINY[dial] for dial in types if dial in TINY}
    dials |= TINY_OF.get(name, {})
    for factor, level in given:
        dial = factor.partition(".")[2]
        dials[dial] = level == "True" if types[dial] is bool else level
    return make(kind, name, dials)


def experiment(row: Row) -> Experiment:
    """The experiment of a row.

    Raises:
        BadInput: where its choices do not go together.
    """
    chosen: dict[str, Any] = {**FIXED, "dataset": _made("dataset", "SmallDigits", ())}
    for kind in CHOSEN:
        dials = _dials(kind, row[kind])
        given = tuple((factor, row[factor]) for factor in dials if row[factor] in dials[factor])
        chosen[kind] = _made(kind, row[kind], given)
    for name in factors():
        if name in SCALARS:
            kind = SCALARS[name].type
            chosen[name] = row[name] == "True" if kind is bool else kind(row[name])
    return Experiment(**chosen)


def refused(row: Row) -> str | None:
    """The sentence that refuses a row, or None; anything else that is raised goes through."""
    try:
        experiment(row)
    except BadInput as error:
        sentence = str(error).partition("; ")[2]
        if sentence not in {rule.sentence for rule in RULES}:
            raise
        return sentence
    return None


def broken(row: Row) -> list[str]:
    """The sentences of all rules that a row breaks."""
    if refused(row) is None:
        return []
    with without_rules():
        made = experiment(row)
    return [rule.sentence for rule in RULES if rule.refuses(made)]


def drawn(source: random.Random, **given: str) -> dict[str, str]:
    """A row whose other levels are drawn."""
    return {name: given.get(name) or source.choice(levels) for name, levels in factors().items()}


@contextmanager
def without_rules() -> Iterator[None]:
    """Let every experiment be made, whatever does not go together."""
    check, compatibility.check = compatibility.check, lambda experiment: None
    try:
        yield
    finally:
        compatibility.check = check


# The covering set --------------------------------------------------------------------------------

Fact = tuple[str, str]
Pair = tuple[Fact, Fact]


def pairs(row: Row) -> Iterator[Pair]:
    """Every two facts of a row."""
    return itertools.combinations(facts(row), 2)


@cache
def _bases() -> list[dict[str, str]]:
    """Legal rows, found by trial.

    One for each task and network that go together, and some for each level of a network's dial
    that none of those says.
    """
    source, found = random.Random(DATE), []
    for task, network in itertools.product(cards("task"), cards("network")):
        tries = (drawn(source, task=task, network=network) for _ in range(500))
        found += itertools.islice((row for row in tries if refused(row) is None), 1)
    for network in cards("network"):
        for name, levels in _dials("network", network).items():
            for level in levels:
                if any((name, level) in facts(row) for row in found):
                    continue
                tries = (drawn(source, **{"network": network, name: level}) for _ in range(2000))
                found += itertools.islice((row for row in tries if refused(row) is None), 4)
    return found


def _with(row: Row, pair: Pair) -> dict[str, str]:
    """A row that says two facts, if they can be said at once."""
    new = {**row, **dict(pair)}
    for name, level in pair:
        if "." in name and not _applies(name, level, new):
            fitting = (n for n, dials in _owners(name).items() if level in dials)
            new[_kind(name)] = next(fitting)
    return {**new, **{name: level for name, level in pair if "." not in name}}


@cache
def _owners(factor: str) -> dict[str, tuple[str, ...]]:
    """The entries that have a dial, each with its levels."""
    kind = _kind(factor)
    found = {name: _dials(kind, name).get(factor, ()) for name in cards(kind)}
    return {name: levels for name, levels in found.items() if levels}


def _row_with(pair: Pair) -> tuple[dict[str, str] | None, str | None]:
    """The first row of those tried that says both facts and is legal.

    Otherwise that which breaks fewest rules, with the sentence of the first one; None where the
    facts exclude each other.
    """
    source, bases = random.Random(f"{DATE} {pair}"), _bases()
    found: dict[str, str] | None = None
    fewest: list[str] = []
    for attempt in range(len(bases) + 60):
        row = bases[attempt % len(bases)]
        if attempt >= len(bases):
            new = drawn(source)
            row = {name: new[name] if source.random() < 0.3 else row[name] for name in row}
        row = _with(row, pair)
        if not all(_applies(name, level, row) for name, level in pair):
            continue
        sentences = broken(row)
        if not sentences:
            return row, None
        if found is None or len(sentences) < len(fewest):
            found, fewest = row, sentences
    return found, fewest[0] if fewest else None


def _entries(pair: Pair) -> list[Pair]:
    """A pair with a dial as pairs of the entries that have the dial."""
    sides = [
        [(_kind(name), owner) for owner, levels in _owners(name).items() if level in levels]
        if "." in name
        else [(name, level)]
        for name, level in pair
    ]
    order = list(factors()).index
    found = [(a, b) for a, b in itertools.product(*sides) if a[0] != b[0]]
    return [(a, b) if order(a[0]) < order(b[0]) else (b, a) for a, b in found]


def is_refused(pair: Pair, illegal: Collection[Pair]) -> bool:
    """Whether a pair is refused, or each pair of entries that can say it."""
    entries = _entries(pair)
    return pair in illegal or (bool(entries) and all(one in illegal for one in entries))


def sayable(pair: Pair) -> bool:
    """Whether one row can say both facts: two dials of a kind need an entry with both."""
    (a, one), (b, other) = pair
    if _kind(a) != _kind(b):
        return True
    kind = _kind(a)
    for name in cards(kind):
        dials = {kind: (name,), **_dials(kind, name)}
        if one in dials.get(a, ()) and other in dials.get(b, ()):
            return True
    return False


@cache
def covering() -> tuple[list[dict[str, str]], dict[Pair, tuple[dict[str, str], str]]]:
    """Legal rows that cover every pair of facts that a legal row can say; and the refused pairs.

    Greedy: a row is begun with the first pair that is open; then each factor in turn takes the
    level that covers most open pairs and leaves the row legal. A dial's pair that is refused
    because its entry's pair is, is not told again.

    Returns:
        The legal rows, and by pair a refused row with its sentence.
    """
    every = factors()
    two = list(itertools.combinations(every, 2))
    two.sort(key=lambda names: "." in "".join(names))  # pairs of entries before those of dials
    open_ = {
        pair: None
        for a, b in two
        for pair in itertools.product([(a, v) for v in every[a]], [(b, v) for v in every[b]])
    }
    legal: list[dict[str, str]] = []
    illegal: dict[Pair, tuple[dict[str, str], str]] = {}
    source = random.Random(DATE)
    while open_:
        pair = next(iter(open_))
        if pair not in illegal and is_refused(pair, illegal):
            del open_[pair]
            continue
        row, sentence = _row_with(pair)
        if row is None or sentence is not None:
            if row is not None and sentence is not None:
                illegal[pair] = row, sentence
            del open_[pair]
            continue
        held = {name for name, _ in pair} | {_kind(name) for name, _ in pair}
        for name in source.sample(list(every), len(every)):
            if name not in held:
                row = _improved(row, name, open_)
        for a, b in pairs(row):
            open_.pop((a, b), None)
            open_.pop((b, a), None)
        legal.append(row)
    return legal, illegal


def _improved(row: dict[str, str], name: str, open_: Mapping[Pair, None]) -> dict[str, str]:
    """The row with the level of one factor that covers most open pairs."""
    best, most = row, _gain(row, open_)
    for level in factors()[name]:
        other = {**row, name: level}
        count = _gain(other, open_)
        if count > most and refused(other) is None:
            best, most = other, count
    return best


def _gain(row: Row, open_: Mapping[Pair, None]) -> int:
    return sum((a, b) in open_ or (b, a) in open_ for a, b in pairs(row))


def random_rows(count: int = 200) -> list[dict[str, str]]:
    """Rows whose every level is drawn.

    A task brings its network, its rule of learning and its energy, as in the menu: a draw that a
    rule about these refuses is drawn again, or five of six rows would be refused, nearly all by the
    same few sentences, and the others would hardly be heard.
    """
    source, found = random.Random(DATE), []
    brought = {rule.sentence for rule in RULES if rule.field in ("task", "learning", "energy")}
    while len(found) < count:
        row = drawn(source)
        if brought.isdisjoint(broken(row)):
            found.append(row)
    return found


# What a row does ---------------------------------------------------------------------------------


@cache
def images() -> ImageSet:
    """The small embedded set."""
    return make("dataset", "SmallDigits")()


class Broken(AssertionError):
    """A promise that a legal row does not keep."""


def relaxed(chosen: Experiment, batches: int = 2) -> str:
    """Relax, learn and observe batches; "finite", or "diverged" where the rows say so.

    Raises:
        Broken: where numbers are not finite without a mark, a clamp moves, a gradient is not
            finite or a snapshot does not bring back the same states.
    """
    data = images()
    network = chosen.build(data.shape, data.classes)
    training = Training(chosen, data, network)
    recorder = recorder_for(chosen, network, align=True)
    for number in range(batches):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        totals: list[float] = []
        row = 0
        while True:
            recorder.take(relaxation, row=row, batch=number, recipe_id=0)
            _clamped(relaxation)
            if row == 1:
                _brought_back(relaxation)
            if relaxation.done:
                break
            relaxation.advance()
            row += 1
        chunk = recorder.drain()
        assert chunk is not None
        rows = chunk.rows
        with np.errstate(all="ignore"):
            energies = rows["energy"].astype(np.float64)
            totals = ((energies * rows["precision"]).sum(1) + rows["cost"]).tolist()
        at = _lost(totals)
        for name, values in rows.items():
            if values.dtype.kind == "f" and name not in COMPARED:
                _finite(name, values[:at])
        if at is not None:
            return "diverged"
        found = chosen.learning.gradients(relaxation.step())
        for (name, parameter), g in zip(network.named_parameters(), found, strict=True):
            if g is not None:
                _finite(f"gradient of {name}", g.detach().cpu().numpy())
                if g.shape != parameter.shape:
                    raise Broken(f"gradient of {name}: shape {tuple(g.shape)}")
        training.finish(relaxation)
    for name, parameter in network.named_parameters():
        _finite(name, parameter.detach().cpu().numpy())
    return "finite"


def _lost(totals: list[float]) -> int | None:
    """The first row that has diverged, or whose forces float32 cannot square: F beyond 1e30."""
    at = diverged(torch.tensor(totals, dtype=torch.float64))
    huge = next((k for k, F in enumerate(totals) if abs(F) > 1e30), None)
    found = [k for k in (at, huge) if k is not None]
    return min(found) if found else None


def _finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise Broken(f"{name} is not finite")


def _clamped(relaxation: Relaxation) -> None:
    phase = relaxation.phase
    for i, value in phase.clamped.items():
        if not torch.equal(relaxation.states[i], value):
            raise Broken(f"state {i} is clamped and has moved")
    for i, (value, mask) in phase.held.items():
        if not torch.equal(relaxation.states[i][mask], value[mask]):
            raise Broken(f"units of state {i} are held and have moved")


def _brought_back(relaxation: Relaxation) -> None:
    """Two updates, back, and again: the same states and weights, bit for bit."""
    snapshot = relaxation.snapshot()
    seen = []
    for _ in range(2):
        for _ in range(2):
            if not relaxation.done:
                relaxation.advance()
        weights = [p.detach().clone() for p in relaxation.network.parameters()]
        seen.append([*relaxation.states, *weights])
        relaxation.restore(snapshot)
    same = (torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*seen, strict=True))
    if not all(same):
        raise Broken("a snapshot does not bring back the same states and weights")


def told(row: Row) -> str:
    """A row in one line, without what its entries lack."""
    return ", ".join(f"{name}={level}" for name, level in facts(row))


# The whole product -------------------------------------------------------------------------------


def combination(number: int) -> dict[str, str]:
    """Entry by entry the combination of that number; dials and scalars drawn by the number."""
    given = {}
    rest = number
    for kind in CHOSEN:
        rest, at = divmod(rest, len(cards(kind)))
        given[kind] = list(cards(kind))[at]
    return drawn(random.Random(f"{DATE} {number}"), **given)


def outcome(number: int) -> tuple[str, str]:
    """What became of one combination, and its refusal or its mistake."""
    row = combination(number)
    sentence = refused(row)
    if sentence is not None:
        return "refused", sentence
    try:
        return relaxed(experiment(row)), ""
    except Exception as error:  # a combination that breaks must not end the others
        return "broken", f"{told(row)}\n    {type(error).__name__}: {error}"


def main() -> int:
    """Relax the product; exit status 1 if a combination breaks a promise."""
    parser = argparse.ArgumentParser(description="Relax every combination of entries.")
    parser.add_argument("--most", type=int, default=200_000, help="above this, a sample is drawn")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    every = math.prod(len(cards(kind)) for kind in CHOSEN)
    numbers = list(range(every))
    if every > options.most:
        numbers = sorted(random.Random(DATE).sample(numbers, options.most))
        print(f"A sample of {len(numbers)} of {every} combinations, seed {DATE}.")
    began = time.monotonic()
    counts: Counter[str] = Counter()
    sentences: Counter[str] = Counter()
    with get_context("spawn").Pool(options.processes, torch.set_num_threads, (1,)) as pool:
        for done, (verdict, why) in enumerate(pool.imap_unordered(outcome, numbers, 50), start=1):
            counts[verdict] += 1
            if verdict == "refused":
                sentences[why] += 1
            if verdict == "broken":
                print(why, flush=True)
            if done % 10_000 == 0:
                print(f"{done} of {len(numbers)}, {time.monotonic() - began:.0f} s", flush=True)
    print(summary(counts, sentences), f"in {time.monotonic() - began:.0f} s")
    return 1 if counts["broken"] else 0


def summary(counts: Mapping[str, int], sentences: Mapping[str, int]) -> str:
    """The numbers of a run, and the refusals by sentence."""
    lines = [f"{n:7}  {sentence}" for sentence, n in Counter(sentences).most_common()]
    total = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    return "\n".join([*lines, f"{sum(counts.values())} combinations: {total}"])


if __name__ == "__main__":
    raise SystemExit(main())
