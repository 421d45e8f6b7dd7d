"""Begin from where the batch before ended."""

from dataclasses import dataclass
from typing import ClassVar

from core.catalogue import BadInput, entry, shown
from core.network import States
from core.start import Start


@entry(
    "init",
    "Null",
    formula=r"h_\ell^{(0)}[i, b] = h_\ell^{(T)}[i, b-1]",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class Null:
    r"""Keep the states of the batch before, slot by slot.

    $h_\ell^{(0)}[i, b] = h_\ell^{(T)}[i, b-1]$ for slot $i$ of batch $b$. It makes sense where
    slots keep their class (stream-aligned batches) or the batch is always the same. The first batch
    starts from a forward sweep, or from zero where the bottom is free.

    Source: pinchetti2026, section 3.
    """

    remembers: ClassVar[str] = "the states of the batch before"
    aligned: ClassVar[bool] = True

    def __call__(self, start: Start) -> States:
        """The last states, or a first guess where there are none."""
        if start.previous is None:
            return start.first_guess()
        came = [tuple(h.shape) for h in start.previous]
        fits = [(start.batch, *node.shape) for node in start.network.nodes]
        if came != fits:
            raise BadInput(f"previous: states of shapes {shown(came)}; {shown(fits)}, as here")
        return [h.clone() for h in start.previous]
