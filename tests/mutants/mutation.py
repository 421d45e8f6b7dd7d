"""Which mistakes should the tests see? One changed line each, with the tests that should fail.

The files *.toml of this folder list them, by the file that is changed:

    [["core/energies/squared_error.py"]]
    what = "no half in the squared error"
    old = 'return 0.5 * (h - mu)'      # occurs once in the file
    new = 'return 1.0 * (h - mu)'
    tests = "core/test_energies.py"    # below tests/, apart by blanks, as pytest names them
"""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """A mistake that somebody could make.

    Args:
        file: where, from the root of the checkout.
        what: the mistake, in words.
        old: text that occurs once in the file, within one line.
        new: what stands there instead.
        tests: what pytest shall run, below tests/.
    """

    file: str
    what: str
    old: str
    new: str
    tests: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The tests as pytest takes them."""
        return tuple(f"tests/{name}" for name in self.tests.split())

    def of(self, text: str) -> str:
        """The mutated text of the file.

        Raises:
            ValueError: unless the old text occurs exactly once and the change is one of one line.
        """
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.file}: {self.old!r} occurs {found} times ({self.what})")
        if self.old == self.new or "\n" in self.old + self.new:
            raise ValueError(f"{self.file}: {self.what}: one changed line is a mutant")
        return text.replace(self.old, self.new)


def listed() -> list[Mutant]:
    """All mutants, in the order of the files."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for file, ones in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found += [Mutant(file, **one) for one in ones]
    return found


def fingerprint(mutants: list[Mutant]) -> str:
    """The first 16 hex digits of a SHA-256 over the list."""
    return hashlib.sha256("\n".join(map(repr, mutants)).encode()).hexdigest()[:16]
