"""Draws the curves of a training log: `python curves.py LOG.csv OUT.png`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PANELS = {
    "loss": ("loss", "train_loss"),
    "end-point error, voxels": ("error",),
    "1 - local correlation": ("held_dissimilarity", "dissimilarity"),
    "1 - overlap of labels": ("held_overlap", "overlap"),
}


def draw(log: Path, out: Path) -> None:
    with open(log, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    figure, axes = plt.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 3.2), layout="constrained")
    for axis, (title, columns) in zip(axes, PANELS.items()):
        for column in columns:
            points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
            held = column in ("loss", "error") or column.startswith("held_")
            axis.plot(*zip(*points), label="held back" if held else "training, running mean", lw=1.8 if held else 1)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
