"""Kernels of the distance between the points, on the line or in any dimension.

The regularisers are those of the whole real line (one dimension), read off the spectral density
S(ω) of the kernel: R(f) = (1/2π) ∫ |f̂(ω)|²/S(ω) dω.
"""

from __future__ import annotations

from numbers import Real

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.closed_form import RadialKernel, safe_sqrt
from hilbertsd.kernels.kernel import positive
from hilbertsd.kernels.points import Array, Namespace

# exp(−t) is 0 long before, in float32 and float64; at t = ∞, t exp(−t) would be NaN.
FARTHEST = 1e3


def _gaussian(xp: Namespace, square: Array, length_scale: float) -> Array:
    return xp.exp(-0.5 * (square / length_scale / length_scale))


def gaussian(length_scale: float = 1.0) -> RadialKernel:
    """Return g(x, s) = exp(−‖x − s‖²/(2ℓ²)), ℓ = `length_scale` in the units of x.

    On the line R(f) = (1/(ℓ√(2π))) Σ_j (ℓ²/2)^j/j! ∫ (D^j f)² dx: every derivative is penalised.

    Raises
    ------
    HilbertSDError
        If the length scale is not finite and positive.

    References
    ----------
    Poggio & Girosi, "Networks for approximation and learning", Proc. IEEE 78, 1990, section IV.

    Examples
    --------
    >>> round(float(gaussian(length_scale=0.5)(0.0, 0.5)), 6)
    0.606531
    """
    scale = positive("length_scale", length_scale)
    return RadialKernel(
        "gaussian",
        (("length_scale", scale),),
        _gaussian,
        "R(f) = (1/(ℓ√(2π))) Σ_j (ℓ²/2)^j/j! ∫ (D^j f)² dx over the line, "
        "L = ℓ⁻¹(2π)^(−1/2) exp(−ℓ²D²/2)",
    )


def _matern_half(xp: Namespace, square: Array, length_scale: float, nu: float = 0.5) -> Array:
    return xp.exp(-safe_sqrt(xp, square) / length_scale)


def _scaled(xp: Namespace, square: Array, factor: float, length_scale: float) -> Array:
    return xp.minimum(factor * (safe_sqrt(xp, square) / length_scale), FARTHEST)


def _matern_three_halves(xp: Namespace, square: Array, length_scale: float, nu: float) -> Array:
    t = _scaled(xp, square, 3**0.5, length_scale)
    return (1 + t) * xp.exp(-t)


def _matern_five_halves(xp: Namespace, square: Array, length_scale: float, nu: float) -> Array:
    t = _scaled(xp, square, 5**0.5, length_scale)
    return (1 + t * (1 + t / 3)) * xp.exp(-t)


_MATERN = {
    0.5: (_matern_half, "R(f) = (1/(2a)) ∫ ((D + a) f)² dx, a = 1/ℓ", "(a² − D²)/(2a)"),
    1.5: (
        _matern_three_halves,
        "R(f) = (1/(4a³)) ∫ ((D + a)² f)² dx, a = √3/ℓ",
        "(a² − D²)²/(4a³)",
    ),
    2.5: (
        _matern_five_halves,
        "R(f) = (3/(16a⁵)) ∫ ((D + a)³ f)² dx, a = √5/ℓ",
        "3(a² − D²)³/(16a⁵)",
    ),
}


def matern(nu: float = 1.5, length_scale: float = 1.0) -> RadialKernel:
    """Return the Matérn kernel of smoothness ν = 1/2, 3/2 or 5/2.

    With t = √(2ν) ‖x − s‖/ℓ: e^{−t}, (1 + t) e^{−t} or (1 + t + t²/3) e^{−t}; ℓ = `length_scale` in
    the units of x. On the line R(f) is a multiple of ∫ ((D + a)^{ν+1/2} f)², a = √(2ν)/ℓ.

    Raises
    ------
    HilbertSDError
        If ν is another number, or the length scale is not finite and positive.

    References
    ----------
    Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, (4.17).

    Examples
    --------
    >>> round(float(matern(1.5, length_scale=1.0)(0.0, 1.0)), 6)
    0.483358
    """
    if not isinstance(nu, Real) or nu not in _MATERN:
        raise HilbertSDError(f"nu = {nu!r} has no closed form here; choose nu = 0.5, 1.5 or 2.5.")
    scale = positive("length_scale", length_scale)
    formula, regularizer, operator = _MATERN[nu]
    return RadialKernel(
        "matern",
        (("nu", float(nu)), ("length_scale", scale)),
        formula,
        f"{regularizer} over the line, L = {operator}",
    )


def laplace(length_scale: float = 1.0) -> RadialKernel:
    """Return g(x, s) = exp(−‖x − s‖/ℓ) with the Euclidean norm: Matérn with ν = 1/2.

    On the line R(f) = (1/(2a)) ∫ ((D + a) f)² dx, a = 1/ℓ; ℓ = `length_scale` in the units of x.

    Raises
    ------
    HilbertSDError
        If the length scale is not finite and positive.

    References
    ----------
    Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, section 4.2.1.

    Examples
    --------
    >>> round(float(laplace(2.0)(0.0, 2.0)), 6)
    0.367879
    """
    scale = positive("length_scale", length_scale)
    return RadialKernel(
        "laplace", (("length_scale", scale),), _matern_half, matern(0.5, scale).regularizer
    )


def _rational_quadratic(xp: Namespace, square: Array, length_scale: float, mixture: float) -> Array:
    # log1p keeps (1 + tiny/mixture)^mixture accurate for large mixtures.
    ratio = square / length_scale / length_scale / (2 * mixture)
    return xp.exp(-mixture * xp.log1p(ratio))


def rational_quadratic(length_scale: float = 1.0, mixture: float = 1.0) -> RadialKernel:
    """Return g(x, s) = (1 + ‖x − s‖²/(2αℓ²))^{−α}, α = `mixture`, ℓ = `length_scale`.

    A mixture of Gaussian kernels over inverse squared length scales drawn from a gamma distribution
    of shape α; α → ∞ gives `gaussian`. Its regulariser has no differential form: it is
    (1/2π) ∫ |f̂|²/S with S the same mixture of Gaussian spectral densities.

    Raises
    ------
    HilbertSDError
        If the length scale or the mixture is not finite and positive.

    References
    ----------
    Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, (4.19).

    Examples
    --------
    >>> float(rational_quadratic(1.0, mixture=0.5)(0.0, 3**0.5))
    0.5
    """
    return RadialKernel(
        "rational_quadratic",
        (
            ("length_scale", positive("length_scale", length_scale)),
            ("mixture", positive("mixture", mixture)),
        ),
        _rational_quadratic,
        "R(f) = (1/2π) ∫ |f̂(ω)|²/S(ω) dω over the line, S the gamma mixture of Gaussian densities",
    )
