"""How does a page look at what it shows? Which sample is chosen, and what layers are called.

Every view of the page reads this one; it changes nothing of the session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.naming import NAMINGS, OURS, called, countable

if TYPE_CHECKING:
    import xarray as xr

LARGEST = 999_999
"""Of the numbers of samples that an address may ask for."""


@dataclass
class Sight:
    """What all views of one page share.

    Args:
        sample: number in the batch of the chosen one, None for none.
        naming: how layers are counted, one of `NAMINGS`.
    """

    sample: int | None = None
    naming: str = OURS

    @property
    def key(self) -> tuple[int | None, str]:
        """Differs wherever something has to be drawn anew."""
        return self.sample, self.naming

    def turn(self, sample: int) -> None:
        """Choose a sample, or let the chosen one go."""
        self.sample = None if sample == self.sample else sample

    def call(self, names: Sequence[str]) -> tuple[str, ...]:
        """What layers are called here; see `called`."""
        return called(names, self.naming)

    def told(self, names: Sequence[str]) -> dict[str, str]:
        """What all states are called, by their names."""
        return dict(zip(names, self.call(names), strict=True))

    def about(self, names: Sequence[str]) -> str:
        """How layers are counted, for a caption; "" where it is our way.

        Args:
            names: of all states.
        """
        return NAMINGS[self.naming].about if countable(names) else ""

    def named(self, trace: "xr.Dataset") -> "xr.Dataset":
        """A trace on its way out of the page: its layers are called as they are on it."""
        names = [str(one) for one in trace["layer_name"].values]
        about = self.about(names)
        if not about:
            return trace
        named = trace.assign_coords(layer_name=("layer", list(self.call(names))))
        return named.assign_attrs(layers_named=about)

    @property
    def layout(self) -> dict[str, str]:
        """For the address of the page."""
        return {
            "sample": "" if self.sample is None else str(self.sample),
            "naming": self.naming,
        }

    def lay_out(self, layout: Mapping[str, str]) -> None:
        """Take over what an address asks for; what this version does not know is left out."""
        text, naming = layout.get("sample", ""), layout.get("naming", "")
        if text.isascii() and text.isdecimal() and int(text) <= LARGEST:
            self.sample = int(text)
        if naming in NAMINGS:
            self.naming = naming
