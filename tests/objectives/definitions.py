"""Objectives in NumPy, written sample by sample from their definitions, without Gram matrices."""

from __future__ import annotations

import numpy as np


def rows(x):
    return np.asarray(x, dtype=float).reshape(len(x), -1)


def cosine(u, v):
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    return u @ v / lengths if lengths > 0 else 0.0


def over_pairs(f, x):
    return np.array([[f(u, v) for v in x] for u in x])


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def kd(s, t, labels=None, temperature=4.0, imitation_weight=1.0):
    total = 0.0
    for i in range(len(s)):
        p, q = softmax(t[i] / temperature), softmax(s[i] / temperature)
        total += imitation_weight * temperature**2 * sum(p * np.log(p / q))
        if labels is not None:
            total -= (1 - imitation_weight) * np.log(softmax(s[i])[labels[i]])
    return total / len(s)


def mean_square(s, t):
    return np.mean((s - t) ** 2)


def fkd(s, t, kernel="correlation", norm_weight=0.0, power=2):
    s, t, B = rows(s), rows(t), len(s)
    f = cosine if kernel == "correlation" else np.dot
    lengths = [np.linalg.norm(h) ** power for h in s]
    gaps = (over_pairs(f, s) - over_pairs(f, t)) ** 2
    return gaps.sum() / (B * (B - 1)) + norm_weight * np.mean(lengths)


def sp(s, t, norm="L2"):
    order = 2 if norm == "L2" else 1
    normal = [
        np.array([row / np.linalg.norm(row, order) for row in over_pairs(np.dot, rows(x))])
        for x in (s, t)
    ]
    return ((normal[0] - normal[1]) ** 2).sum() / len(s) ** 2


def cc(s, t, gamma=0.4, order=2):
    def k(u, v):
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        if order == np.inf:
            return np.exp(-gamma * np.sum((u - v) ** 2))
        term, total = 1.0, 1.0
        for p in range(1, order + 1):
            term *= 2 * gamma * (u @ v) / p
            total += term
        return np.exp(-2 * gamma) * total

    return np.mean((over_pairs(k, rows(s)) - over_pairs(k, rows(t))) ** 2)


def pkt(s, t, epsilon=1e-7):
    probabilities = []
    for x in (rows(s), rows(t)):
        x = np.array([h / (np.linalg.norm(h) + epsilon) for h in x])
        p = (over_pairs(np.dot, x) + 1) / 2
        probabilities.append(np.array([row / row.sum() for row in p]))
    p_s, p_t = probabilities
    return np.mean(p_t * np.log((p_t + epsilon) / (p_s + epsilon)))


def rkd_distance(s, t):
    relative = []
    for x in (rows(s), rows(t)):
        d = over_pairs(lambda u, v: np.sqrt(max(np.sum((u - v) ** 2), 1e-12)), x)
        np.fill_diagonal(d, 0)
        relative.append(d / d[d > 0].mean())
    return np.mean([smooth_l1(gap) for gap in (relative[0] - relative[1]).ravel()])


def rkd_angle(s, t):
    B = len(s)
    s, t = rows(s), rows(t)
    total = 0.0
    for i in range(B):
        for j in range(B):
            for k in range(B):
                a = cosine(s[j] - s[i], s[k] - s[i])
                total += smooth_l1(a - cosine(t[j] - t[i], t[k] - t[i]))
    return total / B**3


def rkd(s, t):
    return 25 * rkd_distance(s, t) + 50 * rkd_angle(s, t)


def gaussian_gram(x, bandwidth=1.0, median="entries"):
    d2 = over_pairs(lambda u, v: np.sum((u - v) ** 2), rows(x))
    chosen = d2 if median == "entries" else d2[np.triu_indices(len(x), 1)]
    return np.exp(-d2 / (2 * bandwidth**2 * np.median(chosen)))


def grams(s, t, kernel, **settings):
    if kernel == "gaussian":
        return gaussian_gram(s, **settings), gaussian_gram(t, **settings)
    return over_pairs(np.dot, rows(s)), over_pairs(np.dot, rows(t))


def hsic_of(K, L, estimator="biased"):
    n = len(K)
    if estimator == "unbiased":  # the average over all quadruples of distinct samples
        i, j, q, r = np.array(
            [
                (i, j, q, r)
                for i in range(n)
                for j in range(n)
                for q in range(n)
                for r in range(n)
                if len({i, j, q, r}) == 4
            ]
        ).T
        return np.mean(K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]))
    H = np.eye(n) - 1 / n
    return np.trace(K @ H @ L @ H) / (n if estimator == "v-statistic" else n - 1) ** 2


def hsic(s, t, kernel="linear", estimator="biased", **settings):
    return hsic_of(*grams(s, t, kernel, **settings), estimator)


def cka(s, t, kernel="linear", unbiased=False, **settings):
    K, L = grams(s, t, kernel, **settings)
    kind = "unbiased" if unbiased else "biased"
    return hsic_of(K, L, kind) / np.sqrt(hsic_of(K, K, kind) * hsic_of(L, L, kind))


def linear_cka(s, t):
    """The same from covariances of features (Kornblith et al. 2019, § 3)."""
    s, t = (rows(x) - rows(x).mean(axis=0) for x in (s, t))
    cross, own, other = s.T @ t, s.T @ s, t.T @ t
    return np.sum(cross**2) / np.sqrt(np.sum(own**2) * np.sum(other**2))


def alignment(s, t):
    K, L = grams(s, t, "linear")
    return np.sum(K * L) / np.sqrt(np.sum(K * K) * np.sum(L * L))


def vid(s, t, rho):
    total, shape = 0.0, s.shape
    for index in np.ndindex(*shape):
        variance = np.log(1 + np.exp(rho[index[1]])) + 1e-5
        total += 0.5 * ((s[index] - t[index]) ** 2 / variance + np.log(variance))
    return total / s.size


def ab(s, t, margin=1.0, reduction="sum"):
    total = 0.0
    for a, b in zip(s.ravel(), t.ravel(), strict=True):
        if b <= 0 and a > -margin:
            total += (a + margin) ** 2
        if b > 0 and a <= margin:
            total += (a - margin) ** 2
    return total if reduction == "sum" else total / len(s)


def logsum(s, t, W, exponent=4.0, epsilon=1e-4):
    a, b = ((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon) for x in (s @ W, np.asarray(t)))
    return np.log(np.sum(np.abs(a - b) ** exponent))


def info_nce(s, t, temperature=0.07, symmetric=False):
    score = np.array([[cosine(u, v) / temperature for v in t] for u in s])
    forward = -np.mean([np.log(softmax(score[i])[i]) for i in range(len(s))])
    back = -np.mean([np.log(softmax(score[:, i])[i]) for i in range(len(s))])
    return (forward + back) / 2 if symmetric else forward


def crd(s, t, heads, memory, positives, negatives, temperature=0.07, normalisers=(1.0, 1.0)):
    N, M, B = len(memory[0]), negatives.shape[1], len(s)
    total = 0.0
    for x, W, b, bank, Z in (
        (s, heads[0], heads[1], memory[1], normalisers[0]),
        (t, heads[2], heads[3], memory[0], normalisers[1]),
    ):
        for i in range(B):
            u = x[i] @ W + b
            u = u / np.linalg.norm(u)
            P = np.exp(bank[positives[i]] @ u / temperature) / Z
            total -= np.log(P / (P + M / N + 1e-7))
            for j in negatives[i]:
                P = np.exp(bank[j] @ u / temperature) / Z
                total -= np.log((M / N) / (P + M / N + 1e-7))
    return total / B


def projector(s, t, W, weight_decay=0.0):
    gaps = [sum((x @ W - y) ** 2) for x, y in zip(s, t, strict=True)]
    return 0.5 * sum(gaps) + 0.5 * weight_decay * sum(w**2 for w in W.ravel())


def fitted_projector(s, t, weight_decay=1.0):
    """By least squares on features with rows √η I and targets with rows 0 added."""
    more = np.concatenate([s, weight_decay**0.5 * np.eye(s.shape[1])])
    targets = np.concatenate([t, np.zeros((s.shape[1], t.shape[1]))])
    return projector(s, t, np.linalg.lstsq(more, targets, rcond=None)[0], weight_decay)


def attention(A):
    Q = np.mean(np.asarray(A) ** 2, axis=1).reshape(len(A), -1)
    return np.array([q / np.linalg.norm(q) for q in Q])


def at(s, t):
    return np.mean((attention(s) - attention(t)) ** 2)


def ft(s, t, factor="full"):
    if factor == "channel mean":
        return np.mean(np.abs(attention(s) - attention(t)))
    s, t = (np.array([h / np.linalg.norm(h) for h in rows(x)]) for x in (s, t))
    return np.mean(np.abs(s - t))


def nst(s, t):
    total = 0.0
    for a, b in zip(s, t, strict=True):
        a, b = rows(a), rows(b)
        tt = np.mean([[cosine(u, v) ** 2 for v in b] for u in b])
        ss = np.mean([[cosine(u, v) ** 2 for v in a] for u in a])
        total += tt + ss - 2 * np.mean([[cosine(u, v) ** 2 for v in b] for u in a])
    return total / len(s)


def fsp(s, t):
    gaps = []
    for i in range(len(s[0])):
        G_s, G_t = (rows(pair[0][i]) @ rows(pair[1][i]).T / pair[0][i][0].size for pair in (s, t))
        gaps.append((G_s - G_t) ** 2)
    return np.mean(gaps)


def od(s, t, unit_norm=False):
    total = 0.0
    for a, b in zip(rows(s), rows(t), strict=True):
        if unit_norm:
            a, b = a / sum(a**2) ** 0.5, b / sum(b**2) ** 0.5
        gaps = [max(x, 0.0) - max(y, 0.0) for x, y in zip(a, b, strict=True)]
        total += sum(gap**2 for gap in gaps) ** 0.5
    return total / len(s)


def inheritance(s, t, base="FT"):
    if base == "AT":
        return np.mean(np.abs(attention(s) - attention(t)).sum(axis=1))
    if base == "OD":
        return od(s, t)
    return np.mean(
        [
            np.abs(a / np.linalg.norm(a) - b / np.linalg.norm(b)).sum()
            for a, b in zip(rows(s), rows(t), strict=True)
        ]
    )
