"""Figures of chains, in one house style, without pyplot and without global state.

Importing matplotlib takes a moment, so it happens inside the functions.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hilbertsd.distillation import Distillation

STYLE: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "hilbertsd",
}
"""The house style; every figure is drawn and saved with it, over matplotlib's own defaults."""

INK, GREY, BAND = "#222222", "#8a8a8a", "#d9d9d9"
OUTPUTS = [("#222222", "o"), ("#d55e00", "s"), ("#e69f00", "^"), ("#cc79a7", "D"), ("#882255", "v")]
"""Colour and mark of each output where they are told apart: warm, rounds are violet to green."""
MAX_LEGEND = 5
"""Up to so many rounds go into a legend, more take a colour bar; up to so many outputs have names,
more a median."""
MAX_FITS = 8
"""Of more fits so many are drawn, evenly spaced from the first to the last."""
OVERSHOOT = 0.5
"""How far the axis follows fits beyond the data, as a share of their range."""
MAX_MARKED = 40
"""Up to so many points or eigenvalues each get a mark."""
MARGIN_DECADES = 1.5
"""How far the axis of the multipliers follows brackets that are many decades wide."""
AXIS = 0.03
"""A line lower than this share of its panel coincides with the axis."""

# Creation dates would make two runs differ.
_ABOVE_LEFT: dict[str, Any] = {"xytext": (-2, 2), "textcoords": "offset points", "ha": "right"}
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style inside the block, whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


def round_colors(count: int) -> list[tuple[float, ...]]:
    """Colours of rounds 0 .. count − 1: they lighten with t, also in grey and to the colour-blind.

    Examples
    --------
    >>> len(round_colors(4))
    4
    """
    from matplotlib import colormaps

    return [tuple(c) for c in colormaps["viridis"](np.linspace(0.0, 0.85, max(count, 2)))[:count]]


def save(
    figure: Figure, stem: str | PathLike[str], formats: Sequence[str] = ("pdf", "png")
) -> list[Path]:
    """Write a figure as ``stem.pdf`` and ``stem.png``; the same figure gives the same bytes.

    Parameters
    ----------
    formats
        Of pdf, png and svg. Existing files are replaced whole.
    """
    paths = []
    for kind in formats:
        if kind not in _UNDATED:
            raise HilbertSDError(f"format must be one of {', '.join(_UNDATED)}, got {kind!r}")
        path = Path(f"{stem}.{kind}")
        with house_style(), replacing(path, "wb") as file:
            figure.savefig(file, format=kind, metadata=_UNDATED[kind])
        paths.append(path)
    return paths


def chain(
    result: Distillation, *, title: str | None = None, outputs: Sequence[str] | None = None
) -> Figure:
    """Show a chain: multipliers, label ratios, residual, basis weights, effective dimension.

    Parameters
    ----------
    result
        From :func:`hilbertsd.self_distill`. With up to five outputs every output is a line with
        its name; with more, a thin one, and the thick one is the median of those not yet collapsed.
    title
        Above the panels.
    outputs
        Names of the Q outputs; 0, 1, .. without.

    Examples
    --------
    >>> import numpy as np, hilbertsd as hsd
    >>> result = hsd.self_distill(np.eye(2), np.array([3.0, 4.0]), eps=0.6, rounds=6)
    >>> len(chain(result).axes)
    5
    """
    from matplotlib.figure import Figure

    view = _View(result, outputs)
    with house_style():
        figure = Figure(figsize=(7.2, 4.6))
        # Two rows laid out each for itself: a colour bar below does not push panels above apart.
        rows: Any = figure.subfigures(2, 1)
        top, bottom = rows
        panels = [*top.subplots(1, 3), *bottom.subplots(1, 2, width_ratios=[2, 1])]
        drawn = _multipliers, _label_ratios, _residuals, _basis_weights, _effective_dimension
        for axes, draw in zip(panels, drawn, strict=True):
            draw(axes, view)
        if view.told_apart and view.fits:
            panels[2].legend(loc="center left", bbox_to_anchor=(1, 0.5), title="output")
        if title:
            figure.suptitle(_plain(textwrap.fill(title, 100)), fontsize=9)
        settle(figure)
    return figure


def fits(
    x: np.ndarray,
    y: np.ndarray,
    grid: np.ndarray,
    predictions: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    labels: tuple[str, str] | None = None,
) -> Figure:
    """Show the fits of a chain on one feature, and the data.

    Of more than eight fits eight are drawn. The axis ends half the range of the data beyond them,
    however far a fit goes.

    Parameters
    ----------
    x, y
        (K,) training points and labels.
    grid
        (n,) ascending points at which the fits are drawn.
    predictions
        (T, n) fit t on the grid, the non-trivial ones.
    truth
        (n,) the function behind the data, if known.
    labels
        Names of the feature and the label, x and y without.

    Examples
    --------
    >>> import numpy as np
    >>> figure = fits(np.zeros(1), np.ones(1), np.array([0.0, 1.0]), np.ones((3, 2)))
    >>> len(figure.axes[0].get_lines())
    4
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(4.8, 3.0))
        axes = figure.add_subplot()
        xlabel, ylabel = map(_plain, labels) if labels else ("$x$", "$y$")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if truth is not None:
            axes.plot(grid, truth, color=INK, lw=0.9, ls=(0, (4, 2)), label="truth")
        many = len(x) > MAX_MARKED
        look: dict[str, Any] = {"ms": 2.5, "alpha": 0.6, "mew": 0} if many else {"ms": 6}
        axes.plot(x, y, ".", label="data", color=INK, zorder=4, **look)
        count = len(predictions)
        colors = round_colors(count)
        shown = np.unique(np.linspace(0, count - 1, min(count, MAX_FITS)).round().astype(int))
        for t in shown:
            axes.plot(grid, predictions[t], color=colors[t], label=f"$t = {t}$")
        reach = OVERSHOOT * np.ptp(y)
        if reach > 0:
            fitted = predictions[shown] if count else y
            low = min(np.min(y), max(np.min(fitted), np.min(y) - reach))
            high = max(np.max(y), min(np.max(fitted), np.max(y) + reach))
            pad = 0.05 * (high - low)
            axes.set_ylim(low - pad, high + pad)
        part = f"{len(shown)} of {count} fits" if len(shown) < count else None
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=part, title_fontsize=8)
        settle(figure)
    return figure


class _View:
    """A chain as (T, Q) arrays, Q = 1 for joint ones, with the fits that are not trivial."""

    def __init__(self, result: Distillation, outputs: Sequence[str] | None = None) -> None:
        def columns(values: Any) -> np.ndarray:
            array = np.asarray(values, dtype=float)
            array = array.reshape(len(array), -1)
            return array[:, :1] if result.joint else array

        self.multipliers = columns(result.multipliers)
        self.alive = np.isfinite(self.multipliers)
        self.fits = int(self.alive.any(axis=1).sum())
        self.outputs = self.multipliers.shape[1]
        self.told_apart = 1 < self.outputs <= MAX_LEGEND
        names = outputs if outputs is not None else [str(q) for q in range(self.outputs)]
        self.names = [_plain(name if len(name) <= 14 else name[:13] + "…") for name in names]
        self.multiplier_error = columns(result.multiplier_error)
        self.ratios = columns(result.label_ratios)
        self.count = len(self.multipliers)
        collapse = result.collapse_round
        rounds = collapse if isinstance(collapse, tuple) else (collapse,)
        self.collapse = rounds[:1] if result.joint else rounds
        # A joint tolerance is one on the sum over the outputs.
        residuals = np.asarray(result.residuals).reshape(self.count, -1)
        self.residuals = residuals.sum(axis=1, keepdims=True) if result.joint else residuals
        self.eps = columns(result.eps)
        self.spectrum = self.brackets = self.weights = self.dimension = None
        if result.spectrum is not None and result.spectrum.kind == "exact":
            self.spectrum = result.spectrum
            self.brackets = [columns(bound) for bound in result.multiplier_brackets]
            weights = result.spectrum.basis_weights
            self.weights = weights.reshape(*weights.shape[:2], -1)[..., : self.outputs]
            self.dimension = columns(result.spectrum.effective_dimension)


def _multipliers(axes: Axes, view: _View) -> None:
    _round_axis(axes, view, "multiplier and its bounds (24), (36)", "$c_t$")
    if not view.fits:
        return _say(axes, "no fit: collapsed at $t = 0$")
    t = np.arange(view.fits)
    values = np.where(view.alive, view.multipliers, np.nan)[: view.fits]
    axes.set_yscale("log")
    low, high = np.nanmin(values), np.nanmax(values)
    if view.brackets is not None:
        lower, upper = (
            [pick(bound[i][view.alive[i]]) for i in t]
            for bound, pick in zip(view.brackets, (np.min, np.max), strict=True)
        )
        width = max(1.5, min(6.0, 90 / view.count))
        axes.vlines(t, lower, upper, color=BAND, lw=width, zorder=0)
        reach = 10**MARGIN_DECADES
        low, high = max(min(lower), low / reach), min(max(upper), high * reach)
    axes.set_ylim(low / 2, high * 2)
    relative = np.minimum(view.multiplier_error[: view.fits], 0.9)
    _lines(axes, view, values, error=values * relative)
    return None


def _label_ratios(axes: Axes, view: _View) -> None:
    words = f"label ratio: {_collapse_text(view)}"
    _round_axis(axes, view, words, r"$r_t = \Vert y_t\Vert/\sqrt{K\varepsilon}$", extra=1)
    axes.axhspan(0, 1, color=BAND, alpha=0.5, lw=0)
    axes.axhline(1, color=INK, lw=0.8, ls=(0, (4, 2)))
    axes.set_ylim(0, max(1.3, 1.08 * _until_collapse(axes, view, view.ratios)))


def _residuals(axes: Axes, view: _View) -> None:
    words, formula = "residual on the original labels", r"$\Vert y_{t+1} - y_0\Vert^2/K$"
    _round_axis(axes, view, words, formula)
    highest = _until_collapse(axes, view, view.residuals)
    eps = float(view.eps[0, 0]) if np.ptp(view.eps) == 0 else 0.0
    axes.set_ylim(0, 1.12 * max(eps, highest) or 1)
    if eps:
        axes.axhline(eps, color=INK, lw=0.8, ls=":")
        fraction = axes.get_yaxis_transform()
        if eps > AXIS * axes.get_ylim()[1]:
            axes.annotate(r"$\varepsilon$", (1, eps), xycoords=fraction, **_ABOVE_LEFT)


def _basis_weights(axes: Axes, view: _View) -> None:
    axes.set(xlabel="eigenvalue $d_k$", ylabel="$B_t[k]$", ylim=(-0.03, 1.03))
    axes.set_yticks(np.arange(6) / 5)
    several = ", median over the outputs not yet collapsed" if view.outputs > 1 else ""
    axes.set_title(f"basis weights{several}")
    if view.weights is None or view.spectrum is None:
        return _say(axes, "this route has no full spectrum")
    d = view.spectrum.eigenvalues
    inside = d > 0
    if not view.fits or not inside.any():
        return _say(axes, "no fit: every basis weight is 0")
    axes.set_xscale("log")
    style = "o-" if inside.sum() <= MAX_MARKED else "-"
    for t, color in enumerate(round_colors(view.fits)):
        weights = np.median(view.weights[t][inside][:, view.alive[t]], axis=1)
        label = f"$t = {t}$" if view.fits <= MAX_LEGEND else None
        axes.plot(d[inside], weights, style, color=color, ms=3, lw=1, label=label)
    if view.fits <= MAX_LEGEND:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        _colorbar(axes, view.fits)
    return None


def _effective_dimension(axes: Axes, view: _View) -> None:
    _round_axis(axes, view, "effective dimension", r"$\mathrm{tr}\,B_t$")
    if view.dimension is None:
        return _say(axes, "this route has\nno full spectrum")
    if not view.fits:
        return _say(axes, "no fit")
    values = np.where(view.alive, view.dimension, np.nan)[: view.fits]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low > 0 and high / low > 30:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, high * 1.5)
    else:
        axes.set_ylim(0, 1.12 * high)
    _lines(axes, view, values)
    return None


def _until_collapse(axes: Axes, view: _View, values: np.ndarray) -> float:
    """Draw values up to the round that collapses, a cross; return the largest one drawn."""
    shown, living = values.copy(), values.copy()
    for q, stop in enumerate(view.collapse):
        if stop is not None and stop < len(values):
            living[stop:, q] = shown[stop + 1 :, q] = np.nan
            color = OUTPUTS[q][0] if view.told_apart else INK
            axes.plot(stop, values[stop, q], "x", color=color, ms=5, zorder=4)
    shown = shown[~np.isnan(shown).all(axis=1)]
    _lines(axes, view, shown, living=living)
    return float(np.nanmax(shown))


def _lines(
    axes: Axes,
    view: _View,
    values: np.ndarray,
    *,
    error: np.ndarray | None = None,
    living: np.ndarray | None = None,
) -> None:
    """One output: its rounds in their colours. Few: their names. Many: thin lines, and the median.

    The median is that of ``living``, by default of the values.
    """
    t = np.arange(len(values))
    if values.shape[1] == 1:
        yerr = None if error is None else error[:, 0]
        axes.errorbar(t, values[:, 0], yerr=yerr, color=GREY, lw=0.9, elinewidth=1, zorder=2)
        fitted = min(view.fits, len(t))
        colors, size = round_colors(fitted), 22 if view.fits <= 12 else 12
        axes.scatter(t[:fitted], values[:fitted, 0], c=colors, s=size, lw=0, zorder=3)
        if len(t) > fitted and view.collapse == (None,):  # r_T belongs to no fit
            axes.plot(t[fitted:], values[fitted:, 0], "o", color=GREY, mfc="white")
        return
    drawn = ~np.isnan(values).all(axis=0)
    fitted = (values if living is None else living)[: len(t)]
    if view.told_apart:
        for q in np.flatnonzero(drawn):
            color, mark = OUTPUTS[q]
            look = {"color": color, "marker": mark, "ms": 3, "lw": 1, "label": view.names[q]}
            axes.plot(t, values[:, q], markevery=list(~np.isnan(fitted[:, q])), **look)
        return
    axes.plot(t, values[:, drawn], "-", color=GREY, lw=0.7, alpha=0.8, marker=".", ms=2.5)
    fitted = fitted[~np.isnan(fitted).all(axis=1)]
    if len(fitted):
        axes.plot(t[: len(fitted)], np.nanmedian(fitted, axis=1), color=INK, lw=1.6)


def _round_axis(axes: Axes, view: _View, title: str, ylabel: str, extra: int = 0) -> None:
    from matplotlib.ticker import MaxNLocator

    last = view.count - 1 + extra
    stops = [c for c in view.collapse if c is not None]
    if len(stops) == len(view.collapse):  # nothing happens after the last collapse
        last = min(last, max(stops))
    axes.set(title=title, xlabel="round $t$", ylabel=ylabel, xlim=(-0.4, max(last, 1) + 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def _collapse_text(view: _View) -> str:
    rounds = [c for c in view.collapse if c is not None]
    if not rounds:
        return "no collapse"
    first, last = min(rounds), max(rounds)
    when = f"$t = {first}$" if first == last else f"$t = {first}$ to ${last}$"
    part = f"{len(rounds)} of {len(view.collapse)} " if len(rounds) < len(view.collapse) else ""
    return f"{part}collapse at {when}"


def _colorbar(axes: Axes, count: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.ticker import MaxNLocator

    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    mappable = ScalarMappable(norm, ListedColormap(round_colors(count)))
    figure: Any = axes.get_figure(root=True)
    bar = figure.colorbar(mappable, ax=axes, label="round $t$", pad=0.02, aspect=25)
    bar.set_ticks(MaxNLocator(nbins=6, integer=True).tick_values(0, count - 1)[:-1])
    bar.minorticks_off()
    bar.outline.set_linewidth(0.4)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all: every format shows the same, and saves faster."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def _plain(text: str) -> str:
    """Text that matplotlib draws as it stands: a dollar sign is no mathematics."""
    return text.replace("$", r"\$")
