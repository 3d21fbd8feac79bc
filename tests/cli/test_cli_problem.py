"""The options that pose a problem: kernels, tolerances, and texts that are parsed and never run."""

import numpy as np
import pytest
from command import GOOD, refused, run_json, write

import hilbertsd as hsd
from hilbertsd.cli import kernel
from hilbertsd.cli.exits import BAD_FILE, BAD_INPUT, INFEASIBLE
from hilbertsd.theory import examples


def test_interval_kernels_take_the_feature_as_it_is(capsys):
    result = run_json(capsys, write("data.csv", GOOD), "--kernel", "cubic_spline")
    assert result.provenance["problem"]["feature_scale"] == [1.0]
    code, message = refused(
        capsys, "distill", "data.csv", "--kernel", "cubic_spline", "--standardize"
    )
    assert code == BAD_INPUT
    assert "--standardize" in message


def test_a_feature_outside_the_interval_is_told_the_kernel_that_fits(capsys):
    write("wide.csv", "x,y\n-1,1\n2,2\n5,-1\n")
    code, message = refused(capsys, "distill", "wide.csv", "--kernel", "cubic_spline")
    assert code == BAD_INPUT
    repaired = message.split("--kernel '")[1].split("'")[0]
    run_json(capsys, "wide.csv", "--kernel", repaired)
    code, message = refused(
        capsys, *("distill", "wide.csv", "--operator", "D", "--boundary", "f(0)=0")
    )
    assert code == BAD_INPUT
    assert "--interval=-1.0,5.0" in message


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0.02738500170148095, 9.97209935789211, (0.0, 10.0)),
        (-1.0, 5.0, (-1.0, 5.0)),
        (1234567.89, 1234568.91, (1234567.8, 1234569.0)),
        (-3.3e-30, 2.2e-30, (-3.3e-30, 2.2e-30)),
        (7.0, 7.0, (7.0, 7.0)),
        (0.0, 0.0, (0.0, 0.0)),
        (0.1, 0.3, (0.1, 0.3)),
        (-1e300, 3e307, (-1e306, 3e307)),
    ],
)
def test_suggested_ends_are_round_and_hold_the_data(low, high, ends):
    assert kernel._outward(low, high) == ends
    assert ends[0] <= low
    assert ends[1] >= high


@pytest.mark.parametrize(
    ("eps", "code"),
    [("0.01", INFEASIBLE), ("0", BAD_INPUT), ("-1", BAD_INPUT), ("nan", BAD_INPUT)]
    + [(text, BAD_INPUT) for text in ("inf", "1e999", "%", "0%", "five", "5%%")],
)
def test_tolerances_that_have_no_answer(capsys, eps, code):
    found, message = refused(capsys, "distill", f"--eps={eps}")
    assert found == code
    if code == INFEASIBLE:
        assert "0.0418611" in message


def test_shares_are_of_the_mean_squared_label(capsys):
    y = hsd.datasets.example().y
    share = run_json(capsys, "--eps", "20%")
    assert share.eps[0] == pytest.approx(0.2 * np.mean(y**2), rel=1e-15)
    auto = run_json(capsys, "--eps", "auto")
    floor = share.spectrum.residual_floor
    assert auto.eps[0] == pytest.approx(floor + 0.1 * (np.mean(y**2) - floor), rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch hacked')",
        "open('hacked', 'w')",
        "(lambda: gaussian(1))()",
        "gaussian.__class__",
        "gaussian(10**10**10)",
        "gaussian(9**9**9**9)",
        "[gaussian(1) for _ in range(10)]",
        "gaussian(**{})",
        "gauss(1)",
        "gaussian(-1)",
        "gaussian(1",
        "1",
        "",
        "(" * 500 + "gaussian" + ")" * 500,
        "gaussian + " * 2000 + "gaussian",
        "gaussian(1)\x00",
    ],
    ids=range(16),
)
@pytest.mark.parametrize("option", ["--kernel", "--operator", "--boundary", "--interval"])
def test_hostile_text_is_parsed_and_never_run(capsys, option, text):
    arguments = ["--operator", "D", "--boundary", "f(0)=0"]
    if option == "--kernel":
        arguments = []
    if option == "--operator":
        arguments = arguments[2:]
        if text == "1":
            pytest.skip("1 is an operator")
    code, _ = refused(capsys, "distill", *arguments, option, text)
    assert code == BAD_INPUT


@pytest.mark.parametrize(
    "arguments",
    [
        ["distil"],
        ["distill", "--rounds", "-1"],
        ["distill", "--rounds", "two"],
        ["distill", "--rounds", "1.5"],
        ["distill", "--rounds", "1" + "0" * 15],
        ["distill", "--unknown"],
        ["distill", "--kernel"],
        ["distill", "--kernel", "gaussian(sigma=0.5)"],
        ["distill", "a.csv", "b.csv"],
        ["distill", "--target", "0"],
        ["distill", "--boundary", "f(0)=0"],
        ["distill", "--interval", "0,1"],
        ["distill", "--operator", "D", "--kernel", "gaussian"],
        ["distill", "--operator", "x: D", "--boundary", "f(0)=0"],
        ["distill", "--operator", "D"],
        ["distill", "--dataset", "diabetes", "--kernel", "cubic_spline"],
    ],
    ids=" ".join,
)
def test_wrong_usage(capsys, arguments):
    assert refused(capsys, *arguments)[0] == BAD_INPUT


@pytest.mark.parametrize("option", ["--eps", "--kernel", "--boundary", "--interval"])
def test_an_option_with_one_value_is_given_once(capsys, option):
    code, message = refused(capsys, "distill", option, "0.05", option, "0.1")
    assert code == BAD_INPUT
    assert f"{option} is given more than once; " in message


def test_the_median_is_taken_over_evenly_spaced_points():
    x = np.arange(5000.0)[:, None]
    chosen, said = kernel.median_gaussian(x)
    assert said == "median distance over 1000 of the points"
    assert repr(chosen) == "gaussian(length_scale=1470.0)"  # (1 − 1/√2) 5000 is 1464


def test_kernels_on_an_interval_are_recognised_through_combinations():
    for text in ("cubic_spline", "2*cubic_spline + gaussian", "tensor(cubic_spline, gaussian)"):
        assert kernel.lives_on_interval(hsd.kernels.parse_kernel(text))
    assert not kernel.lives_on_interval(hsd.kernels.parse_kernel("gaussian * laplace"))


@pytest.mark.parametrize("command", ["distill", "verify", "certify"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.csv", "--dataset", "digits"], BAD_INPUT, "not both"),
        (["--no-center"], BAD_INPUT, "--center/--no-center is for a file"),
        (["missing.csv"], BAD_FILE, "missing.csv"),
        (["--eps", "0.04"], INFEASIBLE, "0.0418"),
        (["--dataset", "iris"], BAD_INPUT, "'headline'"),
    ],
)
def test_every_command_poses_its_problem_in_the_same_way(capsys, command, arguments, code, message):
    if command == "certify":
        pytest.importorskip("flint")
    found, said = refused(capsys, command, *arguments)
    assert found == code
    assert message in said


def test_the_headline_is_that_of_the_theory(capsys):
    found = run_json(capsys, "--dataset", "headline")
    known = hsd.self_distill(*examples.headline())
    np.testing.assert_array_equal(found.multipliers, known.multipliers)
    np.testing.assert_array_equal(found.labels, known.labels)
    named = run_json(capsys, "--dataset", "headline", "--rounds", "3", "--eps", "0.1")
    assert named.rounds == 3
    assert named.eps[0] == 0.1
