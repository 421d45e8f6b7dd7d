"""How is the free energy computed? One meaning, several ways.

The plain way, automatic differentiation of the total energy, is the reference and needs no engine.
"""

from core.engines.local import Local
from core.free_energy import Engine
from core.network import Network

PLAIN, LOCAL = "plain", "local"

ENGINES = (LOCAL, PLAIN)


def engine_for(network: Network, name: str = LOCAL) -> Engine | None:
    """The engine of that name for a network; None is the plain way."""
    return Local(network) if name == LOCAL else None
