"""CTK's sliders and spin boxes, of real numbers."""

from __future__ import annotations

import math

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import qt
from Testing.gui.host.ctk_buttons import widget
from Testing.gui.host.values import Value

_STEPS = 1000


class _Number:
    """A value between a minimum and a maximum, clipped to them, and the Qt widgets that show it."""

    def _show(self):
        """Bring the shown widgets in step with minimum, maximum, value and the looks."""
        for name, one in self.__dict__.get("_parts", {}).items():
            was = one.blockSignals(True)
            getattr(self, "_show_" + name)(one)
            one.blockSignals(was)

    def _limits(self):
        self._set(self._value)
        self._show()

    def _set(self, value):
        value = min(max(float(value), self.minimum), self.maximum)
        if value != self._value:
            self.__dict__["_number"] = value
            self._show()
            self.valueChanged.emit(value)

    _value = property(lambda self: self.__dict__.get("_number", 0.0))

    def _show_box(self, box):
        box.setDecimals(self.decimals)
        box.setRange(self.minimum, self.maximum)
        box.setSingleStep(self.singleStep)
        box.setSuffix(self.suffix)
        box.setPrefix(self.prefix)
        box.setValue(self._value)

    def _show_slider(self, slider):
        width = self.maximum - self.minimum
        slider.setRange(0, _STEPS)
        if math.isfinite(width) and width > 0:
            slider.setValue(round(_STEPS * (self._value - self.minimum) / width))

    def _slid(self, step):
        width = self.maximum - self.minimum
        if math.isfinite(width):
            self._set(self.minimum + width * step / _STEPS)

    def _lay_out(self, **parts):
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for name, part in parts.items():
            row.addWidget(part, 1 if name == "slider" else 0)
        self.__dict__["_parts"] = parts
        if "box" in parts:
            parts["box"].valueChanged.connect(self._set)
        if "slider" in parts:
            parts["slider"].valueChanged.connect(self._slid)
        self._show()


def _limit(default):
    return Value(default, None, float, lambda widget: widget._limits())


def _look(default, cast=None):
    return Value(default, None, cast, lambda widget: widget._show())


@widget
class ctkDoubleSpinBox(_Number, QtWidgets.QWidget):
    valueChanged = Signal(float)
    editingFinished = Signal()
    decimalsChanged = Signal(int)
    minimum, maximum = _limit(0.0), _limit(99.99)
    value = property(lambda self: self._value, lambda self, value: self._set(value))
    decimals, singleStep = _look(2, int), _look(1.0, float)
    suffix, prefix = _look("", str), _look("", str)
    readOnly = Value(False, None, bool)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self._lay_out(box=qt.QDoubleSpinBox())


@widget
class ctkSliderWidget(_Number, QtWidgets.QWidget):
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    minimum, maximum = _limit(0.0), _limit(99.0)
    value = property(lambda self: self._value, lambda self, value: self._set(value))
    decimals, singleStep, pageStep = _look(2, int), _look(1.0, float), Value(10.0, None, float)
    suffix, prefix = _look("", str), _look("", str)
    tracking, tickInterval, spinBoxVisible = Value(True), Value(0.0), Value(True)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self._lay_out(slider=qt.QSlider(QtCore.Qt.Orientation.Horizontal), box=qt.QDoubleSpinBox())

    def reset(self):
        self._set(0.0)


@widget
class ctkDoubleSlider(_Number, QtWidgets.QWidget):
    valueChanged = Signal(float)
    minimum, maximum = _limit(0.0), _limit(99.0)
    value = property(lambda self: self._value, lambda self, value: self._set(value))
    singleStep, pageStep, tracking, tickInterval = Value(1.0, None, float), Value(10.0), Value(True), Value(0.0)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self._lay_out(slider=qt.QSlider(QtCore.Qt.Orientation.Horizontal))


class _Range(QtWidgets.QWidget):
    """Two values between a minimum and a maximum."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    minimum, maximum = Value(0.0, None, float), Value(99.0, None, float)
    singleStep, tracking = Value(1.0, None, float), Value(True)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        self.__dict__["_range"] = (0.0, 99.0)

    def setRange(self, low, high):
        self.minimum, self.maximum = low, high
        self.setValues(*self._range)

    def setValues(self, low, high):
        before = self._range
        self.__dict__["_range"] = now = tuple(min(max(float(one), self.minimum), self.maximum) for one in (low, high))
        if now[0] != before[0]:
            self.minimumValueChanged.emit(now[0])
        if now[1] != before[1]:
            self.maximumValueChanged.emit(now[1])
        if now != before:
            self.valuesChanged.emit(*now)

    minimumValue = property(lambda self: self._range[0], lambda self, value: self.setValues(value, self._range[1]))
    maximumValue = property(lambda self: self._range[1], lambda self, value: self.setValues(self._range[0], value))


@widget
class ctkRangeWidget(_Range):
    decimals = Value(2, None, int)


@widget
class ctkDoubleRangeSlider(_Range):
    pass
