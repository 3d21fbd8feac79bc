"""A chain between the theory's bounds, as a figure: every bound is the one that is checked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.report.numbers import number_text
from hilbertsd.theory import REGISTRY, Chain, views

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hilbertsd.distillation import Distillation

LOWER, UPPER, SHARPER = "#d55e00", "#cc79a7", "#0072b2"
MULTIPLIER_DECADES = 3.0
"""How far the axis of the multipliers follows brackets that are many decades wide."""
DATES = {
    "guaranteed_rounds": ("lower", r"Prop. 4: $(r_0-1)/\kappa$", LOWER),
    "rounds_at_least": ("lower", "$r_0-1$", SHARPER),
    "rounds_at_most_dated": ("upper", r"dated by $\kappa$", SHARPER),
    "rounds_at_most": ("upper", "$r_0^2$", UPPER),
}


def figure(result: Distillation, *, output: int = 0, title: str | None = None) -> Figure:
    """Draw the actual values of one output between their bounds, over the rounds.

    Multipliers between (36) and the sharper bounds, label ratios between Proposition 3 and what
    is sharper, the number of fits and its bounds, and the sparsity index of the basis weights
    above its bounds. All bounds are those that the statements evaluate; where those about a chain
    do not start at round 0, a line above the panels says so.

    Examples
    --------
    >>> import hilbertsd as hsd
    >>> from hilbertsd.theory.examples import headline
    >>> len(figure(hsd.self_distill(*headline())).axes)
    4
    """
    from matplotlib.figure import Figure

    chains = views(result, output)
    with plots.house_style():
        drawn = Figure(figsize=(7.2, 5.4))
        panels = drawn.subplots(2, 2).ravel()
        for axes, draw in zip(panels, (_multipliers, _ratios, _rounds, _index), strict=True):
            draw(axes, chains)
        lines = [title.replace("$", r"\$")] if title else []
        chain, size = chains["chain"], result.labels.shape[1]
        if chain is not None and chain.start > 0 and result.spectrum is not None:
            lines.append(
                f"rank {result.spectrum.rank} < {size}: bounds on the label ratio and the number "
                f"of fits start at round {chain.start}, and Theorem 5 is left out"
            )
        if lines:
            drawn.suptitle("\n".join(textwrap.fill(line, 110) for line in lines), fontsize=9)
        plots.settle(drawn)
    return drawn


def _sides(name: str, chains: Mapping[str, Chain | None]) -> dict[str, np.ndarray]:
    """Both sides of a statement; empty where it is not applicable."""
    statement = REGISTRY[name]
    chain = chains[statement.about]
    if chain is None or statement.missing(chain) is not None:
        return {}
    sides = np.broadcast_arrays(*(np.asarray(v, float) for v in statement.sides(chain)[:3]))
    return dict(zip(("lower", "actual", "upper"), sides, strict=True))


def _multipliers(axes: Axes, chains: Mapping[str, Chain | None]) -> None:
    axes.set(title="multiplier between its bounds", xlabel="round $t$", ylabel="$c_t$")
    if not (paper := _sides("multiplier_bracket", chains)):
        return _say(axes, "no fit: collapsed at $t = 0$")
    low, high = (_sides(f"multiplier_{which}_bound", chains) for which in ("reduced", "mean"))
    t, actual = np.arange(len(paper["actual"])), paper["actual"]
    wide = max(1.5, min(8.0, 160 / len(t)))
    axes.set_yscale("log")
    axes.vlines(t, paper["lower"], paper["upper"], color=plots.BAND, lw=wide, label="(36)")
    axes.vlines(t, low["lower"], high["upper"], color=SHARPER, lw=wide / 2, label="sharper")
    axes.plot(t, actual, "o", color=plots.INK, ms=min(4, wide), label="$c_t$")
    reach = 10**MULTIPLIER_DECADES
    bottom = max(paper["lower"].min(), actual.min() / reach) / 2
    top = min(paper["upper"].max(), actual.max() * reach) * 2
    axes.set_ylim(bottom, top)
    ends: dict[str, Any] = {"color": plots.GREY, "ms": min(5, wide), "clip_on": False, "ls": ""}
    for mark, edge, beyond in (("v", 0, paper["lower"] < bottom), ("^", 1, paper["upper"] > top)):
        if beyond.any():  # bars that go on outside the panel
            axes.plot(
                *(t[beyond], np.full(beyond.sum(), edge)),
                marker=mark,
                transform=axes.get_xaxis_transform(),
                label="goes on" if edge == 0 or not (paper["lower"] < bottom).any() else None,
                **ends,
            )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _whole(axes, t)


def _ratios(axes: Axes, chains: Mapping[str, Chain | None]) -> None:
    ylabel = r"$r_t = \Vert y_t\Vert/\sqrt{K\varepsilon}$"
    axes.set(title="label ratio between its bounds", xlabel="round $t$", ylabel=ylabel)
    chain = chains["chain"]
    below = _sides("label_norm_lower_bound", chains)
    if chain is None or not below:
        return _say(axes, "needs a constant tolerance and\na fit of labels in the range of $G$")
    steps = np.arange(len(chain.r))
    t = steps + chain.start
    above, iterated = (
        _sides(name, chains) for name in ("label_norm_upper_bound", "label_ratio_iterated")
    )
    axes.axhspan(0, 1, color=plots.BAND, alpha=0.5, lw=0)
    for sides, which, color, label in (
        (iterated, "upper", SHARPER, "iterated"),
        (above, "upper", UPPER, "Prop. 3, upper"),
        (below, "lower", LOWER, "Prop. 3"),
    ):
        axes.plot(t, [chain.r[0], *sides[which]], color=color, lw=0.9, label=label)
    start = "0" if chain.start == 0 else str(chain.start)
    label = f"$r_{start} - t$" if start == "0" else f"$r_{start} - (t - {start})$"
    axes.plot(t, chain.r[0] - steps, "--", color=SHARPER, lw=0.9, label=label)
    size = max(1.5, min(4.0, 160 / len(t)))
    axes.plot(t, chain.r, "o", color=plots.INK, ms=size, label="$r_t$", zorder=4)
    axes.set_ylim(0, 1.08 * float(chain.r[0]))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _whole(axes, t)


def _rounds(axes: Axes, chains: Mapping[str, Chain | None]) -> None:
    chain = chains["rounds"]
    assert chain is not None
    axes.set(title="number of fits and its bounds", xlabel="fits")
    dates = {name: sides for name in DATES if (sides := _sides(name, chains))}
    if not dates or chain.fits == 0:
        return _say(axes, "needs a constant tolerance and\na non-trivial fit")
    ended = "" if chain.collapsed else " so far"
    count = f"{chain.fits} fit{'s' * (chain.fits != 1)}"
    axes.set_title(f"number of fits and its bounds: {count}{ended}")
    axes.set_xscale("log")
    above: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "fontsize": 7}
    labels = []
    for row, name in enumerate(dates):
        which, label, color = DATES[name]
        dated = chains[REGISTRY[name].about]
        assert dated is not None
        start = dated.start  # a date of the chain from y_1 on is one fit later for the user
        labels.append(label if start == 0 else f"{start} + {label}, from $r_{start}$")
        date = start + float(dates[name][which])
        axes.plot([date, chain.fits], [row, row], color=plots.BAND, lw=3, zorder=0)
        axes.plot(date, row, ">" if which == "lower" else "<", color=color, ms=6)
        side = "right" if which == "lower" else "left"
        axes.annotate(number_text(date), (date, row), ha=side, **above)
    axes.axvline(chain.fits, color=plots.INK, lw=0.9)
    axes.set_yticks(range(len(dates)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(dates) - 0.3)
    axes.margins(x=0.25)
    return None


def _index(axes: Axes, chains: Mapping[str, Chain | None]) -> None:
    ylabel = r"$\log\,\min_k\; B_{t-1}[k{+}1]/B_{t-1}[k]$"
    axes.set(title="sparsity index above its bounds", xlabel="fits $t$", ylabel=ylabel)
    if not (reduced := _sides("weight_ratio_reduced", chains)):
        return _say(axes, "needs a fit and\ntwo distinct eigenvalues")
    posterior, paper = (
        _sides(name, chains) for name in ("weight_ratio_a_posteriori", "sparsity_index")
    )
    t = np.arange(1, len(reduced["actual"]) + 1)
    axes.set_yscale("log")
    size = max(1.5, min(4.0, 160 / len(t)))
    drawn = [(posterior, "lower", UPPER, "a posteriori"), (reduced, "lower", SHARPER, "reduced")]
    chain = chains["chain"]
    if paper and chain is not None and chain.start == 0:
        drawn.insert(0, (paper, "lower", LOWER, "Theorem 5"))
    for sides, which, color, label in [(reduced, "actual", plots.INK, "actual"), *drawn]:
        index = sides[which].min(axis=1)
        shown = np.where(index > 0, index, np.nan)  # equal weights have no place on the axis
        if np.isfinite(shown).any():
            # bounds are dashed and above: one that is attained hides nothing
            look = "o-" if which == "actual" else "--"
            axes.plot(t, shown, look, color=color, ms=size, lw=1.2, label=label)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _whole(axes, t)


def _whole(axes: Axes, t: np.ndarray) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(t[0] - 0.4, max(t[-1], t[0] + 1) + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=plots.GREY)
    axes.set_xticks([])
    axes.set_yticks([])
