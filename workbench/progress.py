"""How far is it? A bar where somebody looks on, quiet lines elsewhere; always on stderr."""

import os
import sys
from types import TracebackType
from typing import Any, TextIO

STYLE = "{percentage:3.0f}%|{bar:24}| {elapsed}, {remaining} left | {desc}"


class Progress:
    """Called with a line and a share between 0 and 1, as the core tells how far it is.

    On a terminal it is one bar that moves. Elsewhere each line is said once, so that a log file
    holds a line for each stage and not for each call.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Tell nothing yet; `stream` is stderr by default."""
        self._stream = sys.stderr if stream is None else stream
        self._said: set[str] = set()
        self._bar: Any = None
        self._live = self._stream.isatty()

    def __call__(self, line: str, share: float) -> None:
        """Tell it."""
        if self._live:
            self._move(line, share)
        elif line not in self._said:
            self._said.add(line)
            print(f"{share:4.0%} {line}", file=self._stream, flush=True)

    def __enter__(self) -> "Progress":
        """Itself; leaving ends the bar."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the bar, which stays where it stopped."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _move(self, line: str, share: float) -> None:
        """Move the bar; one that would go back is another stage and begins anew."""
        if self._bar is not None and share < self._bar.n:
            self._bar.close()
            self._bar = None
        if self._bar is None:
            from tqdm import tqdm

            wide, high = os.get_terminal_size(self._stream.fileno())  # 0 where it is not known
            size: dict[str, Any] = {"dynamic_ncols": True}
            if not (wide and high):
                size = {"ncols": wide or 80, "nrows": high or 24}
            self._bar = tqdm(total=1.0, file=self._stream, bar_format=STYLE, **size)
        self._bar.set_description_str(line, refresh=False)
        self._bar.update(share - self._bar.n)
