"""Products over coordinates: from kernels on the line to kernels on a box."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.kernel import Kernel
from hilbertsd.kernels.points import Array, Namespace


@dataclass(frozen=True, repr=False)
class Tensor(Kernel):
    """Π_i g_i(x_i, s_i), one kernel a coordinate; see `tensor`."""

    parts: tuple[Kernel, ...]
    domain: None = field(init=False, default=None)

    @property
    def features(self) -> int:
        """One coordinate a factor."""
        return len(self.parts)

    @property
    def regularizer(self) -> str:
        """The tensor product of the factors' norms."""
        return "tensor product over coordinates; " + "; ".join(
            f"x_{i}: {part.regularizer}" for i, part in enumerate(self.parts, 1)
        )

    def _inside(self, points: Array, xp: Namespace, name: str) -> Array:
        points = super()._inside(points, xp, name)
        columns = [
            part._inside(points[..., i : i + 1], xp, f"{name}[..., {i}]")
            for i, part in enumerate(self.parts)
        ]
        return xp.concatenate(columns, axis=-1)

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        return math.prod(
            part._pairs(x[..., i : i + 1], s[..., i : i + 1], xp)
            for i, part in enumerate(self.parts)
        )

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return math.prod(
            part._block(x[:, i : i + 1], s[:, i : i + 1], xp) for i, part in enumerate(self.parts)
        )

    def __repr__(self) -> str:
        return f"tensor({', '.join(map(repr, self.parts))})"


def tensor(*kernels: Kernel) -> Tensor:
    """Return the product over coordinates, g(x, s) = Π_i g_i(x_i, s_i).

    Its space is the tensor product of the factors' spaces (Aronszajn 1950, section 8); points have
    as many coordinates as there are kernels.

    Raises
    ------
    HilbertSDError
        If no kernel is given or one of them is not a kernel on the line.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_motion
    >>> k = tensor(brownian_motion(), brownian_motion())
    >>> k([[0.5, 0.25]], [[1.0, 0.5]])
    array([0.125])
    """
    if not kernels:
        raise HilbertSDError("tensor() needs at least one kernel, one for each coordinate.")
    for kernel in kernels:
        if not isinstance(kernel, Kernel) or kernel.features not in (None, 1):
            raise HilbertSDError(
                f"{kernel!r} is not a kernel on the line; "
                "tensor takes one such kernel a coordinate."
            )
    return Tensor(kernels)
