"""What a header says is offered to Python, by PythonQt's rule."""

from Testing.gui.make_api_lists import read_headers

_HEADER = """
/// class Comment : public Nothing {
class MY_EXPORT qMyBox : public QWidget
{
  Q_OBJECT
  Q_PROPERTY(QStringList names READ names WRITE setNames)
  Q_ENUMS(Mode)
public:
  enum Mode { Fast = 1, Slow };
  enum Hidden { Never };
  explicit qMyBox(QWidget* parent = nullptr);
  void setNames(const QStringList& names);
  Q_INVOKABLE virtual vtkMRMLNode* node(int index) const { return this->Nodes[index]; }
  void inline_body() { if (true) { return; } }
public slots:
  void setNode(vtkMRMLNode* node);
signals:
  void nodeChanged(vtkMRMLNode* node);
  void renamed(const QString& name, bool byUser);
protected slots:
  void internal();
};
"""
_DECORATORS = """
class qMyPythonQtDecorators : public QObject
{
  Q_OBJECT
public slots:
  void addedInPython(qMyBox* box, int count) { box->add(count); }
};
"""


def test_properties_slots_invokables_signals_and_exposed_enums_are_offered_and_nothing_else(tmp_path):
    (tmp_path / "qMyBox.h").write_text(_HEADER, encoding="utf-8")
    (tmp_path / "qMyPythonQtDecorators.h").write_text(_DECORATORS, encoding="utf-8")
    box = read_headers(tmp_path)["qMyBox"]
    assert box["base"] == "QWidget" and box["properties"] == {"names"}
    assert box["methods"] == {"node", "setNode", "addedInPython"}
    assert box["signals"] == {"nodeChanged(vtkMRMLNode*)", "renamed(QString,bool)"}
    assert box["enumerators"] == {"Fast", "Slow"}
