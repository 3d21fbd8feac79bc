"""Figure 3 of Mobahi, Farajtabar & Bartlett (2020): the basis weights grow sparse with rounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hilbertsd import plots
from paper_figures.illustration import illustration, power_of_ten
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Fig3:
    """What the figure shows.

    Attributes
    ----------
    index
        (r,) the indices k of the positive eigenvalues among d_1 <= … <= d_K.
    weights
        (T, r) diag B_t on the range of G (45), of the non-trivial fits.
    sparsity, effective_dimension
        (T,) smallest ratio of consecutive weights of the actual B_t, and tr B_t.
    size, collapse_round, eps
        Of the chain.
    """

    index: np.ndarray
    weights: np.ndarray
    sparsity: np.ndarray
    effective_dimension: np.ndarray
    size: int
    collapse_round: int
    eps: float


def compute() -> Fig3:
    """Run the chain and keep the weights on the range of G."""
    chain = illustration().chain
    collapse, spectrum = chain.collapse_round, chain.spectrum
    assert isinstance(collapse, int)
    assert spectrum is not None
    inside = np.flatnonzero(spectrum.eigenvalues > 0)
    return Fig3(
        index=inside + 1,
        weights=spectrum.basis_weights[:collapse, inside],
        sparsity=spectrum.sparsity_index[:collapse],
        effective_dimension=spectrum.effective_dimension[:collapse],
        size=len(spectrum.eigenvalues),
        collapse_round=collapse,
        eps=float(chain.eps[0]),
    )


def plot(data: Fig3) -> Figure:
    """Draw one panel of bars a round."""
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 1.75))
        panels = figure.subplots(1, len(data.weights), sharey=True)
        colors = plots.round_colors(len(data.weights))
        for t, (axes, weights) in enumerate(zip(panels, data.weights, strict=True)):
            axes.bar(data.index, weights, color=colors[t], width=0.75)
            axes.set(title=f"$t = {t}$", ylim=(0, 1.02), xticks=data.index[::2])
        panels[0].set(ylabel="$B_t[k]$", yticks=(0, 0.5, 1))
        zero = " = ".join(f"d_{{{k}}}" for k in range(1, data.index[0]))
        figure.supxlabel(
            f"index $k$ of the eigenvalues $d_k$ in ascending order (${zero} = 0$)", fontsize=9
        )
        plots.settle(figure)
    return figure


def caption(data: Fig3) -> str:
    """Say what the panels show, in the numbers of this run."""
    zero = data.size - len(data.index)
    smallest = ", ".join(power_of_ten(w, 2) for w in data.weights[:, 0])
    largest = ", ".join(f"{w:.3f}" for w in data.weights[:, -1])
    sparsity = ", ".join(f"{s:.4f}" for s in data.sparsity)
    dimension = ", ".join(f"{d:.3f}" for d in data.effective_dimension)
    return f"""
**Figure 3.** The basis weights diag B_t of Mobahi, Farajtabar & Bartlett (2020), equation (45),
in rounds t = 0, …, {len(data.weights) - 1} of their illustrative example at ε = {data.eps:g};
round {data.collapse_round} collapses. Shown are the {len(data.index)} eigenvalues in the range of
the Gram matrix, in ascending order; the other {zero} of the {data.size} are zero, since the kernel
vanishes at both ends of the interval. Small weights shrink faster: the smallest is {smallest}, the
largest {largest}. The smallest ratio of consecutive weights rises: {sparsity}; the effective
dimension tr B_t falls: {dimension}.
"""


def main(folder: Path = FIGURES) -> list[Path]:
    """Compute, draw and write the figure."""
    data = compute()
    return publish(plot(data), caption(data), "fig3", folder)


if __name__ == "__main__":
    main()
