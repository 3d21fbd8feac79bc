"""From a regulariser and boundary conditions to a kernel, and to a fit with a known roughness."""

import numpy as np

import hilbertsd as hsd


def main() -> None:
    # A spline under tension: R(f) = ∫ f''² + 100 ∫ f'², fixed at both ends.
    kernel = hsd.kernels.greens(["D^2", "D"], weights=[1, 100], boundary="f(0)=0, f(1)=0")
    for check in kernel.checks:
        print(check)

    x, y = hsd.datasets.example()
    G = hsd.gram(kernel, x)
    result = hsd.self_distill(G, y, eps=0.06, rounds=4)
    print("collapse round:", result.collapse_round)
    for t in np.flatnonzero(np.isfinite(result.multipliers)):
        closed_form = kernel.roughness(result.dual_coef[t], x)
        by_quadrature, error = kernel.roughness_by_quadrature(result.dual_coef[t], x)
        print(f"R(f_{t}) = {closed_form:.6f}, by quadrature {by_quadrature:.6f} ± {error:.0e}")


if __name__ == "__main__":
    main()
