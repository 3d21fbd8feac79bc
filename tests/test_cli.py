"""The command line as a person uses it: files in, files out, and one line when it goes wrong."""

import io
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hilbertsd as hsd
from hilbertsd import cli, problem, report
from hilbertsd.cli import BAD_FILE, BAD_INPUT, DONE, INFEASIBLE, INTERRUPTED, main

ROOT = str(Path(hsd.__file__).parents[1])
GOOD = "x,y\n0.1,1\n0.4,2\n0.7,-1\n0.9,0.5\n"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_json(capsys, *arguments):
    assert main(["distill", *arguments, "--json"]) == DONE
    return hsd.Distillation.from_json(capsys.readouterr().out)


def refused(capsys, *arguments):
    """Return the exit code and the message of a run that must fail, with nothing left behind."""
    before = sorted(os.listdir())
    code = main(list(arguments))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hilbertsd: error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert sorted(os.listdir()) == before
    return code, captured.err


# --- the example


def test_the_example_gives_the_papers_chain_and_all_the_files(capsys):
    assert main(["distill"]) == DONE
    out = capsys.readouterr().out
    assert "2.7053e-06" in out
    assert "Round 4: collapsed" in out
    names = ["chain.json", "chain.npz", "figure.pdf", "figure.png"]
    names += ["fits.pdf", "fits.png", "table.txt"]
    assert sorted(os.listdir("hilbertsd-out")) == names
    with open("hilbertsd-out/table.txt", encoding="utf-8") as file:
        table = file.read()
    assert out.startswith(table)
    with open("hilbertsd-out/chain.json", encoding="utf-8") as file:
        text = file.read()
    result = hsd.Distillation.from_json(text)
    assert result.to_json() == text
    np.testing.assert_allclose(
        result.multipliers[:4], [2.70525e-6, 8.76276e-5, 2.73755e-4, 7.90018e-4], rtol=1e-5
    )
    stored = hsd.Distillation.from_npz("hilbertsd-out/chain.npz")
    assert stored.to_json() == text


def test_two_runs_give_the_same_bytes(capsys):
    assert main(["distill", "--json", "--output", "a"]) == DONE
    first = capsys.readouterr().out
    assert main(["distill", "--json", "--output", "b"]) == DONE
    assert capsys.readouterr().out == first
    for name in os.listdir("a"):
        with open(f"a/{name}", "rb") as one, open(f"b/{name}", "rb") as other:
            assert one.read() == other.read(), name


def test_a_chain_that_is_there_is_replaced_and_its_fits_do_not_stay(capsys):
    write("one.csv", GOOD)
    write("two.csv", "u,v,y\n0.1,3,1\n0.4,1,2\n0.7,2,-1\n0.9,5,0.5\n")
    assert main(["distill", "one.csv", "--output", "out"]) == DONE
    assert "replaced" not in capsys.readouterr().out
    write("out/fits.txt", "mine")
    assert main(["distill", "two.csv", "--output", "out"]) == DONE
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("; replaced the chain that was there; removed its fits.pdf and fits.png")
    assert sorted(name for name in os.listdir("out") if "fits" in name) == ["fits.txt"]
    assert main(["distill", "one.csv", "--output", "out"]) == DONE
    assert capsys.readouterr().out.splitlines()[-1].endswith("replaced the chain that was there")


def test_json_alone_writes_no_files(capsys):
    json.loads(run_json(capsys).to_json())
    assert os.listdir() == []


def test_an_operator_with_the_papers_boundary_is_the_papers_kernel(capsys):
    derived = run_json(capsys, "--operator", "D^2", "--boundary", "f(0)=0, f(1)=0")
    named = run_json(capsys, "--kernel", "cubic_spline")
    np.testing.assert_allclose(derived.multipliers, named.multipliers, rtol=1e-9)


def test_weights_of_operators_scale_the_multiplier(capsys):
    boundary = ["--boundary", "f(0)=0, f(1)=0"]
    one = run_json(capsys, "--operator", "D", *boundary)
    four = run_json(capsys, "--operator", "4: D", *boundary)
    np.testing.assert_allclose(4 * four.multipliers[:2], one.multipliers[:2], rtol=1e-9)


def test_collapse_at_the_start_is_a_warning_and_no_error(capsys):
    assert main(["distill", "--eps", "1"]) == DONE
    captured = capsys.readouterr()
    assert captured.err.startswith("hilbertsd: warning: the labels have collapsed at the start")
    assert captured.err.count("\n") == 1
    assert "Round 0: collapsed" in captured.out


# --- files


def write(name, content):
    with open(name, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return name


def test_a_file_is_standardized_centered_and_recorded(capsys):
    result = run_json(capsys, write("data.csv", GOOD))
    record = result.provenance["problem"]
    assert record["features"] == ["x"]
    assert record["labels"] == ["y"]
    assert record["feature_mean"] == [pytest.approx(0.525)]
    assert record["label_mean"] == [pytest.approx(0.625)]
    np.testing.assert_allclose(result.labels[0], np.array([1, 2, -1, 0.5]) - 0.625)


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
    assert problem._outward(low, high) == ends
    assert ends[0] <= low
    assert ends[1] >= high


def test_targets_and_drops_by_name_and_by_index(capsys):
    write("data.csv", "id,a,u,v\nann,1,2,3\nbob,2,1,0\ncid,4,0,1\n")
    names = ["data.csv", "--drop", "id", "--target", "u", "--target", "v"]
    by_name = run_json(capsys, *names)
    by_index = run_json(capsys, "data.csv", "--drop", "0", "--target", "2", "--target", "-1")
    assert by_name.to_json() == by_index.to_json()
    assert by_name.multipliers.shape[1] == 2
    joint = run_json(capsys, *names, "--joint")
    assert joint.joint


def test_the_table_names_the_outputs(capsys):
    write("data.csv", "a,u,v\n1,2,3\n2,1,0\n4,0,1\n")
    assert main(["distill", "data.csv", "--target", "u", "--target", "v"]) == DONE
    out = capsys.readouterr().out
    assert re.search(r"Collapse: output(s u, v| u at \d+; output v| v at \d+; output u) at \d", out)


def test_a_table_comes_through_standard_input(capsys, monkeypatch):
    from_file = run_json(capsys, write("data.csv", GOOD))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    piped = run_json(capsys, "-")
    assert piped.provenance["problem"]["file"] == "standard input"
    assert piped.provenance["problem"]["sha256"] == from_file.provenance["problem"]["sha256"]
    np.testing.assert_array_equal(piped.multipliers, from_file.multipliers)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x,y\n1,2\n3,?\n")))
    assert "standard input, line 3" in refused(capsys, "distill", "-")[1]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n") + "\r\n\r\n",
        '"x","y"\n' + GOOD[4:],
        "\n" + GOOD.replace(",", " , "),
    ],
    ids=["semicolons", "tabs", "byte order mark", "Windows", "quotes", "blanks"],
)
def test_the_same_table_in_other_dress(capsys, content):
    plain = run_json(capsys, write("data.csv", GOOD))
    dressed = run_json(capsys, write("other.csv", content))
    np.testing.assert_array_equal(plain.multipliers, dressed.multipliers)


def test_a_file_without_header_has_numbered_columns(capsys):
    result = run_json(capsys, write("data.csv", GOOD[4:]))
    assert result.provenance["problem"]["labels"] == ["column 1"]
    assert len(result.labels[0]) == 4
    headed = run_json(capsys, write("years.csv", "2019,2020\n" + GOOD[4:]), "--header")
    assert headed.provenance["problem"]["labels"] == ["2020"]


BAD_TABLES = {
    "empty": ("", ["is empty"]),
    "blank lines": ("\n\n", ["is empty"]),
    "header only": ("x,y\n", ["no data"]),
    "one column": ("y\n1\n2\n", ["line 1", "the first line has one cell, 'y'"]),
    "comment": ("# mine\nx,y\n1,2\n3,4\n", ["line 1", "one cell, '# mine'", "take lines of"]),
    "one row": ("x,y\n1,2\n", ["one row of data", "at least two rows"]),
    "short row": ("x,y\n1,2\n3\n", ["line 3", "1 cell(s)", "has 2"]),
    "long row": ("x,y\n1,2\n3,4,5\n", ["line 3", "3 cell(s)"]),
    "word": ("x,y\n1,2\n3,tall\n", ["line 3", "column 'y'", "'tall' is not a number"]),
    "word after a quoted line break": ('x,"y\nz"\n1,2\n3,?\n', ["line 4", "'?'"]),
    "empty cell": ("x,y\n1,2\n,4\n", ["line 3", "column 'x'", "the cell is empty"]),
    "not a number": ("x,y\n1,2\n3,nan\n", ["line 3", "'nan' is not finite"]),
    "infinite": ("x,y\n1,-inf\n3,1\n", ["line 2", "'-inf' is not finite"]),
    "overflow": ("x,y\n1,1e999\n3,1\n", ["line 2", "'1e999' is not finite"]),
    "underscore": ("x,y\n1,1_000\n3,1\n", ["line 2", "'1_000' is not a number"]),
    "decimal comma": (
        "x;y\n1,5;2\n2;3\n",
        ["line 2", "column 'x'", "'1,5' is not a number; decimal comma? write"],
    ),
    "decimal commas only": ("1,5;2,5\n2,0;3,5\n", ["line 1", "decimal comma? write a point"]),
    "mixed first line": ("1,a\n2,3\n", ["line 1", "--header or --no-header"]),
    "repeated name": ("x,x\n1,2\n", ["line 1", "two columns are named 'x'"]),
    "binary": (b"\x00\x01\x02,\n", ["not text"]),
    "bad encoding": (b"x,y\n1,2\n3,\xe9\n", ["line 3", "0xe9", "UTF-8"]),
    "open quote": ('x,y\n1,2\n"3,4\n', ["line 3"]),
    "constant labels": ("x,y\n1,2\n3,2\n", ["constant"]),
    "huge labels": ("x,y\n1,1e300\n3,2\n", ["too large"]),
    "huge features": ("x,y\n1e300,1\n-1e300,2\n3,4\n", ["too large"]),
    "coinciding points": ("x,y\n1,1\n1,2\n", ["all points coincide"]),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused_in_one_line(capsys, name):
    content, words = BAD_TABLES[name]
    code, message = refused(capsys, "distill", write("data.csv", content))
    assert code == BAD_INPUT
    for word in words:
        assert word in message
    if words[0].startswith("line"):
        assert f"data.csv, {words[0]}" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "weigth"], ["--target", "'weigth'", "did you mean 'weight'"]),
        (["--target", "zzz"], ["no column 'zzz'", "'height', 'weight'"]),
        (["--target", "7"], ["0 to 1"]),
        (["--target", "height,weight"], ["repeat --target: --target height --target weight"]),
        (["--drop", "7"], ["--drop"]),
        (["--target", "0", "--target", "height"], ["twice"]),
        (["--target", "0", "--target", "1"], ["no column for the features"]),
        (["--target", "0", "--drop", "0"], ["both a target and dropped"]),
        (["--no-header"], ["line 1", "column 0", "'height'"]),
        (["--dataset", "digits"], ["not both"]),
    ],
)
def test_wrong_columns(capsys, arguments, words):
    write("data.csv", "height,weight\n1,2\n2,3\n3,5\n")
    code, message = refused(capsys, "distill", "data.csv", *arguments)
    assert code == BAD_INPUT
    for word in words:
        assert word in message


@pytest.mark.parametrize("path", ["missing.csv", "folder", "data.csv/inside"])
def test_files_that_cannot_be_read(capsys, path):
    os.mkdir("folder")
    write("data.csv", GOOD)
    code, message = refused(capsys, "distill", path)
    assert code == BAD_FILE
    assert path in message


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(capsys):
    write("taken", "")
    for output in ("taken", "taken/inside"):
        code, message = refused(capsys, "distill", "--output", output)
        assert code == BAD_FILE
        assert "taken" in message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(capsys):
    write("data.csv", GOOD)
    os.chmod("data.csv", 0)
    assert refused(capsys, "distill", "data.csv")[0] == BAD_FILE


DOCS = Path(ROOT, "docs", "reading-a-chain.md")


@pytest.mark.skipif(not DOCS.exists(), reason="the documentation is not here")
def test_the_documented_ways_to_read_a_saved_chain(capsys):
    rng = np.random.default_rng(0)
    x = rng.uniform([15.0, 0.5], [25.0, 1.5], (30, 2))
    y = 3 + np.sin(x[:, 0]) + x[:, 1]
    rows = "\n".join(",".join(map(repr, row)) for row in np.column_stack([x, y]).tolist())
    write("measurements.csv", f"temperature,pressure,y\n{rows}\n")
    assert main(["distill", "measurements.csv", "--target", "y"]) == DONE
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    seen: dict = {}
    for block in blocks:
        names: dict = {}
        exec(block, names)
        seen |= names
        if "multipliers" in names:
            np.testing.assert_array_equal(names["multipliers"], names["result"].multipliers)
            assert np.isinf(names["multipliers"]).any()
        if "prediction" in names:
            at_data = hsd.cross_gram(names["kernel"], names["x"], names["x"])
            again = names["result"].predict(at_data, t=0)
            np.testing.assert_allclose(again, names["result"].labels[1], rtol=0, atol=1e-9)
            assert names["prediction"].shape == (2,)
            assert np.abs(names["prediction"] - 4).max() < 2
    assert {"multipliers", "prediction", "rest"} <= seen.keys()


# --- options


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
        ["distill", "--dataset", "iris"],
        ["distill", "--unknown"],
        ["distill", "--kernel"],
        ["distill", "--kernel", "gaussian(sigma=0.5)"],
        ["distill", "a.csv", "b.csv"],
        ["distill", "--target", "0"],
        ["distill", "--no-center"],
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


def test_an_interrupt_leaves_nothing_behind(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hsd.Distillation, "to_npz", interrupted)
    assert main(["distill"]) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err
    assert os.listdir("hilbertsd-out") == ["chain.json"]


def test_lack_of_memory_is_foreseen(capsys, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _: 10, raising=False)
    code, message = refused(capsys, "distill")
    assert code == BAD_INPUT
    assert "memory" in message


# --- help, and the command as a process


def test_help_names_the_exit_codes(capsys):
    for arguments in ([], ["--help"], ["-h"], ["distill", "--help"], ["distill", "-h"]):
        assert main(arguments) == DONE
        text = " ".join(capsys.readouterr().out.split())
        assert "Exit codes: 0 done" in text
        assert "130 interrupted" in text
    assert "1797 points, 64 features" in text


def test_the_benchmarks_have_the_same_plain_help():
    code = (
        "import runpy, sys; sys.argv[1:] = ['-h']; runpy.run_module('benchmarks', None, '__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0
    assert done.stdout.startswith(b"Usage: python -m benchmarks [OPTIONS]")


def process(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hilbertsd", *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
    )


def test_the_module_runs_as_a_process_and_plain_text_comes_out():
    done = process("distill", PYTHONIOENCODING="ascii", COLUMNS="200")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "\x1b" not in done.stdout
    assert "\\u03b5" in done.stdout  # an output without Greek gets escapes
    assert process("distill", "no.csv").returncode == BAD_FILE


def test_help_loads_nothing_heavy():
    heavy = "numpy", "scipy", "sympy", "jax", "matplotlib", "sklearn"
    code = (
        "import sys; from hilbertsd.cli import main; main(['distill', '--help']);"
        f"sys.exit(any(name in sys.modules for name in {heavy}))"
    )
    environment = {**os.environ, "PYTHONPATH": ROOT}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


# --- the report


def widths(text):
    return max(map(len, text.splitlines()))


@cache
def chains():
    x, y = hsd.datasets.example()
    G = hsd.gram(hsd.kernels.cubic_spline(), x)
    outputs = np.stack([y, 2 * y, np.sin(9 * x) - y], axis=1)
    many = np.random.default_rng(0).standard_normal((40, 30))
    return {
        "one": hsd.self_distill(G, y, 0.045, 10),
        "no collapse": hsd.self_distill(G, y, 0.045, 1),
        "one round": hsd.self_distill(G, y, 0.045, 0),
        "three": hsd.self_distill(G, outputs, 0.2, 10),
        "joint": hsd.self_distill(G, outputs, 1.0, 10, joint=True),
        "one column": hsd.self_distill(G, y[:, None], 0.045, 10),
        "many": hsd.self_distill(np.diag(np.logspace(-8, 0, 40)), many * 100, 1e-1, 150),
    }


@pytest.mark.parametrize("name", chains())
def test_reports_fit_eighty_columns_and_cut_nothing(name):
    result = chains()[name]
    text = report.text(result, {"kernel": "k" * 200, "data": "d"})
    assert widths(text) <= 80
    assert "…" not in text
    assert "k" * 60 in text
    narrow = report.text(result, {"kernel": "k"}, width=60)
    assert widths(narrow) <= 60
    assert "…" not in narrow


def test_a_report_says_what_happened():
    reports = {name: report.text(result) for name, result in chains().items()}
    assert (
        "4                  ∞               0.8325   0.5735                 collapsed"
        in (reports["one"])
    )
    assert "No collapse up to round 1: r_2 = 2.6734" in reports["no collapse"]
    assert chains()["three"].collapse_round == (1, 4, 1)
    assert "Collapse: outputs 0, 2 at 1; output 1 at 4." in reports["three"]
    assert "3/3 min" in reports["three"]
    assert "K = 11 points, Q = 3 outputs with one tolerance" in reports["joint"]
    named = report.text(chains()["three"], outputs=["yield", "purity", "x"])
    assert "Collapse: outputs yield, x at 1; output purity at 4." in named
    assert reports["one column"] == reports["one"]
    assert "30 outputs" in reports["many"]


def test_a_report_says_what_is_undecided():
    with pytest.warns(hsd.PrecisionWarning):
        result = hsd.self_distill(np.eye(4), np.full(4, 2.0), eps=1.0, rounds=3)
    text = report.text(result)
    assert "undecided" in text
    assert "Undecided: an r_t equals 1" in text


# --- the pieces


def test_the_median_is_taken_over_evenly_spaced_points():
    x = np.arange(5000.0)[:, None]
    kernel, said = problem.median_gaussian(x)
    assert said == "median distance over 1000 of the points"
    assert repr(kernel) == "gaussian(length_scale=1470.0)"  # (1 − 1/√2) 5000 is 1464


def test_kernels_on_an_interval_are_recognised_through_combinations():
    for text in ("cubic_spline", "2*cubic_spline + gaussian", "tensor(cubic_spline, gaussian)"):
        assert problem.lives_on_interval(hsd.kernels.parse_kernel(text))
    assert not problem.lives_on_interval(hsd.kernels.parse_kernel("gaussian * laplace"))


def test_exit_codes_are_distinct():
    codes = [cli.DONE, cli.BAD_INPUT, cli.INFEASIBLE, cli.BAD_FILE, cli.INTERRUPTED]
    assert codes == [0, 2, 3, 4, 130]
