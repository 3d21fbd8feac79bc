r"""Inheritance and exploration: one half of the student follows the teacher, the other leaves it.

Stage 1 trains an encoder and decoder of the teacher's features by :func:`reconstruction`. Then the
student's features are split in two :func:`halves`, each with an encoder of its own; the codes of
the first come near the teacher's code and those of the second move away:
a L(E_T, E_I) − b L(E_T, E_X), with one of three base losses L. Mutual learning with two students
has the same losses, each student the other's teacher.

A base loss is a norm for each sample, and the mean of it over the batch.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import alike, batches, floating, objective
from hilbertsd.objectives.maps import attention_map, od
from hilbertsd.objectives.normalisation import unit

Array = Any

BASES = ("AT", "FT", "OD")


@objective
def reconstruction(features: Array, decoded: Array) -> Array:
    """Return the auto-encoder's loss, the mean over all entries of |x − x̂|; x is a constant.

    Examples
    --------
    >>> import numpy as np
    >>> float(reconstruction(np.array([[1.0, 2.0]]), np.array([[2.0, 2.0]])))
    0.5
    """
    decoded, constant = alike(decoded, features)
    return jnp.mean(jnp.abs(constant - decoded))


@objective
def halves(features: Array) -> tuple[Array, Array]:
    """Return the first ⌊C/2⌋ channels (axis 1), to inherit, and the rest, to explore."""
    F = floating("features", features)
    if F.ndim < 2 or F.shape[1] < 2:
        raise HilbertSDError(f"features of shape {F.shape} have no two channels to share out")
    middle = F.shape[1] // 2
    return F[:, :middle], F[:, middle:]


@objective
def inheritance(
    student: Array, teacher: Array, *, base: str = "FT", unit_norm: bool = False
) -> Array:
    r"""Return L(E_T, E_I), the base loss between a student's code a and its teacher's code b.

    Parameters
    ----------
    student, teacher
        (B, ...) codes of one shape; for "AT" (B, C, H, W) of one height and width.
    base
        "AT": ‖a/‖a‖₂ − b/‖b‖₂‖₁ of attention maps, the mean over channels of a²;
        "FT": the same of the codes, flattened;
        "OD": ‖max(a, 0) − max(b, 0)‖₂, :func:`maps.od`.
        Of each sample; then the mean over the batch.
    unit_norm
        Whether each code is first taken to unit norm. "AT" and "FT" do not change; "OD" gets the
        bound √2, which the paper's has not.

    Notes
    -----
    Huang et al. 2021; norms, not means of entries as :func:`maps.at` and
    :func:`maps.ft` have. For "OD" the derivative at equal codes is 0.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([[3.0, 4.0]]), np.array([[4.0, -3.0]])
    >>> round(float(inheritance(a, b, base="FT")), 12)
    1.6
    >>> round(float(inheritance(a, b, base="OD")), 6)
    4.123106
    """
    kind = inputs.one_of("base", base, BASES)
    if kind == "AT":
        s, t = alike(*(attention_map(a) for a in batches(student, teacher, axes=4)))
        return _total(jnp.abs(s - t))
    s, t = alike(student, teacher)
    if kind == "OD":
        return od(s, t, unit_norm=unit_norm)
    s, t = (unit(a.reshape(len(a), -1), 1) for a in (s, t))
    return _total(jnp.abs(s - t))


@objective
def exploration(
    student: Array, teacher: Array, *, base: str = "FT", unit_norm: bool = False
) -> Array:
    """Return −L(E_T, E_X), minus :func:`inheritance`.

    Bounded below for "AT" and "FT", for "OD" only with ``unit_norm=True``.
    """
    return -inheritance(student, teacher, base=base, unit_norm=unit_norm)


@objective
def inheritance_exploration(
    inheriting: Array,
    exploring: Array,
    teacher: Array,
    *,
    base: str = "FT",
    unit_norm: bool = False,
    inheritance_weight: float = 1.0,
    exploration_weight: float = 1.0,
) -> Array:
    """Return a L(E_T, E_I) − b L(E_T, E_X) (Huang et al. 2021), to add to the task's loss."""
    near = inheritance(inheriting, teacher, base=base, unit_norm=unit_norm)
    far = exploration(exploring, teacher, base=base, unit_norm=unit_norm)
    return inheritance_weight * near + exploration_weight * far


def _total(gaps: Array) -> Array:
    """Return the sum over a sample's entries, the mean over samples."""
    return jnp.sum(gaps) / len(gaps)
