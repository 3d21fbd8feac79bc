"""A Gram matrix and noisy labels in, a chain of self-distillation rounds out."""

import numpy as np

import hilbertsd as hsd


def main() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(60))
    y = np.sin(2 * np.pi * x) + 0.5 * rng.standard_normal(60)

    kernel = hsd.kernels.matern(1.5, length_scale=0.3)
    G = hsd.gram(kernel, x)
    eps = 0.15 * np.mean(y**2)  # leave 15 % of the label power as residual in every round
    result = hsd.self_distill(G, y, eps, rounds=10)

    new = np.linspace(0, 1, 201)
    cross = hsd.cross_gram(kernel, new, x)
    truth = np.sin(2 * np.pi * new)
    print("round  multiplier  r_t    degrees of freedom  error to the truth")
    for t in np.flatnonzero(np.isfinite(result.multipliers)):
        error = np.mean((result.predict(cross, t) - truth) ** 2)
        print(
            f"{t:5d}  {result.multipliers[t]:.4e}  {result.label_ratios[t]:.3f}  "
            f"{result.spectrum.effective_dimension[t]:18.2f}  {error:.4f}"
        )
    print("collapse round:", result.collapse_round)


if __name__ == "__main__":
    main()
