"""What check says of a result: it looks at what is handed out, and knows when it does not know."""

from dataclasses import replace

import numpy as np
import pytest
from chains import named, verdict
from problems import ROUNDING, assert_close, orthogonal, symmetric

import hilbertsd as hsd
from hilbertsd import theory
from hilbertsd.theory import REGISTRY, Chain, Check, Statement, judge, views
from hilbertsd.theory.judge import DECIDABLE
from hilbertsd.theory.page import BY_CONSTRUCTION
from hilbertsd.theory.verdicts import Verdicts

INF = float("inf")

# ------------------------------------------------------------------ power: altered results


def solved(eigenvectors: bool, kind: str):
    d = np.array([0.0, 0.1, 0.3, 0.7, 1.0]) if kind == "singular" else np.linspace(0.1, 1, 5)
    y = np.stack([np.arange(5.0), [1.0, -2.0, 0.5, 2.0, 1.0], np.ones(5)], axis=1)
    labels = y if kind in ("outputs", "joint") else y[:, 0]
    floor = 0.5 if kind == "singular" else 0.0
    return hsd.self_distill(
        *(symmetric(d, orthogonal(5, 3)), labels, 0.1 + floor, 12),
        joint=kind == "joint",
        keep_eigenvectors=eigenvectors,
    )


KINDS = ("one output", "singular", "outputs", "joint")


def refused_or_failing(result) -> bool:
    try:
        return bool(theory.check(result).counts["fails"])
    except hsd.HilbertSDError as error:
        return "contradicts itself" in str(error)


def garbage(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(values.shape)


def one_round(values: np.ndarray, t: int, change) -> np.ndarray:
    changed = values.copy()
    changed[t] = change(values[t])
    return changed


ALTERED = {
    "labels zeroed": lambda r: replace(r, labels=0 * r.labels),
    "labels zeroed but y_0": lambda r: replace(
        r,
        labels=np.where(
            np.arange(len(r.labels)).reshape(-1, *[1] * (r.labels.ndim - 1)), 0, r.labels
        ),
    ),
    "one label off by 1e-6": lambda r: replace(
        r, labels=one_round(r.labels, 1, lambda y: y + 1e-6 * np.linalg.norm(y))
    ),
    "dual_coef garbage": lambda r: replace(r, dual_coef=garbage(r.dual_coef)),
    "dual_coef zeroed": lambda r: replace(r, dual_coef=0 * r.dual_coef),
    "one dual_coef off by 1e-6": lambda r: replace(
        r, dual_coef=one_round(r.dual_coef, 1, lambda b: b * (1 + 1e-6))
    ),
    "r_t x 1.2": lambda r: replace(r, label_ratios=1.2 * r.label_ratios),
    "one r_t off by 1e-6": lambda r: replace(
        r, label_ratios=one_round(r.label_ratios, 1, lambda x: x * (1 + 1e-6))
    ),
    "multipliers x 3": lambda r: replace(r, multipliers=3 * r.multipliers),
    "one multiplier off by 1e-6": lambda r: replace(
        r, multipliers=one_round(r.multipliers, 1, lambda c: c * (1 + 1e-6))
    ),
    "basis weights x 2": lambda r: replace(
        r, spectrum=replace(r.spectrum, basis_weights=2 * r.spectrum.basis_weights)
    ),
    "eps x 2": lambda r: replace(r, eps=2 * r.eps),
}


@pytest.mark.parametrize("eigenvectors", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_results_that_are_altered_are_found_out(kind, eigenvectors):
    result = solved(eigenvectors, kind)
    assert not refused_or_failing(result)
    assert theory.check(result).counts["undecided"] == 0
    for name, alter in ALTERED.items():
        assert refused_or_failing(alter(result)), name


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_the_right_norm_need_eigenvectors_to_be_found_out(kind):
    """Turned within the sample; without eigenvectors only the residuals' norms tell."""
    result = solved(True, kind)
    turned = np.einsum("jk,tk...->tj...", orthogonal(5, 8), result.labels[1:])
    found = theory.check(replace(result, labels=np.concatenate([result.labels[:1], turned])))
    failing = {v.statement for v in found if v.status == "fails"}
    assert "unrolled_labels" in failing


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_not_known_decides_nothing(kind):
    result = solved(True, kind)
    unknown = replace(
        result,
        multipliers=3 * result.multipliers,
        multiplier_error=np.full(result.multipliers.shape, INF),
    )
    found = theory.check(unknown)
    assert not {"holds", "vacuous"} & {
        v.status for v in found if REGISTRY[v.statement].depends != "number of fits"
    }
    assert found.counts["undecided"] > 30


def test_a_result_that_contradicts_itself_is_refused_with_the_numbers():
    result = named()["spread"]
    with pytest.raises(hsd.HilbertSDError, match=r"label_ratios\[0\] is .* but .*labels\[0\]"):
        theory.check(replace(result, label_ratios=1.2 * result.label_ratios))


# ------------------------------------------------------------------ what certificates cannot refute


def test_what_holds_by_construction_is_said_and_nothing_else():
    """Labels made of any multipliers, with tolerances that have nothing to do with them."""
    rng = np.random.default_rng(1)
    held = {name: True for name, s in REGISTRY.items() if s.kind == "identity"}
    held["guaranteed_rounds_near_interpolation"] = True
    for _ in range(20):
        d, z = np.sort(rng.uniform(0.1, 1, 4)), [rng.standard_normal(4) * 10]
        c = rng.uniform(0.01, 3, 3)
        for multiplier in c:
            z.append(d / (multiplier + d) * z[-1])
        s = rng.uniform(0.01, 0.1, 1) * np.ones(4)
        z = np.stack(z)
        chain = Chain(np, 4, d, z, c, s, False, columns=np.stack([0.6 * z, 0.8 * z], axis=2))
        for name in held:
            held[name] &= judge(REGISTRY[name], chain).status == "holds"
    assert {name for name, always in held.items() if always} == BY_CONSTRUCTION


# ------------------------------------------------------------------ undecided


def claim(sides, kind="lower", depends="own round") -> Statement:
    return Statement("x", "x", kind, "", "", "chain", (), sides, depends=depends)


def holding(chain):
    return Check(0.0, np.ones(chain.fits), INF, 1.0, trivial_lower=-1.0)


@pytest.mark.parametrize("error", [2 * DECIDABLE, 0.1, 1.0, INF])
def test_what_is_not_known_to_a_thousandth_is_undecided(error):
    chain = views(named()["spread"])["chain"]
    errors = np.zeros(chain.fits + 1)
    assert judge(claim(holding), replace(chain, errors=errors)).status == "holds"
    errors[1] = error
    found = judge(claim(holding), replace(chain, errors=errors))
    assert found.status == "undecided"
    assert found.tolerance >= error
    assert found.tightness is None or found.where == (0,)
    assert "from round 1 on" in found.why
    vacuous = claim(lambda k: holding(k)._replace(trivial_lower=0.0))
    assert judge(vacuous, replace(chain, errors=errors)).status == "undecided"
    below = judge(claim(holding), replace(chain, errors=np.full(len(errors), DECIDABLE / 2)))
    assert below.status == "holds"


def test_a_violation_beyond_a_large_error_still_fails():
    chain = views(named()["spread"])["chain"]
    large = replace(chain, errors=np.full(chain.fits + 1, 0.1))
    violated = claim(lambda k: Check(0.0, np.full(k.fits, -0.5), INF, 1.0))
    assert judge(violated, large).status == "fails"
    nothing = claim(lambda k: Check(0.0, np.full(k.fits, np.nan), INF, 1.0))
    assert judge(nothing, large).status == "undecided"
    assert judge(nothing, replace(chain, errors=None)).status == "fails"


def test_near_the_floor_nothing_is_said_to_hold_that_was_not_seen():
    """A multiplier without a sure digit: it was called vacuous."""
    x, y = np.array([0.0, 0.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0, 1.0])
    G = hsd.gram(hsd.kernels.gaussian(1), x)
    with pytest.warns(hsd.PrecisionWarning):
        result = hsd.self_distill(G, y, 0.12500000000001, 10)
    found = theory.check(result)
    assert found.counts["undecided"] > 25
    assert found.counts["vacuous"] < 5
    assert found["multiplier_bracket"].status == "undecided"


# ------------------------------------------------------------------ slack and tightness


@pytest.mark.parametrize(
    ("check", "tightness"),
    [
        (Check(3.0, 4.0, INF, 1.0, trivial_lower=0.0), 0.75),
        (Check(3.0, 4.0, INF, 1.0, trivial_lower=2.0), 0.5),
        (Check(1.0, 4.0, INF, 1.0, trivial_lower=2.0), 0.0),
        (Check(3.0, 4.0, INF, 1.0), 0.75),  # nothing is known: one side over the other
        (Check(-INF, 301.0, 5e7, 5e7), 301 / 5e7),
        (Check(-INF, 3.0, 4.0, 1.0, trivial_upper=5.0), 0.5),
        (Check(0.0, 4.0, INF, 1.0), None),  # a sign
        (Check(-1.0, 4.0, INF, 1.0), None),
        (Check(4.0, 4.0, INF, 1.0, trivial_lower=0.0), 1.0),
        (Check(1.0, 2.0, 9.0, 1.0, trivial_lower=0.0, trivial_upper=10.0), 0.5),  # nearer side
        (Check(1.0, 8.0, 9.0, 1.0, trivial_lower=0.0, trivial_upper=10.0), 0.5),
    ],
)
def test_tightness_is_the_share_of_what_is_true_beyond_what_is_known(check, tightness):
    chain = views(named()["spread"])["chain"]
    found = judge(claim(lambda _: check, "two-sided", "first round"), chain)
    assert found.tightness == (None if tightness is None else pytest.approx(tightness))
    for kind in ("monotone", "identity"):
        same = check._replace(lower=check.actual, upper=check.actual)
        assert judge(claim(lambda _, s=same: s, kind, "first round"), chain).tightness is None


def test_numbers_slack_and_tightness_are_of_one_place_where_something_is_said():
    """The nearest entry says nothing: the next one is shown."""
    lower, actual = np.array([0.0, 2.0, 3.0]), np.array([0.1, 3.0, 5.0])
    known = np.array([0.0, 1.0, 0.0])
    sides = claim(
        lambda _: Check(lower, actual, INF, 1.0, trivial_lower=known), depends="all rounds"
    )
    found = judge(sides, views(named()["spread"])["chain"])
    assert (found.where, found.lower, found.actual, found.slack) == ((1,), 2.0, 3.0, 1.0)
    assert found.tightness == 0.5
    assert found.place == "entry 1"


def test_a_bound_that_is_far_away_is_not_called_half_tight():
    result = hsd.self_distill(*theory.examples.one_scale(50.5))
    share = result.collapse_round / result.label_ratios[0] ** 2
    assert share < 0.02
    assert_close(verdict(REGISTRY["rounds_at_most"], result).tightness, share, rtol=ROUNDING)
    for name in ("multipliers_increase", "label_norm_decreases", "collapse_criterion"):
        assert verdict(REGISTRY[name], named()["headline"]).tightness is None


@pytest.mark.parametrize("name", REGISTRY)
def test_the_place_has_words_and_rounds_are_the_users(name):
    statement = REGISTRY[name]
    key = "joint" if name == "joint_outputs" else "paper"
    result = named()[key]
    found = verdict(statement, result)
    chain = views(result)[statement.about]
    ndim = np.broadcast(*(np.asarray(side) for side in statement.sides(chain))).ndim
    assert len(found.where) == ndim
    assert "entry" not in found.place
    assert len(set(statement.axes_of(ndim))) == ndim
    if ndim and statement.axes_of(ndim)[0] == "round":
        assert statement.depends in ("own round", "rounds so far")
        assert chain.start <= int(found.place.split()[1].strip(",")) <= chain.start + chain.fits


# ------------------------------------------------------------------ the container, and names


def test_verdicts_by_index_name_title_and_output():
    result = named()["headline"]
    found = theory.check(result)
    assert isinstance(found, tuple)
    assert found[0].statement == next(iter(REGISTRY))
    assert isinstance(found[:3], Verdicts)
    assert found["guaranteed_rounds"] == found["Proposition 4"] == found["proposition 4"]
    four = found["guaranteed_rounds"]
    assert (four.title, four.status, four.upper) == ("Proposition 4", "holds", INF)
    assert four.lower == pytest.approx((result.label_ratios[0] - 1) / views(result)["chain"].kappa)
    assert four.actual == result.collapse_round
    lines = repr(found).splitlines()
    assert lines[0] == f"{len(REGISTRY)} verdicts: 46 holds, 1 not applicable"
    assert len(lines) == 1 + len(REGISTRY)
    assert any(line.startswith("holds          Proposition 4: 3.65") for line in lines)
    with pytest.raises(hsd.HilbertSDError, match="did you mean guaranteed_rounds"):
        found["guaranted_rounds"]
    with pytest.raises(hsd.HilbertSDError, match="not among the statements that were checked"):
        theory.check(result, statements=["norm_drop"])["Proposition 4"]
    with pytest.raises(IndexError):
        found[100]


def test_verdicts_of_several_outputs_are_told_apart():
    found = theory.check(solved(False, "outputs"))
    assert found["norm_drop", 1].output == 1
    with pytest.raises(hsd.HilbertSDError, match=r"verdicts\['norm_drop', 0\]"):
        found["norm_drop"]
    with pytest.raises(hsd.HilbertSDError, match="of output 7, of 0, 1, 2"):
        found["norm_drop", 7]
    assert "output 2" in repr(found)


def test_statements_can_be_chosen():
    result = named()["spread"]
    own = claim(holding)
    found = theory.check(result, statements=["Proposition 4", REGISTRY["norm_drop"], own])
    assert [v.statement for v in found] == ["guaranteed_rounds", "norm_drop", "x"]
    assert theory.check(result, statements="norm_drop") == found[1:2]
    with pytest.raises(hsd.HilbertSDError, match="no statement 'prop4'"):
        theory.check(result, statements=["prop4"])
    with pytest.raises(hsd.HilbertSDError, match=r"Distillation .* not list"):
        theory.check([1.0, 2.0])


def test_the_registry_knows_titles_and_what_comes_near():
    for name, statement in REGISTRY.items():
        assert REGISTRY[statement.title] is REGISTRY[name] is REGISTRY[name.upper()]
    assert REGISTRY["theorem_5"].name == "weight_ratio"
    assert "Proposition 4" not in REGISTRY  # names alone are its keys
    with pytest.raises(KeyError):
        REGISTRY["prop4"]
    with pytest.raises(hsd.HilbertSDError) as unknown:
        REGISTRY["collapse"]
    assert str(unknown.value).startswith("there is no statement 'collapse'; did you mean ")
    assert "collapse_criterion" in str(unknown.value)
    with pytest.raises(hsd.HilbertSDError, match="REGISTRY has their names"):
        REGISTRY["zzz"]
