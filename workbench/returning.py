"""How does a lane get back to one of its rows? From a mark before it, replayed with every change.

It is the lower half of the driver: where the worker stands, and how it comes to stand elsewhere.
Nothing here records a row.
"""

from collections.abc import Iterable, Iterator

from core.experiment import Experiment
from core.network import States
from core.poke import Poke, poke
from core.relaxation import Relaxation
from core.trace import Sample
from workbench.lanes import BATCH, STEP, Lane, Mark


class Returning:
    """Where the worker stands: a lane, a row, a batch and its relaxation."""

    def __init__(self, budget: int) -> None:
        """Stand nowhere yet.

        Args:
            budget: bytes for the marks of all lanes, half of them for the live one.
        """
        self.budget = budget
        self.lanes: list[Lane] = []
        self.lane: Lane | None = None
        self.cursor = 0
        self.following = True
        self.gear = STEP
        self._row = 0
        self._batch = 0
        self._relaxation: Relaxation | None = None

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the newest row."""
        return self.following or self.cursor >= self._row

    @property
    def row(self) -> int:
        """Number of the newest row of the lane."""
        return self._row

    def _mark(self) -> None:
        lane = self.lane
        assert lane is not None
        if lane.marks and lane.marks[-1].row == self._row:
            lane.marks.pop()
        others = [one for one in self.lanes if one is not lane]
        while others and sum(one.bytes for one in others) > self.budget // 2:
            if not sum(one.thin() for one in others):
                break
        lane.add(self._here(), self.budget // 2)

    def _here(self) -> Mark:
        assert self._relaxation is not None and self.lane is not None
        training = self.lane.training
        return Mark(
            self._row,
            self._batch,
            self._relaxation.snapshot(),
            training.memory,
            training.previous,
        )

    def _begun(self, lane: Lane) -> Mark:
        """Where the batch under the cursor began; replayed if its mark has gone. Park before."""
        row = lane.begun_at(min(self.cursor, self._row))
        mark = lane.mark_before(row)
        if mark.row == row:
            return mark
        self._return(lane, mark)
        self._replay(lane, row)
        return self._here()

    def _replay(self, lane: Lane, row: int) -> None:
        """From a mark of a lane to one of its later rows, unrecorded, with every change between."""
        gear = self.gear
        begins = {first for first, _ in lane.starts}
        while self._row < row:
            assert self._relaxation is not None
            self.gear = lane.choices_at(self._row)[1]
            self._hold_or_move()
            self._row += 1
            if self._row in begins:
                lane.training.finish(self._relaxation)
                self._batch += 1
                self._relaxation = self._begin(lane, self._batch)
            else:
                self._relaxation.advance()
            for act in lane.acts_at(self._row):
                if isinstance(act, Poke):
                    poke(self._relaxation, act, lane.training.images.shape)
                else:
                    self._adopt(lane, act)
        self.gear = gear
        self._hold_or_move()

    def _walk(self, lane: Lane, rows: Iterable[int]) -> Iterator[States]:
        """The states of these rows of a lane, in ascending order; the worker goes along."""
        standing = False
        for row in rows:
            mark = lane.mark_before(row)
            if not standing or mark.row > self._row:
                self._return(lane, mark)
                standing = True
            self._replay(lane, row)
            assert self._relaxation is not None
            yield self._relaxation.states

    def _adopt(self, lane: Lane, experiment: Experiment) -> None:
        """Let the relaxation and the training of a lane go on under these choices."""
        assert self._relaxation is not None
        training, kind = lane.training, type(lane.training.optimiser)
        training.follow(experiment)
        if type(training.optimiser) is not kind:
            training.network.touch()  # so that the next mark holds the new optimiser's memory
        self._relaxation.optimiser = training.optimiser
        self._relaxation.recipe = experiment.recipe
        self._relaxation.step()  # at once: two changes at one row are two
        self._hold_or_move()

    def _return(self, lane: Lane, mark: Mark, relaxation: Relaxation | None = None) -> None:
        """Put the worker where a mark was made, with the relaxation of that batch if it is held."""
        training = lane.training
        training.follow(lane.choices_at(mark.row)[0])
        training.memory, training.previous = mark.memory, mark.previous
        self._row, self._batch = mark.row, mark.batch
        self._relaxation = relaxation or self._begin(lane, mark.batch)
        self._relaxation.optimiser = training.optimiser
        training.network.version = -1  # so that the optimiser's memory comes back in any case
        self._relaxation.restore(mark.snapshot)
        training.renew_optimiser()  # weights that several marks share have the dials of the first
        self._relaxation.optimiser = training.optimiser
        self._hold_or_move()

    def _begin(self, lane: Lane, number: int) -> Relaxation:
        """The relaxation of one batch; its samples are noted in the lane."""
        batch = lane.training.batches.batch(number)
        if number not in lane.trace.batches:
            shown = min(8, len(batch.y))
            lane.trace.batches[number] = Sample(
                batch.y.cpu().numpy(), batch.x[:shown].cpu().numpy()
            )
        relaxation = lane.training.relaxation(batch, train=self.gear == BATCH)
        lane.phases = tuple((one.name, one.steps) for one in relaxation.phases)
        return relaxation

    def _hold_or_move(self) -> None:
        """Whether weights move follows from the gear and the learning rule."""
        if self._relaxation is not None:
            every_step = self._relaxation.recipe.learning.every_step
            self._relaxation.held = not (self.gear == BATCH or every_step)
