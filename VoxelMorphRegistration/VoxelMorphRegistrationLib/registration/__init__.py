"""One pair: alignment, the network's passes, refinement, and the result."""
