"""The row of networks: read by the worker, chosen, downloaded after a question, an own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


class Listing:
    """A worker that answers `models` jobs at once, as the real one does in time."""

    checked = True

    def __init__(self, entries):
        self.entries, self.jobs = entries, []

    def submit(self, command, arguments, on_event):
        self.jobs.append(arguments)
        if arguments[0] == "info":
            said = f"{arguments[1]}: cannot be read (No such file); check the path"
            on_event({"event": "error", "message": said, "details": ""})
            return "1"
        if arguments[0] == "download":
            on_event({"event": "stage", "name": "downloading", "share": 0.5})
            self.entries[-1]["state"] = "installed"
        on_event({"event": "done", "exit": 0, "output": json.dumps(self.entries)})
        return "1"

    def cancel(self, job):
        pass

    def stop(self):
        pass


def entry(name, state, **card):
    shown = {"title": f"Network {name}", "modality": "T1 MRI", "anatomy": "brain", "licence": "Apache-2.0"}
    space = {"spacing": 1, "extent": [160, 192, 224]}
    card = {**shown, "preparation": "skull-stripped", "citation": "Someone 2018", "space": space, **card}
    return {"name": name, "state": state, "bytes": 1_110_344, "address": f"https://x.org/{name}.h5", "card": card}


@pytest.fixture
def listed(host, panel):
    space = {"spacing": 2.0, "extent": None, "flexible": True}
    bundled = entry("any-anatomy", "bundled", modality="any", anatomy="any", preparation="", space=space)
    panel.panel._worker = Listing([bundled, entry("by-hand", "manual"), entry("brain", "downloadable")])
    panel.ui.advancedSection.collapsed = False
    return panel


def names(panel):
    return [panel.ui.networkSelector.itemText(number) for number in range(panel.ui.networkSelector.count)]


def test_every_network_says_what_it_is_for_its_licence_and_where_it_is(listed):
    assert names(listed) == ["any-anatomy (bundled)", "by-hand (to be fetched by hand)", "brain (not on this computer)"]
    listed.ui.networkSelector.currentIndex = 2
    assert listed.panel.parameters.network == "brain"
    assert "T1 MRI, brain. Licence: Apache-2.0" in listed.ui.networkInfo.text
    assert "skull-stripped" in listed.ui.networkInfo.text
    listed.ui.networkSelector.currentIndex = 1
    assert "https://x.org/by-hand.h5" in listed.ui.networkInfo.text and not listed.ui.networkDownloadButton.enabled


def test_nothing_is_downloaded_without_consent_and_progress_is_shown(host, listed):
    listed.panel.parameters.network = "brain"
    host.dialogs.answers.append(("Download brain (1.1 MB)", False))
    listed.ui.networkDownloadButton.click()
    assert ["download", "brain"] not in listed.panel._worker.jobs
    host.dialogs.answers.append(("Licence: Apache-2.0", True))
    listed.ui.networkDownloadButton.click()
    assert ["download", "brain"] in listed.panel._worker.jobs
    assert names(listed)[-1] == "brain" and listed.ui.networkRemoveButton.enabled
    host.dialogs.answers.append(("Delete brain", True))
    listed.ui.networkRemoveButton.click()
    assert ["remove", "brain"] in listed.panel._worker.jobs


def test_an_own_file_and_a_volume_unlike_the_trained_ones_are_said(host, listed):
    from Testing.gui.scenes import two_volumes

    volume, _ = two_volumes()
    volume.SetSpacing(4.0, 4.0, 4.0)
    listed.panel.parameters.fixedVolume = volume
    listed.panel.parameters.network = "brain"
    assert "Look closely: fixed has coarser voxels" in listed.ui.networkInfo.text
    host.dialogs.answers.append(("network of your own", "/weights/mine.pt"))
    listed.ui.networkFileButton.click()
    assert listed.panel.parameters.network == "/weights/mine.pt" and names(listed)[-1] == "mine.pt"
    assert "/weights/mine.pt: cannot be read" in listed.ui.networkInfo.text


def test_the_worker_reads_the_catalogue(host, panel, warm_worker):
    panel.panel._worker = warm_worker
    panel.ui.advancedSection.collapsed = False
    host.wait_until(lambda: len(names(panel)) > 5, 60, "the catalogue")
    assert "any-anatomy-fast" in names(panel) and "Licence: Apache-2.0" in panel.ui.networkInfo.text
    own = Path(__file__).resolve().parents[1] / "fixtures" / "networks" / "dense_full.h5"
    host.dialogs.answers.append(("network of your own", str(own)))
    panel.ui.networkFileButton.click()
    host.wait_until(lambda: "built for images of" in panel.ui.networkInfo.text, 60, "what the file says")
    assert "not known here" in panel.ui.networkInfo.text and "Look closely" not in panel.ui.networkInfo.text


@pytest.mark.parametrize(
    ("spacing", "counts", "reasons"),
    [
        ((1.0, 1.0, 1.0), (160, 192, 224), 0),
        ((2.5, 2.5, 2.5), (80, 96, 112), 1),
        ((3.0, 3.0, 3.0), (300, 300, 300), 2),
    ],
)
def test_voxels_and_field_of_view_are_compared_with_those_it_was_trained_on(host, spacing, counts, reasons):
    from VoxelMorphRegistrationLib.widgets.network_section import unlike_training

    card = {"space": {"spacing": 1, "extent": [160, 192, 224]}}
    assert len(unlike_training(card, spacing, counts)) == reasons


def test_a_network_that_sees_a_volumes_own_voxels_is_compared_by_their_number(host):
    from VoxelMorphRegistrationLib.widgets.network_section import unlike_training

    card = {"space": {"spacing": "native", "extent": None}, "training": {"shape": [160, 192, 224]}}
    assert unlike_training(card, (1.0, 1.0, 1.0), (224, 160, 192)) == []
    (reason,) = unlike_training(card, (0.7, 0.7, 0.7), (512, 512, 300))
    assert "512x512x300" in reason and "160x192x224" in reason
