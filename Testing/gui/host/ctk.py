"""The widgets of CTK that modules use, over the host's qt."""

from __future__ import annotations

import os

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import qt
from Testing.gui.host.speech import speak
from Testing.gui.host.ui_files import custom
from Testing.gui.host.values import Value


def widget(kind):
    return custom(speak(kind))


@widget
class ctkCheckBox(qt.QCheckBox):
    pass


@widget
class ctkComboBox(qt.QComboBox):
    defaultText = Value("")


@widget
class ctkCheckablePushButton(qt.QPushButton):
    checkBoxControlsButtonToggleState = Value(True)


@widget
class ctkCollapsibleButton(QtWidgets.QFrame):
    contentsCollapsed = Signal(bool)

    def __init__(self, text="", parent=None):
        if isinstance(text, QtWidgets.QWidget) or text is None:
            text, parent = "", text
        QtWidgets.QFrame.__init__(self, parent)
        self.__dict__.update(_t=text, _c=False)

    text = property(lambda s: s.__dict__["_t"], lambda s, v: (s.__dict__.__setitem__("_t", v), s.update())[0])

    def setText(self, v):
        self.text = v

    def _getc(self):
        return self.__dict__["_c"]

    def _setc(self, v):
        if bool(v) == self.__dict__["_c"]:
            return
        self.__dict__["_c"] = bool(v)
        for w in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            QtWidgets.QWidget.setVisible(w, not v)
        self.updateGeometry()
        self.contentsCollapsed.emit(bool(v))

    collapsed = property(_getc, _setc)

    def setCollapsed(self, v):
        self.collapsed = v

    def showEvent(self, e):
        if self.collapsed:
            for w in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
                QtWidgets.QWidget.setVisible(w, False)

    def event(self, e):
        if e.type() == QtCore.QEvent.LayoutRequest or e.type() == QtCore.QEvent.Polish:
            if QtWidgets.QWidget.layout(self) is not None:
                m = self.contentsMargins()
                if m.top() != 22:
                    self.setContentsMargins(4, 22, 4, 4)
        return QtWidgets.QFrame.event(self, e)

    def sizeHint(self):
        if self.collapsed:
            return QtCore.QSize(200, 22)
        return QtWidgets.QFrame.sizeHint(self)

    def minimumSizeHint(self):
        if self.collapsed:
            return QtCore.QSize(100, 22)
        return QtWidgets.QFrame.minimumSizeHint(self)

    def mousePressEvent(self, e):
        if e.position().y() < 22:
            self.collapsed = not self.collapsed

    def paintEvent(self, e):
        p = QtWidgets.QStylePainter(self)
        o = QtWidgets.QStyleOptionButton()
        o.initFrom(self)
        o.rect = (
            QtCore.QRect(0, 0, qt.QtWidgets.QWidget.rect.__get__(self).width(), 20)
            if False
            else QtCore.QRect(0, 0, self.frameSize.width(), 20)
        )
        o.text = ""
        p.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, o)
        a = QtWidgets.QStyleOption()
        a.initFrom(self)
        a.rect = QtCore.QRect(4, 4, 12, 12)
        p.drawPrimitive(
            QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown, a
        )
        p.drawText(QtCore.QRect(22, 0, 400, 20), QtCore.Qt.AlignVCenter, self.text)


@widget
class ctkDoubleSpinBox(QtWidgets.QWidget):
    valueChanged = Signal(float)
    host_signals = {"valueChanged(double)": "valueChanged"}
    value = Value(0.0, "valueChanged", float)
    minimum = Value(0.0, None, float)
    maximum = Value(99.99, None, float)
    decimals = Value(2)
    singleStep = Value(1.0)
    suffix = Value("")
    prefix = Value("")


class _SliderBase(QtWidgets.QWidget):
    valueChanged = Signal(float)
    host_signals = {"valueChanged(double)": "valueChanged"}
    minimum = Value(0.0, None, float, lambda s: s._show())
    maximum = Value(99.0, None, float, lambda s: s._show())
    singleStep = Value(1.0)
    pageStep = Value(10.0)
    decimals = Value(2, None, int, lambda s: s._show())
    suffix = Value("")
    prefix = Value("")
    tracking = Value(True)
    tickInterval = Value(0.0)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        s, b = qt.QSlider(QtCore.Qt.Horizontal), qt.QDoubleSpinBox()
        s.setRange(0, 1000)
        row.addWidget(s)
        row.addWidget(b)
        self.__dict__.update(_s=s, _b=b, _busy=False)
        b.valueChanged.connect(lambda v: None if self.__dict__["_busy"] else setattr(self, "value", v))

    def _show(self):
        d = self.__dict__
        if "_s" not in d:
            return
        d["_busy"] = True
        lo, hi = self.minimum, self.maximum
        if lo > float("-inf") and hi < float("inf"):
            d["_b"].decimals = self.decimals
            d["_b"].setRange(lo, hi)
            d["_b"].value = self.value
            d["_s"].value = int(1000 * (self.value - lo) / (hi - lo)) if hi > lo else 0
        d["_busy"] = False

    def setRange(self, lo, hi):
        self.minimum, self.maximum = lo, hi

    value = Value(0.0, "valueChanged", float, lambda s: s._show())


@widget
class ctkSliderWidget(_SliderBase):
    pass


@widget
class ctkDoubleSlider(_SliderBase):
    pass


@widget
class ctkRangeWidget(QtWidgets.QWidget):
    valuesChanged = Signal(float, float)
    host_signals = {"valuesChanged(double,double)": "valuesChanged"}
    minimum = Value(0.0, None, float)
    maximum = Value(99.0, None, float)
    decimals = Value(2)
    singleStep = Value(1.0)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self.__dict__.update(_lo=0.0, _hi=99.0)

    def setRange(self, lo, hi):
        self.minimum, self.maximum = lo, hi
        self.setValues(self._lo, self._hi)

    def setValues(self, lo, hi):
        def clip(v):
            return min(max(float(v), self.minimum), self.maximum)

        lo, hi = clip(lo), clip(hi)
        if (lo, hi) != (self._lo, self._hi):
            self.__dict__.update(_lo=lo, _hi=hi)
            self.valuesChanged.emit(lo, hi)

    minimumValue = property(lambda s: s._lo, lambda s, v: s.setValues(v, s._hi))
    maximumValue = property(lambda s: s._hi, lambda s, v: s.setValues(s._lo, v))

    def setMinimumValue(self, v):
        self.minimumValue = v

    def setMaximumValue(self, v):
        self.maximumValue = v


@widget
class ctkDoubleRangeSlider(ctkRangeWidget):
    pass


@widget
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = Signal(str)
    host_signals = {"currentPathChanged(QString)": "currentPathChanged"}
    Dirs, Files = 1, 2
    filters = Value(0)
    nameFilters = Value(())
    settingKey = Value("")
    showBrowseButton = Value(True)
    showHistoryButton = Value(True)
    currentPath = Value("", "currentPathChanged", str)

    def addCurrentPathToHistory(self):
        pass


@widget
class ctkDirectoryButton(qt.QPushButton):
    directoryChanged = Signal(str)
    host_signals = {"directoryChanged(QString)": "directoryChanged"}
    directory = Value(
        os.path.abspath("."), "directoryChanged", lambda v: os.path.abspath(v) if v not in ("", ".") else v
    )


@widget
class ctkColorPickerButton(qt.QPushButton):
    colorChanged = Signal(qt.QColor)
    host_signals = {"colorChanged(QColor)": "colorChanged"}
    color = Value(qt.QColor("#000000"), "colorChanged", qt.QColor)


@widget
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    collapsed = Value(False)


class ctkMessageBox(QtWidgets.QMessageBox):
    pass
