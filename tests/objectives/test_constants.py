"""What is constant: the teacher of Gram forms, memories, normalisers, soft labels, a target."""

from __future__ import annotations

import jax
import numpy as np
from cases import BANKS, HEADS, NEGATIVES, B, features
from evaluation import QUICK

from hilbertsd import objectives as o

S, T = features((B, 4)), features((B, 5))


def slopes(f, *arguments):
    """Gradients of a number by each argument."""
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(f, tuple(range(len(arguments)))), compiler_options=QUICK)
        return [np.asarray(x) for x in slope(*arguments)]


def test_the_teacher_of_gram_forms():
    forms = (o.grams.sp, o.dependence.hsic, o.projector.fitted_projector)  # one door for all
    student, teacher = slopes(lambda K, L: sum(f(K, L) for f in forms), S @ S.T, T @ T.T)
    assert student.any()
    assert not teacher.any()


def test_the_memory_of_crd():
    heads, numbers = o.Heads(*HEADS), np.arange(B)

    def loss(banks, student_weight):
        moving = heads._replace(student_weight=student_weight)
        return o.crd(S, T, moving, o.Memory(*banks), numbers, NEGATIVES)

    banks, weight = slopes(loss, np.stack(BANKS), heads.student_weight)
    assert weight.any()
    assert not banks.any()


def test_normalisers_and_the_new_memory_of_crd():
    heads, numbers, memory = o.Heads(*HEADS), np.arange(B), o.Memory(*BANKS)

    def normalisers(student, banks):
        return sum(o.crd_normalisers(student, T, heads, o.Memory(*banks), numbers, NEGATIVES))

    def refreshed(student, weight, banks):
        old = memory._replace(student=banks[0], teacher=banks[1])
        new = o.refresh(old, student, T, heads._replace(student_weight=weight), numbers)
        return new.student.sum() + new.teacher.sum()

    banks = np.stack(BANKS)
    for slope in (*slopes(normalisers, S, banks), *slopes(refreshed, S, HEADS[0], banks)):
        assert not slope.any()


def test_soft_labels():
    soft = np.abs(features((B, 4), 3))
    student, labels = slopes(o.cross_entropy, S, soft)
    assert student.any()
    assert not labels.any()


def test_the_target_of_reconstruction_is_what_was_encoded():
    features_, decoded = slopes(o.reconstruction, S, S + features(S.shape, 2))
    assert not features_.any()
    assert decoded.any()
