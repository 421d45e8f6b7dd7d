"""What may become of a file? Cut off, flipped, zeroed, swapped, missing, or garbage; by a seed."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

PAGE = 4096


def cut(data: bytearray, draw: random.Random) -> bytes:
    """The end is missing."""
    return bytes(data[: draw.randrange(len(data) + 1)])


def flipped(data: bytearray, draw: random.Random) -> bytes:
    """One bit is another."""
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def zeroed_tail(data: bytearray, draw: random.Random) -> bytes:
    """The end was never written, as after a loss of power."""
    at = draw.randrange(len(data) + 1)
    return bytes(data[:at]) + bytes(len(data) - at)


def zeroed_page(data: bytearray, draw: random.Random) -> bytes:
    """A page was never written."""
    at = PAGE * draw.randrange(len(data) // PAGE + 1)
    data[at : at + PAGE] = bytes(len(data[at : at + PAGE]))
    return bytes(data)


def swapped_pages(data: bytearray, draw: random.Random) -> bytes:
    """Two pages lie in each other's place."""
    count = len(data) // PAGE
    if count > 1:
        a, b = (PAGE * k for k in draw.sample(range(count), 2))
        data[a : a + PAGE], data[b : b + PAGE] = data[b : b + PAGE], data[a : a + PAGE]
    return bytes(data)


def garbled(data: bytearray, draw: random.Random) -> bytes:
    """Some bytes anywhere are any others."""
    at = draw.randrange(len(data) + 1)
    count = draw.choice([1, 8, 100, PAGE])
    data[at : at + count] = draw.randbytes(len(data[at : at + count]))
    return bytes(data)


def garbage(data: bytearray, draw: random.Random) -> bytes:
    """Something else lies there."""
    return draw.randbytes(draw.choice([0, 1, 100, len(data)]))


def missing(data: bytearray, draw: random.Random) -> None:
    """The file is gone."""


WAYS: tuple[Callable[[bytearray, random.Random], bytes | None], ...] = (
    cut,
    flipped,
    zeroed_tail,
    zeroed_page,
    swapped_pages,
    garbled,
    garbage,
    missing,
)


def mutilate(folder: Path, name: str, way: Callable, draw: random.Random) -> bool:
    """Mutilate a file of a folder; whether it is another file now."""
    path = folder / name
    before = path.read_bytes()
    after = way(bytearray(before), draw)
    if after is None:
        path.unlink()
    else:
        path.write_bytes(after)
    return after != before


def plans(
    files: dict[str, int], seed: int
) -> Iterator[tuple[str, Callable[[bytearray, random.Random], bytes | None], random.Random]]:
    """What is done to which file.

    Args:
        files: how many mutilations each file gets, of all ways in turn.
        seed: of all that is drawn.
    """
    for name, count in files.items():
        for number in range(count):
            draw = random.Random(f"{seed} {name} {number}")
            yield name, WAYS[number % len(WAYS)], draw
