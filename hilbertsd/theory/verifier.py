"""An independent checker of certificates: the characteristic polynomial and linear solves.

The maker of a certificate works with approximate eigenvectors. The checker knows none. It shares
with the maker the ball arithmetic, the file's form and the formulas of kernels and statements;
every number is re-established by other means:

* G is positive semidefinite, has its nullity and its eigenvalues where the certificate says, and
  as often: the characteristic polynomial p is computed exactly; all its roots are real, so by
  Descartes' rule the sign changes of p(x + σ) count the eigenvalues above σ, exactly. That no
  others hide in a repeated one: p has as many distinct roots as are listed.
* The weights are residues: yᵀ(x − G)⁻¹y = n(x)/μ(x), μ the squarefree part of p, so
  ‖P_j y‖² = n(d_j)/μ'(d_j), with n made of the exact moments yᵀGᵏy. At d = 0 it is K ε_floor.
* Multipliers: ‖c (cI + G)⁻¹ y_t‖² − K ε changes sign
  within the enclosure of c_t, by linear solves. It increases with c, and needs no projection on
  the range of G. The next labels are y_t − c_t (c_t I + G)⁻¹ y_t. Errors of labels are kept as a
  bound of their norm: a fit does not increase it, and an error of c adds at most its share of
  4 c, because d/(c + d)² <= 1/(4 c).
* Statements are evaluated again on the enclosures alone, at the certificate's precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory import balls
from hilbertsd.theory.balls import Ball, Undecided, flint
from hilbertsd.theory.certificate import (
    HOLDS_TO,
    Certificate,
    CertificateError,
    Enclosure,
    Verdict,
    from_json,
    weight_exponent,
)
from hilbertsd.theory.chain import Chain
from hilbertsd.theory.statement import REGISTRY, Statement

LEAST_BITS = 64
WORKING_FACTORS = (1, 2, 4)
"""Working precisions tried for the chain, in units of 64 more than twice the certificate's."""


def check_certificate(
    text: str, statements: Mapping[str, Statement] | None = None
) -> tuple[Verdict, ...]:
    """Re-establish everything that a certificate claims, and return its verdicts.

    Parameters
    ----------
    text
        The content of the file. It is data: nothing of it is executed.
    statements
        What it has to decide; all of the theory by default.

    Raises
    ------
    CertificateError
        If it is damaged, of another version, or claims something that could not be
        re-established; the message says what.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> from hilbertsd.theory.certify import certify
    >>> text = certify(brownian_bridge(), ["0", "1/3", "2/3"], ["0", "1", "2"], "1/10").to_json()
    >>> {verdict.verdict for verdict in check_certificate(text)} <= {"proved", "not applicable"}
    True
    >>> check_certificate(text.replace('"nullity": 1', '"nullity": 0'))
    Traceback (most recent call last):
    hilbertsd.theory.certificate.CertificateError: this certificate was altered: ...
    """
    certificate = from_json(text)
    if certificate.bits < LEAST_BITS or certificate.bits % 4:
        raise CertificateError(f"{certificate.bits} is no precision of a certificate")
    try:
        matrix = certificate.problem.matrix
    except CertificateError:
        raise
    except HilbertSDError as error:
        raise CertificateError(f"the kernel and points make no Gram matrix: {error}") from None
    size, problem = certificate.problem.size, certificate.problem
    if matrix.shape != (size, size) or not problem.eps > 0:
        raise CertificateError("the Gram matrix, the labels and the tolerance do not fit together")
    gram = flint.fmpq_mat(size, size, [_fmpq(v) for v in matrix.ravel()])
    y = flint.fmpq_mat(size, 1, [_fmpq(v) for v in problem.y])
    with flint.ctx.workprec(2 * certificate.bits + 64):
        nodes = _check_spectrum(certificate, gram, y)
    for factor in WORKING_FACTORS:  # late rounds inherit the errors of all before them
        with flint.ctx.workprec(factor * (2 * certificate.bits + 64)):
            try:
                _check_chain(certificate, gram, y, nodes)
                break
            except CertificateError:
                if factor == WORKING_FACTORS[-1]:
                    raise
    chosen = REGISTRY if statements is None else statements
    _check_verdicts(certificate, chosen)
    return certificate.verdicts


def _require(condition: bool, claim: str) -> None:
    if not condition:
        raise CertificateError(f"this certificate is refused: {claim} could not be re-established")


def _fmpq(value: Fraction) -> flint.fmpq:
    return flint.fmpq(value.numerator, value.denominator)


def _claims(enclosure: Enclosure, ball: flint.arb) -> bool:
    """Whether all of a ball lies in an enclosure."""
    return bool(_fmpq(enclosure.lower) <= ball) and bool(ball <= _fmpq(enclosure.upper))


def _spelled(enclosures: Iterable[Enclosure], bits: int) -> bool:
    """Whether each is positive and has the number of bits that the certificate promises."""
    return all(e.mantissa > 0 and e.mantissa.bit_length() == bits for e in enclosures)


# ---- the spectrum, from the characteristic polynomial


def _above(polynomial: flint.fmpq_poly, sigma: Fraction) -> int:
    """Count the roots above σ of a polynomial that has only real ones, by Descartes' rule."""
    shifted = polynomial(flint.fmpq_poly([_fmpq(sigma), 1]))
    signs = [c > 0 for c in shifted.coeffs() if c != 0]
    return sum(a != b for a, b in pairwise(signs))


def _check_spectrum(
    certificate: Certificate, gram: flint.fmpq_mat, y: flint.fmpq_mat
) -> list[flint.arb]:
    """Establish nullity, eigenvalues, floor and weights; return finer eigenvalues."""
    size, found = gram.nrows(), certificate.eigenvalues
    counts = certificate.multiplicities
    p = gram.charpoly()
    nullity = next(k for k, c in enumerate(p.coeffs()) if c != 0)
    _require(nullity == certificate.nullity, "the nullity")
    _require(_above(p, Fraction(0)) + nullity == size, "that no eigenvalue is negative")
    _require(_spelled(found, certificate.bits), "the spelling of the eigenvalues")
    _require(len(found) == len(counts) == len(certificate.weights), "the number of eigenvalues")
    _require(sum(counts) + nullity == size and 0 not in counts, "the multiplicities")
    squarefree = p // p.gcd(p.derivative())
    _require(squarefree.degree() == len(found) + (nullity > 0), "the distinct eigenvalues")
    last = Fraction(0)
    for value, count in zip(found, counts, strict=True):
        _require(value.lower > last, "the order of the eigenvalues")
        _require(_above(p, value.lower) - _above(p, value.upper) == count, "an eigenvalue")
        last = value.upper
    numerator, slope = _resolvent(gram, y, squarefree), squarefree.derivative()
    floor = numerator(flint.fmpq(0)) / slope(flint.fmpq(0)) / size if nullity else flint.fmpq(0)
    _require(floor == _fmpq(certificate.residual_floor), "the residual floor")
    power = (y.transpose() * y)[0, 0]
    last_bit = weight_exponent(Fraction(int(power.p), int(power.q)), certificate.bits)
    nodes = []
    for value, weight in zip(found, certificate.weights, strict=True):
        _require(weight.exponent == last_bit, "the spelling of the weights")
        node, residue = _residue(numerator, squarefree, value, last_bit)
        _require(_claims(weight, residue), "a weight of the labels")
        nodes.append(node)
    return nodes


def _residue(
    numerator: flint.fmpq_poly, squarefree: flint.fmpq_poly, enclosure: Enclosure, last_bit: int
) -> tuple[flint.arb, flint.arb]:
    """The root in an enclosure and n/μ' there, the latter well beyond its last bit.

    The terms of the polynomials cancel: precision rises until what is left is enough, at most to
    that of the exact coefficients.
    """
    slope = squarefree.derivative()
    height = max(c.height_bits() for f in (numerator, squarefree) for c in f.coeffs())
    precision, most = flint.ctx.prec, 4 * (flint.ctx.prec + height)
    while True:
        with flint.ctx.workprec(precision):
            node = _refined(squarefree, slope, enclosure)
            residue = flint.arb_poly(numerator)(node) / flint.arb_poly(slope)(node)
            enough = residue.rad() < flint.arb(2) ** (last_bit - 16)
        if enough or precision > most:
            return node, residue
        precision *= 2


def _refined(
    polynomial: flint.fmpq_poly, slope: flint.fmpq_poly, enclosure: Enclosure
) -> flint.arb:
    """A small ball around the one simple root in an enclosure, or the enclosure itself."""
    value, derivative = flint.arb_poly(polynomial), flint.arb_poly(slope)
    lower, upper = flint.arb(_fmpq(enclosure.lower)), flint.arb(_fmpq(enclosure.upper))
    centre = ((lower + upper) / 2).mid()
    for _ in range(flint.ctx.prec.bit_length()):
        step = (value(centre) / derivative(centre)).mid()
        centre = (centre - step).mid()
        if not abs(step) > abs(centre) * flint.arb(2) ** (16 - flint.ctx.prec):
            break
    error = value(centre) / derivative(centre)
    width = (8 * error.abs_upper() + centre * flint.arb(2) ** (8 - flint.ctx.prec)).mid()
    while True:
        low, high = (centre - width).mid(), (centre + width).mid()
        if not (lower < low and high < upper):
            return lower.union(upper)
        if value(low) * value(high) < 0:
            return low.union(high)
        width = (2**16 * width).mid()


def _resolvent(
    gram: flint.fmpq_mat, y: flint.fmpq_mat, squarefree: flint.fmpq_poly
) -> flint.fmpq_poly:
    """The numerator n of yᵀ(x − G)⁻¹y = Σ_k yᵀGᵏy x^{−k−1} = n(x)/μ(x)."""
    degree, row = squarefree.degree(), y.transpose()
    moments, image = [], y
    for _ in range(degree):
        moments.append((row * image)[0, 0])
        image = gram * image
    coefficients = [squarefree[i] for i in range(degree + 1)]
    return flint.fmpq_poly(
        [
            sum((coefficients[i + k + 1] * moments[k] for k in range(degree - i)), flint.fmpq(0))
            for i in range(degree)
        ]
    )


# ---- the chain, from linear solves


def _check_chain(
    certificate: Certificate, gram: flint.fmpq_mat, y: flint.fmpq_mat, nodes: list[flint.arb]
) -> None:
    multipliers, ratios = certificate.multipliers, certificate.label_ratios
    problem, bits, fits = certificate.problem, certificate.bits, len(certificate.multipliers)
    _require(certificate.outcome in ("collapsed", "running", "undecided"), "the outcome")
    _require(_spelled(multipliers, 3 * bits // 4), "the spelling of the multipliers")
    _require(len(certificate.basis_weights) == fits, "the number of basis weights")
    _require(fits <= problem.rounds + 1, "the number of fits")
    allowed = problem.size * _fmpq(problem.eps)
    power = (y.transpose() * y)[0, 0]
    if power == 0:
        nothing = fits == 0 and not ratios and certificate.outcome == "collapsed"
        return _require(nothing, "the collapse of labels that are zero")
    _require(_spelled(ratios, bits // 2), "the spelling of the label ratios")
    _require(len(ratios) == fits + 1, "the number of label ratios")
    if fits:
        floor = problem.size * _fmpq(certificate.residual_floor)
        _require(allowed > floor, "that the tolerance is above the residual floor")

    matrix, labels = flint.arb_mat(gram), _centred(flint.arb_mat(y), flint.arb(0))
    kept = [flint.arb(1)] * len(nodes)
    square = flint.arb(power)
    for t, (claimed, row) in enumerate(zip(multipliers, certificate.basis_weights, strict=True)):
        _require(_claims(ratios[t], (square / allowed).sqrt()), f"the label ratio r_{t}")
        _require(square > allowed, f"that fit {t} is not trivial")
        c = _multiplier(matrix, labels, claimed, allowed, t)
        labels = _next(matrix, labels, c)
        square = labels.square()
        kept = [k * d / (c + d) for k, d in zip(kept, nodes, strict=True)]
        _require(_spelled(row, bits // 2) and len(row) == len(kept), "the basis weights' spelling")
        _require(all(map(_claims, row, kept)), f"the basis weights B_{t}")
    _require(_claims(ratios[fits], (square / allowed).sqrt()), f"the label ratio r_{fits}")
    if certificate.outcome == "collapsed":
        # exactly, where nothing was fitted
        _require(bool(square < allowed) or (fits == 0 and power <= allowed), "the collapse")
        return None
    _require(square > allowed, f"that r_{fits} exceeds 1")
    if certificate.outcome == "running":
        return _require(fits == problem.rounds + 1, "that all fits were made")
    _require(fits <= problem.rounds, "that a fit is left to be decided")
    square = _next(matrix, labels, _root(matrix, labels, allowed)).square()
    return _require(not square < allowed and not square > allowed, "that the end is undecided")


class _Labels(NamedTuple):
    """Labels within ``error`` of ``centre``, in norm."""

    centre: flint.arb_mat
    error: flint.arb

    def square(self) -> flint.arb:
        """‖y‖²."""
        norm = _around(_norm(self.centre), self.error)
        return norm * norm


def _norm(vector: flint.arb_mat) -> flint.arb:
    return (vector.transpose() * vector)[0, 0].nonnegative_part().sqrt()


def _around(value: flint.arb, error: flint.arb) -> flint.arb:
    return value + flint.arb(0, error.abs_upper())


def _centred(vector: flint.arb_mat, error: flint.arb) -> _Labels:
    """Midpoints, with the radii turned into a bound of the norm."""
    radii = flint.arb_mat(vector.nrows(), 1, [v.rad() for v in vector.entries()])
    return _Labels(vector.mid(), (error + _norm(radii)).abs_upper())


def _residual(matrix: flint.arb_mat, centre: flint.arb_mat, c: flint.arb) -> flint.arb_mat:
    """Return c (cI + G)⁻¹ y, the residual of the fit with multiplier c."""
    size = matrix.nrows()
    diagonal = [c if i % (size + 1) == 0 else 0 for i in range(size**2)]
    try:
        return (matrix + flint.arb_mat(size, size, diagonal)).solve(centre) * c
    except ZeroDivisionError:
        raise CertificateError("a fit could not be solved at this precision") from None


def _excess(matrix: flint.arb_mat, labels: _Labels, allowed: flint.fmpq, c: flint.arb) -> flint.arb:
    """‖c (cI + G)⁻¹ y‖² − K ε, which increases with c."""
    norm = _around(_norm(_residual(matrix, labels.centre, c)), labels.error)
    return norm * norm - allowed


def _next(matrix: flint.arb_mat, labels: _Labels, c: flint.arb) -> _Labels:
    """The predictions of the fit with a multiplier in the ball c."""
    centre = labels.centre - _residual(matrix, labels.centre, c.mid())
    shift = c.rad() / (4 * c.lower()) * (_norm(labels.centre) + labels.error)
    return _centred(centre, (labels.error + shift).abs_upper())


def _multiplier(
    matrix: flint.arb_mat, labels: _Labels, claimed: Enclosure, allowed: flint.fmpq, t: int
) -> flint.arb:
    """Establish a multiplier; return a finer enclosure, so that later rounds inherit little."""
    low, high = flint.arb(_fmpq(claimed.lower)), flint.arb(_fmpq(claimed.upper))
    below, above = (_excess(matrix, labels, allowed, c) for c in (low, high))
    _require(below < 0 and above > 0, f"the multiplier c_{t}")
    slope = (above - below) / (high - low)
    return _bracketed(matrix, labels, allowed, (low - below / slope).mid(), slope.mid())


def _bracketed(
    matrix: flint.arb_mat, labels: _Labels, allowed: flint.fmpq, centre: flint.arb, slope: flint.arb
) -> flint.arb:
    """Polish an approximate multiplier; a ball at whose ends the residual has both signs."""
    for _ in range(2 + flint.ctx.prec // 64):
        left = _excess(matrix, labels, allowed, centre)
        if left.contains(0):
            break
        centre = (centre - left / slope).mid()
    left = _excess(matrix, labels, allowed, centre)
    unit = abs(centre) * flint.arb(2) ** (8 - flint.ctx.prec)
    width = (8 * left.abs_upper() / slope + unit).mid()
    while width < centre:
        low, high = (centre - width).mid(), (centre + width).mid()
        if _excess(matrix, labels, allowed, low) < 0 and _excess(matrix, labels, allowed, high) > 0:
            return low.union(high)
        width = (16 * width).mid()
    raise CertificateError("this certificate is refused: a multiplier is too uncertain")


def _root(matrix: flint.arb_mat, labels: _Labels, allowed: flint.fmpq) -> flint.arb:
    """A multiplier that no certificate claims: by bisection, then secant steps."""
    low = high = flint.arb(1)

    def excess(c: flint.arb) -> flint.arb:
        return _excess(matrix, labels, allowed, c).mid()

    while excess(low) > 0:
        low = low / 2**8
    while excess(high) < 0:
        high = high * 2**8
    for _ in range(64):
        middle = (low * high).sqrt().mid()
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    slope = ((excess(high) - excess(low)) / (high - low)).mid()
    for _ in range(flint.ctx.prec.bit_length()):
        before, low = low, (low - excess(low) / slope).mid()
        if low == before:
            break
        slope = ((excess(low) - excess(before)) / (low - before)).mid()
    return _bracketed(matrix, labels, allowed, low, slope)


# ---- the statements, on the enclosures alone


def _check_verdicts(certificate: Certificate, statements: Mapping[str, Statement]) -> None:
    names = [verdict.name for verdict in certificate.verdicts]
    _require(names == list(statements), "the list of statements")
    with flint.ctx.workprec(certificate.bits + 64):
        whole = _whole_chain(certificate)
        for verdict in certificate.verdicts:
            statement = statements[verdict.name]
            chain: Chain | None = whole
            if statement.about == "chain" and certificate.residual_floor > 0:
                # the labels leave the null space in round 0: the constant chain starts after it
                chain = _after_first(certificate, whole) if whole.fits else None
            expected = _outcome(statement, chain)
            given = (verdict.title, verdict.source, *verdict[3:])
            _require(given == (statement.title, statement.source, *expected), verdict.name)


def _whole_chain(certificate: Certificate) -> Chain:
    """Labels as products of basis weights, A_t = (1 + c_t/d)⁻¹, from the range part of y."""
    columns, firsts = [], []
    for d, w, count in zip(
        certificate.eigenvalues, certificate.weights, certificate.multiplicities, strict=True
    ):
        firsts.append(len(columns))
        node = _ball(d)
        columns.append((node, _ball(w).sqrt()))
        columns += [(node, Ball(0))] * (count - 1)
    d = balls.array_of(node for node, _ in columns)
    rows, kept = [balls.array_of(z for _, z in columns)], 1
    multipliers = balls.array_of(map(_ball, certificate.multipliers))
    for c in multipliers:
        kept = kept * (d / (c + d))
        rows.append(kept * rows[0])
    bound = certificate.problem.size * certificate.problem.eps
    fits = len(multipliers)
    first = bound - certificate.problem.size * certificate.residual_floor if fits else bound
    return Chain(
        xp=cast(Any, balls),
        size=certificate.problem.size,
        d=d,
        z=np.stack(rows),
        c=multipliers,
        s=balls.array_of(Ball(first if t == 0 else bound).sqrt() for t in range(fits + 1)),
        collapsed=certificate.outcome == "collapsed",
        constant=certificate.residual_floor == 0,
        distinct=tuple(firsts),
    )


def _ball(value: Enclosure) -> Ball:
    return Ball.between(value.lower, value.upper)


def _after_first(certificate: Certificate, whole: Chain) -> Chain:
    return replace(whole, z=whole.z[1:], c=whole.c[1:], s=whole.s[1:], start=1, constant=True)


def _outcome(statement: Statement, chain: Chain | None) -> tuple[str, str | None, str | None]:
    """Verdict, reason and holds_to of a statement on a chain in balls."""
    if chain is None:
        return "not applicable", "a non-trivial fit of labels in the range of G", None
    rounded = {
        field: np.array([getattr(b, "mid", b) for b in v.flat], dtype=float).reshape(v.shape)
        for field in ("d", "z", "c", "s")
        for v in [np.asarray(getattr(chain, field))]
    }
    failed = statement.missing(replace(chain, xp=np, **rounded))
    if failed is not None:
        return "not applicable", failed.name, None
    try:
        check = statement.sides(chain)
    except Undecided:
        return "undecided", None, None
    gaps, allowances = [], []
    fields = (np.asarray(side, dtype=object) for side in check[:4])
    for lower, actual, upper, scale in np.broadcast(*fields):
        for gap in (Ball(actual) - lower, Ball(upper) - actual):
            gaps.append(gap.arb)
            allowances.append(flint.arb(HOLDS_TO) * abs(Ball(scale).arb))
    if any(gap < 0 for gap in gaps):
        return "refuted", None, None
    if statement.kind != "identity" and all(gap >= 0 for gap in gaps):
        return "proved", None, None
    near = all(gap >= -room for gap, room in zip(gaps, allowances, strict=True))
    return ("proved", None, HOLDS_TO) if near else ("undecided", None, None)
