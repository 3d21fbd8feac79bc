"""Chains of networks: targets and curves recomputed, checkpoints, and kill -9 in the middle."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from problems import assert_close, assert_identical

from hilbertsd import nets
from hilbertsd.datasets import digit_images
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.checkpoint import Folder

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

SINGLE = 1e-5
"""Means of a hundred float32 losses, relative."""

DATA = digit_images(60, test=40, rate=0.3)
TRAINING = nets.Training(steps=60, batch=16, learning_rate=5e-3, check_every=20)
SETTINGS = nets.ChainSettings(TRAINING)
GIVEN = np.eye(10)[DATA.given]


def make(key):
    return nets.mlp(64, 10, (12,), key=key)


def chain(rounds=3, seeds=(0, 1), **changes):
    how = {name: changes.pop(name) for name in ("folder", "progress") if name in changes}
    training = dataclasses.replace(TRAINING, **changes.pop("training", {}))
    settings = nets.ChainSettings(training, **changes)
    return nets.train_chain(make, DATA, settings, rounds=rounds, seeds=seeds, **how)


@pytest.fixture(scope="module")
def whole():
    return chain()


def same(one, other):
    for name in nets.Curves._fields:
        assert_identical(getattr(one.curves, name), getattr(other.curves, name))
    assert_identical(one.outputs, other.outputs)
    for a, b in zip(*(jax.tree.leaves(eqx.filter(c.network, eqx.is_array)) for c in (one, other)),
                    strict=True):  # fmt: skip
        assert_identical(np.asarray(a), np.asarray(b))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def error(outputs, targets):
    return ((softmax(np.asarray(outputs, float)) - targets) ** 2).sum(-1).mean(-1)


def test_curves_are_those_of_the_outputs(whole):
    assert whole.rounds == 4
    assert whole.outputs.shape == (4, 2, 60, 10)
    found = whole.curves
    best = whole.outputs.argmax(-1)
    assert_close(found.train_accuracy, (best == DATA.given).mean(-1), rtol=1e-12)
    assert_close(found.true_accuracy, (best == DATA.true).mean(-1), rtol=1e-12)
    assert_close(found.train_loss, error(whole.outputs, GIVEN), rtol=SINGLE)
    assert_close(found.true_loss, error(whole.outputs, np.eye(10)[DATA.true]), rtol=SINGLE)
    tested = nets.network_outputs(*whole.network, DATA.x_test)
    assert_close(found.test_accuracy[-1], (tested.argmax(-1) == DATA.y_test).mean(-1), rtol=1e-12)
    assert_close(found.test_loss[-1], error(tested, np.eye(10)[DATA.y_test]), rtol=SINGLE)
    assert_identical(nets.network_outputs(*whole.network, DATA.x_train), whole.outputs[-1])
    assert (found.steps == 60).all()
    assert_close(whole.predictions, softmax(whole.outputs.astype(float)), atol=1e-6)
    assert found.train_loss[0].max() < 0.8, "chance is 0.9: the networks learn nothing here"


@pytest.mark.parametrize(
    ("labels", "weight", "loss"),
    [("soft", 0.0, "softmax-squared"), ("hard", 0.0, "softmax-squared"),
     ("soft", 0.25, "softmax-squared"), ("hard", 1.0, "softmax-squared"),
     ("soft", 0.25, "squared"), ("soft", 0.0, "cross-entropy")],
)  # fmt: skip
def test_each_round_is_fitted_to_the_predictions_of_the_last(labels, weight, loss):
    found = chain(2, labels=labels, ground_truth_weight=weight, training={"loss": loss})
    outputs = found.outputs.astype(float)
    predicted = outputs if loss == "squared" else softmax(outputs)
    if labels == "hard":
        predicted = np.eye(10)[outputs.argmax(-1)]
    targets = weight * GIVEN + (1 - weight) * predicted[:-1]
    targets = np.concatenate([np.broadcast_to(GIVEN, (1, 2, 60, 10)), targets])
    if loss == "cross-entropy":
        expected = -(targets * np.log(softmax(outputs))).sum(-1).mean(-1)
    elif loss == "squared":
        expected = ((outputs - targets) ** 2).sum(-1).mean(-1)
    else:
        expected = error(outputs, targets)
    assert_close(found.curves.fit_loss, expected, rtol=SINGLE)
    # it was these that it was fitted to: the given labels are farther
    here = outputs if loss == "squared" else softmax(outputs)
    distances = [((here[1:] - aims) ** 2).sum(-1).mean(-1) for aims in (targets[1:], GIVEN)]
    assert weight == 1 or (distances[0] < 0.9 * distances[1]).all()


def test_seeds_are_chains_of_their_own(whole):
    swapped = chain(seeds=(1, 0))
    assert_close(swapped.outputs[:, ::-1], whole.outputs, atol=1e-3)
    assert np.abs(whole.outputs[0, 0] - whole.outputs[0, 1]).max() > 0.1


def test_rounds_start_afresh_or_from_the_same():
    for kind, same_start in (("fresh", False), ("same", True)):
        found = chain(1, initialization=kind, training={"steps": 0})
        assert (found.outputs[0] == found.outputs[1]).all() == same_start


def test_early_stopping_controls_reach_the_losses_of_the_rounds(whole):
    found = nets.early_stopping_controls(make, DATA, whole, check_every=5)
    reached = found.train_loss <= whole.curves.train_loss * (1 + SINGLE)
    assert found.steps.shape == reached.shape == (4, 2)
    assert (found.steps % 5 == 0).all()
    assert (reached | (found.steps == 60)).all()
    assert reached[1:].all(), "budget too small for the test"
    assert_close(found.fit_loss, found.train_loss, rtol=1e-12)
    # networks of their own, not those of the chain once more
    assert (np.abs(found.test_loss - whole.curves.test_loss)[0] > 1e-3).all()
    # five steps earlier they were not there yet
    later = whole.curves.train_loss[2] * 1.0
    assert (found.train_loss[2] > 0.5 * later).all()
    lax = dataclasses.replace(whole, curves=whole.curves._replace(train_loss=np.full((4, 2), 10.0)))
    assert (nets.early_stopping_controls(make, DATA, lax).steps == 0).all()


# --- on disk


def test_a_folder_goes_on_where_it_ended_bit_for_bit(whole, tmp_path):
    first = chain(1, folder=tmp_path / "kept")
    times = [(tmp_path / "kept" / f"round-00{t}.npz").stat().st_mtime_ns for t in (0, 1)]
    assert_identical(first.outputs, whole.outputs[:2])
    same(chain(folder=tmp_path / "kept"), whole)
    same(chain(folder=tmp_path / "kept"), whole)  # nothing left to do
    assert_identical(chain(1, folder=tmp_path / "kept").outputs, whole.outputs[:2])
    assert times == [(tmp_path / "kept" / f"round-00{t}.npz").stat().st_mtime_ns for t in (0, 1)]
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["manifest.json", *(f"round-00{t}.npz" for t in range(4))]
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text())
    assert manifest["identity"]["settings"] == dataclasses.asdict(SETTINGS)
    assert {"jax", "equinox", "optax"} <= manifest["made by"]["versions"].keys()
    for t in (0, 2):
        network = nets.load_network(tmp_path / "kept", make, t)
        assert_identical(nets.network_outputs(*network, DATA.x_train), whole.outputs[t])


def test_a_chain_is_shown_without_its_arrays(whole):
    shown = repr(whole)
    assert shown.startswith("<NetworkChain: 60 points, 10 outputs, 2 seeds, 4 rounds, mean test ")
    assert shown.endswith(f" to {whole.curves.test_accuracy[-1].mean():.3f}>")
    assert len(shown) < 150


def test_a_manifest_without_rounds_makes_way(tmp_path):
    kept = Folder(tmp_path)
    for seeds in ([0], [1]):
        kept.claim({"seeds": seeds})
        assert kept.manifest()["identity"] == {"seeds": seeds}
    (tmp_path / "round-000.npz").touch()
    with pytest.raises(HilbertSDError, match=r"seeds was \[1\], now \[0\]"):
        kept.claim({"seeds": [0]})


def test_another_chain_is_refused_with_what_differs(tmp_path):
    folder = tmp_path / "kept"
    chain(0, folder=folder, training={"steps": 2})

    def wide(key):
        return nets.mlp(64, 10, (13,), key=key)

    def tangent(key):  # the same shapes
        return nets.mlp(64, 10, (12,), parametrization="ntk", bias_variance=1.0, key=key)

    short = nets.ChainSettings(dataclasses.replace(TRAINING, steps=2))
    how = {"rounds": 0, "seeds": (0, 1), "folder": folder}
    other = dataclasses.replace(DATA, given=np.roll(DATA.given, 1))
    for call, message in (
        (lambda: chain(0, folder=folder), r"settings.training.steps was 2, now 60"),
        (lambda: chain(0, (0, 2), folder=folder, training={"steps": 2}), r"seeds was \[0, 1\]"),
        (lambda: nets.train_chain(make, other, short, **how), "the points or labels are others"),
        (lambda: nets.train_chain(wide, DATA, short, **how), "its networks start otherwise"),
        (lambda: nets.load_network(folder, wide, 0), "holds another network"),
        (lambda: nets.load_network(folder, tangent, 0), "the same parametrisation"),
        (lambda: nets.load_network(folder, make, 1), "there is no file"),
        (lambda: nets.load_network(tmp_path, make, 0), "there is no file"),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()
    (folder / "round-000.npz").write_bytes(b"PK damaged")
    with pytest.raises(HilbertSDError, match=r"round-000.npz' is damaged .* delete it"):
        chain(0, folder=folder, training={"steps": 2})
    (folder / "round-000.npz").unlink()
    np.savez(folder / "round-000.npz", outputs=np.zeros((2, 5, 10)))  # sound, but no such round
    with pytest.raises(HilbertSDError, match=r"round-000.npz' does not hold what .* delete it"):
        chain(0, folder=folder, training={"steps": 2})
    for text in ("{", "[]", '{"format": "hilbertsd-network-chain", "version": 1}'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(HilbertSDError, match=r"manifest.json' is damaged"):
            chain(0, folder=folder, training={"steps": 2})
    (folder / "manifest.json").unlink()
    with pytest.raises(HilbertSDError, match=r"holds rounds without manifest.json"):
        chain(0, (5, 6), folder=folder, training={"steps": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(HilbertSDError, match="cannot be the folder"):
        chain(0, folder=tmp_path / "file")


def test_networks_that_only_start_alike_are_others(tmp_path):
    """The same function in other parameters learns otherwise."""

    def form(name):
        return lambda key: nets.mlp(64, 10, (6,), bias_variance=0.1, parametrization=name, key=key)

    short = nets.ChainSettings(dataclasses.replace(TRAINING, steps=2))
    how = {"seeds": (0,), "folder": tmp_path / "kept"}
    one = nets.train_chain(form("standard"), DATA, short, rounds=0, **how)
    other = nets.train_chain(form("ntk"), DATA, short, rounds=0, seeds=(0,))
    assert np.abs(one.outputs - other.outputs).max() > 1e-2
    with pytest.raises(HilbertSDError, match="its networks start otherwise"):
        nets.train_chain(form("ntk"), DATA, short, rounds=1, **how)


def test_settings_may_be_numbers_of_numpy(tmp_path):
    data = dataclasses.replace(DATA, settings=DATA.settings | {"own": np.arange(2)})
    short = nets.ChainSettings(
        dataclasses.replace(TRAINING, steps=np.int64(2), learning_rate=np.float32(0.01))
    )
    how = {"rounds": 0, "seeds": (0,), "folder": tmp_path / "kept"}
    first = nets.train_chain(make, data, short, **how)
    assert_identical(nets.train_chain(make, data, short, **how).outputs, first.outputs)
    data = dataclasses.replace(DATA, settings={"own": {1, 2}})
    with pytest.raises(HilbertSDError, match="settings must be JSON"):
        nets.train_chain(make, data, short, **how)


def test_without_test_points_there_are_no_test_accuracies():
    data = dataclasses.replace(DATA, x_test=DATA.x_test[:0], y_test=DATA.y_test[:0])
    short = nets.ChainSettings(dataclasses.replace(TRAINING, steps=2))
    found = nets.train_chain(make, data, short, rounds=0, seeds=(0, 1)).curves
    assert np.isnan([found.test_accuracy, found.test_loss]).all()
    assert np.isfinite([found.train_loss, found.true_accuracy]).all()


def test_a_round_that_diverges_in_its_last_step_is_not_kept(tmp_path):
    wild = nets.Training(steps=1, optimizer="sgd", learning_rate=1e38, loss="squared")
    with pytest.raises(HilbertSDError, match=r"outputs of network 0 are not finite"):
        nets.train_chain(make, DATA, nets.ChainSettings(wild), rounds=0, seeds=(0,),
                         folder=tmp_path / "kept")  # fmt: skip
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["manifest.json"]


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import numpy as np
import test_network_chain as t

savez = np.savez
written = []

def half(file, **arrays):
    if len(written) == 2:                 # the third round: half a file, and no end to it
        file.write(b"PK" * 1000)
        file.flush()
        print("writing", flush=True)
        time.sleep(600)
    written.append(file)
    savez(file, **arrays)

np.savez = half
t.chain(folder={folder!r})
"""


def test_kill_9_loses_the_round_in_progress_and_nothing_else(whole, tmp_path):
    folder = tmp_path / "kept"
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(folder))
    path = [str(Path(__file__).parents[1]), *sys.path]
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{script}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert not (folder / "round-002.npz").exists()
    before = [(folder / f"round-00{t}.npz").read_bytes() for t in (0, 1)]
    same(chain(folder=folder), whole)
    assert before == [(folder / f"round-00{t}.npz").read_bytes() for t in (0, 1)]


def test_progress_says_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr("hilbertsd.progress.INTERVAL", 0.0)
    monkeypatch.setattr("hilbertsd.progress.counted.__wrapped__.__defaults__", (1e3, 0.0))
    chain(1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("hilbertsd: round 0 of 1, step 20 of 60, after ")
    assert lines[3].startswith("hilbertsd: round 1 of 1, compiling")
    assert lines[-1].endswith("about 0 left")


def test_refusals():
    for call, message in (
        (lambda: chain(-1), "rounds must be a whole number"),
        (lambda: chain(seeds=()), "seeds must be different and at least one"),
        (lambda: chain(seeds=(1, 1)), "seeds must be different"),
        (lambda: chain(seeds=3), r"such as .*range\(10\), got 3"),
        (lambda: nets.train_chain(make, (DATA.x_train, DATA.given)), "from_arrays"),
        (lambda: nets.train_chain(make, DATA, TRAINING), r"ChainSettings\(training\)"),
        (lambda: nets.ChainSettings(labels="firm"), "labels must be one of"),
        (lambda: nets.ChainSettings(ground_truth_weight=1.5), "a number from 0 to 1"),
        (lambda: nets.ChainSettings(ground_truth_weight="1"), "from 0 to 1, got '1'"),
        (lambda: nets.ChainSettings(initialization="warm"), "initialization must be one of"),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()
