"""Slicer's light and dark look, and pictures of widgets. The colours are those of Slicer's own two styles."""

from __future__ import annotations

from PySide6 import QtGui, QtWidgets

_ROLES = ("Window", "WindowText", "Base", "AlternateBase", "Text", "Button", "ButtonText", "Highlight", "Link")
_COLORS = {
    "light": ("white", "black", "white", "#e4e4fe", "black", "#fcfcfc", "black", "#308cc6", "#0000ff"),
    "dark": ("#323232", "white", "#1e1e1e", "#323232", "white", "#323232", "white", "#3ca4ff", "#3ca4ff"),
}
_DISABLED = {"light": "#bebebe", "dark": "#6d6d6d"}


def set_look(look):
    """`look` is "light" or "dark"; what is open changes at once."""
    palette = QtGui.QPalette()
    for role, color in zip(_ROLES, _COLORS[look]):
        palette.setColor(getattr(QtGui.QPalette.ColorRole, role), QtGui.QColor(color))
    for role in ("WindowText", "Text", "ButtonText"):
        disabled = QtGui.QPalette.ColorGroup.Disabled
        palette.setColor(disabled, getattr(QtGui.QPalette.ColorRole, role), QtGui.QColor(_DISABLED[look]))
    QtWidgets.QApplication.setStyle("Fusion")
    QtWidgets.QApplication.setPalette(palette)


def picture(widget, width, scale=1.0):
    """A picture of a widget as wide as wished (in the window's own pixels) and as high as its contents; `scale` as the
    screen's: 1.5 draws the same layout with half as many pixels again.
    """
    layout = QtWidgets.QWidget.layout(widget)
    for _ in range(2):  # A text that wraps knows its height only at its width.
        height = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else layout.totalSizeHint().height()
        widget.resize(width, height)
        QtWidgets.QApplication.processEvents()
    # What happened meanwhile may have given it the window's own size again.
    widget.resize(width, height)
    layout.activate()
    pixmap = QtGui.QPixmap(round(width * scale), round(height * scale))
    pixmap.setDevicePixelRatio(scale)
    pixmap.fill(widget.palette.color(QtGui.QPalette.ColorRole.Window))
    QtWidgets.QWidget.render(widget, pixmap)
    return pixmap
