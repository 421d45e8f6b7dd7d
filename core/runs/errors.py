"""How can a run refuse? Each in one line; the command line has an exit code for each."""

from core.catalogue import BadInput


class Damaged(BadInput):
    """What was stored cannot be read whole."""


class Locked(OSError):
    """Another process writes the run."""


class NotWritten(OSError):
    """Nothing of a flush was stored; it may be tried again."""
