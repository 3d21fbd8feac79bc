"""Products with a Gram matrix that is never formed: time against peers, and memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

import hilbertsd as hsd
from benchmarks.measure import Bound, Comparison, PeerAbsent, pairs, peer

LENGTH_SCALE = 0.3
KERNEL = f"gaussian({LENGTH_SCALE}) in three dimensions"
BLOCK = 256
"""Rows at a time in NumPy: the fastest of 64, 256 and 1024 here."""
AGREES = 1e-12


def _problem(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((size, 3)), rng.standard_normal(size)


def blocked_numpy(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The product in blocks of rows, each made in place by SciPy's distances and NumPy's exp."""
    result = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        block = cdist(x[start : start + BLOCK], x, "sqeuclidean")
        block *= -0.5 / LENGTH_SCALE**2
        np.exp(block, out=block)
        result[start : start + BLOCK] = block @ v
    return result / len(x)


def tiled_over_numpy(quick: bool) -> Comparison:
    """One product with a Gaussian Gram matrix against NumPy, block by block."""
    return _compare(
        "a matrix-free product over blocked NumPy",
        f"cdist, exp and a product in place, {BLOCK} rows at a time",
        blocked_numpy,
        quick,
        limit=2.0,
    )


def tiled_over_keops(quick: bool) -> Comparison:
    """The same product by KeOps on the CPU, as its documentation writes it."""
    torch, keops = peer("torch"), peer("pykeops.torch")

    def product(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        points, vector = torch.from_numpy(x), torch.from_numpy(v)[:, None]
        x_i, x_j = keops.LazyTensor(points[:, None, :]), keops.LazyTensor(points[None, :, :])
        squares = ((x_i - x_j) ** 2).sum(-1)
        values = (-squares / (2 * LENGTH_SCALE**2)).exp()
        return (values @ vector).numpy()[:, 0] / len(x)

    return _compare(
        "a matrix-free product over KeOps",
        "LazyTensor, float64, on the CPU",
        product,
        quick,
        limit=3.0,
    )


def _compare(name: str, side: str, product: Any, quick: bool, limit: float) -> Comparison:
    size, repeats = (2000, 3) if quick else (20000, 9)
    x, v = _problem(size)
    G = hsd.operators.tiled(hsd.kernels.gaussian(LENGTH_SCALE), x)
    difference = float(np.abs(G.matvec(v) - product(x, v)).max())
    if not difference < AGREES:
        raise AssertionError(f"the two sides disagree on the product by {difference:.1e}")
    ours, theirs = pairs(lambda: G.matvec(v), lambda: product(x, v), repeats)
    return Comparison(
        name=name,
        ours="hsd.operators.tiled(kernel, x).matvec(v)",
        theirs=side,
        at="K = 20000",
        settings={"K": size, "kernel": KERNEL, "largest difference": difference},
        our_seconds=ours,
        their_seconds=theirs,
        limit=limit,
        speed_up=True,
        judged=not quick,
    )


ONE_PRODUCT = """
import sys
import numpy as np
import hilbertsd as hsd

size, dtype = int(sys.argv[1]), sys.argv[2]
x = np.random.default_rng(0).random((size, 3))
G = hsd.operators.tiled(hsd.kernels.gaussian({length_scale}), x, dtype=dtype)
G.matvec(np.ones(size))
status = open("/proc/self/status").read()  # getrusage would count the process that started us
print(1024 * int(status.split("VmHWM:")[1].split()[0]))
"""


def peak_bytes(size: int, dtype: str = "float64") -> int:
    """Peak resident memory of a fresh process that makes one product."""
    program = ONE_PRODUCT.format(length_scale=LENGTH_SCALE)
    command = [sys.executable, "-c", program, str(size), dtype]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(quick: bool) -> Bound:
    """Peak memory of one product, interpreter and JAX included."""
    if not sys.platform.startswith("linux"):
        raise PeerAbsent("the memory of a process is read from Linux's /proc")
    size = 5000 if quick else 100_000
    half, full = peak_bytes(size // 2), peak_bytes(size)
    return Bound(
        name="memory of a matrix-free product",
        at="K = 100000",
        settings={"K": size, "kernel": KERNEL, "MiB at K/2": half / 2**20},
        value=full / 2**20,
        unit="MiB",
        limit=1024,
        judged=not quick,
    )
