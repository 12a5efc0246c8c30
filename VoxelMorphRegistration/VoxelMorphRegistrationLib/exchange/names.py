"""The names of the conventions a field can be of. Imports nothing, so that a command line can offer them at once."""

from __future__ import annotations

CONVENTIONS = ("itk", "slicer", "ants", "elastix", "niftyreg", "freesurfer", "voxelmorph", "torch", "monai")
