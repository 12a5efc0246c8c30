"""`make benchmark-speed`: what a frame, a sequence and a network cost, as ratios of one run. See `run`."""
