"""One side of the tangent kernel benchmark, run by the Python that has its library.

    python tangent_worker.py ours|theirs

reads lines ``case implementation`` and answers each with the seconds of one call; ``save`` in place
of a case writes the last kernel to the file named. neural-tangents needs an older JAX than ours,
hence the two processes.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def mlp(params, x):
    """Fully connected, NTK parametrisation."""
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w / w.shape[0] ** 0.5 + b)
    w, b = params[-1]
    return x @ w / w.shape[0] ** 0.5 + b


def convolutional(params, x):
    """Three convolutions, global average pooling, a dense layer."""
    for w, b in params[:-1]:
        x = jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x / (w.shape[0] * w.shape[1] * w.shape[2]) ** 0.5 + b)
    w, b = params[-1]
    return jnp.mean(x, axis=(1, 2)) @ w / w.shape[0] ** 0.5 + b


def arrays(shapes, points):
    """Parameters and points, the same on both sides."""
    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(size=s)), jnp.asarray(rng.normal(size=s[-1]))) for s in shapes
    ]
    return params, jnp.asarray(rng.normal(size=points))


def case(name):
    """Return f, params, x and whether all outputs are wanted."""
    kind, size, outputs = name.split("-")
    n = int(size)
    if kind == "mlp":
        shapes, points, f = [(784, 256), (256, 256), (256, 10)], (n, 784), mlp
    else:
        shapes = [(3, 3, 1, 16), (3, 3, 16, 16), (3, 3, 16, 16), (16, 10)]
        points, f = (n, 8, 8, 1), convolutional
    return (f, *arrays(shapes, points), outputs == "all")


def ours(name, implementation):
    """Return a call of `empirical_ntk`."""
    from hilbertsd.nets import empirical_ntk, tangent_plan

    f, params, x, everything = case(name)
    wanted = {"outputs": "all" if everything else "mean", "method": implementation}
    print(tangent_plan(f, params, x, **wanted), file=sys.stderr)
    return lambda: empirical_ntk(f, params, x, **wanted)


def theirs(name, implementation):
    """Return a call of `empirical_ntk_fn`, compiled, in the layout of ours."""
    nt = importlib.import_module("neural_tangents")  # only in the peer's environment

    f, params, x, everything = case(name)
    kernel = jax.jit(
        nt.empirical_ntk_fn(
            f,
            trace_axes=() if everything else (-1,),
            vmap_axes=0,
            implementation=nt.NtkImplementation[implementation],
        )
    )

    def call():
        k = np.asarray(kernel(x, None, params))
        return k.transpose(0, 2, 1, 3).reshape(k.shape[0] * k.shape[2], -1) if everything else k

    return call


def main() -> None:
    """Answer line by line."""
    side = {"ours": ours, "theirs": theirs}[sys.argv[1]]
    calls: dict[tuple[str, str], Callable[[], np.ndarray]] = {}
    last = np.zeros(0)
    for line in sys.stdin:
        name, argument = line.split()
        if name == "save":
            np.save(argument, last)
            print("saved", flush=True)
            continue
        try:
            if (name, argument) not in calls:
                calls[name, argument] = side(name, argument)
                calls[name, argument]()
            start = time.perf_counter()
            last = calls[name, argument]()
            print(time.perf_counter() - start, flush=True)
        except Exception as error:
            print("failed", type(error).__name__, str(error)[:200].replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
