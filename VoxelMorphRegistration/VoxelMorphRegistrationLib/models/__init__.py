"""A network with its card: catalogue, store, weights, loading."""
