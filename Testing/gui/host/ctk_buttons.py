"""CTK's buttons and foldable sections."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import qt
from Testing.gui.host.speech import speak
from Testing.gui.host.ui_files import custom
from Testing.gui.host.values import Value


def widget(kind):
    """Class decorator: a widget that stands for CTK's or Slicer's of the same name, also in .ui files."""
    return custom(speak(kind))


@widget
class ctkCheckBox(qt.QCheckBox):
    pass


@widget
class ctkPushButton(qt.QPushButton):
    pass


@widget
class ctkCheckablePushButton(ctkPushButton):
    checkBoxControlsButton = Value(True)
    checkBoxControlsButtonToggleState = Value(True)
    checkBoxUserCheckable = Value(True)


@widget
class ctkMenuButton(qt.QPushButton):
    pass


@widget
class ctkColorPickerButton(qt.QPushButton):
    colorChanged = Signal(QtGui.QColor)
    color = Value(QtGui.QColor("#000000"), "colorChanged", qt.QColor)
    displayColorName = Value(True)


class _Folding:
    """A widget whose direct children disappear when it is collapsed, and come back when it is opened."""

    def _direct_children(self):
        return [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]

    def _fold(self, collapsed):
        if collapsed:
            kept = [child for child in self._direct_children() if not child.isHidden()]
            self.__dict__.setdefault("_folded", []).extend(kept)
            for child in kept:
                QtWidgets.QWidget.setVisible(child, False)
        else:
            for child in self.__dict__.pop("_folded", []):
                QtWidgets.QWidget.setVisible(child, True)
        self.updateGeometry()


@widget
class ctkCollapsibleButton(_Folding, QtWidgets.QAbstractButton):
    """Checked means open; clicking the header opens and closes it."""

    contentsCollapsed = Signal(bool)
    flat = Value(False)
    collapsedHeight = Value(0)
    contentsFrameShape = Value(QtWidgets.QFrame.Shape.NoFrame)

    def __init__(self, parent=None):
        QtWidgets.QAbstractButton.__init__(self, parent)
        self.setCheckable(True)
        self.setChecked(True)
        margin = 4
        self.setContentsMargins(margin, self._header() + margin, margin, margin)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.toggled.connect(lambda opened: self._toggled(opened))

    collapsed = property(lambda self: not self.checked, lambda self, value: self.setChecked(not value))

    def _toggled(self, opened):
        self._fold(not opened)
        self.contentsCollapsed.emit(not opened)

    def _header(self):
        return self.fontMetrics().height() + 8

    def hitButton(self, position):
        return position.y() < self._header()

    def event(self, event):
        # A child that was added or shown while the section is closed stays unseen until it is opened.
        if event.type() == QtCore.QEvent.Type.LayoutRequest and self.collapsed:
            self._fold(True)
        return QtWidgets.QAbstractButton.event(self, event)

    def _hint(self, which):
        layout = QtWidgets.QWidget.layout(self)
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        if self.collapsed or layout is None:
            return QtCore.QSize(width, self._header())
        return getattr(layout, which)().expandedTo(QtCore.QSize(width, self._header()))

    def sizeHint(self):
        return self._hint("totalSizeHint")

    def minimumSizeHint(self):
        return self._hint("totalMinimumSize")

    def paintEvent(self, event):
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.frameSize.width(), self._header())
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        side = self._header() // 2
        arrow.rect = QtCore.QRect(4, side // 2, side, side)
        elements = QtWidgets.QStyle.PrimitiveElement
        element = elements.PE_IndicatorArrowRight if self.collapsed else elements.PE_IndicatorArrowDown
        painter.drawPrimitive(element, arrow)
        rest = option.rect.adjusted(side + 12, 0, 0, 0)
        painter.drawText(rest, QtCore.Qt.AlignmentFlag.AlignVCenter, self.text)


@widget
class ctkCollapsibleGroupBox(_Folding, QtWidgets.QGroupBox):
    collapsedHeight = Value(14)

    def __init__(self, parent=None):
        QtWidgets.QGroupBox.__init__(self, parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda opened: self._fold(not opened))

    collapsed = property(lambda self: not self.checked, lambda self, value: self.setChecked(not value))
