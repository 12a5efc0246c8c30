"""`slicer-voxelmorph worker` as a program talks to it: what goes in, what comes out, and when it ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import frame, labels, weights_file

LIBRARY = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"


class Talk:
    """A worker at the other end of two pipes."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "VoxelMorphRegistrationLib", "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            # As where Slicer was started by a script in the background.
            preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        self._events: queue.Queue[dict] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._events.put(json.loads(line))

    def say(self, **message) -> None:
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, *names: str, seconds: float = 90) -> list[dict]:
        """All events up to the first of these."""
        heard = []
        while not heard or heard[-1]["event"] not in names:
            heard.append(self._events.get(timeout=seconds))
        return heard

    def has_said(self, heard: list[dict], *names: str) -> bool:
        """Whether the last of the events, which are added to `heard` as they come, is one of these."""
        while not (heard and heard[-1]["event"] in names) and not self._events.empty():
            heard.append(self._events.get())
        return bool(heard) and heard[-1]["event"] in names


def fair_seconds(done: Callable[[], bool], most: float = 60.0) -> float:
    """The processor time that a busy program beside it gets until something is done, at most `most`.

    On an idle machine these are the seconds of a clock; where others compute too, as many as the worker could have had.
    """
    started = time.thread_time()
    while not done() and time.thread_time() - started < most:
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
    return time.thread_time() - started


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("worker")
    for index in range(12):
        sitk.WriteImage(frame(index % 5), str(folder / f"{index:02d}.nrrd"))
    (folder / "frames.txt").write_text("".join(f"{index:02d}.nrrd\n" for index in range(12)))
    sitk.WriteImage(labels(0), str(folder / "drawn-label.nrrd"))
    weights_file(folder)
    return folder


@pytest.fixture(scope="module")
def talk():
    talk = Talk()
    yield talk
    talk.process.stdin.close()
    talk.process.wait(10)


def propagation(case: Path, output: Path, *more: str) -> list[str]:
    given = {
        "sequence": case / "frames.txt",
        "segmentation": case / "drawn-label.nrrd",
        "reference-frame": 0,
        "model": next(case.glob("*.pt")),
        "output": output,
    }
    return [str(word) for option, value in given.items() for word in (f"--{option}", value)] + list(more)


def test_the_first_line_says_the_protocol(talk):
    hello = talk.until("hello")[-1]
    assert hello["protocol"] == 1 and hello["pid"] == talk.process.pid


def test_a_pair_comes_as_files_and_a_report(talk, case, tmp_path):
    arguments = ["--fixed", case / "00.nrrd", "--moving", case / "01.nrrd", "--model", next(case.glob("*.pt"))]
    arguments += ["--output-transform", tmp_path / "T.nrrd", "--output-volume", tmp_path / "W.nrrd"]
    talk.say(job="pair", command="register", arguments=[str(one) for one in arguments])
    heard = talk.until("done", "error")
    assert heard[-1] == {"event": "done", "exit": 0, "output": "", "job": "pair"}
    assert {event["job"] for event in heard} == {"pair"}
    finish = heard[-2]
    assert finish["files"] == {"transform": str(tmp_path / "T.nrrd"), "volume": str(tmp_path / "W.nrrd")}
    assert finish["report"]["similarity"]["metric"] == "ncc"
    shares = [event["share"] for event in heard if event["event"] == "stage"]
    assert shares == sorted(shares) and len(shares) == 4


def test_frames_come_one_by_one_when_their_files_are_there(talk, case, tmp_path):
    talk.say(job="run", command="propagate", arguments=propagation(case, tmp_path / "out", "--frames", "0:3"))
    seen = []
    while True:
        event = talk.until("frame", "done", "error")[-1]
        if event["event"] != "frame":
            break
        assert Path(event["files"]["segmentation"]).is_file() and event["seconds_left"] >= 0
        seen.append(event["index"])
    assert event["event"] == "done" and seen == [0, 1, 2]


def test_an_error_says_what_which_and_the_remedy(talk, case, tmp_path):
    arguments = [
        "--fixed",
        "none.nrrd",
        "--moving",
        str(case / "00.nrrd"),
        "--output-transform",
        str(tmp_path / "T.nrrd"),
    ]
    talk.say(job="bad", command="register", arguments=arguments)
    error = talk.until("error", "done")[-1]
    assert error["job"] == "bad" and error["exit"] == 1
    assert error["which"] == "none.nrrd" and error["what"] and error["remedy"] and "Traceback" in error["details"]


def test_lines_that_are_no_jobs_are_answered_and_the_next_job_works(talk):
    talk.process.stdin.write(b"not json\n")
    talk.process.stdin.flush()
    assert talk.until("error")[-1]["job"] is None
    talk.say(job="x", command="rm", arguments=[])
    assert "no job of this worker" in talk.until("error", "done")[-1]["what"]
    talk.say(job="y", command="register", arguments=["--fixed"])
    assert talk.until("error", "done")[-1]["exit"] == 2
    talk.say(job="z", command="check")
    assert talk.until("error", "done")[-1]["device"]


def test_a_cancelled_job_ends_and_keeps_what_is_finished(talk, case, tmp_path):
    many = case / "many.txt"
    many.write_text((case / "frames.txt").read_text() * 10)
    talk.say(job="long", command="propagate", arguments=propagation(case, tmp_path / "out", "--sequence", str(many)))
    talk.say(job="never", command="propagate", arguments=propagation(case, tmp_path / "never"))
    talk.until("frame")
    talk.say(cancel="never")
    talk.say(cancel="long")
    heard: list[dict] = []
    assert fair_seconds(lambda: talk.has_said(heard, "cancelled", "done")) < 5
    assert heard[-1] == {"event": "cancelled", "job": "long"}
    assert talk.until("cancelled", "done")[-1]["job"] == "never"
    finished = len((tmp_path / "out" / "frames.csv").read_text().splitlines()) - 1
    assert finished >= 1 and not (tmp_path / "never").exists()
    talk.say(job="again", command="propagate", arguments=propagation(case, tmp_path / "out", "--sequence", str(many)))
    heard = talk.until("done", "error")
    start = next(event for event in heard if event["event"] == "start")
    assert heard[-1]["event"] == "done" and start["finished"] == finished


def test_it_ends_within_five_seconds_of_its_input_closing_while_it_computes(case, tmp_path):
    talk = Talk()
    talk.say(job="long", command="propagate", arguments=propagation(case, tmp_path / "out"))
    talk.until("frame")
    talk.process.stdin.close()
    assert fair_seconds(lambda: talk.process.poll() is not None) < 5
    assert not list((tmp_path / "out").rglob(".partial*"))


def test_a_thinned_transform_covers_the_same_and_says_what_it_costs(talk, case, tmp_path):
    arguments = ["--fixed", case / "00.nrrd", "--moving", case / "01.nrrd", "--model", next(case.glob("*.pt"))]
    arguments += ["--output-transform", tmp_path / "T.nrrd", "--transform-spacing", "6"]
    talk.say(job="thin", command="register", arguments=[str(one) for one in arguments])
    report = talk.until("done", "error")[-2]["report"]
    fixed, field = frame(0), sitk.ReadImage(str(tmp_path / "T.nrrd"))
    assert field.GetSize() == (10, 10, 11) and max(field.GetSpacing()) <= 6
    corner = [n - 1 for n in fixed.GetSize()]
    last = [n - 1 for n in field.GetSize()]
    assert field.TransformIndexToPhysicalPoint(last) == pytest.approx(fixed.TransformIndexToPhysicalPoint(corner))
    assert "kept on 10 x 10 x 11 points" in report["notes"][-1]
