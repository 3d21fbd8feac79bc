"""What is algebra in the theory, proved by SymPy.

A sign on a range is proved by putting non-negative symbols in for the distances to its ends: a
rational function whose numerator and denominator have positive coefficients only is positive.
"""

import pytest

sp = pytest.importorskip("sympy")

c, d, z, kappa_1, R, R_0 = sp.symbols("c d z kappa_1 R R_0", positive=True)
kappa = 1 + kappa_1  # κ > 1


def is_zero(expression) -> bool:
    return sp.simplify(sp.together(expression)) == 0


def is_positive(expression) -> bool:
    """Positive coefficients above and below, in positive symbols: nothing can be <= 0."""
    parts = [sp.expand(part) for part in sp.fraction(sp.factor(sp.together(expression)))]
    symbols = sorted(expression.free_symbols, key=str) or [sp.Dummy()]
    assert all(symbol.is_positive for symbol in expression.free_symbols)
    return all(coeff > 0 for part in parts for coeff in sp.Poly(part, *symbols).coeffs())


def test_is_positive_can_say_no():
    assert is_positive((R**2 + R * d) / (1 + R))
    assert not is_positive(R**2 - R)
    assert not is_positive(-1 / (1 + R))
    assert not is_positive(sp.Integer(0))


# ------------------------------------------------------------------ Propositions 1 and 2


def test_proposition_2():
    """The residual y − G(cI + G)⁻¹y is Vᵀ diag(c/(c + d)) V y for every K, and V keeps norms.

    Matrices of symbolic size: the only rules are those of the product, of the inverse, and
    V Vᵀ = VᵀV = I.
    """
    K = sp.symbols("K", integer=True, positive=True)
    M, V, D = (sp.MatrixSymbol(name, K, K) for name in ("M", "V", "D"))
    one = sp.Identity(K)

    def orthogonal(product):
        for square in (V * V.T, V.T * V):
            product = product.subs(square, one)
        return product.doit()

    # with M = cI + G, the residual's matrix I − G M⁻¹ is c M⁻¹
    residual = (one - (M - c * one) * M.inverse()).expand().doit()
    assert residual == c * M.inverse()
    # and with G = VᵀDV, Vᵀ (cI + D)⁻¹ V inverts M: their product is the identity
    inner = c * one + D
    assert orthogonal((V.T * inner * V) * (V.T * inner.inverse() * V)) == one
    assert orthogonal((V.T * inner * V).expand()) == orthogonal(c * one + V.T * D * V)
    # ‖Vᵀ w‖² = ‖w‖² for w = c (cI + D)⁻¹ z, whose entries are c z_k/(c + d_k)
    w = sp.MatrixSymbol("w", K, 1)
    assert orthogonal((V.T * w).T * (V.T * w)) == w.T * w


def test_the_secular_equation_increases():
    assert is_positive(sp.diff((c * z / (c + d)) ** 2, c))


def test_stationarity_is_the_linear_system():
    """d/dp of p²/d + (p − z)²/c vanishes at p = dz/(c + d), where the value is z²/(c + d)."""
    p = sp.symbols("p", real=True)
    lagrangian = p**2 / d + (p - z) ** 2 / c
    (root,) = sp.solve(sp.diff(lagrangian, p), p)
    assert is_zero(root - d * z / (c + d))
    assert is_zero(lagrangian.subs(p, root) - z**2 / (c + d))
    assert is_positive(sp.diff(lagrangian, p, 2))


def test_growth_of_R_away_from_the_optimum():
    """R(p') − R(p) = Σ (1/d + 1/c)(p' − p)² + (‖p − z‖² − ‖p' − z‖²)/c, for each coordinate."""
    other = sp.symbols("p_other", real=True)
    p = d * z / (c + d)
    growth = (1 / d + 1 / c) * (other - p) ** 2 + ((p - z) ** 2 - (other - z) ** 2) / c
    assert is_zero(other**2 / d - p**2 / d - growth)


# ------------------------------------------------------------------ multipliers


def test_power_mean_is_concave():
    """1/r in u = 1/c: K = 2, (Σ w/(1 + u d)²)^(−1/2) has a second derivative <= 0.

    With S_j = Σ w d^j/(1 + ud)^(2+j), M = S_0^(−1/2) has M' = S_1 S_0^(−3/2) and
    M'' = 3 (S_1² − S_0 S_2) S_0^(−5/2), and Cauchy's inequality ends it; here for two terms.
    """
    u, w1, w2, d1, d2 = sp.symbols("u w_1 w_2 d_1 d_2", positive=True)
    terms = [(w1, d1), (w2, d2)]
    S = [sum(w * dk**j / (1 + u * dk) ** (2 + j) for w, dk in terms) for j in range(3)]
    mean = 1 / sp.sqrt(S[0])
    assert is_zero(sp.diff(mean, u, 2) - 3 * (S[1] ** 2 - S[0] * S[2]) / S[0] ** sp.Rational(5, 2))
    cauchy = S[0] * S[2] - S[1] ** 2
    square = w1 * w2 * (d1 - d2) ** 2 / ((1 + u * d1) * (1 + u * d2)) ** 4
    assert is_zero(cauchy - square)


def test_jensen_is_the_tangent_at_zero():
    """1/r lies below its tangent at u = 0: r_t <= 1 + u d̄, that is c <= d̄/(r − 1)."""
    u, w1, w2, d1, d2 = sp.symbols("u w_1 w_2 d_1 d_2", positive=True)
    mean = ((w1 / (1 + u * d1) ** 2 + w2 / (1 + u * d2) ** 2) / (w1 + w2)) ** sp.Rational(-1, 2)
    slope = sp.diff(mean, u).subs(u, 0)
    assert is_zero(slope - (w1 * d1 + w2 * d2) / (w1 + w2))


def test_reduced_eigenvalue_is_the_slope_at_infinity():
    """A concave function lies above u times its slope at infinity, plus its value at 0.

    That slope is (Σ w d⁻²/Σ w)^(−1/2) = d̲: r >= 1 + u d̲, that is c >= d̲/(r − 1).
    """
    u, w1, w2, d1, d2 = sp.symbols("u w_1 w_2 d_1 d_2", positive=True)
    square = (w1 / (1 / u + d1) ** 2 + w2 / (1 / u + d2) ** 2) / (w1 + w2)  # (u/M)²
    limit = square.subs(1 / u, 0)
    assert is_zero(limit - (w1 / d1**2 + w2 / d2**2) / (w1 + w2))


# ------------------------------------------------------------------ Proposition 3


def shrink(r, k):
    return r * (r - 1) / (r - 1 + k)


def slope_and_offset(r, k):
    below = (r - 1 + k) ** 2
    return ((r - 1) ** 2 + k * (2 * r - 1)) / below, r**2 * k / below


def test_tangents_slope_and_offset():
    r, k = sp.symbols("r k", positive=True)
    a, b = slope_and_offset(r, k)
    assert is_zero(sp.diff(shrink(r, k), r) - a)
    assert is_zero(a * r - b - shrink(r, k))


def test_tangent_lemmas():
    """φ is convex, ψ concave for r > 1 and κ > 1; so the tangents lie below and above."""
    r, k = sp.symbols("r k", positive=True)
    second = sp.diff(shrink(r, k), r, 2)
    assert is_zero(second - 2 * k * (k - 1) / (r - 1 + k) ** 3)
    assert is_positive(second.subs({k: kappa, r: 1 + R}))
    assert is_positive(-second.subs({k: 1 / kappa, r: 1 + R}))
    assert second.subs(k, 1) == 0


def test_tangent_lemmas_in_closed_form():
    """The gap to the tangent at r_0 is a positive multiple of κ(κ − 1)(r − r_0)²."""
    r, k = sp.symbols("r k", positive=True)
    r_0 = 1 + R_0
    a, b = slope_and_offset(r_0, k)
    gap = shrink(r, k) - (a * r - b)
    claim = k * (k - 1) * (r - r_0) ** 2 / ((r - 1 + k) * (r_0 - 1 + k) ** 2)
    assert is_zero(gap - claim)


def test_one_round_bounds_are_the_extreme_entries_of_A():
    """d/(α/(r − 1) + d) for α, d in [1, κ]: least at α = κ, d = 1, largest at α = 1, d = κ."""
    alpha, r = sp.symbols("alpha r", positive=True)
    entry = d / (alpha / R + d)
    assert is_positive(sp.diff(entry, d))
    assert is_positive(-sp.diff(entry, alpha))
    least = entry.subs({alpha: kappa, d: 1, R: r - 1})
    largest = entry.subs({alpha: 1, d: kappa, R: r - 1})
    assert is_zero(r * least - shrink(r, kappa))
    assert is_zero(r * largest - shrink(r, 1 / kappa))


def test_closed_form_of_the_recurrence():
    """x_{t+1} = a x_t − b from r_0 is aᵗ r_0 − b (aᵗ − 1)/(a − 1), by induction; at a = 1, bt."""
    a, b, t, r_0 = sp.symbols("a b t r_0", positive=True)

    def closed(n):
        return a**n * r_0 - b * (a**n - 1) / (a - 1)

    assert is_zero(closed(sp.Integer(0)) - r_0)
    assert is_zero(sp.expand(a * closed(t) - b - closed(t + 1), power_exp=True))
    assert sp.limit((a**t - 1) / (a - 1), a, 1) == t


def test_slope_is_between_zero_and_one():
    a, _ = slope_and_offset(1 + R_0, kappa)
    assert is_positive(a)
    assert is_positive(1 - a)
    assert sp.simplify(slope_and_offset(1 + R_0, sp.Integer(1))[0]) == 1


def test_proposition_4_from_one_round():
    """r − φ(r) = rκ/(r − 1 + κ) <= κ for r >= 1, so r_t >= r_0 − tκ > 1 while t < (r_0 − 1)/κ."""
    r = 1 + R
    assert is_zero(r - shrink(r, kappa) - r * kappa / (R + kappa))
    assert is_positive(kappa - r * kappa / (R + kappa))


# ------------------------------------------------------------------ beyond the paper


def test_power_drop():
    """‖y‖² − ‖y'‖² = ‖u‖² + 2uᵀGu/c with u = y − y' = cy/(c + d): coordinate by coordinate."""
    after = d * z / (c + d)
    residual = z - after
    assert is_zero(z**2 - after**2 - residual**2 - 2 * d * residual**2 / c)


p = sp.symbols("p", positive=True)
beyond_1 = sp.symbols("beyond_1", positive=True)
root = 1 + beyond_1  # √κ > 1
gamma = 2 * root / (1 + root**2)


def test_kantorovich_drop():
    """The sum of the docstring, the means, γ, 0 < γ < 1, and where both steps are equalities."""
    d_min, below, above = sp.symbols("d_min below above", positive=True)
    middle, d_max = d_min + below, d_min + below + above
    term = (1 / middle - 1 / d_max) * (1 / d_min - 1 / middle)
    assert is_positive(term)
    expanded = (1 / d_min + 1 / d_max) / middle - 1 / middle**2 - 1 / (d_min * d_max)
    assert is_zero(term - expanded)
    low, ratio = sp.symbols("low ratio", positive=True)  # √d_min and √κ
    high = low * ratio
    cosine = 2 / (low * high) / (1 / low**2 + 1 / high**2)
    assert is_zero(cosine - 2 * ratio / (1 + ratio**2))
    assert is_positive(1 - gamma)
    z, d = sp.Matrix([low, high]), sp.diag(low**2, high**2)
    dual = d.inv() * z
    assert is_zero(z.dot(dual) ** 2 - cosine**2 * z.dot(z) * dual.dot(dual))


def test_kantorovich_drop_at_kappa_1_is_the_norm_drop():
    assert is_zero(p**2 + 2 * p + 1 - (p + 1) ** 2)
    assert gamma.subs(beyond_1, 0) == 1


def test_iterated_ratio_solves_the_drop():
    """h(r) is the root of p² + 2γp + 1 = r², h(1) = 0, and h increases."""
    g, r = sp.symbols("g r", positive=True)
    h = sp.sqrt(r**2 - 1 + g**2) - g
    assert is_zero(h**2 + 2 * g * h + 1 - r**2)
    assert sp.simplify(h.subs(r, 1)) == 0
    assert is_positive(sp.diff(r**2 - 1 + g**2, r))


def test_iterated_ratio_is_below_the_papers_one_round_bound():
    """ψ(r)² + 2γψ(r) + 1 > r², so that h(r) < ψ(r), (132)-(135) with 1/κ."""
    psi = shrink(1 + R, 1 / root**2)
    assert is_positive(psi**2 + 2 * gamma * psi + 1 - (1 + R) ** 2)


def test_date_by_the_condition_number():
    """Each step of the docstring: N(r) − N(p) >= 1, and N is below both other dates."""
    g, r = sp.symbols("g r", positive=True)

    def N(x):
        return x * (x + g) / (1 + g * x)

    square = p**2 + 2 * g * p + 1
    assert is_zero(square - (p + g) ** 2 - (1 - g) * (1 + g))
    assert is_zero(1 + N(p) - square / (1 + g * p))
    gap = (r + g) * (1 + g * p) - r * (1 + g * r)
    assert is_zero((gap - g * p * (r - p - g)).subs(g, (r**2 - p**2 - 1) / (2 * p)))
    assert is_zero(N(r) - r**2 / (1 + g * p) - r * gap / ((1 + g * r) * (1 + g * p)))
    assert N(sp.Integer(1)) == 1
    assert is_positive(sp.diff(N(r), r))
    assert is_zero(1 + (r - 1) / g - N(r) - (r - 1) * (1 - g) / (g * (1 + g * r)))
    assert is_positive((r**2 - N(r)).subs(r, 1 + R))


# ------------------------------------------------------------------ Theorem 5


def test_theorem_5_grows_with_c_and_shrinks_with_r():
    """(1 + c/d_j)/(1 + c/d_k) increases with c; at c = d_min/(r − 1) it decreases with r."""
    d_j, gap = sp.symbols("d_j gap", positive=True)
    d_k = d_j + gap
    ratio = (1 + c / d_j) / (1 + c / d_k)
    assert is_positive(sp.diff(ratio, c))
    bound = (R + d / d_j) / (R + d / d_k)
    assert is_zero(ratio.subs(c, d / R) - bound)
    assert is_positive(-sp.diff(bound, R))


def test_ratio_without_cancellation():
    """Chain.log_steps: A_k/A_j = 1 + (d_k − d_j)/d_j · c/(c + d_k)."""
    d_j, d_k = sp.symbols("d_j d_k", positive=True)
    ratio = (d_k / (c + d_k)) / (d_j / (c + d_j))
    assert is_zero(ratio - 1 - (d_k - d_j) / d_j * c / (c + d_k))


# ------------------------------------------------------------------ Theorem 6

q_k, gap = sp.symbols("q_k Delta", positive=True)
q_j = q_k + gap
log_index = R * sp.log((R + q_j) / (R + q_k))


def test_theorem_6_monotone():
    """d/dx x log((x + q_j)/(x + q_k)) = log(1 + w) − xΔ/((x + q_j)(x + q_k)) > 0.

    log(1 + w) > w/(1 + w) for w > 0 (both vanish at 0, derivatives 1/(1 + w) > 1/(1 + w)²), and
    w/(1 + w) = Δ/(x + q_j) exceeds the second term by Δ q_k/((x + q_j)(x + q_k)).
    """
    w = sp.symbols("w", positive=True)
    assert is_positive(sp.diff(sp.log(1 + w) - w / (1 + w), w))
    assert (sp.log(1 + w) - w / (1 + w)).subs(w, 0) == 0
    ratio = gap / (R + q_k)
    second = R * gap / ((R + q_j) * (R + q_k))
    assert is_zero(sp.diff(log_index, R) - sp.log((R + q_j) / (R + q_k)) + second)
    assert is_zero(1 + ratio - (R + q_j) / (R + q_k))
    assert is_positive(ratio / (1 + ratio) - second)


def test_theorem_6_limit():
    """(155): x log((x + q_j)/(x + q_k)) → q_j − q_k, which is κ/κ · d_min (1/d_j − 1/d_k)."""
    assert sp.limit(log_index, R, sp.oo) == gap


def test_theorem_6_rate():
    """Between x/(x + q_j) Δ and Δ, from w/(1 + w) <= log(1 + w) <= w."""
    w = sp.symbols("w", positive=True)
    assert is_positive(sp.diff(w - sp.log(1 + w), w))
    ratio = gap / (R + q_k)
    assert is_zero(R * ratio / (1 + ratio) - gap * R / (R + q_j))
    assert is_positive(gap - R * ratio)


# ------------------------------------------------------------------ early stopping


def test_one_fit_is_below_the_ratio_of_eigenvalues():
    d_j, rise = sp.symbols("d_j rise", positive=True)
    d_k = d_j + rise
    ratio = (1 + c / d_j) / (1 + c / d_k)
    assert is_positive(ratio - 1)
    assert is_positive(d_k / d_j - ratio)
    assert is_zero(sp.limit(ratio, c, sp.oo) - d_k / d_j)


@pytest.mark.parametrize("fits", [2, 3, 4])
def test_convexity_behind_the_matched_comparison(fits):
    """F(x) = Π(1 + c_i x) is convex on x > 0, and (F − 1)/x, the matched c, increases with x."""
    x = sp.symbols("x", positive=True)
    multipliers = sp.symbols(f"c_0:{fits}", positive=True)
    F = sp.prod([1 + ci * x for ci in multipliers])
    assert is_positive(sp.diff(F, x, 2))
    assert is_positive(sp.diff(sp.expand((sp.expand(F) - 1) / x), x))


# ------------------------------------------------------------------ the equivalent kernel


def test_equivalent_kernel():
    """(54), (111): c_0/(P − 1) solves d†/(c_0 + d†) = 1/P, whatever P = Π(1 + c_i/d) is."""
    P, c_0, weight = sp.symbols("P c_0 d_dagger", positive=True)
    (solution,) = sp.solve(weight / (c_0 + weight) - 1 / P, weight)
    assert is_zero(solution - c_0 / (P - 1))


@pytest.mark.parametrize("t", [1, 2, 3])
def test_equivalent_kernel_round_by_round_and_decreasing(t):
    """The recursion that is evaluated is (54), decreases with t, and increases with d."""
    multipliers = sp.symbols(f"c_0:{t + 1}", positive=True)

    def formula(n):
        return multipliers[0] / (sp.prod([1 + ci / d for ci in multipliers[: n + 1]]) - 1)

    x = multipliers[t] / d
    before = formula(t - 1)
    assert is_zero(formula(0) - d)
    assert is_zero(before / (1 + x + x * before / multipliers[0]) - formula(t))
    assert is_positive(before - formula(t))
    assert is_positive(sp.diff(formula(t), d))


def test_local_rademacher_fixed_point():
    """U = h/K + √T satisfies (h/K) U + T <= U²: the difference is (h/K) √T >= 0."""
    share, root = sp.symbols("share root", positive=True)  # h/K and √T
    U = share + root
    assert is_zero(U**2 - share * U - root**2 - share * root)
