"""The checker's chain: every multiplier and label ratio of a certificate, from linear solves.

‖c (cI + G)⁻¹ y_t‖² − K ε_t changes sign within the enclosure of c_t; it increases with c, and needs
no projection on the range of G. The next labels are y_t − c_t (c_t I + G)⁻¹ y_t. Errors of labels
are kept as a bound of their norm: a fit does not increase it, and an error of c adds at most its
share of 4 c, because d/(c + d)² <= 1/(4 c).
"""

from __future__ import annotations

from typing import NamedTuple

from hilbertsd.theory.balls import flint
from hilbertsd.theory.certificate import Certificate, CertificateError, Enclosure
from hilbertsd.theory.claims import claims, fmpq, require, spelled


def check_chain(
    certificate: Certificate,
    index: int,
    gram: flint.fmpq_mat,
    y: flint.fmpq_mat,
    nodes: list[flint.arb],
) -> None:
    """Re-establish the rounds of a chain, from its Gram matrix and labels (K, q).

    ``nodes`` are the distinct positive eigenvalues. Raises :class:`CertificateError` naming what
    could not be re-established at the working precision.
    """
    chain, problem, bits = certificate.chains[index], certificate.problem, certificate.bits
    multipliers, ratios, fits = chain.multipliers, chain.label_ratios, len(chain.multipliers)
    require(chain.outcome in ("collapsed", "running", "undecided"), "the outcome")
    require(spelled(multipliers, 3 * bits // 4), "the spelling of the multipliers")
    require(len(chain.basis_weights) == fits, "the number of basis weights")
    require(fits <= problem.rounds + 1, "the number of fits")
    bounds = [problem.size * fmpq(eps) for eps in problem.tolerances[index]]
    bounds.append(bounds[-1])  # what y_T is compared with
    power = sum((v * v for v in y.entries()), flint.fmpq(0))
    if power == 0:
        nothing = fits == 0 and not ratios and chain.outcome == "collapsed"
        return require(nothing, "the collapse of labels that are zero")
    require(spelled(ratios, bits // 2), "the spelling of the label ratios")
    require(len(ratios) == fits + 1, "the number of label ratios")
    floor = problem.size * fmpq(chain.residual_floor)
    if fits or chain.outcome != "collapsed":
        require(bounds[0] > floor, "that the tolerance is above the residual floor")

    matrix, labels = flint.arb_mat(gram), _centred(flint.arb_mat(y), flint.arb(0))
    kept = [flint.arb(1)] * len(nodes)
    square = flint.arb(power)
    for t, (claimed, row) in enumerate(zip(multipliers, chain.basis_weights, strict=True)):
        allowed = bounds[t]
        require(claims(ratios[t], (square / allowed).sqrt()), f"the label ratio r_{t}")
        require(square > allowed, f"that fit {t} is not trivial")
        c = _multiplier(matrix, labels, claimed, allowed, t)
        labels = _next(matrix, labels, c)
        square = labels.square()
        kept = [k * d / (c + d) for k, d in zip(kept, nodes, strict=True)]
        require(spelled(row, bits // 2) and len(row) == len(kept), "the basis weights' spelling")
        require(all(map(claims, row, kept)), f"the basis weights B_{t}")
    allowed = bounds[fits]
    require(claims(ratios[fits], (square / allowed).sqrt()), f"the label ratio r_{fits}")
    if chain.outcome == "collapsed":
        # exactly, where nothing was fitted
        require(bool(square < allowed) or (fits == 0 and power <= allowed), "the collapse")
        return None
    require(square > allowed, f"that r_{fits} exceeds 1")
    if chain.outcome == "running":
        return require(fits == problem.rounds + 1, "that all fits were made")
    require(fits <= problem.rounds, "that a fit is left to be decided")
    outside = floor if fits == 0 else flint.fmpq(0)
    c = _root(matrix, labels, allowed, _around_root(nodes, square - outside, allowed - outside))
    square = _next(matrix, labels, c).square()
    following = bounds[fits + 1]
    return require(not square < following and not square > following, "that the end is undecided")


class _Labels(NamedTuple):
    """Labels, one output a column, within ``error`` of ``centre``, in (Frobenius) norm."""

    centre: flint.arb_mat
    error: flint.arb

    def square(self) -> flint.arb:
        """‖y‖²."""
        norm = _around(_norm(self.centre), self.error)
        return norm * norm


def _norm(matrix: flint.arb_mat) -> flint.arb:
    entries = matrix.entries()
    vector = flint.arb_mat(len(entries), 1, entries)
    return (vector.transpose() * vector)[0, 0].nonnegative_part().sqrt()


def _around(value: flint.arb, error: flint.arb) -> flint.arb:
    return value + flint.arb(0, error.abs_upper())


def _centred(labels: flint.arb_mat, error: flint.arb) -> _Labels:
    """Midpoints, with the radii turned into a bound of the norm."""
    radii = [v.rad() for v in labels.entries()]
    reach = _norm(flint.arb_mat(labels.nrows(), labels.ncols(), radii))
    return _Labels(labels.mid(), (error + reach).abs_upper())


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
    low, high = flint.arb(fmpq(claimed.lower)), flint.arb(fmpq(claimed.upper))
    below, above = (_excess(matrix, labels, allowed, c) for c in (low, high))
    require(below < 0 and above > 0, f"the multiplier c_{t}")
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


def _around_root(
    nodes: list[flint.arb], power: flint.arb, allowed: flint.fmpq
) -> tuple[flint.arb, flint.arb]:
    """The ends of (24), on the range of G, a little further apart."""
    s, norm = flint.arb(allowed).sqrt(), power.nonnegative_part().sqrt()
    require(norm > s, "that a fit is left to be decided")
    unit = s / (norm - s)
    return (nodes[0] * unit / 2).mid(), (nodes[-1] * unit * 2).mid()


def _root(
    matrix: flint.arb_mat, labels: _Labels, allowed: flint.fmpq, ends: tuple[flint.arb, flint.arb]
) -> flint.arb:
    """A multiplier that no certificate claims: by bisection to 64 bits, then polished."""
    low, high = ends

    def excess(c: flint.arb) -> flint.arb:
        return _excess(matrix, labels, allowed, c).mid()

    for _ in range(64):
        middle = (low * high).sqrt().mid()
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    slope = ((excess(high) - excess(low)) / (high - low)).mid()
    return _bracketed(matrix, labels, allowed, low, slope)
