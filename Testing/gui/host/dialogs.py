"""Every dialog that would stop the window until a person answers: noted, and answered as a test has said before.

A message with one button only is noted and closed. Any other question without a prepared answer is refused and kept in
`unanswered`, which a test must find empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6 import QtWidgets

QMessageBox = QtWidgets.QMessageBox
_YES = (QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Ok, QMessageBox.StandardButton.Retry)


@dataclass
class Shown:
    kind: str  # "Information", "Warning", "Critical", "Question" or the dialog's class
    title: str
    text: str
    details: str = ""


@dataclass
class Dialogs:
    """What was shown, in order, and the answers to come: (part of the text, answer).

    An answer is True or False for a question, the text of the button to press, a path for a file dialog, or a function
    that is called with the dialog and returns what `exec` returns.
    """

    shown: list[Shown] = field(default_factory=list)
    answers: list[tuple[str, object]] = field(default_factory=list)
    unanswered: list[Shown] = field(default_factory=list)

    def clear(self):
        for kept in (self.shown, self.answers, self.unanswered):
            kept.clear()

    def take_answer(self, shown: Shown, otherwise):
        self.shown.append(shown)
        for index, (part, answer) in enumerate(self.answers):
            if part in shown.text or part in shown.title:
                del self.answers[index]
                return answer
        if otherwise is None:
            self.unanswered.append(shown)
        return otherwise

    def run(self, dialog):
        if isinstance(dialog, QMessageBox):
            return self._message(dialog)
        text = " ".join(label.text for label in dialog.findChildren(QtWidgets.QLabel))
        answer = self.take_answer(Shown(type(dialog).__name__, dialog.windowTitle, text), None)
        result = answer(dialog) if callable(answer) else bool(answer)
        (dialog.accept if result else dialog.reject)()
        return int(result)

    def _message(self, box):
        kind = QMessageBox.icon(box).name
        shown = Shown(kind, box.windowTitle.strip(), box.text, box.detailedText)
        details = QMessageBox.ButtonRole.ActionRole
        buttons = [button for button in box.buttons() if box.buttonRole(button) != details]
        answer = self.take_answer(shown, True if len(buttons) <= 1 else None)
        if callable(answer):
            return answer(box)
        return self._press(box, buttons, answer)

    def _press(self, box, buttons, answer):
        for button in buttons:
            standard = QMessageBox.standardButton(box, button)
            if (
                (button.text.replace("&", "") == answer)
                if isinstance(answer, str)
                else (standard in _YES) is bool(answer)
            ):
                button.click()
                return standard
        return QMessageBox.StandardButton.Ok if not buttons else QMessageBox.StandardButton.Cancel


def catch(dialogs: Dialogs):
    """Give Qt's dialogs to `dialogs` (once in a process)."""

    def run(self):
        return dialogs.run(self)

    QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = run
    QMessageBox.exec = QMessageBox.exec_ = run

    def question(icon, default):
        def ask(parent, title, text, buttons=QMessageBox.StandardButton.Ok, *rest):
            box = QMessageBox(icon, title, text, QMessageBox.StandardButton(buttons), parent)
            return dialogs.run(box)

        return staticmethod(ask)

    for name in ("information", "warning", "critical", "question"):
        setattr(QMessageBox, name, question(getattr(QMessageBox.Icon, name.capitalize()), name))

    def path(kind):
        def ask(parent=None, title="", folder="", *rest):
            answer = dialogs.take_answer(Shown(kind, title, str(folder)), None)
            # PythonQt returns the path alone where PySide6 returns it with the filter.
            return answer or ([] if kind == "getOpenFileNames" else "")

        return staticmethod(ask)

    for name in ("getExistingDirectory", "getOpenFileName", "getOpenFileNames", "getSaveFileName"):
        setattr(QtWidgets.QFileDialog, name, path(name))
