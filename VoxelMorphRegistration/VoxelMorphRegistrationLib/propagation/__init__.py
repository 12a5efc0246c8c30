"""A sequence: one segmentation carried to every frame, and the folder of its results."""
