"""float64 stays float64 outside of JAX's transformations; within, JAX's own precision holds."""

from __future__ import annotations

import definitions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LABELS, features
from evaluation import QUICK
from problems import assert_close

from hilbertsd import HilbertSDError, objectives
from hilbertsd.objectives import grams

SINGLE = 1e-5
"""float32 against float64, on features of size 1."""

S, T = features((6, 4)), features((6, 5), 1)
SAME = features((6, 4), 1)


def test_numpy_and_jax_arrays_keep_their_precision():
    assert isinstance(objectives.fitnet(S, SAME), np.float64)
    assert objectives.fitnet(np.float32(S), np.float32(SAME)).dtype == np.float32
    assert objectives.fitnet(jnp.asarray(S, "float32"), SAME).dtype == np.float32
    with jax.enable_x64(True):
        wide = jnp.asarray(S)
        assert objectives.fitnet(wide, SAME).dtype == np.float64
        assert objectives.fitnet(np.float32(S), np.float32(SAME)).dtype == np.float32
    assert objectives.fitnet(wide, SAME).dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_lists_are_float64_as_in_numpy():
    expected = objectives.fitnet(S, SAME)
    assert isinstance(objectives.fitnet(S.tolist(), SAME.tolist()), np.float64)
    assert objectives.fitnet(S.tolist(), teacher=SAME.tolist()) == expected
    assert objectives.fitnet(S.tolist(), jnp.asarray(SAME, "float32")).dtype == np.float32
    single = [np.float32(row) for row in S]
    assert objectives.fitnet(single, np.float32(SAME)).dtype == np.float32


def test_whole_numbers_on_jax_change_no_type():
    loss = objectives.kd(S, SAME, jnp.asarray(LABELS), imitation_weight=0.5)
    assert isinstance(loss, np.float64)
    assert loss == objectives.kd(S, SAME, LABELS, imitation_weight=0.5)


@pytest.mark.parametrize(
    "transformed",
    [
        lambda value: jax.jit(lambda x: x * value())(1.0),
        lambda value: jax.grad(lambda x: x * value())(1.0),
        lambda value: jax.vmap(lambda x: x * value())(jnp.ones(2))[0],
        lambda value: jax.lax.scan(lambda c, x: (c + x * value(), x), 0.0, jnp.ones(1))[0],
    ],
    ids=["jit", "grad", "vmap", "scan"],
)
def test_constants_within_a_transformation(transformed):
    """And nothing of it is left for what comes after."""
    expected = objectives.fitnet(S, SAME)
    found = transformed(lambda: objectives.fitnet(S, SAME))
    assert found.dtype == np.float32
    assert_close(found, expected, rtol=SINGLE)
    gradient = jax.grad(objectives.fitnet)(S, SAME)
    assert gradient.dtype == np.float32
    assert np.isfinite(gradient).all()
    assert_close(jax.jit(objectives.fitnet)(S, SAME), expected, rtol=SINGLE)
    assert isinstance(objectives.fitnet(S, SAME), np.float64)


def test_constants_beside_traced_features():
    loss = jax.jit(lambda s: grams.fkd(grams.linear(s), grams.linear(T)), compiler_options=QUICK)
    assert_close(loss(jnp.float32(S)), definitions.fkd(S, T), rtol=SINGLE)
    labels = jax.jit(lambda y: objectives.kd(S, SAME, y, imitation_weight=0.5))(LABELS)
    assert_close(labels, objectives.kd(S, SAME, LABELS, imitation_weight=0.5), rtol=SINGLE)


def test_float64_within_a_transformation_takes_double_precision_around_it():
    with jax.enable_x64(True):
        gradient = jax.grad(objectives.fitnet)(S, SAME)
    assert gradient.dtype == np.float64
    with pytest.raises(HilbertSDError, match=r"jax.enable_x64\(True\)"):
        jax.grad(objectives.fitnet)(gradient, SAME)
