"""Metric math: arithmetic, comparisons, FILL and IF, as in ``IF(calls > 9, 100 * FILL(errors, 0) / calls, 0)``."""

import ast
import functools
import operator
from collections.abc import Callable, Mapping

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def evaluate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Return what an expression of numbers, ids, operators, FILL and IF comes to, in one period.

    :param values: what each id stands for; None where it has no data
    :returns: None where an id has no data, or a divisor is zero, as CloudWatch gives no datapoint then
    :raises ValueError: when the expression has anything else, or an id that is not there
    """
    try:
        return _value(_parse(expression), values)
    except SyntaxError:
        raise _unsupported(expression) from None


@functools.lru_cache(maxsize=64)
def _parse(expression: str) -> ast.expr:
    """Parse an expression. Each check of an alarm evaluates the same one for several periods."""
    return ast.parse(expression.strip(), mode="eval").body


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
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
            first, second = _value(left, values), _value(right, values)
            if first is None or second is None:
                return None
            return float(_COMPARE[type(sign)](first, second))
        case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Constant(value=int() | float() as number)]):
            filled = _value(series, values)
            return float(number) if filled is None else filled
        case ast.Call(func=ast.Name(id="IF"), args=[condition, if_true, if_false]):
            chosen = _value(condition, values)
            return None if chosen is None else _value(if_true if chosen else if_false, values)
    raise _unsupported(ast.unparse(node))


def _unsupported(expression: str) -> ValueError:
    return ValueError(
        f"{expression!r} is not understood: local AWS computes metrics by their ids with + - * /, comparisons, "
        f"FILL(id, number) and IF(condition, then, else)."
    )
