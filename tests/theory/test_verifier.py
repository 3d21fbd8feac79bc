"""The checker re-establishes certificates, and refuses every altered or hostile one."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

import hilbertsd as hsd

pytest.importorskip("flint", reason="certificates need python-flint, the extra 'certify'")

from dataclasses import replace

from certified import OWN, outputs_certificate, rational_gram, small_certificate

from hilbertsd.theory import certificate, enclosures, linear_solves, verifier
from hilbertsd.theory.balls import flint
from hilbertsd.theory.certificate import CertificateError
from hilbertsd.theory.certify import certify
from hilbertsd.theory.verifier import check_certificate

SPLINE = hsd.kernels.cubic_spline()


def sealed(document: dict) -> str:
    return json.dumps(document | {"digest": certificate.digest(document)})


def leaves(node, path=()):
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from leaves(value, (*path, key))
    else:
        yield path, node


def containers(node, path=()):
    if isinstance(node, dict | list):
        yield path, node
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from containers(value, (*path, key))


def put(document: dict, path: tuple, value) -> dict:
    changed = json.loads(json.dumps(document))
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def alterations(value):
    """False neighbours of a leaf: one unit up and down, twice as sharp, other words."""
    if isinstance(value, str) and value.startswith(("0x", "-0x")) and "p" in value:
        mantissa, exponent = value.split("p")
        m, e = int(mantissa, 16), int(exponent)
        return [
            f"{m + 1:#x}p{e}",
            f"{m - 1:#x}p{e}",
            f"{-m:#x}p{e}",
            f"{2 * m:#x}p{e - 1}",  # the same number with half the radius
            f"{m:#x}p{e + 1}",
            f"{m // 2:#x}p{e + 1}",
            "0x0p0",
        ]
    if isinstance(value, str) and value.startswith("0x"):
        n, d = (int(v, 16) for v in value.split("/"))
        return [f"{n + 1:#x}/{d:#x}", f"{2 * n:#x}/{2 * d:#x}", "0x0/0x1"]
    if isinstance(value, str) and value.lstrip("-").replace("/", "").isdigit():
        moved = Fraction(value) + Fraction(1, 10**40)
        return [str(moved), str(-Fraction(value) - 1), f"{value}0"]
    if isinstance(value, bool):
        return [not value, int(value), str(value)]
    if isinstance(value, int):
        return [value + 1, value - 1, True, float(value), str(value)]
    if value is None:
        return ["1e-30", "", 0]
    return [
        word
        for word in (
            "proved",
            "refuted",
            "undecided",
            "collapsed",
            "running",
            value + " ",
            None,
            [],
        )
        if word != value
    ]


def refused(text: str) -> bool:
    try:
        check_certificate(text, OWN)
    except CertificateError:
        return True
    return False


def spline_certificate():
    return certify(SPLINE, ["0", "1/4", "2/3"], ["1/100", 1, 2], "1/10", 3, statements=OWN)


def joint_certificate():
    return outputs_certificate(joint=True)


MAKERS = [small_certificate, spline_certificate, outputs_certificate, joint_certificate]


@pytest.mark.parametrize("make", MAKERS)
def test_every_altered_certificate_is_refused(make):
    text = make().to_json()
    document = json.loads(text)
    assert check_certificate(text, OWN)
    assert check_certificate(sealed(document), OWN)  # the seal alone changes nothing
    count = 0
    for path, value in leaves(document):
        for other in alterations(value):
            changed = put(document, path, other)
            assert refused(json.dumps(changed)), f"{path}: {other!r} passed"
            if path == ("problem", "rounds") and type(other) is int:
                continue  # a true answer to another question: the chain collapses before either
            if path != ("digest",):
                assert refused(sealed(changed)), f"{path}: {other!r} passed with a new digest"
            count += 1
    assert count > 300


def test_the_rounds_asked_for_bound_the_fits():
    document = json.loads(small_certificate().to_json())
    (chain,) = document["chains"]
    fits = len(chain["multipliers"])
    assert chain["outcome"] == "collapsed"
    assert refused(sealed(put(document, ("problem", "rounds"), fits - 2)))


@pytest.mark.parametrize("make", [small_certificate, joint_certificate])
def test_missing_extra_and_repeated_entries_are_refused(make):
    document = json.loads(make().to_json())
    for path, node in containers(document):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            changed = put(document, (*path, key), None)
            parent = changed
            for step in path:
                parent = parent[step]
            if isinstance(parent, dict):
                del parent[key]
            else:
                parent.pop(key)
            assert refused(json.dumps(changed)), f"without {path} {key}"
            if (*path, key) != ("digest",):
                assert refused(sealed(changed)), f"without {path} {key}, with a new digest"
        changed = json.loads(json.dumps(document))
        parent = changed
        for step in path:
            parent = parent[step]
        if isinstance(parent, dict):
            parent["more"] = 1
        else:
            parent.append(parent[-1] if parent else 1)
        assert refused(sealed(changed)), f"more in {path}"
    text = make().to_json()
    assert refused(text.replace('"bits": 256', '"bits": 512, "bits": 256'))


@pytest.mark.parametrize("make", MAKERS)
def test_exchanged_entries_are_refused(make):
    document = json.loads(make().to_json())
    for path, node in containers(document):
        if isinstance(node, list) and len(node) > 1 and node[0] != node[1]:
            changed = put(document, (*path, 0), node[1])
            changed = put(changed, (*path, 1), node[0])
            assert refused(sealed(changed)), f"exchanged in {path}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"format": "hilbertsd-certificate"}',
        '{"format": NaN}',
        '{"format": 1e999}',
        '{"format": ' + "9" * 5000 + "}",
    ],
)
def test_hostile_text_is_refused(text):
    with pytest.raises(CertificateError):
        check_certificate(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("problem", "kernel"), "__import__('os').system('true')"),
        (("problem", "kernel"), "polynomial(1000000000)"),
        (("problem", "kernel"), "gaussian(1)"),
        (("problem", "points"), [["9" * 3999]] * 3),
        (("problem", "points"), [["1", "2"]] * 3),
        (("problem", "y"), ["1/0"] * 3),
        (("problem", "y"), []),
        (("problem", "eps"), "9" * 10_000),
        (("problem", "rounds"), 10**9),
        (("bits",), 10**9),
        (("spectrum", "eigenvalues"), ["0x1p99999999999"] * 2),
        (("chains", 0, "residual_floor"), "0x1/0x0"),
        (("chains",), []),
        (("problem", "y"), [["1", "2"], ["1"], ["1", "2"]]),
        (("problem", "y"), [["1"] * 101] * 3),
        (("problem", "y"), "1"),
        (("problem", "eps"), [["1/10", "1/10"]]),
        (("problem", "eps"), []),
        (("problem", "joint"), True),
    ],
)
def test_hostile_fields_are_refused(path, value):
    document = json.loads(spline_certificate().to_json())
    with pytest.raises(CertificateError):
        check_certificate(sealed(put(document, path, value)), OWN)


def forged(document: dict, eps: str, outcome: str) -> str:
    """A certificate of no fit, with the true first label ratio of that tolerance."""
    changed = put(document, ("problem", "eps"), eps)
    power = sum(Fraction(v) ** 2 for v in document["problem"]["y"])
    allowed = len(document["problem"]["y"]) * Fraction(eps)
    with flint.ctx.workprec(600):
        ratio = (flint.arb(flint.fmpq(power.numerator)) / flint.arb(verifier.fmpq(allowed))).sqrt()
        spelled = str(enclosures.published(ratio, document["bits"] // 2))
    empty = {"multipliers": [], "basis_weights": [], "label_ratios": [spelled]}
    (chain,) = document["chains"]
    return sealed(changed | {"chains": [chain | empty | {"outcome": outcome}]})


@pytest.mark.parametrize("outcome", ["undecided", "running", "collapsed"])
@pytest.mark.parametrize(
    ("d", "eps", "why"),
    [
        ([0.0, 1.0], "1/4", "residual floor|collapse"),  # no multiplier reaches it
        ([0.0, 1.0], "1/2", "residual floor|collapse"),
        ([1e-300, 1.0], "1/4", "undecided|fits|collapse"),
        ([1.0, 1.0], "1/4", "undecided|fits|collapse"),
        ([0.0, 0.0], "1/4", "residual floor|collapse"),
    ],
)
def test_a_forged_end_without_a_fit_is_refused_and_not_searched_for(d, eps, why, outcome):
    made = certify(np.diag(d), [1.0, 2.0], 3.0, 3, statements={})
    text = forged(json.loads(made.to_json()), eps, outcome)
    with pytest.raises(CertificateError, match=why):
        check_certificate(text, {})


def test_a_chain_said_to_be_undecided_is_refused_where_it_is_not():
    """Cut before its last fit, with true numbers up to there."""
    document = json.loads(small_certificate().to_json())
    (chain,) = document["chains"]
    for fits in range(len(chain["multipliers"])):
        cut = {name: chain[name][:fits] for name in ("multipliers", "basis_weights")}
        cut |= {"label_ratios": chain["label_ratios"][: fits + 1], "outcome": "undecided"}
        with pytest.raises(CertificateError, match="end is undecided"):
            check_certificate(sealed(document | {"chains": [chain | cut]}), OWN)


LONG = "1" * 3000


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        ({"gram": [[LONG] * (i + 1) for i in range(100)], "y": ["1"] * 100}, "round the points"),
        ({"gram": [["1"], ["0", "1"]], "y": [LONG, "1"]}, "round the points"),
        (
            {"gram": [[f"1/{10**90 + 50 * i + j}" for j in range(i + 1)] for i in range(20)]}
            | {"y": ["1"] * 20},
            "round the points",
        ),
        (
            {"gram": [["1" * 300] * (i + 1) for i in range(300)], "y": ["1"] * 300},
            "so large a problem",
        ),
        (
            {"gram": None, "kernel": "polynomial(degree=64, offset=1.0)"}
            | {"points": [[f"{10**300 + 1}/{7**300}"]] * 2},
            "round the points",
        ),
        (
            {"gram": None, "kernel": " + ".join(["polynomial(degree=1, offset=1.0)"] * 9)}
            | {"points": [["1"], ["2"]]},
            "text is longer",
        ),
    ],
)
def test_what_would_take_for_ever_is_refused_at_once(problem, why):
    made = json.loads(certify(np.eye(2), [3.0, 4.0], 0.3, 8, statements={}).to_json())
    changed = made["problem"] | problem
    with pytest.raises(CertificateError, match=why):
        check_certificate(sealed(made | {"problem": changed}), {})
    floor = put(made, ("chains", 0, "residual_floor"), "0x1/0x" + "f" * 10**6)
    with pytest.raises(CertificateError, match="residual floor"):
        check_certificate(sealed(floor), {})


def test_the_maker_refuses_what_the_checker_would():
    with pytest.raises(hsd.HilbertSDError, match="bits or more on their common denominator"):
        certify(np.eye(2).astype(int), [LONG, "1"], "1/4")
    with pytest.raises(hsd.HilbertSDError, match="fewer points or outputs"):
        certify(np.eye(300), np.ones((300, 100)), 0.1)


def test_a_maker_with_a_fault_is_found_out(monkeypatch):
    gram, q = rational_gram([1, 2, 4, 4], seed=2)
    y = q @ np.array([1, 2, 3, 1])

    def made() -> str:
        return certify(gram, y, "1/3", 3, max_bits=256, statements={}).to_json()

    check_certificate(made(), {})
    with flint.ctx.workprec(200):
        one = flint.arb(1) + flint.arb(2) ** -120
    multiplier, weights, spectrum = (
        enclosures._multiplier,
        enclosures._weights,
        enclosures.spectrum,
    )

    def shifted(problem):
        seen = spectrum(problem)
        return replace(seen, eigenvalues=[d * one for d in seen.eigenvalues])

    faults = {
        "_multiplier": lambda *a: multiplier(*a) * one,
        "_weights": lambda *a: [weight * one for weight in weights(*a)],
        "spectrum": shifted,
    }
    for name, fault in faults.items():
        with monkeypatch.context() as patch:
            patch.setattr(enclosures, name, fault)
            text = made()
        with pytest.raises(CertificateError, match="re-established"):
            check_certificate(text, {})


def _truncated(document: dict) -> dict:
    """Without its last fit, and an end said to be undecided."""
    changed = json.loads(json.dumps(document))
    (chain,) = changed["chains"]
    for name in ("multipliers", "label_ratios", "basis_weights"):
        chain[name].pop()
    chain["outcome"] = "undecided"
    return changed


def test_an_end_is_not_said_to_be_undecided_where_it_is_not():
    """The fits before are true, and one is left: only the solve of that one tells."""
    made = certify(np.diag([0.5, 1.0]), [1.0, 2.0], 0.1, 5, statements={})
    assert made.collapse_round
    changed = sealed(_truncated(json.loads(made.to_json())))
    with pytest.raises(CertificateError, match="that the end is undecided"):
        check_certificate(changed, {})


def test_an_end_is_undecided_only_while_a_fit_is_left():
    made = certify(np.diag([0.5, 1.0]), [1.0, 2.0], 0.01, 1, statements={})
    document = json.loads(made.to_json())
    assert document["chains"][0]["outcome"] == "running"
    changed = sealed(put(document, ("chains", 0, "outcome"), "undecided"))
    with pytest.raises(CertificateError, match="a fit is left"):
        check_certificate(changed, {})


def test_no_more_fits_than_were_asked_for():
    """Each fit of a longer chain is true; so is the collapse."""
    document = json.loads(
        certify(np.diag([0.5, 1.0]), [1.0, 2.0], 0.01, 40, statements={}).to_json()
    )
    fits = len(document["chains"][0]["multipliers"])
    assert document["chains"][0]["outcome"] == "collapsed"
    with pytest.raises(CertificateError, match="the number of fits"):
        check_certificate(sealed(put(document, ("problem", "rounds"), fits - 2)), {})


def test_what_a_fit_inherits_from_an_uncertain_multiplier():
    """The ball of the next labels holds the predictions at both ends of the multiplier's."""
    with flint.ctx.workprec(200):
        matrix = flint.arb_mat([[2, 1], [1, 3]])
        y = flint.arb_mat([[1], [-2]])
        labels = linear_solves._centred(y, flint.arb(0))
        seen = linear_solves._next(matrix, labels, flint.arb(1, 1e-3))
        for c in (1 - 1e-3, 1 + 1e-3):
            diagonal = flint.arb_mat([[c, 0], [0, c]])
            exact = matrix * (matrix + diagonal).solve(y)
            assert linear_solves._norm(exact - seen.centre) <= seen.error
        assert seen.error < 1e-2


def test_two_eigenvalues_do_not_pass_for_one():
    """Enclosures of 256 bits hold both; only exact algebra sees that they are two."""
    gram, q = rational_gram([1, 1 + Fraction(1, 10**120), 3], seed=5)
    honest = certify(gram, q @ np.array([1, 1, 1]), "1/10", 2, statements={})
    merged, _ = rational_gram([1, 1, 3], seed=5)
    document = json.loads(
        certify(merged, q @ np.array([1, 1, 1]), "1/10", 2, statements={}).to_json()
    )
    document["problem"]["gram"] = json.loads(honest.to_json())["problem"]["gram"]
    with pytest.raises(CertificateError, match="distinct eigenvalues"):
        check_certificate(sealed(document), {})


def test_a_certificate_of_other_statements_is_refused():
    with pytest.raises(CertificateError, match="list of statements"):
        check_certificate(small_certificate().to_json())


def test_the_checker_calls_nothing_of_the_maker(monkeypatch):
    text = small_certificate().to_json()
    for name in ("spectrum", "chain", "published", "ExactProblem", "_multiplier", "_weights"):
        monkeypatch.delattr(enclosures, name)
    assert "certify" not in vars(verifier)
    assert "enclosures" not in vars(verifier)
    assert check_certificate(text, OWN)


def test_a_certificate_its_file_and_its_text_are_the_same(tmp_path):
    found, path = small_certificate(), tmp_path / "certificate.json"
    found.save(path)
    for given in (found, path, path.read_text()):
        assert check_certificate(given, OWN) == found.verdicts
    with pytest.raises(CertificateError, match=r"pathlib\.Path"):
        check_certificate(str(path), OWN)
    with pytest.raises(CertificateError, match="text, not int"):
        check_certificate(1, OWN)
    with pytest.raises(FileNotFoundError):
        check_certificate(tmp_path / "missing.json", OWN)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CertificateError, match="UTF-8"):
        check_certificate(path, OWN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d | {"more": 1}, r"at more \(one key too many\)"),
        (lambda d: put(d, ("problem", "eps"), "6/20"), "at problem.eps"),
        (lambda d: put(d, ("bits",), "256"), "damaged: 256 is not a whole number"),
        (lambda d: {k: v for k, v in d.items() if k != "bits"}, "damaged: 'bits' is missing"),
    ],
)
def test_a_refusal_says_where(change, said):
    document = json.loads(small_certificate().to_json())
    with pytest.raises(CertificateError, match=said) as refusal:
        check_certificate(sealed(change(document)), OWN)
    assert "Error" not in str(refusal.value)


def test_a_certificate_is_printed_in_one_line():
    assert repr(small_certificate()) == (
        "<Certificate of K=4 points, Q=1: rank 3, collapse at round 3; 2 proved; 256 bits>"
    )
    both = repr(outputs_certificate(joint=True))
    assert both.startswith("<Certificate of K=4 points, Q=2, joint: rank 3, ")
    assert "\n" not in both
