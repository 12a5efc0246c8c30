"""VoxelMorph's networks behind one contract: `network.flow(fixed, moving) -> Flow`."""

from __future__ import annotations

from .build import build_network
from .network import Network
from .output import Flow

__all__ = ["Flow", "Network", "build_network"]
