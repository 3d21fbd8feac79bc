"""The kernel that a person asks for in words; texts are parsed, never evaluated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels import GreensFunction, Kernel, gaussian, greens, parse_kernel

MEDIAN_POINTS = 1000
"""The median distance is taken over at most so many evenly spaced points."""


def kernel_from_text(
    kernel: str | None,
    operators: Sequence[str] = (),
    boundary: str | None = None,
    interval: str | None = None,
) -> Kernel | None:
    """Return the kernel that the texts ask for, None if they ask for none.

    Parameters
    ----------
    kernel
        A kernel by name, see :func:`hilbertsd.kernels.parse_kernel`.
    operators
        Polynomials in D, each alone or after its weight and a colon, to derive a Green's function.
    boundary, interval
        Conditions at the ends, and the ends themselves; ``"0,1"`` without.

    Examples
    --------
    >>> kernel_from_text("matern(1.5, 0.3)")
    matern(nu=1.5, length_scale=0.3)
    """
    if not operators:
        if boundary is not None or interval is not None:
            raise HilbertSDError("--boundary and --interval describe an --operator; give one")
        return None if kernel is None else parse_kernel(kernel)
    if kernel is not None:
        raise HilbertSDError("give --kernel or --operator, not both")
    weights, polynomials = [], []
    for text in operators:
        weight, colon, polynomial = text.rpartition(":")
        weights.append(_number("the weight of an operator", weight) if colon else 1)
        polynomials.append(polynomial.strip())
    ends = (interval or "0,1").split(",")
    if len(ends) != 2:
        raise HilbertSDError(f"--interval takes two numbers A,B, got {interval!r}")
    lower, upper = (_number("an end of the interval", end) for end in ends)
    return greens(polynomials, weights, interval=(lower, upper), boundary=boundary or "")


def lives_on_interval(kernel: Kernel | None) -> bool:
    """Whether a kernel, or a part of it, is defined on an interval only.

    Examples
    --------
    >>> lives_on_interval(kernel_from_text("2 * cubic_spline"))
    True
    """
    if kernel is None:
        return False
    if kernel.domain is not None:
        return True
    inner = [*getattr(kernel, "parts", ()), getattr(kernel, "kernel", None)]
    return any(lives_on_interval(part) for part in inner)


def require_domain(kernel: Kernel, x: np.ndarray) -> None:
    """Refuse a single feature that leaves the kernel's interval, with the text that repairs it."""
    if kernel.domain is None or x.shape[1] != 1:
        return
    (lower, upper), low, high = kernel.domain, x.min(), x.max()
    if low < lower or high > upper:
        start, stop = _outward(float(low), float(high))
        if isinstance(kernel, GreensFunction):
            raise HilbertSDError(
                f"the feature runs from {low:.6g} to {high:.6g}, outside the interval [{lower:g}, "
                f"{upper:g}] of the Green's function; say --interval={start!r},{stop!r} and put "
                "the --boundary at its ends"
            )
        inner = f"({kernel!r})" if "+" in repr(kernel) or "*" in repr(kernel) else repr(kernel)
        raise HilbertSDError(
            f"the feature runs from {low:.6g} to {high:.6g}, outside the interval [{lower:g}, "
            f"{upper:g}] of {kernel!r}; to stretch the kernel over it, say "
            f"--kernel '{inner}.rescaled({start!r}, {stop!r})'"
        )


def median_gaussian(x: np.ndarray) -> tuple[Kernel, str]:
    """Return the Gaussian whose length scale is the median distance, and words that say so.

    The median is over the distances that are not zero, rounded to three digits, so that the
    kernel that is printed is the kernel that was used.

    Examples
    --------
    >>> median_gaussian(np.array([[0.0], [1.0], [3.0]]))
    (gaussian(length_scale=2.0), 'median distance')
    """
    from scipy.spatial.distance import pdist

    if len(x) < 2:
        raise HilbertSDError("a median distance takes at least two points; name a --kernel")
    rows = np.linspace(0, len(x) - 1, min(len(x), MEDIAN_POINTS)).round().astype(int)
    distances = pdist(x[rows])
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise HilbertSDError(
            "all points coincide, so there is no median distance to choose a length scale by; "
            "name a --kernel"
        )
    thinned = f" over {MEDIAN_POINTS} of the points" if len(x) > MEDIAN_POINTS else ""
    return gaussian(float(f"{np.median(distances):.3g}")), f"median distance{thinned}"


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HilbertSDError(f"{what} must be a number, got {text!r}")
    return number


def _outward(low: float, high: float) -> tuple[float, float]:
    """Return ends around low ≤ high, rounded to a tenth of their distance's power of ten.

    Ends at the outermost data would pin a function that is zero there to them.

    Examples
    --------
    >>> _outward(0.02738500170148095, 9.97209935789211)
    (0.0, 10.0)
    """
    exponent = math.floor(math.log10(high - low or abs(low) or 1.0)) - 1
    step = 10.0**exponent
    start, stop = math.floor(low / step), math.ceil(high / step)
    start -= float(f"{start}e{exponent}") > low  # the division rounds
    stop += float(f"{stop}e{exponent}") < high
    return float(f"{start}e{exponent}"), float(f"{stop}e{exponent}")
