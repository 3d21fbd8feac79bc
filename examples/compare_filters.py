"""The relatives of self-distillation on one spectrum: errors to the truth, round by round."""

import numpy as np

import hilbertsd as hsd
from hilbertsd import filters


def main() -> None:
    x, y = hsd.datasets.example()
    kernel = hsd.kernels.gaussian(length_scale=1 / np.sqrt(160))  # exp(-80 (x - s)²)
    spectrum = hsd.decompose(hsd.gram(kernel, x))
    new = np.linspace(0, 1, 101)
    cross = hsd.cross_gram(kernel, new, x)
    truth = hsd.datasets.example_truth(new)
    d, c = spectrum.eigenvalues, hsd.alpha_to_multiplier(0.2, size=len(x))

    def error(response: np.ndarray) -> float:
        return float(np.mean((cross @ spectrum.dual_coef(response, y) - truth) ** 2))

    fits = range(6)
    methods = {
        "fixed multiplier": [filters.fixed_multiplier(d, c, t) for t in fits],
        "ground truth 0.25": [filters.ground_truth_mixing(d, c, 0.25, t) for t in fits],
        "ground truth 0.35": [filters.ground_truth_mixing(d, c, 0.35, t) for t in fits],
        "imitation -0.5": [filters.imitation(d, c, [-0.5] * t) for t in fits],
    }
    for name, responses in methods.items():
        print(f"{name:18s}", " ".join(f"{error(response):.5f}" for response in responses))


if __name__ == "__main__":
    main()
