"""Optimisation of one pair's velocity after the network."""
