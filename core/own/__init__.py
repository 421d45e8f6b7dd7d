"""Networks of one's own: any torch modules in a chain or a graph, as an entry of the catalogue."""

from core.own.graph import Graph
from core.own.register import network
from core.own.toml import read

__all__ = ["Graph", "network", "read"]
