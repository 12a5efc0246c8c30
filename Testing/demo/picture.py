"""Three frames side by side: the untouched segmentation's outline above, the propagated one's below."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk

from Testing.demo.simulated_patient import WHITE_MATTER, Patient

_FOUND, _TRUTH = "#ffb000", "#2ec4b6"


def draw_frames(patient: Patient, segmentations: Path, picture: Path) -> Path:
    """Draw frames at a quarter, half and three quarters of the cycle; returns `picture`."""
    count = len(patient.frames)
    chosen = [count // 4, count // 2, (3 * count) // 4]
    untouched = _coronal(patient.segmentation)
    figure, axes = plt.subplots(2, len(chosen), figsize=(10.5, 7.6), facecolor="#16181d")
    for column, index in enumerate(chosen):
        image, truth = _coronal(patient.frames[index]), _coronal(patient.truth[index])
        found = _coronal(segmentations / f"{index:04d}.nrrd")
        for row, (outline, title) in enumerate(
            ((untouched, "before: reference segmentation"), (found, "after: propagated"))
        ):
            axis = axes[row, column]
            axis.imshow(image, cmap="gray", origin="lower", vmin=0, vmax=np.percentile(image, 99.8))
            axis.contour(truth == WHITE_MATTER, [0.5], colors=_TRUTH, linewidths=0.9)
            axis.contour(outline == WHITE_MATTER, [0.5], colors=_FOUND, linewidths=0.9)
            axis.set_title(f"frame {index} · {title}", color="white", fontsize=10)
            axis.axis("off")
    figure.text(0.5, 0.02, "white matter: known truth", color=_TRUTH, ha="right", fontsize=11)
    figure.text(0.52, 0.02, "segmentation shown", color=_FOUND, ha="left", fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.06, wspace=0.02, hspace=0.08)
    figure.savefig(picture, dpi=110, facecolor=figure.get_facecolor())
    plt.close(figure)
    return picture


def _coronal(path: Path) -> np.ndarray:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array[:, array.shape[1] // 2, :]
