"""Self-distillation of a Gram matrix: the input is checked, a route picked, the chain run."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from hilbertsd import inputs
from hilbertsd.distillation import Distillation, Spectrum
from hilbertsd.errors import (
    CollapseWarning,
    HilbertSDError,
    PrecisionWarning,
)
from hilbertsd.provenance import provenance
from hilbertsd.routes import dense, perturbation
from hilbertsd.routes.dense import Decomposition

PRECISION_LIMIT = 1e-6
"""Relative error estimate above which a multiplier or labels come with a PrecisionWarning."""


def decompose(G: Any) -> Decomposition:
    """Eigendecomposition of a Gram matrix, to be shared by chains and spectral filters.

    Parameters
    ----------
    G
        (K, K) Gram matrix with its 1/K: a NumPy array, a JAX array (decomposed on its device) or
        a linear operator with ``shape`` and ``matvec``, which is made dense here.

    Raises
    ------
    HilbertSDError
        If G is not square, not finite, not symmetric or not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, hilbertsd as hsd
    >>> spectrum = hsd.decompose(np.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> spectrum.apply(hsd.filters.ridge(spectrum.eigenvalues, c=1.0), np.array([3.0, 4.0]))
    array([2., 2.])
    """
    return dense.decompose(inputs.gram_matrix(G))


def self_distill(
    G: Any,
    y: Any,
    eps: Any,
    rounds: int = 10,
    *,
    joint: bool = False,
    method: Literal["auto", "dense"] = "auto",
    keep_eigenvectors: bool = False,
) -> Distillation:
    r"""Run self-distillation: fit, take the predictions as labels, fit again.

    Round t solves min R(f) subject to (1/K) Σ_k (f(x_k) − y_t[k])² <= ε_t, which is

        f_t(x) = g_xᵀ (c_t I + G)⁻¹ y_t,  y_{t+1} = G (c_t I + G)⁻¹ y_t,

    with the multiplier c_t at which the constraint is active. Once ‖y_t‖² <= K ε_t the solution
    is f = 0: the chain has collapsed and stays so.

    Parameters
    ----------
    G
        (K, K) Gram matrix g(x_j, x_k)/K: **the 1/K is part of G**, as :func:`hilbertsd.gram`
        makes it. A NumPy or JAX array, a linear operator with ``shape`` and ``matvec``, or a
        :class:`Decomposition` from :func:`decompose`. Directions with eigenvalues at or below
        K · 2.2e-16 · d_max count as the null space.
    y
        (K,) labels, or (K, Q) for Q outputs. In the units of the labels.
    eps
        Tolerance ε of the mean squared residual, in squared units of the labels: a number; (Q,)
        one for each output; (T, 1) or (T, Q) for each of the T = rounds + 1 fits, with one output
        also (T,).
    rounds
        Rounds after ordinary training: fits t = 0 .. rounds.
    joint
        False: every output is a problem of its own, with its own ε, c and collapse. True: one
        problem (1/K) ‖F − Y‖_F² <= ε with one multiplier, repeated in every column of the result.
    method
        ``"auto"`` picks the route; ``"dense"`` is the eigendecomposition.
    keep_eigenvectors
        Keep the (K, K) eigenvectors in ``result.spectrum``.

    Returns
    -------
    Distillation

    Raises
    ------
    InfeasibleToleranceError
        If ε is at or below the residual floor that the null space of G leaves.
    HilbertSDError
        For any other input that has no answer; the message says which and what to do.

    Warns
    -----
    CollapseWarning
        If the labels are within the tolerance of zero already.
    PrecisionWarning
        If an error estimate exceeds 1e-6, if rounding leaves the collapse round undecided, or if
        G is float32.

    Notes
    -----
    Mobahi, Farajtabar & Bartlett 2020, (1)-(4), Propositions 1 and 2, (25)-(35).

    Examples
    --------
    >>> import numpy as np, hilbertsd as hsd
    >>> result = hsd.self_distill(np.eye(2), np.array([2.7, 3.6]), eps=0.5, rounds=6)
    >>> result.collapse_round, result.multipliers[:4]
    (4, array([0.28571429, 0.4       , 0.66666667, 2.        ]))
    """
    if method not in ("auto", "dense"):
        raise HilbertSDError(f"method must be 'auto' or 'dense', got {method!r}")
    rounds = inputs.whole_number("rounds", rounds, most=inputs.MOST_ROUNDS)
    joint = inputs.flag("joint", joint)
    spectrum = G if isinstance(G, Decomposition) else decompose(G)
    labels = inputs.labels(y, spectrum.size)
    columns = labels.reshape(spectrum.size, -1)
    outputs = columns.shape[1]
    tolerances = inputs.tolerances(eps, fits=rounds + 1, outputs=outputs, joint=joint)

    coordinates = spectrum.coordinates(columns)
    groups = [slice(0, outputs)] if joint else [slice(q, q + 1) for q in range(outputs)]
    chains = [
        dense.chain(spectrum, columns[:, g], coordinates[:, g], tolerances[:, g.start], g.start)
        for g in groups
    ]
    if joint:
        chains = chains * outputs  # the one multiplier, repeated for every column
    result = _assemble(spectrum, labels, coordinates, tolerances, chains, joint, keep_eigenvectors)
    _warn(result)
    return result


def _assemble(
    spectrum: Decomposition,
    labels: np.ndarray,
    coordinates: np.ndarray,
    tolerances: np.ndarray,
    chains: list[dense.Chain],
    joint: bool,
    keep_eigenvectors: bool,
) -> Distillation:
    size, fits = spectrum.size, len(tolerances)
    outputs = coordinates.shape[1]
    single = labels.ndim == 1

    def shaped(columns: list[np.ndarray]) -> np.ndarray:
        """Stack one array an output along a last axis, dropped for one-dimensional labels."""
        return columns[0].copy() if single else np.stack(columns, axis=-1)

    def lifted(parts: list[np.ndarray]) -> np.ndarray:
        """(n, K) coordinates of each output -> (n, K[, Q]) at the points, by one product."""
        stacked = np.stack(parts, axis=-1)
        count = stacked.shape[0]
        flat = stacked.transpose(1, 0, 2).reshape(size, count * outputs)
        points = spectrum.lift(flat).reshape(size, count, outputs).transpose(1, 0, 2)
        return np.ascontiguousarray(points[..., 0] if single else points)

    def column(q: int, values: np.ndarray) -> np.ndarray:
        """Take output q's column of an array of one chain."""
        return values[..., q if joint else 0]

    rounds = [chain.rounds for chain in chains]
    both = [
        np.concatenate([column(q, chains[q].coordinates), column(q, chains[q].dual)])
        for q in range(outputs)
    ]
    y, dual_coef = np.split(lifted(both), [fits + 1])
    y[0] = labels
    for q, r in enumerate(rounds):  # exact zeros, not rounded ones
        if r.collapse_round is not None:
            (y if single else y[..., q])[r.collapse_round + 1 :] = 0.0
    collapse = tuple(r.collapse_round for r in rounds)
    return Distillation(
        multipliers=shaped([r.multipliers for r in rounds]),
        multiplier_error=shaped([r.multiplier_error for r in rounds]),
        labels=y,
        label_error=shaped([column(q, r.label_error) for q, r in enumerate(rounds)]),
        label_ratios=shaped([r.label_ratios for r in rounds]),
        label_ratio_error=shaped([r.label_ratio_error for r in rounds]),
        collapse_round=collapse[0] if single else collapse,
        dual_coef=dual_coef,
        eps=tolerances[:, 0].copy() if single else tolerances,
        joint=joint,
        spectrum=Spectrum(
            kind="exact",
            eigenvalues=spectrum.eigenvalues,
            rank=spectrum.rank,
            threshold=spectrum.threshold,
            residual_floor=shaped([np.asarray(chain.floor) for chain in chains]),
            coordinates=coordinates[:, 0].copy() if single else coordinates,
            basis_weights=shaped([chain.basis_weights for chain in chains]),
            eigenvectors=np.asarray(spectrum.eigenvectors) if keep_eigenvectors else None,
        ),
        provenance=provenance(
            method="dense",
            rounds=fits - 1,
            joint=joint,
            gram_rounding_unit=spectrum.unit,
            error_probes=perturbation.PROBES,
            error_probe_seed=perturbation.SEED,
            error_safety=perturbation.SAFETY,
        ),
    )


def _warn(result: Distillation) -> None:
    collapse = np.atleast_1d(np.asarray(result.collapse_round, dtype=object))
    if any(round_ == 0 for round_ in collapse):
        warnings.warn(
            "the labels have collapsed at the start: ‖y‖² <= K eps, so the zero function is "
            "already within the tolerance and every fit is zero; choose a smaller eps",
            CollapseWarning,
            stacklevel=3,
        )
    if not np.all(result.collapse_decided):
        warnings.warn(
            "the collapse round is undecided: a label ratio r_t equals 1 within its own rounding "
            "error (see label_ratio_error)",
            PrecisionWarning,
            stacklevel=3,
        )
        return  # the huge error estimates that go with it would say the same twice
    worst = max(result.multiplier_error.max(initial=0.0), result.label_error.max(initial=0.0))
    if worst > PRECISION_LIMIT:
        extent = (
            f"an estimated relative error of {worst:.1g}" if worst < np.inf else "no sure digit"
        )
        warnings.warn(
            f"a multiplier or labels have {extent}: the problem is ill-conditioned for the "
            "precision of G (eps near the residual floor or near ‖y‖²/K, or G nearly singular); "
            "see multiplier_error and label_error",
            PrecisionWarning,
            stacklevel=3,
        )
