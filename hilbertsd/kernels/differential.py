"""Differential operators and boundary conditions read from text.

Numbers stay exact; see `hilbertsd.kernels.syntax` for what bounds the text.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.syntax import (
    MAX_BITS,
    arithmetic,
    bounded,
    constant,
    disallowed,
    power,
    require_text,
    short,
    syntax_tree,
)

MAX_ORDER = 8  # of a derivative in an operator


@dataclass(frozen=True)
class BoundaryCondition:
    """Σ_k coefficients[k] f^(k)(end) = 0.

    Attributes
    ----------
    end : Fraction or number
        Where the condition holds.
    coefficients : tuple
        Of f, f', f″, … at that point; the last one is not zero.
    """

    end: Any
    coefficients: tuple[Any, ...]

    def __str__(self) -> str:
        terms = []
        for order, coefficient in enumerate(self.coefficients):
            derivative = f"f{chr(39) * order}({self.end})"
            if coefficient in (1, -1):
                terms.append(derivative if coefficient == 1 else f"-{derivative}")
            elif coefficient != 0:
                terms.append(f"{coefficient}*{derivative}")
        return " + ".join(terms).replace("+ -", "- ") + " = 0"


def parse_operator(text: str) -> tuple[Fraction, ...]:
    """Return the coefficients of a polynomial in D = d/dx, constant term first.

    Allowed are ``D``, numbers, ``+ - * /`` and whole powers (``^`` or ``**``), up to order 8.
    Decimals are read as written: 0.1 is 1/10. Nothing of the text is executed.

    Raises
    ------
    HilbertSDError
        If the text is too long or too deep, is no such polynomial, or vanishes.

    Examples
    --------
    >>> [str(c) for c in parse_operator("D^2 + 3*D/2 + 2")]
    ['2', '3/2', '1']
    """
    tree = syntax_tree(text.replace("^", "**") if isinstance(text, str) else text, "operator")
    polynomial = _polynomial(tree, text)
    if not any(polynomial):
        raise HilbertSDError(
            f"the operator {short(text)} is zero; write a polynomial in D, e.g. D^2."
        )
    return polynomial


def parse_boundary(text: str) -> tuple[BoundaryCondition, ...]:
    """Return the conditions of a text such as ``f(0)=0, f'(1) + 2*f(1) = 0``, separated by commas.

    Derivatives are written f'(0), f''(0), … or f^(3)(0). Each condition is linear, homogeneous and
    at one point. Decimals are read as written. Nothing of the text is executed.

    Raises
    ------
    HilbertSDError
        If the text is too long or too deep, or a condition is not of that kind.

    Examples
    --------
    >>> [str(condition) for condition in parse_boundary("f(0)=0, f'(1) + 2*f(1) = 0")]
    ['f(0) = 0', "2*f(1) + f'(1) = 0"]
    """
    require_text(text, "boundary conditions")
    plain = text.replace("′", "'").replace("″", "''").replace("‴", "'''")
    plain = re.sub(r"\bf\s*\^\s*\(\s*(\d{1,3})\s*\)", lambda m: f"f_{int(m[1])}", plain)
    plain = re.sub(r"\bf\s*('+)", lambda m: f"f_{len(m[1])}", plain)
    parts = [part for part in re.split(r"[,;\n]", plain) if part.strip()]
    return tuple(_condition(part, text) for part in parts)


def _polynomial(node: ast.expr, text: str) -> tuple[Fraction, ...]:
    match node:
        case ast.Constant():
            return (constant(node, text),)
        case ast.Name(id="D"):
            return (Fraction(0), Fraction(1))
        case ast.Name(id=name):
            raise HilbertSDError(
                f"{name!r} in {short(text)} is unknown; write a polynomial in D, e.g. D^2 + 3*D."
            )
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _polynomial(operand, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return tuple(-c for c in _polynomial(operand, text))
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            first, second = _polynomial(left, text), _polynomial(right, text)
            sign = 1 if isinstance(node.op, ast.Add) else -1
            size = max(len(first), len(second))
            padded = [list(p) + [Fraction(0)] * (size - len(p)) for p in (first, second)]
            return _trimmed([a + sign * b for a, b in zip(*padded, strict=True)], text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _times(_polynomial(left, text), _polynomial(right, text), text)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            divisor = _polynomial(right, text)
            if len(divisor) == 1 and divisor[0] != 0:
                return _times(_polynomial(left, text), (1 / divisor[0],), text)
            raise HilbertSDError(f"{short(text)} divides by {'D' if len(divisor) > 1 else 'zero'}.")
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, exponent = _polynomial(left, text), _polynomial(right, text)
            whole = exponent[0] if len(exponent) == 1 else Fraction(-1)
            if whole.denominator != 1 or not 0 <= whole <= MAX_BITS:
                raise HilbertSDError(
                    f"a power in {short(text)} is not a small whole number; "
                    f"use D^0 to D^{MAX_ORDER}."
                )
            if len(base) == 1:
                return (power(base[0], int(whole), text),)
            _require_order((len(base) - 1) * int(whole), text)
            result: tuple[Fraction, ...] = (Fraction(1),)
            for _ in range(int(whole)):
                result = _times(result, base, text)
            return result
    raise disallowed(node, text, "D, numbers, + - * / and whole powers")


def _require_order(order: int, text: str) -> None:
    if order > MAX_ORDER:
        raise HilbertSDError(
            f"{short(text)} reaches order {order}; orders up to {MAX_ORDER} are supported."
        )


def _trimmed(coefficients: list[Fraction], text: str) -> tuple[Fraction, ...]:
    while len(coefficients) > 1 and coefficients[-1] == 0:
        coefficients.pop()
    return tuple(bounded(c, text) for c in coefficients)


def _times(first: tuple[Fraction, ...], second: tuple[Fraction, ...], text: str):
    _require_order(len(first) + len(second) - 2, text)
    result = [Fraction(0)] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            result[i + j] += a * b
    return _trimmed(result, text)


def _condition(part: str, text: str) -> BoundaryCondition:
    sides = part.split("=")
    if len(sides) != 2:
        raise HilbertSDError(
            f"{short(part.strip())} is not one equation; write conditions as f(0)=0, f'(1)=0."
        )
    form = dict(_linear(syntax_tree(sides[0], "boundary condition"), text))
    for key, value in _linear(syntax_tree(sides[1], "boundary condition"), text).items():
        form[key] = form.get(key, Fraction(0)) - value
    form = {key: value for key, value in form.items() if value}
    if None in form:
        raise HilbertSDError(
            f"{short(part.strip())} is not homogeneous; only conditions of the form … = 0 are "
            "supported: subtract a function that satisfies it."
        )
    if not form:
        raise HilbertSDError(f"{short(part.strip())} is no condition on f.")
    ends = sorted({end for end, _ in form})
    if len(ends) > 1:
        raise HilbertSDError(
            f"{short(part.strip())} ties the points {ends[0]} and {ends[1]} together; each "
            "condition must be at one end (for periodic functions use periodic_spline)."
        )
    order = max(k for _, k in form)
    return BoundaryCondition(
        ends[0], tuple(form.get((ends[0], k), Fraction(0)) for k in range(order + 1))
    )


def _linear(node: ast.expr, text: str) -> dict[Any, Fraction]:
    """Return the linear form {(end, order): coefficient, None: constant}."""
    allowed = "f(0), f'(0), …, numbers, + - * /"
    match node:
        case ast.Constant():
            return {None: constant(node, text)}
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
            found = re.fullmatch(r"f(?:_(\d{1,3}))?", name)
            point = _linear(argument, text)
            if found and set(point) == {None}:
                order = int(found[1] or 0)
                if order >= 2 * MAX_ORDER:
                    _require_order(order, text)
                return {(point[None], order): Fraction(1)}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            return {key: sign * value for key, value in _linear(operand, text).items()}
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _linear(left, text), _linear(right, text)
            if isinstance(op, (ast.Add, ast.Sub)):
                sign = 1 if isinstance(op, ast.Add) else -1
                for key, value in second.items():
                    first[key] = bounded(first.get(key, Fraction(0)) + sign * value, text)
                return first
            if isinstance(op, ast.Mult) and set(first) == {None}:
                first, second = second, first
            if isinstance(op, (ast.Mult, ast.Div)) and set(second) == {None}:
                factor = arithmetic(op, Fraction(1), second[None], text) or Fraction(0)
                return {key: bounded(value * factor, text) for key, value in first.items()}
    raise disallowed(node, text, allowed)
