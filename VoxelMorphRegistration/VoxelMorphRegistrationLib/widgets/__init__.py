"""Slicer's window: one class a section of the panel, and the process that works for it. Nothing here computes."""
