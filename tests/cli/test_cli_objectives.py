"""hilbertsd objectives: the list, and a small comparison from the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from command import refused

pytest.importorskip("equinox")
pytest.importorskip("optax")

from hilbertsd.cli import main
from hilbertsd.cli.exits import BAD_INPUT, DONE, INTERRUPTED
from hilbertsd.objectives import OBJECTIVES

TINY = (
    *("objectives", "compare", "--objectives", "kd,fkd", "--weights", "0.5,2", "--seeds", "2"),
    *(
        "--train",
        "60",
        "--batch",
        "64",
        "--steps",
        "5",
        "--teacher-widths",
        "12",
        "--student-widths",
        "6",
    ),
)


def test_every_objective_is_listed(capsys):
    assert main(["objectives", "list"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(OBJECTIVES)
    assert main(["objectives", "list", "--json"]) == DONE
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(OBJECTIVES)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objectives") / "results"
    assert main([*TINY, "--output", str(folder)]) == DONE
    return folder


def test_table_figure_and_numbers_are_written_and_kept(capsys, finished, monkeypatch):
    folder = finished
    names = ["comparison.json", "figure.pdf", "figure.png", "measured", "table.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names
    document = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    students = document["students"]
    assert list(students) == ["teacher", "alone", "kd", "fkd"]
    assert students["fkd"]["added"][0]["weight"] == 2
    for one in students.values():
        assert one["interval"]["mean"] == pytest.approx(np.mean(one["test_accuracy"]))
    gain = np.subtract(students["kd"]["test_accuracy"], students["alone"]["test_accuracy"])
    assert students["kd"]["gain"]["mean"] == pytest.approx(gain.mean())
    table = (folder / "table.txt").read_text(encoding="utf-8")
    assert f"{100 * students['kd']['interval']['mean']:.1f} ±" in table
    assert "2 fkd" in table

    from hilbertsd.schemes import comparison

    def trained(*_, **__):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(comparison, "distill", trained)
    assert main([*TINY, "--output", str(folder), "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["students"] == students
    assert main([*TINY, "--output", str(folder)]) == DONE
    assert table in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--objectives", "fdk"], "there is no objective 'fdk'"),
        (["--objectives", "kd,kd"], "names one twice"),
        (["--objectives", "kd", "--weights", "1,2"], "2 numbers for the 1 names"),
        (["--objectives", "kd", "--weights", "much"], "numbers separated by commas"),
        (["--objectives", "kd,vid"], "no weight was ever chosen for 'vid'"),
        (["--student", "mlq"], "--student must be mlp"),
        (["--teacher", "vgg"], "--teacher must be mlp"),
        (["--teacher-widths", "0"], "--teacher-widths[0] must be a whole number, 1 or more"),
        (["--student-widths", "few"], "--student-widths must be whole numbers"),
        (["--noise", "1.5"], "--noise must be a number from 0 to 1, got 1.5"),
        (["--train", "1797"], "--train must be at most 1796"),
        (["--seeds", "0"], "--seeds must be a whole number, 1 or more, got 0"),
        (["--steps", "0"], "--steps must be a whole number, 1 or more, got 0"),
        (["--own-weight", "-1"], "--own-weight must be a number, 0 or more"),
    ],
)
def test_wrong_options_are_refused_by_their_names(capsys, options, words):
    code, message = refused(capsys, "objectives", "compare", *options)
    assert code == BAD_INPUT
    assert words in message


@pytest.mark.parametrize("name", ["at", "ft", "fsp", "inheritance"])
def test_what_the_shapes_forbid_is_refused_before_anything_is_written(capsys, monkeypatch, name):
    from hilbertsd.schemes import comparison

    def trained(*_, **__):
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(comparison, "distill", trained)
    options = ("--objectives", f"kd,{name}", "--weights", "1,1")
    code, message = refused(capsys, "objectives", "compare", *options)
    assert code == BAD_INPUT
    assert f"{name} compares" in message


def test_bare_it_prints_its_help_as_the_program_does(capsys):
    assert main(["objectives", "--help"]) == DONE
    help_ = capsys.readouterr().out
    assert main(["objectives"]) == DONE
    assert capsys.readouterr().out == help_
    assert help_.count("\n") > 10
    assert main([]) == DONE
    assert capsys.readouterr().out.startswith("Usage: hilbertsd")


def test_another_setting_is_refused_with_old_and_new_values(capsys, tmp_path):
    tiny = [*TINY, "--objectives", "kd", "--weights", "1", "--output", str(tmp_path)]
    assert main(tiny) == DONE
    capsys.readouterr()
    assert main([*tiny, "--steps", "6", "--noise", "0.25"]) == BAD_INPUT
    message = capsys.readouterr().err
    assert "data.settings.rate was 0.0, now 0.25; training.steps was 5, now 6." in message
    assert "changed" not in message
    assert "another --output), delete this one" in message


def test_an_interrupt_says_what_is_kept_and_how_to_go_on(capsys, monkeypatch, tmp_path):
    from hilbertsd.schemes import comparison

    true = comparison.distill
    for many, said in (
        (0, "no measurement is finished yet, so nothing is kept"),
        (2, "2 finished measurements are kept in"),
    ):
        left = iter([True] * many)

        def interrupted(*arguments, left=left, **keywords):
            if not next(left, False):
                raise KeyboardInterrupt
            return true(*arguments, **keywords)

        monkeypatch.setattr(comparison, "distill", interrupted)
        assert main([*TINY, "--output", str(tmp_path)]) == INTERRUPTED
        assert said in capsys.readouterr().err
        assert main([*TINY, "--json"]) == INTERRUPTED
        assert "nothing is kept without --output" in capsys.readouterr().err


def test_a_batch_of_all_points_and_where_weights_are_from_are_said(finished):
    table = " ".join((finished / "table.txt").read_text(encoding="utf-8").split())
    assert "all 60 points in every batch" in table
    assert "no label noise" not in table
    assert "noise none" in table
    assert "weights as given" in table
    assert "mean ± half of its 95 % interval over 2 seeds" in table
    setting = json.loads((finished / "comparison.json").read_text(encoding="utf-8"))["setting"]
    assert setting["weights"] == "as given"


def test_without_the_extra_it_is_one_sentence(tmp_path):
    script = (
        "import sys; sys.modules['equinox'] = None; from hilbertsd.cli import main; "
        "sys.exit(main(['objectives', 'compare', '--seeds', '2']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == BAD_INPUT
    assert "pip install 'hilbertsd[nets]'" in done.stderr
    assert "Traceback" not in done.stderr
