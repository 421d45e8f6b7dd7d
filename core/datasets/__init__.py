"""Which images? One file per data set."""

from core.catalogue import discover
from core.datasets.fetch import download as download

discover(__name__)
