"""The speed benchmark compares what one machine measured and says what was not run; its pages are its results."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.benchmarks import speed_against_commit, waiting_threads
from Testing.benchmarks.speed import on_device, report
from Testing.benchmarks.speed.measurements import measurements
from Testing.benchmarks.speed.ratios import ratios
from Testing.benchmarks.speed.report import Place
from Testing.benchmarks.speed.sequence import KNOWN, TRUTH, BreathingBody, frames_folder, write_frames
from Testing.benchmarks.speed.table import gpu_table
from Testing.benchmarks.speed.tools import register_by_tool
from Testing.support.registration_cases import random_model

MACHINE = {"processor": "one", "cores": 2, "torch": "2", "gpu": None}


def row(name: str, **found) -> dict:
    asked = measurements(False, False)[name]
    return {"name": name, "kind": asked.kind, **asked.options, "load_before": 0.1, "peak_mb": 500, **found}


DIRECT = row("strategy-direct", cpu=2.0, wall=3.0, registered=25, counted=24, early_mb=450.0, late_mb=451.0)
MODEL = row("strategy-motion-model", cpu=0.5, wall=1.0, registered=9, counted=100, early_mb=450.0, late_mb=451.0)
ABSENT = row("tools-elastix", failed="itk-elastix is not installed")


def test_a_ratio_is_there_when_both_its_sides_were_measured():
    assert ratios({one["name"]: one for one in (MODEL, ABSENT)}) == []
    (found,) = ratios({one["name"]: one for one in (DIRECT, MODEL, ABSENT)})
    assert (found.cpu, found.wall) == (4.0, 3.0) and "100 frames: direct / motion-model" in found.what


def test_the_ways_of_a_network_are_compared_with_plain_pytorch():
    seconds = {"plain_cpu": 4.0, "plain_wall": 5.0, "ours_cpu": 2.0, "ours_wall": 2.0, "gflop": 100.0, "limit": 100.0}
    (found,) = ratios({"forward-released-1": row("forward-released-1", **seconds)})
    assert (found.cpu, found.wall, found.aim) == (2.0, 2.5, 1.8)
    assert found.what.startswith("the released brain network, 224 x 192 x 160, one thread, with integration")


def test_what_was_not_run_is_in_the_table_with_its_reason(tmp_path):
    place = Place(tmp_path, in_project=False)
    place.write(False, MACHINE, {one["name"]: one for one in (DIRECT, ABSENT)})
    lines = (tmp_path / "speed.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `size-256` | not run |")]
    assert [line for line in lines if "elastix default: not run, itk-elastix is not installed" in line]
    assert "GPU: not run, there was none." in lines
    assert (tmp_path / "speed.png").stat().st_size < 200_000


def test_numbers_of_another_machine_are_neither_gone_on_with_nor_written_over_unless_told(tmp_path):
    place, other = Place(tmp_path, in_project=False), {**MACHINE, "cores": 4}
    place.write(False, MACHINE, {"strategy-direct": DIRECT})
    assert place.read(False, MACHINE, anew=False) == {"strategy-direct": DIRECT}
    assert place.read(False, other, anew=True) == {}
    with pytest.raises(SystemExit, match="of another machine"):
        place.read(False, other, anew=False)


def test_the_pages_are_what_was_measured():
    told = Place.of(None).told(False)
    assert report.page() == report.PAGE.read_text(encoding="utf-8")
    assert speed_against_commit.page() == report.PAGE.read_text(encoding="utf-8")
    assert waiting_threads.page() == report.PAGE.read_text(encoding="utf-8")
    assert report.readme() == report.README.read_text(encoding="utf-8")
    assert set(report.by_name(told)) <= set(measurements(False, False))
    assert [one.told() for one in ratios(report.by_name(told))] == told.get("ratios", [])
    assert not told or report.PICTURE.stat().st_size < 200_000


def test_measurements_of_a_gpu_are_there_where_it_is():
    without, with_one = (measurements(False, gpu) for gpu in (False, True))
    extra = {name: one for name, one in with_one.items() if name not in without}
    assert extra and all(name.startswith("gpu-") and one.on_gpu for name, one in extra.items())
    assert not any(one.on_gpu for one in without.values())


def test_a_tool_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(RuntimeError, match="picsl_greedy is not installed"):
        register_by_tool(tmp_path, "/bin/false", [16, 16, 16], "greedy NCC")


def test_the_true_displacement_takes_frame_0_to_a_frame():
    body = BreathingBody((16, 24, 24), KNOWN + 1)
    field = sitk.Cast(body.true_displacement(KNOWN), sitk.sitkVectorFloat64)
    moved = sitk.Resample(body[0], sitk.DisplacementFieldTransform(field), sitk.sitkLinear)
    inside = sitk.GetArrayFromImage(body.labels()) > 0
    frame, pulled, untouched = (sitk.GetArrayFromImage(one)[inside] for one in (body[KNOWN], moved, body[0]))
    noise = 10.0 * np.sqrt(2)  # of both images
    assert np.abs(frame - pulled).mean() < noise < np.abs(frame - untouched).mean()


def test_results_are_json_that_any_reader_takes():
    for gpu in (False, True):
        json.dumps(Place.of(None).told(gpu), allow_nan=False)


def test_what_a_device_does_is_measured_and_told_where_there_is_none_too(tmp_path, monkeypatch):
    monkeypatch.setattr(on_device, "_REPEATS", 1)
    shape, told = (16, 16, 16), {}
    body = BreathingBody(shape, KNOWN + 1)
    write_frames(body, frames_folder(tmp_path, list(shape)))
    sitk.WriteImage(body.true_displacement(KNOWN), str(frames_folder(tmp_path, list(shape)).parent / TRUTH))
    for name, kind, options in (
        ("gpu-precision-any-anatomy-fast", on_device.precision, {"model": random_model()}),
        ("gpu-looks", on_device.looks, {"model": "any-anatomy-fast"}),
        ("gpu-labels", on_device.label_warps, {}),
    ):
        found = kind(list(shape), folder=tmp_path, **options)
        told[name] = {
            "name": name,
            "kind": kind.__name__,
            "shape": list(shape),
            "peak_mb": 500,
            "model": "one",
            **found,
        }
    assert told["gpu-precision-any-anatomy-fast"]["largest_voxels"] == 0
    assert told["gpu-looks"]["apart_voxels"] < 0.01 and told["gpu-looks"]["together"] == 1
    assert told["gpu-labels"]["nearest_apart"] == told["gpu-labels"]["smooth_apart"] == 0
    lines = gpu_table({"machine": {**MACHINE, "gpu": "none"}, "measurements": list(told.values())})
    assert len(lines) == 4 + 2 + 3 + 4 and not any("nan" in line for line in lines)


def test_a_commit_that_was_checked_out_is_gone_again_when_measuring_is_interrupted():
    if not (speed_against_commit.ROOT / ".git").exists():
        pytest.skip("these files are not in a git repository")
    with pytest.raises(KeyboardInterrupt), speed_against_commit.checked_out("HEAD") as tree:
        assert (tree / "pyproject.toml").is_file()
        raise KeyboardInterrupt
    known = subprocess.run(["git", "worktree", "list"], cwd=speed_against_commit.ROOT, capture_output=True, text=True)
    assert not tree.exists() and str(tree) not in known.stdout
