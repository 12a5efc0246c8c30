"""The host offers no attribute that Slicer's own classes lack: what passes here must be there."""

import pytest
from PySide6 import QtWidgets

from Testing.gui.host import api


def test_no_class_of_the_host_has_an_attribute_that_the_real_one_lacks(host):
    invented = {name: sorted(api.invented(kind)) for name, kind in api.offered_classes().items()}
    assert not {name: names for name, names in invented.items() if names}


def test_every_class_of_the_host_is_a_class_of_slicer_or_ctk_with_the_same_base_of_qts(host):
    for name, kind in api.offered_classes().items():
        assert name in api.lists(), name
        base = getattr(QtWidgets, api.qt_base(name), None)
        assert base is None or issubclass(kind, base), (name, kind.__mro__)


def test_a_setter_that_is_no_slot_and_an_unknown_attribute_are_refused(host):
    import ctk
    import slicer

    with pytest.raises(AttributeError):
        slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLScalarVolumeNode"])
    with pytest.raises(AttributeError):
        slicer.qMRMLNodeComboBox().allowNone = True
    with pytest.raises(AttributeError):
        ctk.ctkCollapsibleButton().setCollapsed(True)
    with pytest.raises(AttributeError, match="this host does not"):
        ctk.ctkSliderWidget().popupSlider  # noqa: B018


def test_an_unknown_signal_is_refused(host):
    import qt
    import slicer

    with pytest.raises(ValueError, match="currentNodeChanged"):
        slicer.qMRMLNodeComboBox().connect("currentNodeChanged(vtkMRMLVolumeNode*)", print)
    with pytest.raises(ValueError, match="clicked"):
        qt.QPushButton().connect("clicked(int)", print)


def test_a_slot_gets_as_many_arguments_as_the_signature_has(host):
    import qt

    seen, button = [], qt.QPushButton()
    button.connect("clicked()", lambda given="nothing": seen.append(given))
    button.connect("clicked(bool)", lambda checked: seen.append(checked))
    button.click()
    assert seen == ["nothing", False]


def test_an_exception_in_a_slot_is_kept_for_the_test(host):
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in host.exceptions.pop()


def test_a_question_is_answered_as_prepared_and_an_unprepared_one_is_kept(host):
    import slicer

    host.dialogs.answers.append(("keep the edited", True))
    assert slicer.util.confirmYesNoDisplay("Do you want to keep the edited frames?") is True
    assert slicer.util.confirmOkCancelDisplay("Delete?") is False
    assert [shown.text for shown in host.dialogs.unanswered] == ["Delete?"]
    host.dialogs.unanswered.clear()
    slicer.util.errorDisplay("The folder is full.", detailedText="errno 28")
    assert (host.dialogs.shown[-1].kind, host.dialogs.shown[-1].details) == ("Critical", "errno 28")


def test_a_collapsed_section_hides_its_contents_and_only_those_it_showed(host):
    import ctk
    import qt

    section, seen, hidden = ctk.ctkCollapsibleButton(), qt.QLabel("a"), qt.QLabel("b")
    layout = qt.QVBoxLayout(section)
    layout.addWidget(seen)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    section.collapsed = True
    assert seen.visible is False
    section.collapsed = False
    assert seen.visible is True and hidden.visible is False


def test_the_largest_gap_between_ticks_shows_a_frozen_window(host):
    import time

    with host.tick_gaps() as gaps:
        host.process(0.1)
    assert gaps.ticks > 3
    with host.tick_gaps() as frozen:
        host.process(0.02)
        time.sleep(0.3)
        host.process(0.02)
    assert frozen.largest > 0.29


def test_a_busy_computer_is_not_taken_for_a_frozen_window(host):
    import subprocess
    import sys
    import time

    from Testing.gui.host.session import waited_for_a_processor

    if waited_for_a_processor() is None:
        pytest.skip("this system does not tell how long a thread waited for a processor")
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        # A pause of the whole machine, which nobody is told of, hardly comes twice; nor do two threads that wait for a
        # processor at once, whose waits are both taken off.
        for _attempt in range(3):
            with host.tick_gaps() as gaps:
                host.process(0.1)
                began, used = time.monotonic(), time.thread_time()
                while time.thread_time() < used + 0.1:
                    pass
                took = time.monotonic() - began
                host.process(0.02)
            if 0.1 <= gaps.largest < 0.17:
                break
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert 0.1 <= gaps.largest < 0.17 and took >= 0.1
