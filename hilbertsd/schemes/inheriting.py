"""Codes of a teacher's maps: factor transfer, and inheritance and exploration.

Stage 1 trains an auto-encoder of the teacher's maps, `autoencoder`; in stage 2 the teacher is seen
through its encoder, `coded`. Factor transfer is then ``term("ft")``: the auto-encoder is its
paraphraser, and the translator stands beside the student. For inheritance and exploration the
student's maps are split in two halves of channels, each with an encoder of its own:
`inheritance_terms`. With two students that teach each other, see `mutual`.

References
----------
Kim, Park & Kwak, "Paraphrasing complex network: network compression via factor transfer", NeurIPS
2018.
Huang et al., "Revisiting knowledge distillation: an inheritance and exploration framework", CVPR
2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.nets.supervised import POINTS
from hilbertsd.nets.training import Trained, applied, initialise, keys, train
from hilbertsd.objectives import reconstruction
from hilbertsd.schemes.coders import Coder
from hilbertsd.schemes.teachers import constant
from hilbertsd.schemes.terms import Term, term

Array = Any

LEARNING_RATE = 3e-3


def autoencoder(
    maps: Array,
    *,
    code: int,
    seeds: Sequence[int],
    error: str = "absolute",
    steps: int = 500,
    batch: int | None = 64,
    report: Callable[[int, Array], None] | None = None,
) -> Trained:
    """Train auto-encoders of a teacher's maps x, without labels: stage 1 of IE-KD and of FT.

    Parameters
    ----------
    maps : (S, K, C, H, W) or (1, K, C, H, W)
        Of a teacher at the training points, as ``observe(...).maps[-1]``.
    code : int
        Channels of the code, fewer than C to compress.
    seeds : sequence of int
        One auto-encoder each.
    error : "absolute" or "squared"
        Whether the mean of |x − x̂| is minimised, as in IE-KD, or that of (x − x̂)², as in FT.
    steps, batch, report
        As for `hilbertsd.nets.train`; Adam with step 3e-3.

    Returns
    -------
    Trained
        ``model`` is a stacked `Coder`, ``losses`` (S, steps).

    Raises
    ------
    HilbertSDError
        If the maps are none, or an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.random.default_rng(0).normal(size=(1, 20, 4, 3, 3)).astype(np.float32)
    >>> found = autoencoder(maps, code=2, seeds=[0, 1], steps=5, batch=None)
    >>> found.losses.shape, found.model.encode.second.bias.shape
    ((2, 5), (2, 2))
    """
    seeds = check.whole_numbers("seeds", seeds, distinct=True)
    found = jnp.asarray(maps)
    if found.ndim != 5 or found.shape[0] not in (1, len(seeds)):
        several = "" if len(seeds) == 1 else f"({len(seeds)}, K, C, H, W) or "
        raise HilbertSDError(
            f"maps must have shape {several}(1, K, C, H, W), got {found.shape}: take a "
            "convolutional teacher's, observe(...).maps[-1]."
        )
    start = _Start(found.shape[2], check.whole_number("code", code, least=1))
    shared = found.shape[0] == 1
    return train(
        _ERRORS[check.one_of("error", error, tuple(_ERRORS))],
        initialise(start, keys(seeds, 0)),
        None,
        found[0] if shared else found,
        keys(seeds, 1),
        optimizer=_ADAM,
        steps=steps,
        batch=batch,
        seed_axes=None if shared else 0,
        report=report,
    )


def coded(teacher: Activations, coder: Any, *, stage: int = -1) -> Activations:
    """Return the teacher with codes in place of its maps, for `inheritance_terms` and "ft".

    Parameters
    ----------
    teacher : Activations
        As from `observe`, (S, K, ...) or (1, K, ...).
    coder : Coder
        Stacked over S seeds, ``autoencoder(...).model``.
    stage : int
        Whose maps the auto-encoder was trained on.

    Raises
    ------
    HilbertSDError
        If the teacher is no `Activations` or the coder no `Coder`.
    """
    constant("teacher", teacher)
    if not isinstance(coder, Coder):
        raise HilbertSDError(
            f"coder must be a Coder, got {type(coder).__name__}: pass autoencoder(...).model."
        )
    maps = jnp.asarray(teacher.maps[stage])
    if maps.shape[0] == 1:
        codes = applied(_encoded, coder, None, maps[0])
        whole = jax.tree.map(lambda a: jnp.broadcast_to(a, (len(codes), *a.shape[1:])), teacher)
        return whole._replace(maps=(codes,))
    codes = jnp.stack(
        [applied(_encoded, _one(coder, s), None, maps[s])[0] for s in range(len(maps))]
    )
    return teacher._replace(maps=(codes,))


def inheritance_terms(
    base: str = "FT",
    *,
    inheritance_weight: float = 1.0,
    exploration_weight: float = 1.0,
    unit_norm: bool = False,
    stage: int | None = None,
) -> tuple[Term, Term]:
    """Return a L(E_T, E_I) and −b L(E_T, E_X) as terms of `distill` and `mutual`.

    Parameters
    ----------
    base : "AT", "FT" or "OD"
        L, see `hilbertsd.objectives.inheritance`. −L is not bounded for "OD": with any b the
        exploring half may run away.
    inheritance_weight, exploration_weight : float
        a and b.
    unit_norm : bool
        Codes at unit norm, which bounds "OD" and is not of the paper; nothing for "AT" and "FT".
    stage : int, optional
        The student's (and in `mutual` the peer's) maps; by default the last.

    Examples
    --------
    >>> [one.objective for one in inheritance_terms("AT")]
    ['inheritance', 'exploration']
    """
    found = (("inheritance", inheritance_weight), ("exploration", exploration_weight))
    first, second = (
        term(name, weight, base=base, unit_norm=unit_norm, student_stage=stage)
        for name, weight in found
    )
    return first, second


_ADAM = optax.adam(LEARNING_RATE)


def _absolute(model: Coder, state: Any, batch: Array, key: Array) -> tuple[Array, Any]:
    return reconstruction(batch, model.decode(model.encode(batch))), state


def _squared(model: Coder, state: Any, batch: Array, key: Array) -> tuple[Array, Any]:
    return jnp.mean((model.decode(model.encode(batch)) - batch) ** 2), state


_ERRORS = {"absolute": _absolute, "squared": _squared}


class _Start(NamedTuple):
    """A coder's start as a function of the key; equal for equal sizes: compiled once."""

    channels: int
    code: int

    def __call__(self, key: Array) -> Coder:
        return Coder.start(self.channels, self.code, key)


def _encoded(coder: Coder, state: Any, maps: Array) -> Array:
    return jax.lax.map(lambda a: coder.encode(a[None])[0], maps, batch_size=POINTS)


def _one(stacked: Any, index: int) -> Any:
    """Return one network's part of what is stacked, still stacked."""
    arrays, rest = eqx.partition(stacked, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda a: a[index : index + 1], arrays), rest)
