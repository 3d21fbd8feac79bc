"""Ways to make a Gram matrix, or to apply one that is never formed."""

from hilbertsd.operators.gram import cross_gram, gram

__all__ = ["cross_gram", "gram"]
