"""What is drawn on an image: segmentations, points, surfaces. Knows no file."""
