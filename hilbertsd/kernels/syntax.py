"""Untrusted text as a bounded syntax tree, and the numbers in it exactly.

Length, depth and the size of numbers are bounded before anything is computed; nothing of the text
is ever executed.
"""

from __future__ import annotations

import ast
import math
import warnings
from fractions import Fraction
from typing import Any

from hilbertsd.errors import HilbertSDError

MAX_LENGTH = 1000
MAX_DEPTH = 100
MAX_BITS = 256  # of numerators and denominators


def exact(value: Any) -> Fraction | None:
    """Return an int, a fraction or a float as a Fraction (0.1 as 1/10), None for anything else.

    Examples
    --------
    >>> exact(0.1)
    Fraction(1, 10)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):  # NumPy's float64 is one too
        return Fraction(repr(float(value))) if math.isfinite(value) else None
    if isinstance(value, (int, Fraction)):
        return Fraction(value)
    if hasattr(value, "__index__"):
        return Fraction(value.__index__())
    return None


def short(text: Any) -> str:
    """Return the text quoted and cut to 80 characters, for messages."""
    shown = repr(text)
    return shown if len(shown) <= 80 else shown[:60] + "…" + shown[-10:]


def cut(text: str) -> str:
    """Return a formula cut to 60 characters, for messages."""
    return text if len(text) <= 60 else text[:50].rstrip() + " …"


def require_text(text: Any, what: str) -> None:
    """Raise HilbertSDError unless this is a string of acceptable length."""
    if not isinstance(text, str):
        raise HilbertSDError(f"{short(text)} is not text; pass the {what} as a string.")
    if len(text) > MAX_LENGTH:
        raise HilbertSDError(
            f"the text of the {what} has {len(text)} characters; at most {MAX_LENGTH} are read."
        )


def syntax_tree(text: Any, what: str) -> ast.expr:
    """Return the tree of one expression, at most MAX_DEPTH levels deep, or raise HilbertSDError."""
    require_text(text, what)
    if not text.strip():
        raise HilbertSDError(f"the text of the {what} is empty.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns about literals such as 0or 1
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, Warning) as problem:
        reason = problem.msg if isinstance(problem, SyntaxError) else problem
        raise HilbertSDError(f"{short(text)} is not an expression: {reason}.") from None
    except (RecursionError, MemoryError):
        raise HilbertSDError(f"{short(text)} is nested too deeply to be read.") from None
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise HilbertSDError(f"{short(text)} is nested deeper than {MAX_DEPTH} levels; simplify it.")


def disallowed(node: ast.AST, text: str, allowed: str) -> HilbertSDError:
    """Return the error for a piece of syntax outside the allowed ones."""
    kind = type(getattr(node, "op", node)).__name__
    return HilbertSDError(f"{kind} is not allowed in {short(text)}; use {allowed}.")


# --- numbers, exactly


def bounded(number: Fraction, text: str) -> Fraction:
    """Return the number, or raise HilbertSDError if it takes more than MAX_BITS bits."""
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise HilbertSDError(f"{short(text)} holds a number too large or too fine to be meant.")
    return number


def constant(node: ast.Constant, text: str) -> Fraction:
    """Return the exact value of a literal, or raise HilbertSDError if it is no real number."""
    number = exact(node.value)
    if number is None:
        raise HilbertSDError(f"{node.value!r} in {short(text)} is not a finite real number.")
    return bounded(number, text)


def power(base: Fraction, exponent: int, text: str) -> Fraction:
    """Return base^exponent, refusing before the computation what would grow too large."""
    bits = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if abs(exponent) > MAX_BITS or bits * abs(exponent) > 2 * MAX_BITS:
        raise HilbertSDError(f"{short(text)} holds a power too large to be meant.")
    if base == 0 and exponent < 0:
        raise HilbertSDError(f"{short(text)} divides by zero.")
    return bounded(base**exponent, text)


def arithmetic(op: ast.operator, left: Fraction, right: Fraction, text: str) -> Fraction | None:
    """Return the result of + - * / or a whole power of two numbers, None for other operations."""
    if isinstance(op, ast.Add):
        return bounded(left + right, text)
    if isinstance(op, ast.Sub):
        return bounded(left - right, text)
    if isinstance(op, ast.Mult):
        return bounded(left * right, text)
    if isinstance(op, ast.Div):
        if right == 0:
            raise HilbertSDError(f"{short(text)} divides by zero.")
        return bounded(left / right, text)
    if isinstance(op, ast.Pow) and right.denominator == 1:
        return power(left, int(right), text)
    return None
