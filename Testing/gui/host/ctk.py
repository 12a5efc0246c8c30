"""Slicer's `ctk` module: the widgets of CTK that modules use."""

from Testing.gui.host.ctk_buttons import (
    ctkCheckablePushButton,
    ctkCheckBox,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkColorPickerButton,
    ctkMenuButton,
    ctkPushButton,
)
from Testing.gui.host.ctk_numbers import (
    ctkDoubleRangeSlider,
    ctkDoubleSlider,
    ctkDoubleSpinBox,
    ctkRangeWidget,
    ctkSliderWidget,
)
from Testing.gui.host.ctk_texts import (
    ctkComboBox,
    ctkDirectoryButton,
    ctkFittedTextBrowser,
    ctkMessageBox,
    ctkPathLineEdit,
)

__all__ = [
    "ctkCheckBox",
    "ctkCheckablePushButton",
    "ctkCollapsibleButton",
    "ctkCollapsibleGroupBox",
    "ctkColorPickerButton",
    "ctkComboBox",
    "ctkDirectoryButton",
    "ctkDoubleRangeSlider",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkFittedTextBrowser",
    "ctkMenuButton",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkPushButton",
    "ctkRangeWidget",
    "ctkSliderWidget",
]
