"""Work in pieces, some of them in a thread beside the window."""

from __future__ import annotations

import threading
import time

import pytest


@pytest.fixture
def started(host):
    from VoxelMorphRegistrationLib.widgets.steps import Steps

    def start(items):
        told = []
        steps = Steps(items, told.append, lambda: told.append("end"), lambda error: told.append(error))
        return steps, told

    return start


def test_pieces_beside_the_window_let_it_live_and_give_their_result_back(host, started):
    from VoxelMorphRegistrationLib.mrml.beside import Beside

    def items():
        first = yield Beside(lambda: (time.sleep(0.4), threading.current_thread())[1])
        yield first is not threading.main_thread()
        yield "second"

    steps, told = started(items())
    with host.tick_gaps() as gaps:
        host.wait_until(lambda: "end" in told, 10)
    assert told == [True, "second", "end"] and gaps.largest < 0.2


def test_an_error_beside_the_window_is_told_and_ends_the_work(host, started):
    from VoxelMorphRegistrationLib.mrml.beside import Beside

    steps, told = started(yield_ for yield_ in [Beside(lambda: 1 / 0), "never"])
    host.wait_until(lambda: told, 10)
    host.process(0.05)
    assert len(told) == 1 and isinstance(told[0], ZeroDivisionError)


def test_what_is_stopped_is_told_to_have_ended_when_its_thread_has(host, started):
    from VoxelMorphRegistrationLib.mrml.beside import Beside

    going = threading.Event()
    steps, told = started(yield_ for yield_ in [Beside(lambda: going.wait(10)), "never"])
    host.process(0.05)
    steps.stop(lambda: told.append("stopped"))
    host.process(0.05)
    assert told == []
    going.set()
    host.wait_until(lambda: told, 10)
    assert told == ["stopped"]


def test_a_frame_that_comes_while_another_is_shown_waits_for_its_turn(host, sequence_panel):
    """Between two turns of the event loop as well, in which nobody works on a frame."""
    from VoxelMorphRegistrationLib.mrml.beside import Beside
    from VoxelMorphRegistrationLib.widgets import chosen_nodes
    from VoxelMorphRegistrationLib.widgets.sequence_job import SequenceJob

    class Worker:
        def submit(self, command, arguments, on_event):
            self.tell = on_event
            return "1"

    worker, ends, log = Worker(), [], []
    parameters = sequence_panel.panel.parameters
    prepared = chosen_nodes.sequence(parameters)
    job = SequenceJob(worker, prepared, parameters.runFolder, [], None, lambda *progress: None, ends.append)
    host.wait_until(lambda: hasattr(worker, "tell"), 10)

    def shown(index):
        log.append(("begin", index))
        yield Beside(lambda: None)
        log.append(("end", index))

    job._live.frame = shown
    count = 12
    for index in range(count):
        worker.tell({"event": "frame", "index": index, "done": index + 1, "frames": count, "status": "reference"})
        while index % 3 and ("end", index) not in log:
            host.process()
    host.wait_until(lambda: len(log) == 2 * count, 10)
    assert log == [(what, index) for index in range(count) for what in ("begin", "end")]
    worker.tell({"event": "done"})
    host.wait_until(lambda: ends, 10)
    assert ends[0].status == "done"
