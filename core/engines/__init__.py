"""How is the free energy computed? One meaning, several ways.

The plain way, automatic differentiation of the total energy, is the reference and needs no engine.
"""

from core.engines.chain import Chain, is_chain
from core.engines.local import Local
from core.free_energy import Engine
from core.network import Network

AUTO, CHAIN, LOCAL, PLAIN = "auto", "chain", "local", "plain"

ENGINES = (AUTO, CHAIN, LOCAL, PLAIN)


def engine_name(network: Network, wanted: str = AUTO, *, watched: bool = False) -> str:
    """The engine that "auto" stands for; any other name is its own.

    Args:
        network: that relaxes.
        wanted: one of `ENGINES`.
        watched: whether somebody looks at the states of every step.
    """
    if wanted != AUTO:
        return wanted
    return CHAIN if not watched and is_chain(network) else LOCAL


def engine_for(network: Network, name: str = AUTO) -> Engine | None:
    """The engine of that name for a network; None is the plain way.

    Raises:
        BadInput: if the network is none of those that the engine computes.
    """
    name = engine_name(network, name)
    if name == PLAIN:
        return None
    return Chain(network) if name == CHAIN else Local(network)
