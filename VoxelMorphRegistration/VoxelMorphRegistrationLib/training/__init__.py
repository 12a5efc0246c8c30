"""Training of the bundled network on synthetic images, and adaptation of any network to one sequence."""
