"""How deep may the keys of a TOML file be? Python's reader takes the square of that in time."""

DEEPEST = 64
"""Dots in a key; what this software reads has two."""


def is_deep(text: str) -> bool:
    """Whether a key of a TOML text is nested more deeply than any that is meant.

    Args:
        text: of the file, which needs not be sound.
    """
    return any(line.partition("=")[0].count(".") > DEEPEST for line in text.splitlines())
