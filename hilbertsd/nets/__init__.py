"""Neural networks: their empirical tangent kernels."""

from hilbertsd.nets.functional import as_function
from hilbertsd.nets.operator import TangentOperator, tangent_operator
from hilbertsd.nets.plan import Plan
from hilbertsd.nets.tangent import empirical_ntk, tangent_plan

__all__ = [
    "Plan",
    "TangentOperator",
    "as_function",
    "empirical_ntk",
    "tangent_operator",
    "tangent_plan",
]
