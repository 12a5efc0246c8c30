"""Voxel fields and images in torch: sampling, integration, filters, folding and similarity."""
