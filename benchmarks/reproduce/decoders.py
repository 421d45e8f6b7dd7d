"""What comes of a decoder? Its reconstruction error on test images, by T."""

from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.report import table
from core.reconstruction import reconstruction_error
from core.runs.train import left

T_EVAL = (3, 5, 10, 20)

Found = dict[str, Any]


def measured(run: Path) -> Found:
    """Errors by T, on test images and on those that were held out.

    Args:
        run: of the training, whose end is looked at.
    """
    training = left(run)
    splits = [one for one in training.images.splits if one != "train"]
    found = {
        split: {str(T): reconstruction_error(training, split=split, steps=T) for T in T_EVAL}
        for split in splits
    }
    return {"reconstruction": found}


def errors(rows: dict[str, dict[str, list[Found]]]) -> str:
    """The table in Markdown: a column for each T of the test images."""
    head = ["", "method", *(f"T_eval = {T}" for T in T_EVAL), "n", "s"]
    found = []
    for row, methods in rows.items():
        for method, held in methods.items():
            numbers = [
                _error([one["reconstruction"]["test"][str(T)] for one in held]) for T in T_EVAL
            ]
            seconds = f"{fmean(one['seconds'] for one in held):.0f}"
            found.append([row, method, *numbers, str(len(held)), seconds])
            row = ""
    return table(head, found)


def _error(values: list[float]) -> str:
    """Mean over seeds, with its range."""
    text = f"{fmean(values):.5f}"
    return text if len(values) == 1 else f"{text} ({min(values):.5f} to {max(values):.5f})"
