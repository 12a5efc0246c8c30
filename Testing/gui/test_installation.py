"""What is missing is installed while the window lives, and tried by the worker before anything is computed."""

from __future__ import annotations

import sys
import types

import pytest

from Testing.gui.scenes import longest_gap, two_volumes
from Testing.support.propagation_cases import weights_file


@pytest.fixture
def ready(host, panel, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # as in Slicer 5.10
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = two_volumes()
    parameters.network = str(weights_file(tmp_path))
    return panel


class Missing:
    """`installation.missing` until pip was run as often as there are steps."""

    def __init__(self, monkeypatch, steps):
        from VoxelMorphRegistrationLib import installation

        self.there = False
        monkeypatch.setattr(installation, "missing", lambda: [] if self.there else ["voxelmorph>=0.3.4"])
        monkeypatch.setattr(installation, "pip_steps", lambda lacking, folder: self.begin(steps))

    def begin(self, steps):
        self.there = True
        return steps


def test_pip_works_beside_the_window_and_the_registration_follows(host, ready, warm_worker, monkeypatch):
    ready.panel._worker = warm_worker
    Missing(monkeypatch, [["--no-index", "--no-deps", "numpy"], ["--no-index", "--no-deps", "nibabel"]])
    host.dialogs.answers.append(("needs these Python packages", True))
    said = []
    with host.tick_gaps() as gaps:
        ready.ui.applyButton.click()
        assert ready.ui.applyButton.text == "Cancel"
        while ready.panel.running:
            said.append(ready.ui.statusLabel.text)
            host.process(0.01)
    assert gaps.largest < longest_gap()
    assert any("numpy" in line for line in said) and any("nibabel" in line for line in said)
    assert ready.ui.statusLabel.text == "Done." and ready.panel.parameters.outputTransform is not None


def test_a_failure_of_pip_is_said_in_words_with_pips_own_below(host, ready, monkeypatch):
    Missing(monkeypatch, [["--no-index", "no-such-package-anywhere"]])
    host.dialogs.answers.append(("needs these Python packages", True))
    ready.ui.applyButton.click()
    host.wait_until(lambda: not ready.panel.running, 60, "pip")
    shown = host.dialogs.shown[-1]
    assert "no-such-package-anywhere: pip could not install it" in shown.text and "online" in shown.text
    assert "No matching distribution" in shown.details and ready.ui.applyButton.text == "Apply"


@pytest.mark.parametrize(
    "said, hint",
    [
        (
            "NewConnectionError(... [Errno -2] Name or service not known')': /simple/x/",
            "was not reached. Is this computer",
        ),
        ("ProxyError('Cannot connect to proxy.', NewConnectionError(... Connection refused", "proxy did not answer"),
        ("OSError('Tunnel connection failed: 407 Proxy Authentication Required'))", "asks for a name and a password"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied", "cannot be written to"),
        ("ERROR: No matching distribution found for torch>=2.2", "no build of it for this Python"),
        ("something nobody has seen", "Is this computer online"),
    ],
)
def test_the_cause_of_a_failure_is_told_by_pips_own_words(host, said, hint):
    from VoxelMorphRegistrationLib.widgets.pip_failures import why_pip_failed

    assert hint in why_pip_failed(f"Collecting torch\n{said}\nERROR: the end")


def test_a_server_that_is_not_reached_is_told_from_a_proxy_that_does_not_answer(host, ready, monkeypatch):
    """By pip itself, at an address where nobody listens."""
    for name, value in {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "2", "no_proxy": "", "NO_PROXY": ""}.items():
        monkeypatch.setenv(name, value)
    hints = {"http://127.0.0.1:9": "The proxy did not answer", None: "The server was not reached"}
    for proxy, hint in hints.items():
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        if proxy is not None:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
        address = "https://pypi.org/simple" if proxy is not None else "https://127.0.0.1:9/simple"
        Missing(monkeypatch, [["--index-url", address, "--no-deps", "no-such-package-anywhere"]])
        host.dialogs.answers.append(("needs these Python packages", True))
        ready.ui.applyButton.click()
        host.wait_until(lambda: not ready.panel.running, 60, "pip")
        assert hint in host.dialogs.shown[-1].text, host.dialogs.shown[-1]


def test_slicers_own_pip_is_used_where_there_is_one(host, ready, monkeypatch):
    asked = []

    def pip_install(arguments, **options):
        asked.append((arguments, options["blocking"]))
        options["logCallback"]("Collecting it")
        options["completedCallback"](1)

    monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_install=pip_install))
    Missing(monkeypatch, [["it"]])
    host.dialogs.answers.append(("needs these Python packages", True))
    ready.ui.applyButton.click()
    assert asked == [(["it"], False)] and "Collecting it" in host.dialogs.shown[-1].details


def test_a_torch_of_another_numpy_is_recognised_and_worked_around_by_consent(host, ready, monkeypatch, tmp_path):
    from VoxelMorphRegistrationLib.widgets import installer

    class Broken:
        """A worker whose torch does not compute until it sees a NumPy of its own."""

        checked, stopped = False, 0

        def submit(self, command, arguments, on_event):
            assert command == "check"
            message = "torch: is installed and does not compute (RuntimeError: Numpy is not available); install another"
            done = self.stopped and {"event": "done"}
            on_event(done or {"event": "error", "message": message, "details": "", "exit": 1})
            return "1"

        def renew(self):
            self.stopped += 1

        def cancel(self, job):
            pass

        def stop(self):
            pass

    monkeypatch.setattr(installer, "private_packages", lambda: tmp_path / "private")
    asked = []

    def pip(module, arguments, told, ended):
        asked.append(arguments)
        ended(0, "")

    monkeypatch.setattr(installer, "PipProcess", pip)
    host.dialogs.answers.append(("built for NumPy 1", True))
    ready.panel._worker = Broken()
    began = []
    ready.panel._runs.begin(lambda: began.append(True))
    assert began and asked == [["install", "--target", str(tmp_path / "private"), "numpy<2"]]


class Slicers:
    """Slicer with its PyTorch extension; torch is there once light-the-torch was run, whose exit status is `code`."""

    def __init__(self, monkeypatch, tmp_path, code=0):
        from VoxelMorphRegistrationLib import installation

        self.done = tmp_path / "installed"
        said = "print('Collecting torch', flush=True); time.sleep(.7)"
        program = (
            f"import pathlib, sys, time; {said}; pathlib.Path({str(self.done)!r}).write_text(' '.join(sys.argv[1:]))"
        )
        (tmp_path / "light_the_torch.py").write_text(f"{program}; sys.exit({code})")
        (tmp_path / "PyTorchUtils.py").write_text("raise AssertionError('nobody imports it')")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(installation, "in_slicer", lambda: True)
        monkeypatch.setattr(installation, "missing", lambda: [] if self.done.exists() else [installation.TORCH])
        steps = installation.torch_steps

        def offline():
            (pip, _), torch = steps()
            return [(pip, ["install", "--no-index", "--no-deps", "numpy"]), torch]

        monkeypatch.setattr(installation, "torch_steps", offline)


def test_torch_is_installed_as_the_pytorch_extension_does_while_the_window_lives(
    host, ready, warm_worker, monkeypatch, tmp_path
):
    slicers = Slicers(monkeypatch, tmp_path)
    ready.panel._worker = warm_worker
    host.dialogs.answers.append(("needs these Python packages", True))
    said = []
    with host.tick_gaps() as gaps:
        ready.ui.applyButton.click()
        while not slicers.done.exists() or ready.ui.statusLabel.text == "Collecting torch":
            said.append(ready.ui.statusLabel.text)
            host.process(0.01)
    assert gaps.largest < longest_gap()
    assert "Installing torch>=2.2 ..." in said and "Collecting torch" in said
    assert slicers.done.read_text() == "install torch>=2.2"
    host.wait_until(lambda: not ready.panel.running, 90, "the registration")
    assert ready.ui.statusLabel.text == "Done."


def test_a_torch_that_could_not_be_installed_is_said_with_the_other_way(host, ready, monkeypatch, tmp_path):
    Slicers(monkeypatch, tmp_path, code=1).done.mkdir()
    monkeypatch.setattr("VoxelMorphRegistrationLib.installation.missing", lambda: ["torch>=2.2"])
    host.dialogs.answers.append(("needs these Python packages", True))
    ready.ui.applyButton.click()
    host.wait_until(lambda: not ready.panel.running, 30, "light-the-torch")
    shown = host.dialogs.shown[-1]
    assert "torch>=2.2: pip could not install it" in shown.text and "PyTorch Utils" in shown.text
    assert "Collecting torch" in shown.details


def test_without_the_pytorch_extension_it_is_said_how_to_get_it(host, ready, monkeypatch, tmp_path):
    from VoxelMorphRegistrationLib import installation

    monkeypatch.setattr(installation, "in_slicer", lambda: True)
    monkeypatch.setattr(installation, "missing", lambda: [installation.TORCH])
    host.dialogs.answers.append(("needs these Python packages", True))
    ready.ui.applyButton.click()
    assert "installExtensionFromServer('PyTorch')" in host.dialogs.shown[-1].text and not ready.panel.running
