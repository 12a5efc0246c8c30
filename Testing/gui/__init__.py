"""The panel in Slicer's window, outside Slicer: see README.md."""

from pathlib import Path

MODULE_FILE = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "VoxelMorphRegistration.py"
