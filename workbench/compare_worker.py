"""Who computes for the Compare page? A thread of its own, which always does what was asked last.

It looks once a second whether lanes that are alive have more rows.
"""

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.compare_choices import Choices
    from workbench.compare_lanes import Offer
    from workbench.compare_work import Shown

BEAT = 1.0
"""Seconds between two looks at lanes that are alive."""


class Worker:
    """Opens lanes, reads rows and computes what is shown, away from the server's loop."""

    def __init__(self, found: Callable[[], None]) -> None:
        """Begin without a question.

        Args:
            found: called from the thread when there is something new to show.
        """
        self._found = found
        self._asked: Choices | None = None
        self._again = self._offers_wanted = False
        self._ended = False
        self._turn = threading.Condition()
        self.newest: Shown | None = None
        self.offers: Sequence[Offer] = ()
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="compare", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def ask(self, choices: "Choices", *, again: bool = False, offers: bool = False) -> None:
        """Show this next.

        Args:
            choices: of the page.
            again: whether states of A and B are to be made again by replay.
            offers: whether to look anew which lanes can be chosen.
        """
        with self._turn:
            self._asked = choices
            self._again |= again
            self._offers_wanted |= offers
            self._turn.notify()

    def end(self) -> None:
        """The page has gone."""
        with self._turn:
            self._ended = True
            self._turn.notify()

    def _run(self) -> None:
        from workbench.compare_lanes import offered
        from workbench.compare_work import Lanes

        lanes = Lanes()
        states: dict[str, Any] = {}
        last: Choices | None = None
        while True:
            with self._turn:
                if self._asked is None and not self._ended:
                    self._turn.wait(BEAT)
                if self._ended:
                    return
                asked, self._asked = self._asked, None
                again, self._again = self._again, False
                offers, self._offers_wanted = self._offers_wanted, False
            try:
                if offers:
                    self.offers = offered()
                if again:
                    states |= self._made_again()
                elif asked is None and (last is None or not lanes.refresh()):
                    continue
                last = asked or last
                self._work(lanes, last, states)
            except Exception as failed:  # the page must say it, whatever it is
                traceback.print_exc()
                self.trouble = f"{type(failed).__name__}: {failed}"
            self._found()

    def _work(self, lanes: Any, choices: "Choices | None", states: dict[str, Any]) -> None:
        from workbench.compare_work import work

        if choices is not None:
            self.newest = work(lanes, choices, states)
            self.trouble = ""

    def _made_again(self) -> dict[str, Any]:
        from core.catalogue import BadInput
        from workbench.compare_work import make_again

        if self.newest is None:
            return {}
        try:
            return make_again(self.newest)
        except BadInput as refused:
            self.replay_refused = str(refused)
            return {}

    replay_refused = ""
    """Why states could not be made again."""
