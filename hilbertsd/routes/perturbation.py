"""How far rounding moves a chain: its derivative along random perturbations of G.

A backward stable eigensolver returns the exact eigensystem of some G + E. Measured at K = 5 to
700, ‖E‖₂ is 1.4 to 6.6 u·d_max whatever K is, u the unit of rounding, with its energy spread
over the matrix. To first order such an E moves round t by

    δ log c = (uᵀ(c + G)⁻¹E u − uᵀS δy) / uᵀA u,
    δy⁺     = A δy + (c + G)⁻¹E u − A u · δ log c,

with u the residual, S = c(c + G)⁻¹ and A = I − S (the constraint ‖u‖² = Kε differentiated).
The chain carries a few random symmetric E with ‖E‖₂ ≈ 8 u·d_max along, the same E in every
round, which keeps the cancellations that a product of norms would lose: over thirty rounds such
a product overestimated by up to six orders of magnitude, this by one or two.

E may not act within the null space of G: eigenvalues below the threshold are set to exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hilbertsd.recurrence import RoundErrors

PROBES = 16
SEED = 0
DROPPED = 2.0
"""What is known to be missing counts this often: its response is exact to first order."""
BACKWARD_ERROR = 8.0
"""‖E‖₂ of the probes in units of u·d_max."""
SAFETY = 8.0
"""Reported error = SAFETY × root mean square over the probes; see tests/test_accuracy.py."""

FIRST_ORDER = 0.1
"""A relative response above this is no longer first order: the error is reported as inf."""

_UNIT = float(np.finfo(float).eps)


def error_settings(unit: float) -> dict[str, float]:
    """What the error estimates rest on, for the provenance."""
    return {
        "gram_rounding_unit": unit,
        "error_probes": PROBES,
        "error_probe_seed": SEED,
        "error_safety": SAFETY,
    }


class SymmetricProbes:
    """Random symmetric matrices with standard normal entries, known only by their products.

    Each new direction draws the image it needs, conditioned on symmetry with the images drawn
    before, so K × K numbers are never formed.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self._rng, self._size = rng, size
        self._directions = np.empty((0, size))
        self._images = np.empty((0, size, PROBES))

    def apply(self, v: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K P"]:
        """Return E v for every probe, (K, PROBES)."""
        norm = float(np.linalg.norm(v))
        if norm == 0:
            return np.zeros((self._size, PROBES))
        rest, shares = v / norm, np.zeros(len(self._directions))
        for _ in range(2):  # twice is enough
            step = self._directions @ rest
            rest = rest - step @ self._directions
            shares = shares + step
        remainder = float(np.linalg.norm(rest))
        if remainder > math.sqrt(_UNIT):
            new = rest / remainder
            image = _normal(self._rng, (self._size, PROBES))
            # E is symmetric: its images along the directions before are known already
            image -= self._directions.T @ (self._directions @ image)
            image += self._directions.T @ np.einsum("jkp,k->jp", self._images, new)
            self._directions = np.vstack([self._directions, new])
            self._images = np.concatenate([self._images, image[None]])
            shares = np.append(shares, remainder)
        return np.einsum("j,jkp->kp", norm * shares, self._images)


class Resolvent(NamedTuple):
    """(c + G)⁻¹ and G (c + G)⁻¹ as they act on columns, in the coordinates of a route."""

    c: float
    resolve: Callable[[np.ndarray], np.ndarray]
    keep: Callable[[np.ndarray], np.ndarray]


class PerturbedChain:
    """The first-order response of a chain to rounding, in coordinates in which G is real.

    Parameters
    ----------
    coordinates
        (K, Q) coordinates of y_0; the Q columns share their multiplier.
    rounding
        u·d_max, u the unit of rounding of the entries of G.
    null
        (K,) coordinates on which G vanishes, if it is diagonal and that is known.
    dropped
        (K,) a known diagonal that G lacks, the same for every probe.
    """

    def __init__(
        self,
        coordinates: Float[np.ndarray, "K Q"],
        rounding: float,
        null: np.ndarray | None = None,
        dropped: np.ndarray | None = None,
    ) -> None:
        points = len(coordinates)
        self._rng = np.random.default_rng(SEED)
        self._probes = SymmetricProbes(points, self._rng)
        # ‖E‖₂ of a symmetric matrix with independent entries of size σ is 2σ√K
        self._scale = BACKWARD_ERROR * rounding / 2 / math.sqrt(points)
        self._null = np.zeros(points, dtype=bool) if null is None else null
        self._dropped = np.zeros(points) if dropped is None else DROPPED / SAFETY * dropped
        # Coordinates carry the rounding of a product, and that the eigenvectors are orthogonal
        # to a few units only.
        spread = 2 * np.linalg.norm(coordinates, axis=0) / math.sqrt(points)
        self._moved = self._noise(np.abs(coordinates) + spread)

    def _noise(self, size: np.ndarray) -> np.ndarray:
        return _UNIT * size[..., None] * _normal(self._rng, (*size.shape, PROBES))

    def _perturbation(self, residual: np.ndarray) -> np.ndarray:
        inside = np.where(self._null, 0.0, residual)
        moved = self._probes.apply(inside)
        if self._null.any():
            outside = self._probes.apply(residual - inside)
            outside[self._null] = 0
            moved += outside
        return self._scale * moved + (self._dropped * residual)[:, None]

    def advance(
        self,
        at: Resolvent,
        residual: Float[np.ndarray, "K Q"],
        labels: Float[np.ndarray, "K Q"],
        solve_error: Float[np.ndarray, "K Q"] | None = None,
    ) -> RoundErrors:
        """Follow one round.

        Parameters
        ----------
        residual, labels
            (K, Q) coordinates of u = y_t − y_{t+1} and of y_{t+1}.
        solve_error
            (K, Q) size of ΔG u, G + ΔG being what one solve at c has truly solved, where ΔG is
            another in every solve: then c and the labels see different ones, which do not cancel.
        """
        size, outputs = residual.shape
        kept = at.keep(residual)
        pushed = np.concatenate([self._perturbation(column) for column in residual.T], axis=1)
        shifted = at.resolve(pushed).reshape(size, outputs, PROBES)
        fresh = np.zeros_like(shifted)
        if solve_error is not None:
            pushed = solve_error[..., None] * _normal(self._rng, (*solve_error.shape, PROBES))
            fresh = at.resolve(pushed.reshape(size, -1)).reshape(shifted.shape)
        log_c = (
            np.einsum("kq,kqp->p", residual, shifted + fresh)
            - np.einsum("kq,kqp->p", residual - kept, self._moved)
            # the last bit of ε and of the root
            + _UNIT * np.sum(residual**2) * self._rng.standard_normal(PROBES)
        ) / np.sum(kept * residual)
        self._moved = (
            at.keep(self._moved.reshape(size, -1)).reshape(size, outputs, PROBES)
            + shifted
            - np.roll(fresh, 1, axis=-1)  # one solve for the multiplier, another for the labels
            - kept[..., None] * log_c
            + self._noise(np.abs(labels))
        )
        return round_errors(
            log_c,
            np.linalg.norm(self._moved, axis=0),
            np.einsum("kq,kqp->p", labels, self._moved),
            np.linalg.norm(labels, axis=0),
        )


def round_errors(
    log_c: Float[np.ndarray, "P"],
    moved: Float[np.ndarray, "Q P"],
    radial: Float[np.ndarray, "P"],
    norms: Float[np.ndarray, "Q"],
) -> RoundErrors:
    """State the errors of a round from P random samples of what rounding does to it.

    Parameters
    ----------
    log_c, moved, radial
        By how much log c moves, the columns of y_{t+1} in norm, and ‖y_{t+1}‖²/2.
    norms
        Norms of the columns of y_{t+1}.
    """
    power = np.sum(norms**2)
    return RoundErrors(
        multiplier=float(_stated(_rms(log_c))),
        labels=_stated(_relative(_rms(moved), norms)),
        # not cut to inf: r_t decides on collapse, and a small r_t may be badly known
        label_norm=max(float(_relative(_rms(radial), power)), SAFETY * _UNIT),
    )


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw in single precision, which is faster and more than a random direction needs."""
    return rng.standard_normal(shape, dtype=np.float32).astype(np.float64)


def _stated(estimate: np.ndarray | np.floating) -> np.ndarray:
    """At least the rounding of the number itself; beyond first order, no digit is claimed."""
    return np.where(estimate <= FIRST_ORDER, np.maximum(estimate, SAFETY * _UNIT), np.inf)


def _rms(values: np.ndarray) -> np.ndarray | np.floating:
    return SAFETY * np.sqrt(np.mean(values**2, axis=-1))


def _relative(error: np.ndarray | np.floating, size: np.ndarray | np.floating) -> np.ndarray:
    """Divide, with 0/0 = 0: labels that are exactly zero stay so."""
    ratio = np.full(np.shape(size), np.inf)
    np.divide(error, size, out=ratio, where=size > 0)
    return np.where((size == 0) & (error == 0), 0.0, ratio)
