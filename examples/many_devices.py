"""Fits on a Gram matrix that is never formed, by all devices of all processes.

In one process, and over two:

    python examples/many_devices.py
    python -m hilbertsd.launch -n 2 examples/many_devices.py
"""

import jax
import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

import hilbertsd as hsd

POINTS = 600
MULTIPLIER = 1e-3
ROUNDS = 3


def distill(G, y: np.ndarray) -> list[np.ndarray]:
    """Dual coefficients of a few rounds at a fixed multiplier, from products with G alone."""
    shifted = LinearOperator(G.shape, matvec=lambda v: MULTIPLIER * v + G.matvec(v), dtype=float)
    fits = []
    for _ in range(ROUNDS):
        dual_coef, _ = cg(shifted, y, rtol=1e-8)
        fits.append(dual_coef)
        y = G.matvec(dual_coef)
    return fits


def main() -> None:
    # Every process draws the same points, makes the same calls and gets the whole result.
    rng = np.random.default_rng(0)
    x, x_new = rng.random((POINTS, 3)), rng.random((200, 3))
    y = np.sin(2 * np.pi * x).sum(axis=1) + 0.5 * rng.standard_normal(POINTS)
    truth = np.sin(2 * np.pi * x_new).sum(axis=1)

    kernel = hsd.kernels.gaussian(length_scale=0.3)
    G = hsd.operators.sharded(kernel, x)
    cross = hsd.operators.sharded_cross(kernel, x_new, x)
    errors = [np.mean((cross @ dual_coef - truth) ** 2) for dual_coef in distill(G, y)]

    if jax.process_index() == 0:  # one speaks for all
        print(f"{jax.device_count()} devices, {jax.process_count()} processes")
        for t, error in enumerate(errors):
            print(f"round {t}: error to the truth {error:.6f}")


if __name__ == "__main__":
    main()
