"""A stand-in for Slicer's application window: see README.md beside this folder."""

from Testing.gui.host.session import Host, start

__all__ = ["Host", "start"]
