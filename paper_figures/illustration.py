"""The paper's illustrative example (§4): the chain that both of its figures show."""

from __future__ import annotations

from typing import NamedTuple

import hilbertsd as hsd
from hilbertsd.datasets import EXAMPLE_EPS


class Illustration(NamedTuple):
    """The kernel (59), the eleven points and the chain on them."""

    kernel: hsd.kernels.Kernel
    data: hsd.datasets.Dataset
    chain: hsd.Distillation


def illustration() -> Illustration:
    """Run self-distillation on the example until after it has collapsed."""
    kernel = hsd.kernels.cubic_spline()
    data = hsd.datasets.example()
    chain = hsd.self_distill(hsd.gram(kernel, data.x), data.y, EXAMPLE_EPS, rounds=10)
    return Illustration(kernel, data, chain)


def power_of_ten(value: float, digits: int = 5) -> str:
    """Write a number for a caption: 2.70525·10⁻⁶.

    Examples
    --------
    >>> power_of_ten(2.70525e-6)
    '2.70525·10⁻⁶'
    """
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return (
        f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    )
