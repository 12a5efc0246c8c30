"""A property of a host widget that Qt does not know."""

from __future__ import annotations


class Value:
    """A property with a default; `signal` is emitted and `after` called when it is set, the signal only on a change.

    A setter (`setDecimals` for `decimals`) is made unless the class has its own.
    """

    def __init__(self, default, signal=None, cast=None, after=None):
        self.default, self.signal, self.cast, self.after = default, signal, cast, after

    def __set_name__(self, owner, name):
        self.held = "_value_" + name
        setter = "set" + name[0].upper() + name[1:]
        if setter not in vars(owner):
            setattr(owner, setter, lambda widget, value: setattr(widget, name, value))

    def __get__(self, widget, owner=None):
        return self if widget is None else widget.__dict__.get(self.held, self.default)

    def __set__(self, widget, value):
        value = value if self.cast is None else self.cast(value)
        before = self.__get__(widget)
        widget.__dict__[self.held] = value
        if self.after is not None:
            self.after(widget)
        if value != before and self.signal is not None:
            getattr(widget, self.signal).emit(value)
