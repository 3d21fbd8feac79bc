"""hilbertsd distill as a person uses it: data in, files out."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from command import GOOD, refused, run_json, write

import hilbertsd as hsd
from hilbertsd.cli import main
from hilbertsd.cli.exits import BAD_FILE, BAD_INPUT, DONE, INTERRUPTED

DOCS = Path(Path(hsd.__file__).parents[1], "docs", "reading-a-chain.md")


def test_the_example_gives_the_papers_chain_and_all_the_files(capsys):
    assert main(["distill"]) == DONE
    out = capsys.readouterr().out
    assert "2.7053e-6" in out
    assert "Round 4: collapsed" in out
    names = ["chain.json", "chain.npz", "figure.pdf", "figure.png"]
    names += ["fits.pdf", "fits.png", "table.txt"]
    assert sorted(os.listdir("hilbertsd-out/distill")) == names
    with open("hilbertsd-out/distill/table.txt", encoding="utf-8") as file:
        table = file.read()
    assert out.startswith(table)
    with open("hilbertsd-out/distill/chain.json", encoding="utf-8") as file:
        text = file.read()
    result = hsd.Distillation.from_json(text)
    assert result.to_json() == text
    np.testing.assert_allclose(
        result.multipliers[:4], [2.70525e-6, 8.76276e-5, 2.73755e-4, 7.90018e-4], rtol=1e-5
    )
    stored = hsd.Distillation.from_npz("hilbertsd-out/distill/chain.npz")
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


def test_each_command_has_a_folder_of_its_own(capsys):
    write("one.csv", GOOD)
    assert main(["verify"]) == DONE
    assert main(["distill", "one.csv"]) == DONE
    assert sorted(os.listdir("hilbertsd-out")) == ["distill", "verify"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that takes no files is needed")
@pytest.mark.parametrize("command", ["distill", "verify", "attack"])
def test_a_folder_that_takes_no_files_is_refused_before_the_work(capsys, command):
    code, message = refused(capsys, command, "--output", "/proc/nothing")
    assert code == BAD_FILE
    assert "/proc: cannot be written to" in message


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(capsys):
    write("taken", "")
    for output in ("taken", "taken/inside"):
        code, message = refused(capsys, "distill", "--output", output)
        assert code == BAD_FILE
        assert "taken" in message


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


def test_an_interrupt_leaves_nothing_behind(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hsd.Distillation, "to_npz", interrupted)
    assert main(["distill"]) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err
    assert os.listdir("hilbertsd-out/distill") == ["chain.json"]


def test_lack_of_memory_is_foreseen(capsys, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _: 10, raising=False)
    code, message = refused(capsys, "distill")
    assert code == BAD_INPUT
    assert "memory" in message
