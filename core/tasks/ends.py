"""What can stand at the ends of a network? The images of a batch, and its labels."""

from torch import Tensor
from torch.nn.functional import one_hot

from core.batches import Batch
from core.network import Network


def images(network: Network, batch: Batch, at: int) -> Tensor:
    """The images as values of state `at`, (B, *shape), in the network's dtype and device."""
    return batch.x.flatten(1).reshape(-1, *network.nodes[at].shape).to(network.example)


def labels(network: Network, batch: Batch, classes: int) -> Tensor:
    """The labels one-hot, (B, C), in the network's dtype and device."""
    return one_hot(batch.y, classes).to(network.example)
