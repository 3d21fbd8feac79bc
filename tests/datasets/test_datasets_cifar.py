"""CIFAR's archives: what they hold, and damaged and hostile ones."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from archive_files import (
    NAMES,
    all_records,
    files_of,
    member,
    no_more_memory_than,
    pack,
    python2,
    raw_archive,
    records,
    unpack,
)

import hilbertsd as hsd
from hilbertsd.datasets import archives, cifar10, cifar100

FORMS = ("binary", "python", "python3", "protocol2")
PEAK = 64 << 20
"""Bytes that no refused file may take; those here are a hundredth of it or less."""


def read(name, folder, **arguments):
    return (cifar10 if name == "CIFAR-10" else cifar100)(folder, **arguments)


def expected(name: str, label: str):
    """Images and labels of the training files in their order, and of the test file."""
    files = all_records(name)
    *training, test = files.values()
    x = np.concatenate([batch["data"] for batch in training]).reshape(-1, 3, 32, 32) / 255
    y = [value for batch in training for value in batch[label]]
    return x, y, test["data"].reshape(-1, 3, 32, 32) / 255, test[label]


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "label"),
    [("CIFAR-10", "labels"), ("CIFAR-100", "fine_labels"), ("CIFAR-100", "coarse_labels")],
)
def test_what_was_written_is_read(tmp_path, name, label, form, packed):
    archive, folder, files = files_of(name, form)
    _ = pack(tmp_path / archive, folder, files) if packed else unpack(tmp_path, folder, files)
    kind = {} if name == "CIFAR-10" else {"labels": label.split("_")[0]}
    data = read(name, tmp_path, **kind)
    x, y, x_test, y_test = expected(name, label)
    assert data.x_train.dtype == np.float32
    np.testing.assert_allclose(data.x_train, x, rtol=0, atol=1e-7)
    np.testing.assert_allclose(data.x_test, x_test, rtol=0, atol=1e-7)
    assert data.true.tolist() == data.given.tolist() == y
    assert data.y_test.tolist() == y_test
    assert data.classes == {"labels": 10, "fine_labels": 100, "coarse_labels": 20}[label]
    assert data.settings["source"] == (archive if packed else folder)
    if packed:
        assert data.settings["as_published"] is False
    else:
        again = read(name, tmp_path / folder, **kind)
        assert (again.x_train == data.x_train).all()


def test_the_binary_version_is_taken_first(tmp_path):
    for form in ("python", "binary"):
        archive, folder, files = files_of("CIFAR-10", form)
        pack(tmp_path / archive, folder, files)
    assert cifar10(tmp_path).settings["source"] == "cifar-10-binary.tar.gz"


@pytest.fixture
def ten(tmp_path) -> Path:
    _, folder, files = files_of("CIFAR-10", "binary")
    unpack(tmp_path, folder, files)
    return tmp_path


def test_a_choice_by_seed_with_noise(ten):
    x, y, _, _ = expected("CIFAR-10", "labels")
    data = cifar10(ten, train=25, test=5, rate=0.4, seed=3)
    assert data.x_train.shape == (25, 3, 32, 32)
    assert len(data.x_test) == 5
    assert data.changed.sum() == 10
    where = [int(np.abs(x - image).max(axis=(1, 2, 3)).argmin()) for image in data.x_train]
    assert len(set(where)) == 25
    assert [y[i] for i in where] == data.true.tolist()
    quiet = cifar10(ten, train=25, test=5, seed=3)
    assert (quiet.x_train == data.x_train).all()
    assert (cifar10(ten, train=25, seed=4).x_train != data.x_train).any()


def test_the_test_set_is_not_read_where_it_is_not_asked_for(ten):
    (ten / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    assert cifar10(ten, test=0).x_test.shape == (0, 3, 32, 32)
    with pytest.raises(hsd.HilbertSDError, match=r"test_batch\.bin is missing"):
        cifar10(ten)


def test_standard_scaling_is_by_the_chosen_training_images(ten):
    unit, standard = (cifar10(ten, train=20, scaling=s) for s in ("unit", "standard"))
    mean = unit.x_train.mean(axis=(0, 2, 3), dtype=float)
    scale = unit.x_train.astype(float).std(axis=(0, 2, 3))
    np.testing.assert_allclose(standard.settings["channel_mean"], mean, rtol=1e-7)
    np.testing.assert_allclose(standard.settings["channel_scale"], scale, rtol=1e-7)
    for name in ("x_train", "x_test"):
        np.testing.assert_allclose(
            getattr(standard, name),
            (getattr(unit, name) - mean[:, None, None]) / scale[:, None, None],
            atol=1e-5,
        )
    assert standard.settings["scaling"] == "standard"
    assert unit.settings["scaling"] == "[0, 1]"


def test_a_constant_channel_is_not_standardised(tmp_path):
    _, folder, files = files_of("CIFAR-10", "binary")
    grey = bytes([3]) + bytes(1024) + bytes(range(256)) * 8
    unpack(tmp_path, folder, dict.fromkeys(files, grey))
    with pytest.raises(hsd.HilbertSDError, match="channel 0 of the training images is constant"):
        cifar10(tmp_path, scaling="standard")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "train must be a whole number, 1 or more"),
        ({"train": 41}, "train must be at most 40"),
        ({"test": 13}, "test must be at most 12"),
        ({"test": -1}, "test must be a whole number, 0 or more"),
        ({"scaling": "none"}, "scaling must be one of 'unit', 'standard'"),
        ({"noise": np.eye(3)}, "for 10 classes"),
    ],
)
def test_bad_settings(ten, arguments, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        cifar10(ten, **arguments)


def test_folders_without_an_archive(tmp_path):
    with pytest.raises(hsd.HilbertSDError, match=r"holds none of cifar-10-batches-bin, .*kriz"):
        cifar10(tmp_path)
    with pytest.raises(hsd.HilbertSDError, match="is no folder"):
        cifar10(tmp_path / "nowhere")
    with pytest.raises(hsd.HilbertSDError, match="folder must be a path"):
        cifar10(3)  # type: ignore[arg-type]
    with pytest.raises(hsd.HilbertSDError, match="labels must be one of 'fine', 'coarse'"):
        cifar100(tmp_path, labels="middle")


def alter(files, name, change):
    return files | {name: change(files[name])}


DAMAGED = {
    "wrong record length": (lambda data: data[:-1], r"not records of 3073 bytes"),
    "empty": (lambda data: b"", r"its 0 bytes are not records"),
    "label": (lambda data: bytes([10]) + data[1:], r"record 0 in 'labels' is 10, not a class"),
    "late label": (
        lambda data: data[: 2 * 3073] + bytes([255]) + data[2 * 3073 + 1 :],
        r"record 2 in 'labels' is 255",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_damaged_records(tmp_path, case, packed):
    change, message = DAMAGED[case]
    archive, folder, files = files_of("CIFAR-10", "binary")
    files = alter(files, "data_batch_3.bin", change)
    _ = pack(tmp_path / archive, folder, files) if packed else unpack(tmp_path, folder, files)
    with pytest.raises(hsd.HilbertSDError, match=rf"data_batch_3\.bin.*damaged.*{message}"):
        cifar10(tmp_path)


@pytest.mark.parametrize(("column", "value"), [(0, 20), (1, 100)])
def test_both_labels_of_cifar100_must_be_in_their_range(tmp_path, column, value):
    _, folder, files = files_of("CIFAR-100", "binary")
    raw = bytearray(files["train.bin"])
    raw[3074 + column] = value
    unpack(tmp_path, folder, files | {"train.bin": bytes(raw)})
    with pytest.raises(hsd.HilbertSDError, match=f"record 1 in '.*_labels' is {value}"):
        cifar100(tmp_path)


@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file(tmp_path, name, form):
    archive, folder, files = files_of(name, form)
    gone = next(reversed(files))
    del files[gone]
    pack(tmp_path / archive, folder, files)
    with pytest.raises(hsd.HilbertSDError, match=f"damaged: it holds no {folder}/{gone}"):
        read(name, tmp_path)


def test_files_beyond_the_published_sizes(tmp_path):
    _, folder, files = files_of("CIFAR-10", "binary")
    unpack(tmp_path, folder, files)
    with (tmp_path / folder / "data_batch_2.bin").open("ab") as file:
        file.truncate(30_730_001)  # a hole, which takes no room
    with pytest.raises(hsd.HilbertSDError, match=r"data_batch_2\.bin is longer than 30730000"):
        cifar10(tmp_path)


def test_archives_cut_off_anywhere(tmp_path):
    archive, folder, files = files_of("CIFAR-10", "binary")
    path = pack(tmp_path / archive, folder, files)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in [
        0,
        1,
        9,
        10,
        11,
        len(whole) - 9,
        len(whole) - 1,
        *rng.integers(12, len(whole), 12),
    ]:
        path.write_bytes(whole[:length])
        with pytest.raises(hsd.HilbertSDError, match=r"cifar-10-binary\.tar\.gz is damaged"):
            cifar10(tmp_path)


def test_altered_archives_fail_their_check_sum(tmp_path):
    archive, folder, files = files_of("CIFAR-10", "binary")
    path = pack(tmp_path / archive, folder, files)
    whole = path.read_bytes()
    for at in np.random.default_rng(1).integers(10, len(whole) - 8, 12):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(hsd.HilbertSDError, match=r"cifar-10-binary\.tar\.gz"):
            cifar10(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not an archive", gzip.compress(b"x" * 5000, mtime=0)],
    ids=["empty", "text", "gzip of no tar"],
)
def test_files_that_are_no_archive(tmp_path, content):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(hsd.HilbertSDError, match=r"cifar-10-binary\.tar\.gz is damaged"):
        cifar10(tmp_path)


FOLDER = "cifar-10-batches-bin"
HOSTILE = {
    "parent": (member("../escaped", 1), r"'\.\./escaped' in it leads out"),
    "deep parent": (member(f"{FOLDER}/../../escaped", 1), "leads out"),
    "absolute": (member("/tmp/escaped", 1), "leads out"),
    "backslash": (member(r"..\escaped", 1), "leads out"),
    "drive": (member(r"C:\escaped", 1), "leads out"),
    "symlink": (
        member(f"{FOLDER}/data_batch_1.bin", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        "is a link",
    ),
    "hardlink": (member("x", kind=tarfile.LNKTYPE, link="/etc/passwd"), "is a link"),
    "pipe": (member(f"{FOLDER}/data_batch_1.bin", kind=tarfile.FIFOTYPE), "a device"),
    "device": (member("null", kind=tarfile.CHRTYPE), "a device"),
    "twice": (member(f"{FOLDER}/test_batch.bin", 1), r"holds .*test_batch\.bin twice"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members(tmp_path, case):
    info, message = HOSTILE[case]
    _, folder, files = files_of("CIFAR-10", "binary")
    pack(tmp_path / "cifar-10-binary.tar.gz", folder, files, extra=[(info, b"x" * info.size)])
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(hsd.HilbertSDError, match=message):
        cifar10(tmp_path)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_sizes_that_are_only_declared(tmp_path):
    big = 1 << 40
    wanted = member(f"{FOLDER}/data_batch_1.bin", big).tobuf(tarfile.GNU_FORMAT)
    large = member(f"{FOLDER}/data_batch_1.bin", 30_730_001).tobuf(tarfile.GNU_FORMAT)
    other = member("something", big).tobuf(tarfile.GNU_FORMAT)
    header = member("pax", big, kind=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    long = member("long", big, kind=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    sparse = member("sparse", 512, kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT)
    for block, message in (
        (wanted, r"has 1099511627776 bytes, and the whole archive"),
        (large, r"has 30730001 bytes, more than the 30730000"),
        (other, r"has 1099511627776 bytes, and the whole archive"),
        (header, "damaged"),
        (long, "damaged"),
        (sparse, "a sparse file"),
    ):
        raw_archive(tmp_path / "cifar-10-binary.tar.gz", block + bytes(10240 - 512))
        with no_more_memory_than(PEAK), pytest.raises(hsd.HilbertSDError, match=message):
            cifar10(tmp_path)


@pytest.mark.parametrize(
    ("kind", "number"),
    [(tarfile.REGTYPE, 80), (tarfile.XHDTYPE, 1), (tarfile.GNUTYPE_LONGNAME, 1)],
    ids=["files", "pax header", "long name"],
)
def test_archives_that_unpack_to_more_than_the_data(tmp_path, kind, number):
    """A bomb of 40 MB packed in 200 kB; the bound is on what is unpacked, wherever it goes."""
    size = (40 << 20) // number
    head = member("bomb", size, kind=kind).tobuf(tarfile.GNU_FORMAT)
    path = raw_archive(tmp_path / "bomb.tar.gz", (head + bytes(size)) * number)
    assert path.stat().st_size < size * number / 200
    message = r"unpacks to more than \d+ bytes"
    with no_more_memory_than(8 * archives.SLACK), pytest.raises(hsd.HilbertSDError, match=message):
        archives.from_archive(path, FOLDER, {"data_batch_1.bin": 1000}, 1000)


def test_a_bomb_behind_the_end_of_the_archive(tmp_path):
    archive, folder, files = files_of("CIFAR-10", "binary")
    path = pack(tmp_path / archive, folder, files)
    limits = {name: len(content) for name, content in files.items()}
    total = sum(limits.values())
    assert archives.from_archive(path, folder, limits, total) == files
    raw_archive(path, gzip.decompress(path.read_bytes()) + bytes(8 << 20))
    with pytest.raises(hsd.HilbertSDError, match="unpacks to more than"):
        archives.from_archive(path, folder, limits, total)


def test_chained_headers_are_no_endless_recursion(tmp_path):
    head = member("long", 8, kind=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    raw_archive(tmp_path / "cifar-10-binary.tar.gz", (head + b"name".ljust(512, b"\0")) * 5000)
    with pytest.raises(hsd.HilbertSDError, match="damaged"):
        cifar10(tmp_path)


def batch(**changed):
    content = records("CIFAR-10", 0, 3) | changed
    return {key: value for key, value in content.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(data=None), "'data' is NoneType"),
        (batch(data=[1, 2]), "'data' is list"),
        (batch(data=np.zeros((3, 3071), np.uint8)), r"'data' is \(3, 3071\), not \(n, 3072\)"),
        (batch(data=np.zeros((3, 32, 96), np.uint8)), r"'data' is \(3, 32, 96\)"),
        (batch(labels=None), "'labels' is no list of a label for each of the 3 images"),
        (batch(labels=[1, 2]), "'labels' is no list of a label for each"),
        (batch(labels=[1, 2, 10]), "record 2 in 'labels' is 10, not a class from 0 to 9"),
        (batch(labels=[1, -2, 1]), "record 1 in 'labels' is -2"),
        (batch(labels=[True, 1, 1]), "record 0 in 'labels' is a bool"),
        (batch(labels=["one", 1, 1]), "record 0 in 'labels' is a str"),
        (batch(data=np.zeros((0, 3072), np.uint8), labels=[]), "each of the 0 images"),
    ],
)
def test_pickles_of_something_else(tmp_path, content, message):
    _, folder, files = files_of("CIFAR-10", "python")
    path = unpack(tmp_path, folder, files | {"data_batch_4": pickle.dumps(content, protocol=4)})
    with pytest.raises(hsd.HilbertSDError, match=f"{path}/data_batch_4 is damaged: .*{message}"):
        cifar10(tmp_path)


def test_power_the_archive_of_the_test_is_the_format_that_pickle_reads():
    content = records("CIFAR-100", 3, 300)
    read = pickle.load(io.BytesIO(python2(content)), encoding="latin1")
    assert (read.pop("data") == content.pop("data")).all()
    assert read == content
