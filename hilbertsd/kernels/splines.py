"""Green's functions of differential operators on [0, 1], in closed form.

Those with conditions at the ends are written as sums of terms of one sign in the ordered points
(low, high), so that nothing cancels and the values keep their relative accuracy up to the ends of
the interval; the same functions come out of `hilbertsd.kernels.greens`. `periodic_spline` changes
sign: it is accurate relative to g(0, 0), not to a value near one of its zeros, and `greens`, whose
conditions are each at one end, does not derive it.
"""

from __future__ import annotations

from numbers import Real

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.closed_form import LineKernel
from hilbertsd.kernels.points import Array, Namespace

UNIT_INTERVAL = (0.0, 1.0)


def _on_unit_interval(name, formula, regularizer, parameters=()) -> LineKernel:
    return LineKernel(name, parameters, formula, regularizer, UNIT_INTERVAL, 1)


def _cubic_spline(xp: Namespace, low: Array, high: Array) -> Array:
    rest = 1 - high
    return low * rest * (2 * high * rest + (high - low) * (high + low)) / 6


def cubic_spline() -> LineKernel:
    """Return the Green's function of D⁴ on [0, 1] with simply supported ends.

    g(x, s) = (1/6) max(x − s, 0)³ − (1/6) x (1 − s)(x² − 2s + s²), the kernel of
    R(f) = ∫ f″² with f(0) = f(1) = f″(0) = f″(1) = 0. It vanishes at both ends.

    References
    ----------
    Mobahi, Farajtabar & Bartlett, NeurIPS 2020, (59).

    Examples
    --------
    >>> float(cubic_spline()(0.5, 0.5) * 48)
    1.0
    """
    return _on_unit_interval(
        "cubic_spline",
        _cubic_spline,
        "R(f) = ∫ f''(x)² dx, f(0)=f(1)=f''(0)=f''(1)=0, L = D⁴",
    )


def _clamped_beam(xp: Namespace, low: Array, high: Array) -> Array:
    reach = low * (1 - high)
    return reach * reach * ((high - low) + 2 * high * (1 - low)) / 6


def clamped_beam() -> LineKernel:
    """Return the Green's function of D⁴ on [0, 1] with both ends clamped.

    g(x, s) = (1/6) x² (1 − s)² (3s − x − 2xs) for x ≤ s, the kernel of R(f) = ∫ f″² with
    f(0) = f'(0) = f(1) = f'(1) = 0.

    References
    ----------
    Stakgold & Holst, "Green's Functions and Boundary Value Problems", 3rd ed. 2011, chapter 3.

    Examples
    --------
    >>> float(clamped_beam()(0.5, 0.5) * 192)
    1.0
    """
    return _on_unit_interval(
        "clamped_beam",
        _clamped_beam,
        "R(f) = ∫ f''(x)² dx, f(0)=f'(0)=f(1)=f'(1)=0, L = D⁴",
    )


def _cantilever_beam(xp: Namespace, low: Array, high: Array) -> Array:
    return low * low * ((high - low) + 2 * high) / 6


def cantilever_beam() -> LineKernel:
    """Return the Green's function of D⁴ on [0, 1], clamped at 0 and free at 1.

    g(x, s) = (1/6) x² (3s − x) for x ≤ s, the kernel of R(f) = ∫ f″² with f(0) = f'(0) = 0 and the
    natural conditions f″(1) = f‴(1) = 0. As a covariance it is `integrated_brownian_motion`.

    References
    ----------
    Wahba, "Spline Models for Observational Data", SIAM 1990, section 1.2.

    Examples
    --------
    >>> float(cantilever_beam()(1.0, 1.0) * 3)
    1.0
    """
    return _on_unit_interval(
        "cantilever_beam",
        _cantilever_beam,
        "R(f) = ∫ f''(x)² dx, f(0)=f'(0)=f''(1)=f'''(1)=0, L = D⁴",
    )


def integrated_brownian_motion() -> LineKernel:
    """Return the covariance of the integral of Brownian motion on [0, 1].

    g(x, s) = ∫ (x − u)₊ (s − u)₊ du = (1/6) x² (3s − x) for x ≤ s: the same Green's function as
    `cantilever_beam`, R(f) = ∫ f″² with f(0) = f'(0) = 0 and f″(1) = f‴(1) = 0.

    References
    ----------
    Wahba, "Spline Models for Observational Data", SIAM 1990, section 1.2.

    Examples
    --------
    >>> float(integrated_brownian_motion()(0.5, 1.0) * 48)
    5.0
    """
    return _on_unit_interval(
        "integrated_brownian_motion", _cantilever_beam, cantilever_beam().regularizer
    )


def _brownian_motion(xp: Namespace, low: Array, high: Array) -> Array:
    return low + 0 * high  # keeps the shape and a NaN from either point


def brownian_motion() -> LineKernel:
    """Return min(x, s) on [0, 1], the Green's function of −D² free at 1.

    The kernel of R(f) = ∫ f'² with f(0) = 0 and the natural condition f'(1) = 0; the covariance of
    Brownian motion.

    References
    ----------
    Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, appendix B.

    Examples
    --------
    >>> brownian_motion().matrix([0.25, 0.5], [0.25, 0.5])
    array([[0.25, 0.25],
           [0.25, 0.5 ]])
    """
    return _on_unit_interval(
        "brownian_motion", _brownian_motion, "R(f) = ∫ f'(x)² dx, f(0)=f'(1)=0, L = −D²"
    )


def _brownian_bridge(xp: Namespace, low: Array, high: Array) -> Array:
    return low * (1 - high)


def brownian_bridge() -> LineKernel:
    """Return min(x, s)(1 − max(x, s)) on [0, 1], the Green's function of −D² fixed at both ends.

    The kernel of R(f) = ∫ f'² with f(0) = f(1) = 0; the covariance of the Brownian bridge.

    References
    ----------
    Stakgold & Holst, "Green's Functions and Boundary Value Problems", 3rd ed. 2011, chapter 1.

    Examples
    --------
    >>> float(brownian_bridge()(0.25, 0.5))
    0.125
    """
    return _on_unit_interval(
        "brownian_bridge", _brownian_bridge, "R(f) = ∫ f'(x)² dx, f(0)=f(1)=0, L = −D²"
    )


def _periodic_spline(xp: Namespace, low: Array, high: Array, order: int) -> Array:
    gap = high - low
    p = gap * (1 - gap)  # the Bernoulli polynomials of even degree are polynomials in p
    if order == 1:
        return (1 / 6 - p) / 2
    if order == 2:
        return (1 / 30 - p * p) / 24
    return (1 / 42 - p * p * (0.5 + p)) / 720


_PERIODIC = {1: ("f'", "−D²"), 2: ("f''", "D⁴"), 3: ("f'''", "−D⁶")}


def periodic_spline(order: int = 2) -> LineKernel:
    """Return the kernel of ∫ (f^(m))² over periodic functions of mean zero on [0, 1].

    g(x, s) = (−1)^{m−1} B_{2m}(|x − s|)/(2m)! = Σ_{k≥1} 2 cos(2πk(x − s))/(2πk)^{2m}, with m =
    `order` and B the Bernoulli polynomials. The constants, on which R vanishes, are not in the
    space: every function of it has mean zero. Values are good to a few times 1e-16 of g(0, 0).

    Raises
    ------
    HilbertSDError
        If the order is not 1, 2 or 3.

    References
    ----------
    Wahba, "Spline Models for Observational Data", SIAM 1990, section 2.1.

    Examples
    --------
    >>> round(float(periodic_spline(1)(0.25, 0.25) * 12), 12)
    1.0
    """
    if not isinstance(order, Real) or order not in _PERIODIC:
        raise HilbertSDError(f"order = {order!r} is not available; choose order 1, 2 or 3.")
    derivative, operator = _PERIODIC[order]
    return _on_unit_interval(
        "periodic_spline",
        _periodic_spline,
        f"R(f) = ∫ {derivative}(x)² dx, f periodic with ∫ f dx = 0, L = {operator}",
        (("order", int(order)),),
    )
