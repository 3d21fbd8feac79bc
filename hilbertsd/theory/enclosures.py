"""Enclosures of a spectrum and of a chain, by eigenvectors in ball arithmetic.

Approximate eigenvectors Q of G at the working precision give M = Q⁻¹GQ in balls, a matrix with
exactly the eigenvalues of G; Gershgorin's discs of M enclose them. How many distinct eigenvalues
there are (the degree of the minimal polynomial) and how many zeros (the rank) is known exactly
from rational arithmetic, so precision rises until the discs fall into that many groups. Then each
group holds one eigenvalue, as often as it has discs: repeated eigenvalues and zeros are exact.

A chain sees the labels through the weights W_j = ‖P_j y‖² of the eigenspaces alone, summed over
the outputs where they share a multiplier. For an
orthonormal basis V of approximate eigenvectors with ρ_i = ‖(G − d_j) v_i‖ and a gap g to the rest
of the spectrum, ‖(I − P_j) v_i‖ <= ρ_i/g, so ‖P_j − VVᵀ‖ <= √(Σρ_i²)/g (Davis & Kahan 1970, the
sin Θ theorem), hence |‖P_j y‖ − ‖Vᵀy‖| <= ‖y‖ √(Σρ_i²)/g.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.balls import flint
from hilbertsd.theory.certificate import RADIUS, Enclosure, Outcome

UNIT = float(np.finfo(float).eps)


class MorePrecision(ArithmeticError):
    """The working precision does not suffice for what is asked."""


class IndefiniteGramError(HilbertSDError):
    """A Gram matrix that has, exactly, a negative eigenvalue."""


class ExactProblem:
    """A problem as flint has it, with what rational arithmetic decides about it.

    Attributes
    ----------
    gram, labels
        ``fmpq_mat`` G and Y, one output a column.
    size, rank, distinct
        K, the rank of G and the number of its distinct eigenvalues.
    powers, floors
        ‖y‖² and ε_floor of each output as ``fmpq``.
    """

    def __init__(self, matrix: np.ndarray, labels: np.ndarray) -> None:
        self.size, outputs = labels.shape
        self.gram = flint.fmpq_mat(self.size, self.size, [_fmpq(v) for v in matrix.ravel()])
        self.labels = flint.fmpq_mat(self.size, outputs, [_fmpq(v) for v in labels.ravel()])
        self.rank = self.gram.rank()
        self.distinct = self.gram.minpoly().degree()
        self.powers = _diagonal(self.labels.transpose() * self.labels)
        self.floors = [power / self.size for power in self._null_powers()]

    def _null_powers(self) -> list[flint.fmpq]:
        """‖y − Py‖² of each output, from an exact basis of the null space."""
        size, rank = self.size, self.rank
        if rank == size:
            return [flint.fmpq(0)] * len(self.powers)
        reduced, _ = self.gram.rref()
        pivots = []
        for i in range(rank):
            start = pivots[-1] + 1 if pivots else 0
            pivots.append(next(j for j in range(start, size) if reduced[i, j] != 0))
        free = [j for j in range(size) if j not in set(pivots)]
        basis = flint.fmpq_mat(size, len(free))
        for k, j in enumerate(free):
            basis[j, k] = 1
            for i, pivot in enumerate(pivots):
                basis[pivot, k] = -reduced[i, j]
        projected = basis.transpose() * self.labels
        coefficients = (basis.transpose() * basis).solve(projected)
        return _diagonal(projected.transpose() * coefficients)


def _diagonal(matrix: Any) -> list[Any]:
    return [matrix[q, q] for q in range(matrix.nrows())]


def _total(values: Iterable[flint.arb]) -> flint.arb:
    return sum(values, flint.arb(0))


def _fmpq(value: Fraction) -> flint.fmpq:
    return flint.fmpq(value.numerator, value.denominator)


@dataclass(frozen=True)
class SpectralBalls:
    """The distinct positive eigenvalues of G, ascending, and what of Y lies in their spaces."""

    eigenvalues: list[flint.arb]
    multiplicities: list[int]
    weights: list[list[flint.arb]]
    """One list an output."""


def spectrum(problem: ExactProblem) -> SpectralBalls:
    """Enclose the spectrum at the working precision.

    Raises
    ------
    MorePrecision
        If the eigenvalues are not yet told apart.
    IndefiniteGramError
        If an eigenvalue is negative, which is then proved.
    """
    gram = flint.arb_mat(problem.gram)
    _, vectors = flint.acb_mat(gram).eig(right=True, algorithm="approx")
    columns = _real_basis(vectors)
    basis = flint.arb_mat(
        problem.size, problem.size, [v for row in zip(*columns, strict=True) for v in row]
    )
    try:
        similar = basis.solve(gram * basis)
    except ZeroDivisionError:
        raise MorePrecision from None
    clusters = _clusters(similar.tolist())
    if len(clusters) != problem.distinct:
        raise MorePrecision
    nullity = problem.size - problem.rank
    eigenvalues, multiplicities, weights = [], [], []
    labels = flint.arb_mat(problem.labels)
    for k, (ball, members) in enumerate(clusters):
        if ball < 0:
            raise _indefinite(problem, ball, clusters[-1][0])
        if ball.contains(0):
            if nullity != len(members):
                raise MorePrecision
            continue
        gap = _gap(ball, [other for i, (other, _) in enumerate(clusters) if i != k])
        eigenvalues.append(ball)
        multiplicities.append(len(members))
        weights.append(_weights(gram, labels, ball, [columns[i] for i in members], gap))
    if sum(multiplicities) != problem.rank:
        raise MorePrecision
    outputs = range(problem.labels.ncols())
    return SpectralBalls(eigenvalues, multiplicities, [[w[q] for w in weights] for q in outputs])


def _indefinite(
    problem: ExactProblem, smallest: flint.arb, largest: flint.arb
) -> IndefiniteGramError:
    """What to do about a negative eigenvalue: of the size of rounding, or more."""
    least = float(smallest.mid())
    rounding = problem.size * UNIT * abs(float(largest.mid()))
    fact = (
        "G, taken as the exact rationals its numbers are, is not positive semidefinite: its "
        f"smallest eigenvalue is {least:.6g}, of exact rank {problem.rank} of {problem.size}. "
    )
    if -least > rounding:
        return IndefiniteGramError(
            f"{fact}That is beyond rounding, K·2.2e-16·d_max = {rounding:.1g}: check that the "
            "kernel is positive definite and that G holds its values over K"
        )
    mantissa, exponent = f"{rounding - least:.0e}".split("e")
    lift = f"{int(mantissa) + 1}e{int(exponent)}"
    return IndefiniteGramError(
        f"{fact}Rounding does that to Gram matrices that should be singular. If the kernel is a "
        "rational function (splines, Brownian motion and bridge, polynomials), take "
        "certify(kernel, x, y, eps, rounds), which builds the Gram matrix in rationals. Any "
        f"other: certify(G + {lift} * np.eye({problem.size}), y, eps, rounds), which is a problem "
        "within rounding of this one and has no null space"
    )


def _real_basis(vectors: flint.acb_mat) -> list[list[flint.arb]]:
    """Orthonormalise the real parts of approximate eigenvectors, without error bounds."""
    rows = [[entry.real.mid() for entry in row] for row in vectors.transpose().tolist()]
    found: list[np.ndarray] = []
    for row in rows:
        v = np.array(row, dtype=object)
        for _ in range(2):
            for u in found:
                v = _middle(v - (u @ v) * u)
        norm = _total(entry * entry for entry in v).sqrt()
        if not norm > 0:
            raise MorePrecision
        found.append(_middle(v / norm))
    return [list(v) for v in found]


def _middle(vector: np.ndarray) -> np.ndarray:
    return np.array([entry.mid() for entry in vector], dtype=object)


def _clusters(matrix: list[list[flint.arb]]) -> list[tuple[flint.arb, list[int]]]:
    """Group overlapping Gershgorin discs: the real balls that hold them, ascending."""
    discs = []
    for i, row in enumerate(matrix):
        radius = _total(abs(v) for j, v in enumerate(row) if j != i)
        discs.append((row[i] + flint.arb(0, radius.abs_upper()), i))
    discs.sort(key=lambda disc: disc[0].lower().mid())
    groups: list[tuple[flint.arb, list[int]]] = []
    for ball, i in discs:
        if groups and not groups[-1][0] < ball:
            union, members = groups[-1]
            groups[-1] = (union.union(ball), [*members, i])
        else:
            groups.append((ball, [i]))
    return groups


def _gap(ball: flint.arb, others: list[flint.arb]) -> flint.arb | None:
    """A lower bound of the distance to the other eigenvalues; None if there are none."""
    distances = [abs(ball - other).abs_lower() for other in others]
    return min(distances) if distances else None


def _weights(
    gram: flint.arb_mat,
    labels: flint.arb_mat,
    value: flint.arb,
    columns: list[list[flint.arb]],
    gap: flint.arb | None,
) -> list[flint.arb]:
    """‖P y‖² of each output for the eigenspace of an eigenvalue, which the columns approximate."""
    powers = _diagonal(labels.transpose() * labels)
    if gap is None:  # one eigenvalue only: P is the identity
        return powers
    size = len(columns[0])
    basis: list[flint.arb_mat] = []
    squares, seen = flint.arb(0), [flint.arb(0) for _ in powers]
    for column in columns:
        v = flint.arb_mat(size, 1, column)
        for u in basis:
            v = v - u * (u.transpose() * v)[0, 0]
        v = v / (v.transpose() * v)[0, 0].sqrt()
        residual = gram * v - v * value
        squares += (residual.transpose() * residual)[0, 0].abs_upper()
        coefficients = (labels.transpose() * v).entries()
        seen = [s + c * c for s, c in zip(seen, coefficients, strict=True)]
        basis.append(v)
    sine = squares.abs_upper().sqrt() / gap
    if not sine < 1:
        raise MorePrecision
    found = []
    for square, power in zip(seen, powers, strict=True):
        slack = (sine * power.sqrt()).abs_upper()
        norm = (square.nonnegative_part().sqrt() + flint.arb(0, slack)).nonnegative_part()
        found.append(norm * norm)
    return found


@dataclass(frozen=True)
class ChainBalls:
    """The rounds of one chain; see :class:`~hilbertsd.theory.certificate.CertifiedChain`."""

    multipliers: list[flint.arb]
    label_ratios: list[flint.arb]
    basis_weights: list[list[flint.arb]]
    outcome: Outcome


def chain(
    problem: ExactProblem,
    seen: SpectralBalls,
    outputs: Sequence[int],
    tolerances: Sequence[Fraction],
) -> ChainBalls:
    """Enclose the rounds, until collapse or the end is proved or r_t cannot be told from 1.

    The outputs share their multipliers; there is a tolerance for each fit.
    """
    d = seen.eigenvalues
    kept = [flint.arb(1) for _ in d]
    weights = [_total(column) for column in zip(*(seen.weights[q] for q in outputs), strict=True)]
    squares = weights
    power = sum((problem.powers[q] for q in outputs), flint.fmpq(0))
    floor = sum((problem.floors[q] for q in outputs), flint.fmpq(0))
    allowed = [problem.size * _fmpq(eps) for eps in tolerances]
    c: list[flint.arb] = []
    ratios, rows = [(flint.arb(power) / allowed[0]).sqrt()], []
    if power <= allowed[0]:
        return ChainBalls(c, ratios, rows, "collapsed")
    target = allowed[0] - problem.size * floor
    for following in [*allowed[1:], allowed[-1]]:
        multiplier = _multiplier(d, squares, flint.arb(target))
        shrink = [v / (multiplier + v) for v in d]
        kept = [k * a for k, a in zip(kept, shrink, strict=True)]
        squares = [w * k * k for w, k in zip(weights, kept, strict=True)]
        target = following
        ratio = (_total(squares) / following).sqrt()
        if not ratio < 1 and not ratio > 1:
            # cut before the fit whose successor is open
            return ChainBalls(c, ratios, rows, "undecided")
        c.append(multiplier)
        ratios.append(ratio)
        rows.append(kept)
        if ratio < 1:
            return ChainBalls(c, ratios, rows, "collapsed")
    return ChainBalls(c, ratios, rows, "running")


def _multiplier(d: list[flint.arb], squares: list[flint.arb], target: flint.arb) -> flint.arb:
    """Enclose the c > 0 with Σ w (c/(c + d))² = target, whose left side increases with c.

    The root is approximated by Newton's method on 1/r as a function of u = 1/c, concave and
    increasing; signs at the two ends of the ball prove that it holds the root.
    """
    nodes, weights = [v.mid() for v in d], [w.mid() for w in squares]
    power, delta = _total(weights).mid(), target.mid().sqrt().mid()
    mean = (_total(w * v for w, v in zip(weights, nodes, strict=True)) / power).mid()
    u = ((power.sqrt() / delta - 1) / mean).mid()
    precision = flint.ctx.prec
    for _ in range(20 + 4 * precision.bit_length()):
        damped = [1 / (1 + u * v) for v in nodes]
        seen = [w * a * a for w, a in zip(weights, damped, strict=True)]
        r2 = _total(seen).mid()
        slope = _total(w * v * a for w, v, a in zip(seen, nodes, damped, strict=True)).mid()
        norm = r2.sqrt().mid()
        step = ((norm - delta) * r2 / (delta * slope)).mid()
        if not step.is_finite() or not u + step > 0:
            raise MorePrecision
        u = (u + step).mid()
        if abs(step) < u * flint.arb(2) ** (8 - precision):
            break
    centre = (1 / u).mid()

    def excess(c: flint.arb) -> flint.arb:
        shares = (c / (c + v) for v in d)
        return _total(w * a * a for w, a in zip(squares, shares, strict=True)) - target

    bits = precision - 8
    while bits > 16:
        width = centre * flint.arb(2) ** -bits
        lower, upper = (centre - width).lower(), (centre + width).upper()
        if excess(lower) < 0 and excess(upper) > 0:
            return lower.union(upper)
        bits -= precision // 16
    raise MorePrecision


def published(ball: flint.arb, bits: int | None, exponent: int | None = None) -> Enclosure:
    """Round a ball to an enclosure of so many bits, or to a given last bit.

    Raises
    ------
    MorePrecision
        If the ball is too wide for it.
    """
    if not ball.is_finite():
        raise MorePrecision
    if exponent is None:
        assert bits is not None
        mantissa, power = (int(v) for v in ball.mid().man_exp())
        if mantissa == 0:
            raise MorePrecision
        exponent = power + abs(mantissa).bit_length() - bits
    scaled = ball * flint.arb(2) ** -exponent
    nearest = int((scaled.mid() + 0.5).floor().unique_fmpz() or 0)
    reach = flint.arb(_fmpq(RADIUS))
    if not (scaled - nearest >= -reach and scaled - nearest <= reach):
        raise MorePrecision
    if bits is not None and abs(nearest).bit_length() > bits:
        nearest, exponent = nearest // 2, exponent + 1
    return Enclosure(nearest, exponent)
