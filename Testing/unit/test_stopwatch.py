"""Seconds of stages, of a processor and of a GPU whose work is not waited for."""

from __future__ import annotations

import time

import pytest
import torch

from VoxelMorphRegistrationLib.registration.stopwatch import Stopwatch


class Mark:
    """A CUDA event of a device that takes a tenth of a second for whatever lies between two of them."""

    waited: list[object] = []

    def __init__(self, enable_timing=False):
        assert enable_timing

    def record(self, stream):
        assert stream == "the stream of cuda:0"

    def synchronize(self):
        Mark.waited.append(self)

    def elapsed_time(self, ended):
        return 100.0


def test_a_stage_of_a_gpu_is_what_the_gpu_took_and_is_waited_for_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Mark)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    watch, gpu = Stopwatch(), torch.device("cuda:0")
    for _ in range(3):
        with watch.stage("network", gpu):
            pass
    with pytest.raises(KeyError), watch.stage("integrate", gpu):
        raise KeyError
    assert not Mark.waited
    assert watch.seconds["network"] == pytest.approx(0.3) and watch.seconds["integrate"] == pytest.approx(0.1)
    assert len(Mark.waited) == 4


def test_a_stage_of_a_processor_is_the_time_that_went_by():
    watch = Stopwatch()
    with watch.stage("align"), watch.stage("total", torch.device("cpu")):
        time.sleep(0.02)
    assert 0.02 <= watch.seconds["total"] <= watch.seconds["align"] < 1
