"""Folders of runs as `propagate` leaves them, written without a network: a ball that breathes, with odd frames."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.annotations.segment import Segment
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.files.segmentations import write_segmentation
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.propagation.record import Run, RunRecord, describe_frames
from VoxelMorphRegistrationLib.propagation.table import FIXED_COLUMNS, FURTHER_COLUMNS
from VoxelMorphRegistrationLib.space.grid import Grid

GRID = Grid((24, 22, 20), (2.0, 2.0, 2.5), (-24.0, -22.0, -25.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
COLUMNS = [
    *FIXED_COLUMNS,
    *(f"{name}_{label}" for label in (1, 2) for name in ("volume_ml", "centroid_r", "centroid_a", "centroid_s")),
    *FURTHER_COLUMNS,
]


def shift_mm(index: int) -> float:
    return 5.0 * math.sin(index / 4) ** 2


def distances(index: int) -> np.ndarray:
    return np.linalg.norm(GRID.points() - np.array([0.0, 0.0, -shift_mm(index)]), axis=-1)


def write_run(
    folder: Path,
    count: int = 30,
    odd: tuple[int, ...] = (9, 17),
    failed: tuple[int, ...] = (12,),
    names: tuple[str, str] = ("liver", "vessel"),
    wanted: int | None = None,
    message: str = "frame 12 (secret-name.nrrd): cannot be read as an image",
    images: bool = True,
) -> Path:
    """FOLDER/frames with the images and FOLDER/out with the run; returns the latter.

    Label 1 has lost volume in the frames `odd`. `wanted` frames were asked for, `count` are there.
    """
    frames, out = folder / "frames", folder / "out"
    frames.mkdir(parents=True, exist_ok=True)
    (out / "segmentation").mkdir(parents=True)
    segments = [Segment("a", names[0], 1, colour=(1.0, 0.0, 0.0)), Segment("b", names[1], 2, colour=(0.0, 1.0, 0.0))]
    rows = []
    for index in range(count):
        radius = 8.0 if index in odd else 10.0
        if images:
            distance = distances(index)
            image = (800 / (1 + np.exp((distance - 10) / 1.5))).astype(np.int16)
            sitk.WriteImage(GRID.image(image), str(frames / f"frame{index}.nrrd"))
            labels = np.where(distance < 4, 2, np.where(distance < radius, 1, 0)).astype(np.uint8)
            if index not in failed:
                drawn = Segmentation.of(GRID.image(labels), segments=segments)
                write_segmentation(drawn, out / "segmentation" / f"{index:04d}.nrrd")
        rows.append(_row(index, index in odd, index in failed, message))
    write_rows(out / "frames.csv", rows)
    described = describe_frames(open_frames(frames)) if images else [f"frame{n}.nrrd | 1 | 1" for n in range(count)]
    run = Run(
        {"align": "none", "refine": 0, "network_spacing": None, "label_interpolation": "nearest", "strategy": "direct"},
        {"name": "any-anatomy", "sha256": "0" * 64},
        {},
        described,
        {
            "started": "2026-01-02T03:04:05+0000",
            "device": "cpu",
            "sequence": str(frames),
            "arguments": ["propagate", "--sequence", str(frames), "--output", str(out), "--frames", "0:30"],
            "working_folder": str(folder),
            "wanted": wanted or count,
            "total": wanted or count,
        },
        {"slicer-voxelmorph": "0.1.0", "platform": "Linux"},
    )
    RunRecord(out / "run.json", [run]).write()
    return out


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def page_data(page: Path) -> dict:
    """The data inside a page of a run."""
    text = page.read_text(encoding="utf-8")
    start = text.index('<script type="application/json" id="data">') + len('<script type="application/json" id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def _row(index: int, odd: bool, failed: bool, message: str) -> dict[str, str]:
    row = {"index": str(index), "index_value": str(index), "reference_frame": "0", "run": "0"}
    if failed:
        return {**row, "status": "failed", "message": message, "seconds": "0.1", "flag": "failed"}
    similarity = 0.95 - 0.01 * shift_mm(index)
    row |= {
        "status": "done" if index else "reference",
        "similarity_before": f"{similarity - 0.2:.4f}",
        "similarity_after": f"{similarity:.4f}",
        "folded_percent": "0",
        "seconds": f"{1 + 0.01 * (index % 7):.3f}",
        "similarity_metric": "ncc",
        "inside_before": f"{similarity - 0.3:.4f}",
        "inside_after": f"{similarity - (0.4 if odd else 0):.4f}",
        "inverse_consistency_mm": "0.02" if index else "",
    }
    row["flag"] = "label 1 has 40 % of its volume; volume of label 1 jumps by 60 %" if odd else ""
    for label, volume in ((1, 1.6 if odd else 4.0), (2, 0.3)):
        row[f"volume_ml_{label}"] = f"{volume:.4f}"
        for axis, value in zip("ras", (0.0, 0.0, -shift_mm(index))):
            row[f"centroid_{axis}_{label}"] = f"{value:.4f}"
    return row
