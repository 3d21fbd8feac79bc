"""hilbertsd networks: what it prints, writes, keeps and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import refused

from hilbertsd.cli import main
from hilbertsd.cli.exits import BAD_INPUT, DONE, INTERRUPTED
from hilbertsd.cli.experiment import Architecture, Experiment, pose

TINY = (
    *("--train", "100", "--widths", "16", "--steps", "30", "--rounds", "2", "--seeds", "2"),
    *("--learning-rate", "0.01", "--batch", "100"),
)
CURVES = [
    "train_accuracy", "train_loss", "true_accuracy", "true_loss", "test_accuracy", "test_loss",
    "fit_loss", "steps",
]  # fmt: skip


def run(capsys, *arguments):
    assert main(["networks", *TINY, *arguments]) == DONE
    return capsys.readouterr().out


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the results of the tiny chain, with early stopping."""
    folder = tmp_path_factory.mktemp("networks") / "results"
    assert main(["networks", *TINY, "--early-stopping", "--output", str(folder)]) == DONE
    return folder


def test_table_figure_and_curves_are_written(finished):
    assert sorted(files(finished)) == ["curves.json", "figure.pdf", "figure.png", "table.txt"]
    assert sorted(path.name for path in (finished / "rounds").iterdir()) == [
        "manifest.json", *(f"round-00{t}.npz" for t in range(3)),
    ]  # fmt: skip
    document = json.loads((finished / "curves.json").read_text(encoding="utf-8"))
    for curves in (document["curves"], document["early_stopping"]):
        assert sorted(curves) == sorted(CURVES)
        assert {np.shape(values) for values in curves.values()} == {(3, 2)}
    assert document["data"]["changed"] == 30
    assert document["settings"]["training"]["steps"] == 30
    assert document["seeds"] == [0, 1]


def test_the_table_says_what_the_curves_say(finished):
    document = json.loads((finished / "curves.json").read_text(encoding="utf-8"))
    table = (finished / "table.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in table.splitlines() if line.count("±") == 5]
    assert [int(row[0]) for row in rows] == [0, 1, 2]
    shown = np.array([[float(v) for v in row[1:] if v != "±"] for row in rows]).reshape(3, 5, 2)
    names = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
    values = np.array(
        [document["curves"][name] for name in names] + [document["early_stopping"]["test_accuracy"]]
    )
    np.testing.assert_allclose(shown[..., 0], values.mean(axis=2).T, atol=5.01e-4)
    np.testing.assert_allclose(shown[..., 1], values.std(axis=2, ddof=1).T, atol=5.01e-4)
    assert "30% symmetric label noise: 30 labels changed" in table
    assert "Mean ± standard deviation over 2 seeds." in table
    assert "all 100 points in every batch" in " ".join(table.split())
    assert max(map(len, table.splitlines())) <= 80


def test_the_curves_are_those_of_the_library(finished):
    import jax

    from hilbertsd import datasets, nets

    data = datasets.digit_images(100, rate=0.3, flat=False)
    training = nets.Training(steps=30, learning_rate=0.01, weight_decay=5e-4, batch=None)
    make = Architecture("mlp", None, (16,), (1, 8, 8), 10)
    with jax.default_device(jax.devices()[0]):  # as the command has it: no new compilation
        chain = nets.train_chain(make, data, nets.ChainSettings(training), rounds=2, seeds=(0, 1))
    document = json.loads((finished / "curves.json").read_text(encoding="utf-8"))
    for name, values in chain.curves._asdict().items():
        np.testing.assert_array_equal(document["curves"][name], values)


def test_the_same_command_reads_its_rounds_and_writes_the_same_bytes(finished, monkeypatch):
    from hilbertsd.nets import chain

    def untouched(*_, **__):
        raise AssertionError("a round was trained again")

    before = files(finished)
    monkeypatch.setattr(chain, "fit", untouched)
    assert main(["networks", *TINY, "--output", str(finished)]) == DONE
    without = files(finished)
    assert set(without) == set(before)
    assert json.loads(without["curves.json"])["early_stopping"] is None
    kept, earlier = (json.loads(found["curves.json"])["curves"] for found in (without, before))
    assert kept == earlier


def test_an_interrupted_chain_goes_on(capsys, monkeypatch):
    from hilbertsd.nets import chain

    true, calls = chain.fit, []

    def interrupted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(*arguments, **keywords)

    whole = run(capsys, "--json")
    assert os.listdir() == []
    monkeypatch.setattr(chain, "fit", interrupted)
    assert main(["networks", *TINY]) == INTERRUPTED
    said = capsys.readouterr()
    assert said.out == ""
    folder = Path("hilbertsd-out", "networks")
    assert f"2 finished rounds are kept in {folder / 'rounds'}; the same command" in said.err
    del calls[2:]
    assert main(["networks", *TINY, "--output", "other"]) == INTERRUPTED
    assert "no round is finished yet, so nothing is kept" in capsys.readouterr().err
    assert "Written to" in run(capsys)
    assert len(calls) == 4  # the round that was interrupted, and no other
    assert (folder / "curves.json").read_text(encoding="utf-8") == whole


def test_a_folder_holds_one_chain(finished, capsys):
    before = files(finished)
    arguments = [*TINY, "--loss", "cross-entropy", "--output", str(finished)]
    assert main(["networks", *arguments]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "holds another chain" in said
    assert "'softmax-squared', now 'cross-entropy'" in said
    assert "Take another folder" in said
    assert files(finished) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "mnist"], "--dataset must be one of digits, cifar10, cifar100, teacher"),
        (["--dataset", "cifar10"], "needs --folder"),
        (["--dataset", "cifar10", "--folder", "nowhere"], "nowhere"),
        (["--folder", "."], "--folder is for cifar10 and cifar100 only"),
        (["--train", "1797"], "--train must be at most 1796 for digits"),
        (["--train", "0"], "--train must be a whole number, 1 or more"),
        (["--noise", "2"], "--noise must be a number from 0 to 1, got 2"),
        (["--noise-kind", "loud"], "'symmetric', 'uniform', 'pair'"),
        (["--model", "transformer"], "--model must be mlp, convnet, resnet8, 14, 20, .. or vgg8"),
        (["--model", "resnet"], "--model must be"),
        (["--model", "mlp3"], "--model must be"),
        (["--model", "resnet9"], "depth = 9 is no depth"),
        (["--widths", "wide"], "whole numbers separated by commas"),
        (["--widths", "0"], "--widths[0] must be a whole number, 1 or more"),
        (["--model", "vgg8", "--widths", "4,4"], "one number for vgg8"),
        (["--dataset", "teacher-student", "--model", "convnet"], "has vectors; take mlp"),
        (["--loss", "hinge"], "'softmax-squared', 'squared', 'cross-entropy'"),
        (["--labels", "none"], "'soft', 'hard'"),
        (["--ground-truth-weight", "2"], "a number from 0 to 1"),
        (["--weight-decay", "-1"], "--weight-decay must be a number, 0 or more"),
        (["--learning-rate", "0"], "--learning-rate must be a number above 0"),
        (["--batch", "0"], "--batch must be a whole number, 1 or more"),
        (["--steps", "0"], "--steps must be a whole number, 1 or more"),
        (["--device", "abacus"], "--device must be cpu, gpu or auto, got 'abacus'"),
        (["--rounds", "-1"], "--rounds must be a whole number, 0 or more, got -1"),
        (["--seeds", "0"], "--seeds must be a whole number, 1 or more, got 0"),
        (["--seeds", "some"], "it must be a valid integer"),
    ],
)
def test_what_is_refused(capsys, arguments, message):
    code, said = refused(capsys, "networks", *TINY, *arguments)
    assert code == BAD_INPUT
    assert message in said


def test_a_device_that_is_not_there(capsys, monkeypatch):
    import jax

    if jax.devices()[0].platform == "gpu":
        pytest.skip("there is a gpu")
    code, said = refused(capsys, "networks", *TINY, "--device", "gpu")
    assert code == BAD_INPUT
    assert "--device gpu: JAX finds none, it has cpu." in said


def test_without_the_extra_it_is_one_sentence(tmp_path):
    script = (
        "import sys; sys.modules['equinox'] = None; from hilbertsd.cli import main; "
        "sys.exit(main(['networks']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == BAD_INPUT
    assert "pip install 'hilbertsd[nets]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("model", "widths", "deepest"),
    [
        ("mlp", "5,7", 7),
        ("convnet", "4,8", 8),
        ("resnet8", "4", 16),
        ("resnet50", None, 2048),
        ("vgg8", "2", 16),
    ],
)
def test_networks_by_name(model, widths, deepest):
    import jax

    posed = pose(Experiment(train=50, model=model, widths=widths))
    key, image = jax.random.key(0), jax.numpy.zeros((3, 1, 8, 8))

    def activations(key):
        model, state = posed.make(key)
        batched = jax.vmap(model.activations, (0, None), (0, None), axis_name="batch")
        return batched(image, state)[0]

    found = jax.eval_shape(activations, key)
    assert found.features.shape == (3, deepest)
    assert found.outputs.shape == (3, 10)


def test_what_the_options_become():
    posed = pose(
        Experiment(
            dataset="teacher-student",
            train=60,
            noise=0.5,
            noise_kind="pair",
            loss="squared",
            labels="hard",
            ground_truth_weight=0.25,
            weight_decay=0.0,
        )
    )
    assert posed.data.settings["noise"] == "pair"
    assert posed.data.settings["changed"] == 30
    assert posed.settings.labels == "hard"
    assert posed.settings.ground_truth_weight == 0.25
    assert posed.settings.training.loss == "squared"
    assert posed.settings.training.weight_decay == 0
    assert posed.heading["targets"] == "hard labels, given labels with weight 0.25"
