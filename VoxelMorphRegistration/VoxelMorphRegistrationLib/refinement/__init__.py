"""Optimisation of one pair's velocity field, from a network's answer or from nothing."""
