"""Tables as people have them: their columns, their dress, and what is wrong with them."""

import io
import os
import re
import sys

import numpy as np
import pytest
from command import GOOD, refused, run_json, write

from hilbertsd.cli import main
from hilbertsd.cli.exits import BAD_FILE, BAD_INPUT, DONE


def test_a_file_is_standardized_centered_and_recorded(capsys):
    result = run_json(capsys, write("data.csv", GOOD))
    record = result.provenance["problem"]
    assert record["features"] == ["x"]
    assert record["labels"] == ["y"]
    assert record["feature_mean"] == [pytest.approx(0.525)]
    assert record["label_mean"] == [pytest.approx(0.625)]
    np.testing.assert_allclose(result.labels[0], np.array([1, 2, -1, 0.5]) - 0.625)


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


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(capsys):
    write("data.csv", GOOD)
    os.chmod("data.csv", 0)
    assert refused(capsys, "distill", "data.csv")[0] == BAD_FILE
