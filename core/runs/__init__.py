"""Runs that last: recorded while they happen, read at any time, kept, compared and reopened.

A run is a directory. `Writer` appends to it, `Run` reads it beside the writer, `shelf` finds and
names runs. What was appended is stored when the call returns: a killed process loses none of it.
"""

from core.runs.errors import Damaged, Locked, NotWritten
from core.runs.manifest import Notes
from core.runs.run import LaneInfo, Run, open_run
from core.runs.shelf import annotate, empty, folder, found, rename, restore, trash
from core.runs.writer import FINISHED, INTERRUPTED, Writer

__all__ = [
    "FINISHED",
    "INTERRUPTED",
    "Damaged",
    "LaneInfo",
    "Locked",
    "NotWritten",
    "Notes",
    "Run",
    "Writer",
    "annotate",
    "empty",
    "folder",
    "found",
    "open_run",
    "rename",
    "restore",
    "trash",
]
