"""``python -m paper_figures fig2``, ``fig3`` or ``all``."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from paper_figures.publish import FIGURES

NAMES = ("fig2", "fig3")


def main(arguments: list[str] | None = None) -> None:
    """Draw the figures asked for and print what was written."""
    parser = argparse.ArgumentParser(
        prog="python -m paper_figures",
        description="Draw figures of Mobahi, Farajtabar & Bartlett (NeurIPS 2020) again.",
    )
    parser.add_argument("figure", choices=[*NAMES, "all"])
    parser.add_argument(
        "--output", type=Path, default=FIGURES, metavar="DIR", help="default: %(default)s"
    )
    asked = parser.parse_args(arguments)
    for name in NAMES if asked.figure == "all" else (asked.figure,):
        for path in importlib.import_module(f"paper_figures.{name}").main(asked.output):
            print(path)


if __name__ == "__main__":
    main()
