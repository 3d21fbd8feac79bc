"""The chain as the statements see it: coordinates on the range of G, in one array namespace.

Statements about single rounds hold for every chain, with round 0 of a singular problem read on
the range of G: labels Py and tolerance ε − ε_floor. Statements about several rounds hold for
chains of constant ε that start in the range; on a singular problem that is the chain from y_1 on.
The bounds of the collapse round hold for the user's own y_0 and ε, whatever G is: they are about
the first of these chains, with ‖y_0‖ and ε put together from the range and what lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hilbertsd.distillation import Distillation
from hilbertsd.errors import HilbertSDError
from hilbertsd.spectrum import TIE_TOLERANCE

CONSISTENT = 1e-10
"""Label ratios agree with the labels to this share, and their own error."""


@dataclass(frozen=True)
class Chain:
    """n non-trivial fits on the range of G, which has m positive eigenvalues.

    Attributes
    ----------
    xp
        The array namespace of everything below: numpy (floats or objects such as balls) or
        jax.numpy.
    size
        K, the number of points.
    d
        (m,) positive eigenvalues, ascending.
    z
        (n+1, m) coordinates of y_0 .. y_n; the fit t takes y_t and predicts y_{t+1}.
    c
        (n,) multipliers.
    s
        (n+1,) √(K ε_t), with ε_0 − ε_floor for round 0 of a singular problem; the last one
        judges whether y_n collapses.
    collapsed
        Whether r_n <= 1: then n is the chain's collapse round.
    start
        The round of the user's chain that is round 0 here.
    constant
        Whether the tolerance is the same in every round.
    null
        K ε_floor, the power of the user's labels outside the range of G, which round 0 sees: then
        s_0 is smaller than the later s_t of the same tolerance. 0 where y_0 lies in the range.
    errors
        (n+1,) estimated relative errors: of c_t, y_t, r_t and of what fit t makes of them, y_{t+1}
        and r_{t+1}; the last one of y_n and r_n alone. None: no more than rounding.
    decided
        Whether it is known if y_n has collapsed. If not, the chain is cut before the first fit of
        labels with r_t = 1 within rounding: all its n fits are certain, and no more is said.
    distinct
        Indices of the first of each group of tied eigenvalues, decided on floats; None: all
        eigenvalues are distinct.
    columns
        (n+1, m, Q) coordinates of each output where one tolerance is joint to several, and z
        holds their row norms; else None.
    labels
        (n+1, m) what a result hands out as its labels, in the coordinates of z; z itself comes
        from the basis weights. None: nothing else is known than z.
    coefficients
        (n, m) the same of its dual coefficients: the solution b_t of (c_t I + D) b_t = z_t.
    """

    xp: ModuleType
    size: int
    d: Any
    z: Any
    c: Any
    s: Any
    collapsed: bool
    start: int = 0
    constant: bool = True
    null: Any = 0.0
    errors: Any = None
    decided: bool = True
    distinct: tuple[int, ...] | None = None
    columns: Any = None
    labels: Any = None
    coefficients: Any = None

    @property
    def fits(self) -> int:
        """n, the number of non-trivial fits."""
        return len(self.c)

    @property
    def norms(self) -> Any:
        """(n+1,) ‖y_t‖."""
        return self.xp.sqrt(self.xp.sum(self.z**2, axis=1))

    @property
    def r(self) -> Any:
        """(n+1,) label ratios r_t = ‖y_t‖/√(K ε_t)."""
        return self.norms / self.s

    @property
    def excess(self) -> Any:
        """(n,) r_t − 1 of the non-trivial fits, from the difference of squares."""
        norms, s = self.norms[:-1], self.s[:-1]
        return (norms**2 - s**2) / (s * (norms + s))

    @property
    def label_norms(self) -> tuple[Any, Any]:
        """‖y_0‖ of the user's labels, with what lies outside the range of G, and √(K ε_0)."""
        outside = self.null if self.fits else 0.0  # without a fit s_0 is that of all labels
        roots = (self.norms[0] ** 2 + self.null, self.s[0] ** 2 + outside)
        return self.xp.sqrt(roots[0]), self.xp.sqrt(roots[1])

    @property
    def label_excess(self) -> Any:
        """r_0 − 1 with r_0 = ‖y_0‖/√(K ε_0) of the user's labels; also where there is no fit."""
        norm, s = self.label_norms
        outside = 0.0 if self.fits else self.null
        return (self.norms[0] ** 2 + outside - self.s[0] ** 2) / (s * (norm + s))

    @property
    def stiffness(self) -> Any:
        """(n,) r_t/(r_t − 1): how many times r_t − 1 magnifies what rounding does to r_t."""
        return 1 + 1 / self.excess

    @property
    def kappa(self) -> Any:
        """κ = d_max/d_min over the range."""
        return self.d[-1] / self.d[0]

    @property
    def A(self) -> Any:
        """(n, m) diagonals of A_t = D (c_t I + D)⁻¹."""
        return self.d[None, :] / (self.c[:, None] + self.d[None, :])

    @property
    def B(self) -> Any:
        """(n, m) diagonals of B_t = A_t ... A_0, (45)."""
        rows, product = [], 1
        for row in self.A:
            product = product * row
            rows.append(product)
        return self.xp.stack(rows)

    @property
    def neighbours(self) -> tuple[Any, Any]:
        """(p,), (p,) the smaller d_j and the larger d_k of consecutive distinct eigenvalues."""
        first = np.arange(len(self.d)) if self.distinct is None else np.array(self.distinct)
        return self.d[first[:-1]], self.d[first[1:]]

    @property
    def log_steps(self) -> Any:
        """(n, p) log A_t[k]/A_t[j] over :attr:`neighbours`; no cancellation in clusters.

        A_t[k]/A_t[j] = d_k (c + d_j)/(d_j (c + d_k)) = 1 + (d_k − d_j)/d_j · c/(c + d_k).
        """
        low, high = self.neighbours
        c = self.c[:, None]
        return self.xp.log1p((high - low) / low * (c / (c + high)))


def views(result: Distillation, output: int = 0) -> dict[str, Chain | None]:
    """The chain of one output as ``"rounds"`` and as ``"chain"`` statements see it.

    The latter is None where no non-trivial fit starts in the range of G. With a joint tolerance
    all outputs make one chain, on the row norms √(Σ_q z_kq²): the recurrence asks for the
    spectral measure of the labels only. A chain ends before the first fit of labels with r_t = 1
    within rounding: whether there is one is not known.

    Labels and coefficients are those that the result hands out: projected where it keeps
    eigenvectors; else a direction is taken from the basis weights, and only the norms of the
    labels and of what the coefficients leave of (c_t I + G) β_t = y_t are the result's.

    Raises
    ------
    HilbertSDError
        If the result does not hold every eigenvalue, or its label ratios are not those of its
        labels and tolerances.
    """
    if result.spectrum is None or result.spectrum.kind != "exact":
        raise HilbertSDError("the statements need every eigenvalue; use method='dense'")
    spectrum = result.spectrum
    _require_consistent(result, output)

    def of(values: np.ndarray, rank: int) -> np.ndarray:
        return values[..., output] if values.ndim == rank else values

    inside = spectrum.eigenvalues > 0
    d = spectrum.eigenvalues[inside]
    c = of(result.multipliers, 2)
    eps = of(result.eps, 2)
    ratios = of(result.label_ratios, 2)
    n = int(np.isfinite(c).sum())
    undecided = np.flatnonzero(np.abs(ratios - 1) <= of(result.label_ratio_error, 2))
    decided = undecided.size == 0 or undecided[0] > n  # zeros after the collapse are decided
    if not decided:
        n = int(undecided[0])
    floor = float(of(np.asarray(spectrum.residual_floor), 1))
    kept = np.vstack([np.ones(len(d)), of(spectrum.basis_weights, 3)[:n][:, inside]])
    columns = None
    if result.joint and spectrum.coordinates.ndim == 2:
        columns = kept[:, :, None] * spectrum.coordinates[inside]
        z = kept * np.sqrt(np.sum(spectrum.coordinates[inside] ** 2, axis=1))
    else:
        z = kept * of(spectrum.coordinates, 2)[inside]
    labels, coefficients = _handed_out(result, output, z, c[:n], d)
    size = len(spectrum.eigenvalues)
    s = np.sqrt(size * np.append(eps, eps[-1])[: n + 1])
    s_range = s.copy()
    s_range[0] = np.sqrt(size * (eps[0] - floor)) if n else s[0]
    errors = _errors(result, n, output)
    common: dict[str, Any] = {
        "collapsed": decided and bool(ratios[n] <= 1),
        "decided": decided,
        "distinct": _distinct(d),
    }
    constant = bool(np.all(eps == eps[0]))
    whole = Chain(
        np,
        size,
        d,
        z,
        c[:n],
        s_range,
        start=0,
        constant=constant,
        null=size * floor,
        columns=columns,
        labels=labels,
        coefficients=coefficients,
        errors=errors,
        **common,
    )
    if floor == 0:
        return {"rounds": whole, "chain": whole}
    if n < 1:
        return {"rounds": whole, "chain": None}
    constant = bool(np.all(eps[1:] == eps[-1]))
    outputs = None if columns is None else columns[1:]
    later = Chain(
        np,
        size,
        d,
        z[1:],
        c[1:n],
        s[1:],
        start=1,
        constant=constant,
        columns=outputs,
        labels=labels[1:],
        coefficients=coefficients[1:],
        errors=errors[1:],
        **common,
    )
    return {"rounds": whole, "chain": later}


def _output(values: np.ndarray, output: int, joint: bool) -> np.ndarray:
    """(.., K, q) the columns of one chain: of one output, or of all where they are joint."""
    if values.ndim == 2:
        return values[..., None]
    return values if joint else values[..., output : output + 1]


def _norms(columns: np.ndarray) -> np.ndarray:
    """Frobenius norms over the last two axes, without overflow or underflow of squares."""
    largest = np.max(np.abs(columns), axis=(-2, -1), keepdims=True)
    scaled = columns / np.where(largest > 0, largest, 1.0)
    return largest[..., 0, 0] * np.sqrt(np.sum(scaled**2, axis=(-2, -1)))


def _require_consistent(result: Distillation, output: int) -> None:
    """Refuse label ratios that are not ‖y_t‖/√(K ε_t), which is what the word means."""
    size, index = result.labels.shape[1], (..., output) if result.labels.ndim == 3 else ...
    eps, ratios, errors = (
        of[index] for of in (result.eps, result.label_ratios, result.label_ratio_error)
    )
    norms = _norms(_output(result.labels, output, result.joint))
    expected = norms / np.sqrt(size * np.append(eps, eps[-1]))
    agree = np.abs(ratios - expected) <= errors + CONSISTENT * expected
    if not agree.all():
        t = int(np.argmin(agree))
        raise HilbertSDError(
            f"this result contradicts itself: label_ratios[{t}] is {ratios[t]:.6g}, but "
            f"‖labels[{t}]‖/√(K eps) is {expected[t]:.6g}; check what self_distill returned"
        )


def _handed_out(
    result: Distillation, output: int, z: np.ndarray, c: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The labels (n+1, m) and dual coefficients (n, m) of a result, in the coordinates of z.

    What eigenvectors would tell is taken from z where there are none.
    """
    n, spectrum = len(c), result.spectrum
    assert spectrum is not None
    y = _output(result.labels[: n + 1], output, result.joint)
    beta = _output(result.dual_coef[:n], output, result.joint)
    if spectrum.eigenvectors is not None:
        inside = spectrum.eigenvectors[:, spectrum.eigenvalues > 0].T
        return _across(inside @ y, result.joint), _across(inside @ beta, result.joint)
    own = np.sqrt(np.sum(z**2, axis=1))
    shares = np.divide(_norms(y), own, out=np.ones(n + 1), where=own > 0)
    shares[0] = 1.0  # y_0 may have a part in the null space
    defects = _norms(y[:-1] - y[1:] - c[:, None, None] * beta)
    if n:  # what coefficients leave of round 0 is the null space's
        floor = np.ravel(spectrum.residual_floor)[0 if result.joint else output]
        defects[0] = abs(defects[0] - np.sqrt(y.shape[1] * floor))
    spread = defects[:, None] / np.sqrt(max(len(d), 1))
    return shares[:, None] * z, (z[:-1] + spread) / (c[:, None] + d)


def _across(columns: np.ndarray, joint: bool) -> np.ndarray:
    """One output as it is, joint ones by their row norms."""
    return np.sqrt(np.sum(columns**2, axis=-1)) if joint else columns[..., 0]


def _errors(result: Distillation, n: int, output: int) -> np.ndarray:
    """(n+1,) largest estimated relative error of each fit, its labels and its predictions."""
    relative = result.label_ratio_error / np.maximum(result.label_ratios, 1)
    c, labels, ratios = (
        part if part.ndim == 1 else part.max(axis=1) if result.joint else part[:, output]
        for part in (result.multiplier_error, result.label_error, relative)
    )
    own = np.maximum(labels, ratios)[: n + 1]
    return np.append(np.maximum(c[:n], np.maximum(own[:-1], own[1:])), own[-1])


def _distinct(d: np.ndarray) -> tuple[int, ...]:
    steps = np.flatnonzero(np.diff(d) > TIE_TOLERANCE * d[1:]) + 1
    return (0, *(int(k) for k in steps)) if len(d) else ()
