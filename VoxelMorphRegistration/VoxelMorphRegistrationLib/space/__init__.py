"""The coordinate conventions: voxel index, physical LPS millimetres, RAS; affine maps, displacements, inverses."""
