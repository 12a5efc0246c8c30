"""Asks before anything is installed, and says what comes how large."""

from __future__ import annotations

import logging
from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from .. import installation
from ..errors import DependencyMissing


def ensure_installed(say: Callable[[str], None]) -> bool:
    """Whether everything is there to compute with; asks and installs where it is not. Declining is no error.

    Blocks while pip works; `say` is called with each step. Raises DependencyMissing, saying what to do, when something
    cannot be installed. Asks nothing where there is no window.
    """
    lacking = installation.missing()
    if not lacking:
        return True
    if slicer.util.mainWindow() is None:
        installation.require()
    listed = "\n".join(f"{name}   {size}" for name, size in installation.sizes(lacking))
    question = _(
        "VoxelMorph needs these Python packages, which are downloaded and installed into Slicer once. It takes some "
        "minutes, and Slicer does not answer meanwhile. Packages that belong to Slicer are not touched."
    )
    if not slicer.util.confirmOkCancelDisplay(f"{question}\n\n{listed}", _("VoxelMorph Registration")):
        say(_("Nothing was installed, so nothing can be computed yet. Apply asks again."))
        return False

    def told(line: str) -> None:
        logging.info(line)
        say(line)
        slicer.app.processEvents()

    try:
        installation.install(log=told)
    except DependencyMissing as error:
        raise DependencyMissing(_in_words(str(error))) from error
    say(_("Installed."))
    return True


def _in_words(message: str) -> str:
    """What a failed installation mostly is, beside what it said."""
    hint = _("Is this computer online, and is a proxy needed? Settings of pip: environment variable HTTPS_PROXY.")
    return f"{message} {hint}" if "pip failed" in message else message
