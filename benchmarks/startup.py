"""What importing the package costs beside what it stands on."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import Comparison, pairs

OURS = "import hilbertsd; hilbertsd.self_distill; hilbertsd.gram; hilbertsd.kernels"
THEIRS = "import numpy, scipy.linalg"


def _fresh(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def import_time(quick: bool) -> Comparison:
    """A fresh interpreter that imports hilbertsd and touches its main functions."""
    repeats = 3 if quick else 15
    ours, theirs = pairs(lambda: _fresh(OURS), lambda: _fresh(THEIRS), repeats)
    return Comparison(
        name="import hilbertsd over import numpy, scipy.linalg",
        ours=OURS,
        theirs=THEIRS,
        at="a fresh interpreter",
        settings={"fresh interpreters": repeats},
        our_seconds=ours,
        their_seconds=theirs,
        limit=1.5,
        judged=not quick,
    )
