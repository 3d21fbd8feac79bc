"""Teachers, students and objectives put together: single teachers, ensembles, mutual learning ...

Any objective of `hilbertsd.objectives` as a `term` of a `Recipe`, in every scheme: `distill` for a
constant teacher (`observe`, `ensemble`, with `Noise`), `generations` for chains (assistants,
born-again), `mutual`, `mean_teacher`, and inheritance and exploration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hilbertsd import lazy

if TYPE_CHECKING:
    from hilbertsd.schemes.averaging import Averaged, mean_teacher
    from hilbertsd.schemes.beside import Beside
    from hilbertsd.schemes.chains import generations
    from hilbertsd.schemes.coders import Coder, Encoder
    from hilbertsd.schemes.cohorts import mutual
    from hilbertsd.schemes.comparison import Comparison, compare_objectives, suggested
    from hilbertsd.schemes.distillation import Recipe, Student, accuracy, distill
    from hilbertsd.schemes.inheriting import autoencoder, coded, inheritance_terms
    from hilbertsd.schemes.intervals import Interval
    from hilbertsd.schemes.teachers import Noise, ensemble, noisy, observe
    from hilbertsd.schemes.terms import Term, term

__all__ = [
    "Averaged",
    "Beside",
    "Coder",
    "Comparison",
    "Encoder",
    "Interval",
    "Noise",
    "Recipe",
    "Student",
    "Term",
    "accuracy",
    "autoencoder",
    "coded",
    "compare_objectives",
    "distill",
    "ensemble",
    "generations",
    "inheritance_terms",
    "mean_teacher",
    "mutual",
    "noisy",
    "observe",
    "suggested",
    "term",
]

# Loaded when first used: these need Equinox and Optax.
__getattr__, __dir__ = lazy.attach(
    __name__,
    {
        "averaging": ("Averaged", "mean_teacher"),
        "beside": ("Beside",),
        "chains": ("generations",),
        "coders": ("Coder", "Encoder"),
        "cohorts": ("mutual",),
        "comparison": ("Comparison", "compare_objectives", "suggested"),
        "distillation": ("Recipe", "Student", "accuracy", "distill"),
        "inheriting": ("autoencoder", "coded", "inheritance_terms"),
        "intervals": ("Interval",),
        "teachers": ("Noise", "ensemble", "noisy", "observe"),
        "terms": ("Term", "term"),
    },
)
