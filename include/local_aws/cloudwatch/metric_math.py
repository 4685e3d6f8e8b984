"""Arithmetic of metrics, as in ``100 * errors / invocations``."""

import ast
import operator
from collections.abc import Callable, Mapping

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Return what an expression of numbers, ids, ``+ - * /`` and brackets comes to.

    :param values: what each id stands for; None where it has no data
    :returns: None where an id has no data, or a divisor is zero, as CloudWatch gives no datapoint then
    :raises ValueError: when the expression has anything else, or an id that is not there
    """
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body, values)
    except SyntaxError:
        raise _unsupported(expression) from None


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, values)
            return None if value is None else -value
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            first, second = _value(left, values), _value(right, values)
            if first is None or second is None or (isinstance(sign, ast.Div) and second == 0):
                return None
            return _BINARY[type(sign)](first, second)
    raise _unsupported(ast.unparse(node))


def _unsupported(expression: str) -> ValueError:
    return ValueError(
        f"{expression!r} is not understood: local AWS computes metrics by their ids with + - * / and brackets."
    )
