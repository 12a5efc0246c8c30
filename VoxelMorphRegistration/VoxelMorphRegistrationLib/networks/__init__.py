"""VoxelMorph's networks behind one contract: `network.flow(fixed, moving) -> Flow`."""

from __future__ import annotations

from .build import build_network
from .flow import Flow
from .network import Network

__all__ = ["Flow", "Network", "build_network"]
