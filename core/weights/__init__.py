"""Which optimiser moves the weights? torch's own, one file per optimiser."""

from core.catalogue import discover

discover(__name__)
