"""The functions in estimators that are kept, by their names from a fixed list, and how any other is refused."""

from __future__ import annotations

from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

_OF_SKLEARN: Final = frozenset(
    f"sklearn.feature_selection._{module}"
    for module in (
        *("univariate_selection.chi2", "univariate_selection.f_classif", "univariate_selection.f_regression"),
        *("univariate_selection.r_regression", "mutual_info.mutual_info_classif", "mutual_info.mutual_info_regression"),
    )
)
"""Functions of scikit-learn that are named, since fitting asks them; predicting does not."""
_OF_NUMPY: Final = frozenset(
    f"numpy.{name}"
    for name in (
        *("absolute", "fabs", "negative", "positive", "reciprocal", "sign", "cbrt", "sqrt", "square"),
        *("exp", "exp2", "expm1", "log", "log10", "log1p", "log2"),
        *("cos", "sin", "tan", "arccos", "arcsin", "arctan", "deg2rad", "degrees", "rad2deg", "radians"),
        *("cosh", "sinh", "tanh", "arccosh", "arcsinh", "arctanh"),
        *("ceil", "floor", "rint", "trunc", "isfinite", "isinf", "isnan"),
    )
)
"""Functions of numpy that are named: each makes one number of one, and nothing else."""
NAMES: Final = _OF_SKLEARN | _OF_NUMPY


def called(function: Any) -> str:
    """Return the dotted name of a function."""
    return f"{function.__module__}.{function.__qualname__}"


def listed(np: Any, value: Any) -> str:
    """Return the name of a function that is on a list, or none; one of numpy's is what numpy has under its name."""
    if isinstance(value, FunctionType):
        return called(value) if called(value) in _OF_SKLEARN else ""
    name = getattr(value, "__name__", "") if isinstance(value, np.ufunc) else ""
    known = f"numpy.{name}" in _OF_NUMPY and getattr(np, name) is value
    return f"numpy.{name}" if known else ""


def is_function(np: Any, value: Any) -> bool:
    """Tell whether it is a function of any kind."""
    return isinstance(value, FunctionType | BuiltinFunctionType | MethodType | partial | np.ufunc)


def function_refusal(function: Any, where: str, otherwise: str) -> str:
    """Return the refusal of a function that is on no list; it ends with what to do ``otherwise``."""
    name = getattr(function, "__name__", "")
    what = "a lambda" if name == "<lambda>" else f"the function {name}" if name else "a function with arguments"
    named = "give it a name with def, in a module that every reader imports, and " if name == "<lambda>" else ""
    return (
        f"{where} is {what}, and no code is stored: do that step before the estimator, or with a function of numpy "
        f"that makes one number of one, such as np.log1p; or {named}{otherwise}"
    )
