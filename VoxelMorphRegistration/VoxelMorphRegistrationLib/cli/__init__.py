"""The command line `slicer-voxelmorph`."""
