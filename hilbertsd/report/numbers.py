"""Numbers in a few characters, for tables that a person reads."""

from __future__ import annotations

import re

import numpy as np


def short(value: float, spec: str = ".4g") -> str:
    """Format a number, with an exponent as short as it can be.

    Examples
    --------
    >>> short(2.7053e-6, ".4e"), short(9.261e11), short(4471)
    ('2.7053e-6', '9.261e11', '4471')
    """
    return re.sub(r"e([-+])0*(\d+)$", lambda e: f"e{e[1].strip('+')}{e[2]}", f"{value:{spec}}")


def span(values: np.ndarray, digits: int = 4) -> str:
    """The one value, or the least and the greatest where four digits tell them apart.

    Examples
    --------
    >>> span(np.array([2.0])), span(np.array([3.0, 1.5])), span(np.array([3.16227, 3.16228]))
    ('2', '1.5 to 3', '3.162')
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return short(low, f".{digits}g")
    ends = dict.fromkeys((short(low), short(high)))
    return " to ".join(ends)


def slack_text(value: float) -> str:
    """Two digits; equality within 1e-12 as 0, nothing found as a dash.

    Examples
    --------
    >>> slack_text(3e-31), slack_text(0.0123), slack_text(float("inf"))
    ('0', '0.012', '–')
    """
    if not np.isfinite(value):
        return "–"
    if abs(value) < 1e-12:
        return "0"
    if 1e-2 <= abs(value) < 1000:
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"
    return short(value, ".1e").replace(".0e", "e")


def number_text(value: float | None) -> str:
    """Three significant digits in at most eight characters; nothing for what does not exist.

    Examples
    --------
    >>> number_text(0.000123456), number_text(8868.4), number_text(float("inf"))
    ('1.2e-4', '8868', '')
    """
    if value is None or not np.isfinite(value):
        return ""
    value = float(f"{value:.3g}") if abs(value) < 1000 else value
    if value == 0:
        return "0"
    if 1e-2 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return short(value, ".1e")


def percent(share: float | None) -> str:
    """Whole per cent, rounded down; nothing for what does not exist.

    Examples
    --------
    >>> percent(0.999), percent(0.003), percent(None)
    ('99%', '<1%', '')
    """
    if share is None:
        return ""
    return f"{np.floor(100 * share):.0f}%" if share == 0 or share >= 0.01 else "<1%"
