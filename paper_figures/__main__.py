"""``python -m paper_figures fig2``, .., ``fig10``, ``tangent_spectrum``, .. or ``all``."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from hilbertsd import HilbertSDError
from paper_figures.publish import FIGURES
from paper_figures.recorded import MACHINE

CHAINS = tuple(f"fig{number}" for number in range(4, 11))
"""Figures of chains of networks, which may also be of CIFAR."""
RECORDED = (
    *CHAINS,
    "bridge",
    "first_order",
    "fkd_agreement",
    "fkd_ensembles",
    "fkd_multi_view",
    "fkd_transfer",
    "inheritance",
    "last_layer",
    "multi_view_regimes",
    "objective_table",
    "projector_recipe",
    "projector_spectrum",
    "tangent_spectrum",
)
"""Figures of networks: drawn from ``results`` unless measured again."""
NAMES = ("fig2", "fig3", *RECORDED)


def main(arguments: list[str] | None = None) -> None:
    """Draw the figures asked for and print what was written."""
    parser = argparse.ArgumentParser(
        prog="python -m paper_figures",
        description="Draw figures of Mobahi, Farajtabar & Bartlett (NeurIPS 2020) again, and of "
        "networks beside them.",
    )
    parser.add_argument("figure", choices=[*NAMES, "all"])
    parser.add_argument(
        "--output", type=Path, default=FIGURES, metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="measure again, minutes each, and replace the recorded data: of all but fig2 and fig3",
    )
    parser.add_argument(
        "--machine", default=MACHINE, help="words recorded with new data; default: %(default)s"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help=f"where the archives of CIFAR are: {CHAINS[0]} to {CHAINS[-1]} are of these instead, "
        "trained if there is no record yet (hours without a GPU)",
    )
    asked = parser.parse_args(arguments)
    for name in NAMES if asked.figure == "all" else (asked.figure,):
        module = importlib.import_module(f"paper_figures.{name}")
        measured = name in RECORDED
        again = {"recompute": asked.recompute, "machine": asked.machine} if measured else {}
        if name in CHAINS:
            again["archives"] = asked.folder
        try:
            paths = module.main(asked.output, **again)
        except HilbertSDError as error:
            parser.exit(2, f"{parser.prog} {name}: error: {error}\n")
        for path in paths:
            print(path)


if __name__ == "__main__":
    main()
