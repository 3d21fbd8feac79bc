"""Infinitely wide networks: their covariances (NNGP) and tangent kernels (NTK) as kernels.

References
----------
Lee et al., "Deep neural networks as Gaussian processes", ICLR 2018. Jacot, Gabriel & Hongler,
"Neural tangent kernel", NeurIPS 2018. Arora et al., "On exact computation with an infinitely wide
neural net", NeurIPS 2019 (convolutions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.inner_product import whole_between
from hilbertsd.kernels.kernel import positive
from hilbertsd.kernels.points import Array
from hilbertsd.kernels.tangent.activations import MOST_NODES, NODES
from hilbertsd.kernels.tangent.activations import activation as rule_of
from hilbertsd.kernels.tangent.network import ConvolutionalNetwork, Network

__all__ = ["ConvolutionalNetwork", "Network", "conv_nngp", "conv_ntk", "nngp", "ntk"]

READOUTS = ("flatten", "average")
Activation = str | Callable[[Array], Array]


def nngp(
    depth: int = 1,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    nodes: int = NODES,
) -> Network:
    """Return the covariance of an infinitely wide fully connected network's outputs.

    Σ_1(x, s) = w² ⟨x, s⟩/d + b² and Σ_{l+1} = w² E[φ(u) φ(v)] + b² with (u, v) Gaussian of
    covariance Σ_l, up to l = depth + 1 (Lee et al. 2018, (4), (5)). Every layer, the output too, is
    h ↦ w/√fan_in · W h + b · β with standard normal W and β. Its space belongs to a network
    of which only the last layer is trained.

    Parameters
    ----------
    depth : int
        Hidden layers, 0 or more.
    activation : str or callable
        φ: "relu", "abs", "linear", "erf" in closed form (relu without factor √2); "tanh", "gelu",
        "sigmoid", "silu", "softplus", "sin", or any elementwise function, by Gauss-Hermite
        quadrature. A function is called with NumPy or JAX arrays, like the points.
    weight_variance, bias_variance : float
        w² > 0 and b² ≥ 0. The default w² = 2 keeps the diagonal of a relu network from shrinking.
    nodes : int
        Of the quadrature, 2 to 320; see `Network.quadrature_error`.

    Raises
    ------
    HilbertSDError
        If an argument is out of range or the activation is not known.

    Warns
    -----
    PrecisionWarning
        When evaluated at points where the quadrature leaves more than 1e-6 of the diagonal.

    Examples
    --------
    >>> from hilbertsd.kernels import arc_cosine
    >>> x, s = [[3.0, 4.0]], [[1.0, -2.0]]
    >>> bool(abs(nngp(1)(x, s) - arc_cosine(1)(x, s))[0] < 1e-14)     # w⁴/(2d) = 1
    True
    """
    return _network("nngp", depth, activation, weight_variance, bias_variance, nodes)


def ntk(
    depth: int = 1,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    nodes: int = NODES,
) -> Network:
    """Return the neural tangent kernel of an infinitely wide fully connected network.

    Θ_1 = Σ_1 and Θ_{l+1} = Σ_{l+1} + w² E[φ'(u) φ'(v)] Θ_l with the Σ_l of `nngp` (Jacot et al.
    2018, theorem 1): the limit of Σ_θ ∂f(x)/∂θ ∂f(s)/∂θ over all parameters W and β.

    Parameters
    ----------
    depth, activation, weight_variance, bias_variance, nodes
        As for `nngp`.

    Raises
    ------
    HilbertSDError
        As for `nngp`.

    Examples
    --------
    >>> ntk(depth=3, activation="relu")
    ntk(depth=3, activation='relu', weight_variance=2.0, bias_variance=0.0)
    >>> ntk(1)([[1.0, 0.0]], [[0.0, 1.0]]).round(4)      # 1/π of the w² ‖x‖ ‖s‖/d
    array([0.3183])
    """
    return _network("ntk", depth, activation, weight_variance, bias_variance, nodes)


def conv_nngp(
    shape: tuple[int, int, int],
    depth: int = 1,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    readout: str = "flatten",
    filter_size: int = 3,
    nodes: int = NODES,
) -> ConvolutionalNetwork:
    """Return the covariance of a convolutional network's outputs as channels go to infinity.

    ``depth`` times a convolution (stride 1, zero padding, image size kept) and φ, then the readout
    and a dense layer of weight variance 1 without bias (Novak et al., ICLR 2019). A point is an
    image's numbers in the order height, width, channel.

    Parameters
    ----------
    shape : (height, width, channels)
        Of an image.
    depth, activation, weight_variance, bias_variance, nodes
        As for `nngp`; the variances are those of the convolutions, h ↦ w/√(filter_size² channels)
        · W ∗ h + b · β.
    readout : "flatten" or "average"
        What the dense layer sees: all pixels, or their mean (global average pooling). A matrix
        costs height · width numbers an entry with the first, its square with the second.
    filter_size : int
        Pixels on a side of the filter.

    Raises
    ------
    HilbertSDError
        If an argument is out of range or the activation is not known.

    Examples
    --------
    >>> k = conv_nngp((4, 4, 1), depth=2, readout="average")
    >>> k.features
    16
    """
    return _convolutional("conv_nngp", shape, depth, activation, weight_variance, bias_variance,
                          readout, filter_size, nodes)  # fmt: skip


def conv_ntk(
    shape: tuple[int, int, int],
    depth: int = 1,
    activation: Activation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    readout: str = "flatten",
    filter_size: int = 3,
    nodes: int = NODES,
) -> ConvolutionalNetwork:
    """Return the tangent kernel of a convolutional network as channels go to infinity.

    The network of `conv_nngp`; the recursion is that of `ntk` with means over the filter's window
    (Arora et al. 2019, section 4).

    Parameters
    ----------
    shape, depth, activation, weight_variance, bias_variance, readout, filter_size, nodes
        As for `conv_nngp`.

    Raises
    ------
    HilbertSDError
        As for `conv_nngp`.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).normal(size=(3, 5 * 5 * 2))
    >>> conv_ntk((5, 5, 2), depth=2).matrix(images, images).shape
    (3, 3)
    """
    return _convolutional("conv_ntk", shape, depth, activation, weight_variance, bias_variance,
                          readout, filter_size, nodes)  # fmt: skip


def _network(name: str, depth, activation, weight_variance, bias_variance, nodes) -> Network:
    return Network(name, *_common(depth, activation, weight_variance, bias_variance, nodes))


def _convolutional(
    name, shape, depth, activation, weight_variance, bias_variance, readout, filter_size, nodes
) -> ConvolutionalNetwork:
    try:
        height, width, channels = shape
    except (TypeError, ValueError):
        raise HilbertSDError(
            f"shape = {shape!r} is not (height, width, channels) of an image."
        ) from None
    if readout not in READOUTS:
        raise HilbertSDError(f"readout = {readout!r} must be one of {', '.join(READOUTS)}.")
    return ConvolutionalNetwork(
        name,
        *_common(depth, activation, weight_variance, bias_variance, nodes),
        shape=(
            whole_between("shape's height", height, 1, None),
            whole_between("shape's width", width, 1, None),
            whole_between("shape's channels", channels, 1, None),
        ),
        readout=readout,
        filter_size=whole_between("filter_size", filter_size, 1, None),
    )


def _common(depth, activation, weight_variance, bias_variance, nodes) -> tuple[Any, ...]:
    try:
        bias = float(bias_variance)
    except (TypeError, ValueError):
        bias = math.nan
    if not (math.isfinite(bias) and bias >= 0):
        raise HilbertSDError(f"bias_variance = {bias_variance!r} is not a finite number ≥ 0.")
    count = whole_between("nodes", nodes, 2, MOST_NODES)
    return (
        whole_between("depth", depth, 0, None),
        activation,
        positive("weight_variance", weight_variance),
        bias,
        count,
        rule_of(activation, count),
    )
