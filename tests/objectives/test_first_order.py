"""The first-order view against differences, gradients by the features, and its invariances."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import ROUNDING, assert_close, assert_norm_close

from hilbertsd.errors import HilbertSDError

jax = pytest.importorskip("jax")
jnp = jax.numpy

from hilbertsd.objectives import dependence, grams  # noqa: E402
from hilbertsd.objectives.first_order import agreement, first_order  # noqa: E402
from hilbertsd.objectives.projector import fitted_projector  # noqa: E402

DIFFERENCES = 1e-6
"""Central differences of step 1e-6, relative: observed below 1e-8."""
INVARIANT = 1e-12
"""What an invariance sets to zero, relative to the terms that cancel: observed below 1e-14."""


OBJECTIVES = {  # and what they ignore: a common scale, the norm of each feature, a shift of all
    "fkd": (grams.fkd, (True, True, False)),
    "fkd of K": (partial(grams.fkd, kernel="linear"), (False, False, False)),
    "sp": (grams.sp, (True, False, False)),
    "cc": (grams.cc, (True, True, False)),
    "pkt": (partial(grams.pkt, epsilon=1e-30), (True, True, False)),
    "rkd distance": (grams.rkd_distance, (True, False, True)),
    "rkd angle": (grams.rkd_angle, (True, False, True)),
    "cka": (dependence.cka_loss, (True, False, True)),
    "hsic": (dependence.hsic_loss, (False, False, True)),
    "alignment": (dependence.alignment_loss, (True, False, False)),
    "projector": (partial(fitted_projector, weight_decay=0.5), (False, False, False)),
}
OBJECTIVES = {name: (jax.jit(f), ignored) for name, (f, ignored) in OBJECTIVES.items()}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


def raw(student, teacher):
    return jnp.sum((student - teacher) ** 2)


def features(seed, samples=6, width=5):
    rng = np.random.default_rng([seed, 8])
    return rng.standard_normal((samples, width)), rng.standard_normal((samples, 3))


def gram(rows):
    return rows @ rows.T


def view_of(objective, seed=0):
    student, teacher = features(seed)
    return first_order(objective, gram(student), gram(teacher)), student, teacher


def by_features(objective, student, teacher):
    with jax.enable_x64(True):
        return np.asarray(
            jax.grad(lambda rows: objective(gram(rows), gram(jnp.asarray(teacher))))(
                jnp.asarray(student)
            )
        )


@every_objective
def test_the_gradient_is_symmetric_and_that_of_the_features(name):
    objective = OBJECTIVES[name][0]
    view, student, teacher = view_of(objective)
    assert (view.gradient == view.gradient.T).all()
    slope = by_features(objective, student, teacher)
    assert_norm_close(2 * view.gradient @ student, slope, rtol=ROUNDING)
    assert_close(view.descent, np.sum(slope**2), rtol=1e-11)


@every_objective
def test_what_a_small_step_does(name):
    objective = OBJECTIVES[name][0]
    view, student, teacher = view_of(objective)
    step = 1e-6
    slope = 2 * view.gradient @ student
    step /= np.linalg.norm(slope)
    ahead, behind = gram(student - step * slope), gram(student + step * slope)
    moved = (ahead - behind) / (2 * step)
    assert_norm_close(view.gram_velocity, moved, rtol=DIFFERENCES)
    with jax.enable_x64(True):
        fallen = float(objective(ahead, gram(teacher)) - objective(behind, gram(teacher)))
    assert_close(-fallen / (2 * step), view.descent, rtol=DIFFERENCES)
    values = [np.linalg.eigvalsh(matrix)[1:] for matrix in (behind, ahead)]  # five are not zero
    rates = (np.log(values[1]) - np.log(values[0])) / (2 * step)
    scale = np.abs(view.growth).max()
    assert_close(view.growth[1:], rates, atol=DIFFERENCES * scale)


@every_objective
def test_shares_by_the_singular_vectors_of_the_features(name):
    objective = OBJECTIVES[name][0]
    view, student, teacher = view_of(objective)
    slope = by_features(objective, student, teacher)
    total = np.sum(slope**2)
    outer, _, inner = np.linalg.svd(student, full_matrices=False)
    stretched = np.einsum("ki,kp,ip->i", outer, slope, inner) ** 2
    assert_close(view.eigenvalue_share, stretched.sum() / total, rtol=1e-10)
    assert_close(view.pair_shares.sum(), 1.0, rtol=ROUNDING)
    assert_close(view.direction_shares.sum(), 1.0, rtol=ROUNDING)
    assert (view.pair_shares == view.pair_shares.T).all() or np.allclose(
        view.pair_shares, view.pair_shares.T, rtol=1e-10
    )
    away = slope - outer @ (outer.T @ slope)  # five features of six samples
    assert_close(view.outside_share, np.sum(away**2) / total, rtol=1e-8, atol=1e-14)
    norms = np.linalg.norm(student, axis=1)
    outward = np.sum(slope * student, axis=1) / norms
    assert_close(view.radial_share, np.sum(outward**2) / total, atol=1e-12)
    assert_close(view.sample_radial, outward * norms, atol=1e-12 * np.sqrt(total) * norms.max())


@given(st.integers(0, 10**6), st.sampled_from(sorted(OBJECTIVES)))
def test_invariances_are_identities_of_the_gradient(seed, name):
    objective, (scale, norms, shift) = OBJECTIVES[name]
    view, *_ = view_of(objective, seed)
    terms = np.abs(view.gradient) @ np.abs(view.gram)
    assert (abs(view.radial) <= INVARIANT * np.trace(terms)) == scale, name
    radial = np.abs(view.sample_radial).max()
    assert (radial <= INVARIANT * np.diag(terms).max()) == norms, name
    moved = np.abs(view.translation).max()
    assert (moved <= INVARIANT * np.abs(view.gradient).sum(axis=1).max()) == shift, name


def test_a_homogeneous_objective_obeys_euler():
    """HSIC is linear in the student's kernel: ⟨M, K⟩ is its value."""
    view, _, _ = view_of(dependence.hsic)
    assert_close(view.radial, view.value, rtol=1e-12)


def test_agreement_is_that_of_the_features_gradients():
    student, teacher = features(3)
    views = [first_order(o, gram(student), gram(teacher)) for o, _ in OBJECTIVES.values()]
    slopes = np.stack([by_features(o, student, teacher).ravel() for o, _ in OBJECTIVES.values()])
    slopes /= np.linalg.norm(slopes, axis=1, keepdims=True)
    assert_close(agreement(views), slopes @ slopes.T, atol=1e-11)
    opposite = first_order(lambda s, t: -grams.fkd(s, t), gram(student), gram(teacher))
    assert_close(agreement([views[0], opposite]), [[1, -1], [-1, 1]], atol=1e-12)


def test_another_basis():
    view, _, teacher = view_of(raw)
    vectors = np.linalg.eigh(gram(teacher))[1]
    assert_norm_close(vectors @ view.in_basis(vectors) @ vectors.T, view.gradient, rtol=ROUNDING)


def test_float32_features_are_taken_as_they_are():
    student, teacher = (rows.astype(np.float32) for rows in features(0))
    view = first_order(raw, gram(student), gram(teacher))
    assert view.gradient.dtype == np.float64
    assert_norm_close(view.gradient, 2.0 * (gram(student) - gram(teacher)), rtol=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (np.ones((2, 3)), np.eye(2), r"student has shape \(2, 3\)"),
        (np.eye(2), np.eye(3), "pass the Gram matrices of both at the same samples"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), np.eye(2), "student is not symmetric"),
        (np.eye(2), np.full((2, 2), np.nan), r"teacher\[0, 0\] is nan"),
    ],
)
def test_bad_input(student, teacher, message):
    with pytest.raises(HilbertSDError, match=message):
        first_order(raw, student, teacher)


def test_a_gradient_that_is_not_finite_is_named():
    with pytest.raises(HilbertSDError, match=r"the gradient of the objective by K\[0, 0\]"):
        first_order(lambda s, t: jnp.sum(jnp.sqrt(s - t)), np.eye(2), np.eye(2))


def test_no_direction_no_agreement():
    still = first_order(raw, np.eye(2), np.eye(2))
    assert still.direction_shares.tolist() == [0.0, 0.0]
    assert still.radial_share == 0.0
    with pytest.raises(HilbertSDError, match=r"views\[0\] does not move the student"):
        agreement([still])
    with pytest.raises(HilbertSDError, match=r"views\[1\] is at another student"):
        agreement([view_of(raw, 0)[0], view_of(raw, 1)[0]])
    with pytest.raises(HilbertSDError, match="views is empty"):
        agreement([])
