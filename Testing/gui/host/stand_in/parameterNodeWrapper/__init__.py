"""The part of Slicer's `slicer.parameterNodeWrapper` that this module uses, written from Slicer's developer guide.

Types: int, float, str, bool, pathlib.Path, enum.Enum, MRML nodes, Optional and Union of MRML nodes, and lists of these.
Anything else raises NotImplementedError, for Slicer may be able to do it and this stand-in cannot.
"""

from slicer.parameterNodeWrapper.annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from slicer.parameterNodeWrapper.wrapper import (
    SlicerParameterNamePropertyName,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
