"""Chains on disk: nothing lost, nothing executed, nothing half written."""

import dataclasses
import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import SEEDS, assert_identical, problem, problems

import hilbertsd as hsd
from hilbertsd import Distillation, HilbertSDError, storage


def distill(p, y=None, eps=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hsd.CollapseWarning)
        warnings.simplefilter("ignore", hsd.PrecisionWarning)
        return hsd.self_distill(
            p.gram, p.y if y is None else y, p.eps if eps is None else eps, **options
        )


PLAIN = problem(4, size=5, decades=3, share=0.05)
SEVERAL = np.stack([PLAIN.y, 3 * PLAIN.y[::-1]], axis=1)
CHAINS = {
    "one output": distill(PLAIN, rounds=2),
    "collapsed": distill(PLAIN, rounds=30),
    "collapsed at the start": distill(PLAIN, eps=1e3, rounds=2),
    "two outputs": distill(PLAIN, SEVERAL, rounds=12),
    "one column": distill(PLAIN, SEVERAL[:, :1], rounds=1),
    "joint": distill(PLAIN, SEVERAL, rounds=3, joint=True),
    "eigenvectors": distill(PLAIN, rounds=1, keep_eigenvectors=True),
    "schedule": distill(PLAIN, eps=PLAIN.eps * np.array([[1.0], [0.5], [0.1]]), rounds=2),
    "singular": distill(problem(5, size=6, zeros=2, share=0.1), rounds=3),
    "one point": distill(problem(6, size=1, decades=0), rounds=3),
    "tiny units": distill(PLAIN, 1e-130 * PLAIN.y, 1e-260 * PLAIN.eps, rounds=1),
    "no spectrum": dataclasses.replace(distill(PLAIN, rounds=1), spectrum=None),
}
EACH = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())


def assert_same_chain(one, other):
    """Field by field, type by type, bit by bit."""
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same_chain(a, b)
        elif isinstance(a, np.ndarray):
            assert_identical(b, a)
        else:
            assert type(a) is type(b), field.name
            assert a == b, field.name


def through_npz(chain, path):
    chain.to_npz(path)
    return Distillation.from_npz(path)


def test_the_chains_cover_what_they_are_named_for():
    assert np.isposinf(CHAINS["collapsed"].multipliers).any()
    assert CHAINS["collapsed at the start"].collapse_round == 0
    assert isinstance(CHAINS["two outputs"].collapse_round, tuple)
    assert CHAINS["joint"].joint
    assert CHAINS["eigenvectors"].spectrum.eigenvectors is not None
    assert CHAINS["one output"].collapse_round is None


@EACH
def test_json_round_trip(chain):
    text = chain.to_json()
    assert_same_chain(chain, Distillation.from_json(text))
    assert Distillation.from_json(text).to_json() == text
    assert text == chain.to_json()
    assert_same_chain(chain, Distillation.from_json(text.encode()))
    document = json.loads(text, parse_constant=pytest.fail)  # no NaN or Infinity, which JSON lacks
    assert (document["format"], document["version"]) == ("hilbertsd-chain", 1)


@EACH
def test_npz_round_trip(chain, tmp_path):
    path = tmp_path / "chain.npz"
    assert_same_chain(chain, through_npz(chain, path))
    first = path.read_bytes()
    chain.to_npz(str(path))
    assert path.read_bytes() == first
    Distillation.from_npz(path).to_npz(path)
    assert path.read_bytes() == first
    with np.load(path, allow_pickle=False) as archive:  # anybody's NumPy reads it
        assert_identical(archive["multipliers"], chain.multipliers)


@given(problems(max_size=5))
def test_any_chain_survives(p):
    chain = distill(p, rounds=4)
    assert_same_chain(chain, Distillation.from_json(chain.to_json()))


def test_a_chain_that_was_read_works(tmp_path):
    chain = CHAINS["two outputs"]
    for read in (Distillation.from_json(chain.to_json()), through_npz(chain, tmp_path / "a")):
        assert_identical(read.predict(PLAIN.gram, 0), chain.predict(PLAIN.gram, 0))
        assert_identical(read.multiplier_brackets[0], chain.multiplier_brackets[0])
        assert read.collapse_decided == chain.collapse_decided
        assert read.provenance == chain.provenance


def test_a_fresh_run_gives_the_same_bytes(tmp_path):
    again = distill(PLAIN, rounds=30)
    assert again.to_json() == CHAINS["collapsed"].to_json()
    again.to_npz(tmp_path / "a.npz")
    CHAINS["collapsed"].to_npz(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_power_one_bit_is_seen():
    chain = CHAINS["one output"]
    labels = chain.labels.copy()
    labels[1, 0] = np.nextafter(labels[1, 0], 9.0)
    with pytest.raises(AssertionError):
        assert_same_chain(chain, dataclasses.replace(chain, labels=labels))


# Damaged and hostile JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("chain", "not JSON"),
        (None, "not JSON"),
        (3, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a":' * 100_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("null", "format"),
        ("[]", "format"),
        ("{}", "format"),
        ('"hilbertsd-chain"', "format"),
        ('{"format": "other", "version": 1}', "its format is not 'hilbertsd-chain'"),
        ('{"format": "hilbertsd-chain"}', "version None, this package reads 1; upgrade"),
        ('{"format": "hilbertsd-chain", "version": 2}', "version 2, this package reads 1"),
        ('{"format": "hilbertsd-chain", "version": true}', "version True"),
        ('{"format": "hilbertsd-chain", "version": 1}', "this is not a chain|collapse_round"),
    ],
    ids=range(18),
)
def test_texts_that_are_no_chains(text, message):
    with pytest.raises(HilbertSDError, match=message):
        Distillation.from_json(text)


def test_every_truncation_of_a_chain_is_refused():
    text = CHAINS["one output"].to_json().rstrip()
    for end in range(0, len(text), 11):
        with pytest.raises(HilbertSDError):
            Distillation.from_json(text[:end])


WRONG = [
    1,
    1.5,
    "x",
    [],
    [1.0],
    {},
    {"npz": "multipliers"},
    {"shape": [1], "data": []},
    {"shape": [2, 2], "data": [1.0]},
    {"shape": [-1], "data": [1.0]},
    {"shape": [1], "data": [10**400]},
    {"shape": [1], "data": ["much"]},
    {"shape": [1], "data": [None]},
    {"shape": "ab", "data": [1.0]},
    {"shape": [10**12], "data": [1.0]},
    {"shape": None, "data": 3},
    {"shape": [0], "data": []},
    {"shape": [1, 1, 1, 1], "data": [1.0]},
]
OPTIONAL = {("spectrum",), ("spectrum", "eigenvectors"), ("enclosure",), ("collapse_round",)}
FREE = {"provenance": (dict,), "joint": (bool,), "collapse_round": (type(None),)}


def members(document):
    for name, value in document.items():
        if name in ("format", "version"):
            continue
        yield (name,)
        if name in ("spectrum", "enclosure") and value is not None:
            yield from ((name, inner) for inner in value)


def found(document, place):
    for name in place:
        document = document[name]
    return document


def array_places(document):
    for place in members(document):
        value = found(document, place)
        if isinstance(value, dict) and value.keys() == {"shape", "data"}:
            yield place


def placed(document, place, value, remove=False):
    copied = json.loads(json.dumps(document))
    owner = found(copied, place[:-1])
    if remove:
        del owner[place[-1]]
    else:
        owner[place[-1]] = value
    return json.dumps(copied)


@pytest.mark.parametrize("name", ["one output", "two outputs", "eigenvectors"])
def test_fields_of_the_wrong_type_or_shape_are_refused(name):
    document = json.loads(CHAINS[name].to_json())
    tried = 0
    for place in members(document):
        for value in [*WRONG, None, True]:
            if value is None and place in OPTIONAL:
                continue
            # what happens to be right: a rank that is a number, provenance that is a dictionary ..
            if isinstance(value, FREE.get(place[0], ())) or (
                place in {("spectrum", "rank"), ("collapse_round",)} and value == 1
                and not isinstance(value, bool)
            ) or (place == ("spectrum", "threshold") and isinstance(value, float)):  # fmt: skip
                continue
            with pytest.raises(HilbertSDError):
                Distillation.from_json(placed(document, place, value))
            tried += 1
    assert tried > 300
    Distillation.from_json(placed(document, ("provenance",), {}))  # the surgery itself is sound


@pytest.mark.parametrize("name", ["one output", "two outputs"])
def test_missing_and_unknown_fields_are_refused(name):
    document = json.loads(CHAINS[name].to_json())
    for place in members(document):
        if place in OPTIONAL - {("collapse_round",)}:
            continue
        with pytest.raises(HilbertSDError, match="chain"):
            Distillation.from_json(placed(document, place, None, remove=True))
    for place in [("surprise",), ("spectrum", "surprise")]:
        with pytest.raises(HilbertSDError, match="surprise"):
            Distillation.from_json(placed(document, place, 1))


@pytest.mark.parametrize(
    "place", list(array_places(json.loads(CHAINS["two outputs"].to_json()))), ids="/".join
)
def test_arrays_that_do_not_fit_the_rest_are_refused(place):
    """One row more, one row less, one axis less: each array in turn, all others right."""
    document = json.loads(CHAINS["two outputs"].to_json())
    array = found(document, place)
    values = np.array([float(v) for v in array["data"]]).reshape(array["shape"])
    for wrong in (
        np.concatenate([values, values[:1]]),
        values[:-1],
        values[..., :-1],
        values.ravel()[:1],
        values[None],
    ):
        if wrong.shape == values.shape:
            continue
        data = [v if np.isfinite(v) else str(v) for v in wrong.ravel().tolist()]
        with pytest.raises(HilbertSDError, match="does not fit the rest"):
            Distillation.from_json(placed(document, place, {"shape": wrong.shape, "data": data}))


@pytest.mark.parametrize("collapse", [-1, 4, 10**30, [1], [1, 2], "1", 1.0, True, [None]])
def test_collapse_rounds_that_cannot_be_are_refused(collapse):
    document = json.loads(CHAINS["one output"].to_json())
    with pytest.raises(HilbertSDError, match="collapse_round"):
        Distillation.from_json(placed(document, ("collapse_round",), collapse))


# Damaged and hostile npz


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "chain.npz"
    CHAINS["one output"].to_npz(path)
    return path


class Bomb:
    """Unpickling this is noticed."""

    went_off = False

    def __reduce__(self):
        return (_explode, ())


def _explode():
    Bomb.went_off = True
    return np.zeros(3)


def rewritten(path, **changes):
    """The archive with members replaced; None drops one."""
    with np.load(path, allow_pickle=False) as old:
        members = {name: old[name] for name in old.files} | changes
    np.savez(path, **{k: v for k, v in members.items() if v is not None})


def refused(path, message="."):
    with pytest.raises(HilbertSDError, match=message) as caught:
        Distillation.from_npz(path)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert "nowhere.npz" in refused(tmp_path / "nowhere.npz", "there is no file")
    refused(tmp_path, "is not a chain")  # a directory


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{", b"\x80\x04."]
)
def test_files_that_are_no_archives(tmp_path, content):
    path = tmp_path / "chain.npz"
    path.write_bytes(content)
    refused(path, "chain.npz' is not a chain")


def test_other_archives(tmp_path, archive):
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    refused(tmp_path / "other.npz", "is not a chain")
    np.save(tmp_path / "array.npy", np.ones(2))
    refused(tmp_path / "array.npy", "is not a chain")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as file:
        file.writestr("chain", "{}")
        file.writestr("readme.txt", "hello")
    refused(tmp_path / "text.zip")


def test_nothing_is_unpickled(tmp_path, archive):
    bomb = pickle.dumps(Bomb())
    (tmp_path / "bare.npz").write_bytes(bomb)
    refused(tmp_path / "bare.npz", "is not a chain")
    rewritten(archive, labels=np.array([Bomb()], dtype=object))
    refused(archive, "is not a chain")
    rewritten_chain = tmp_path / "chain-member.npz"
    np.savez(rewritten_chain, chain=np.array(Bomb(), dtype=object))
    refused(rewritten_chain, "is not a chain")
    assert not Bomb.went_off
    pickle.loads(bomb)
    assert Bomb.went_off, "power: the bomb is live"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"chain": None},
        {"labels": np.ones(3)},
        {"labels": np.ones((4, 5), dtype=np.float32)},
        {"labels": np.ones((4, 5), dtype=complex)},
        {"labels": np.full((4, 5), "x")},
        {"multipliers": np.ones((3, 1))},
        {"chain": np.array("not json")},
        {"chain": np.array('{"format": "hilbertsd-chain", "version": 7}')},
        {"chain": np.array("[" * 100_000)},
        {"chain": np.ones(3)},
        {"spectrum.eigenvalues": np.ones((5, 1))},
    ],
    ids=range(12),
)
def test_archives_with_wrong_members(archive, changes):
    rewritten(archive, **changes)
    refused(archive, "chain")


def test_every_truncation_of_an_archive_is_refused(archive, tmp_path):
    content = archive.read_bytes()
    path = tmp_path / "cut.npz"
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        refused(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "chain.npz"
    CHAINS["one output"].to_npz(path)
    return path, path.read_bytes()


@given(
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=3)
)
def test_damaged_bytes_are_refused_or_harmless(scratch, flips):
    """Either an error, or the very same chain: a byte of a time stamp may change unnoticed."""
    path, content = scratch
    damaged = bytearray(content)
    for at, bits in flips:
        damaged[at % len(damaged)] ^= bits
    path.write_bytes(damaged)
    try:
        read = Distillation.from_npz(path)
    except HilbertSDError:
        return
    assert_same_chain(CHAINS["one output"], read)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(JSON, SEEDS)
def test_arbitrary_json_is_refused(value, seed):
    with pytest.raises(HilbertSDError):
        Distillation.from_json(json.dumps(value))
    document = json.loads(CHAINS["two outputs"].to_json())
    places = list(members(document))
    place = places[seed % len(places)]
    try:
        read = Distillation.from_json(placed(document, place, value))
    except HilbertSDError:
        return
    assert (
        place in OPTIONAL or place[0] == "provenance" or place[-1] in ("joint", "rank", "threshold")
    ), read


# Whole files or none


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "chain.npz"
    CHAINS["one output"].to_npz(path)
    before = path.read_bytes()

    def fail(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        CHAINS["joint"].to_npz(path)
    with pytest.raises(OSError, match="disk full"):
        CHAINS["joint"].to_npz(tmp_path / "new.npz")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["chain.npz"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, stop):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def write_half():
        with storage.replacing(path) as file:
            file.write("new")
            file.flush()
            assert path.read_text() == "old", "the old file stands until the new one is whole"
            raise stop

    with pytest.raises(stop):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old " * 1000)
    with storage.replacing(path) as file:
        file.write("ε = 0.045\n")
    assert path.read_text(encoding="utf-8") == "ε = 0.045\n"
    with storage.replacing(path, "wb") as file:
        file.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_new_files_have_the_permissions_of_new_files(tmp_path):
    (tmp_path / "usual").write_text("")
    with storage.replacing(tmp_path / "ours") as file:
        file.write("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_missing_folder_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        CHAINS["joint"].to_npz(tmp_path / "nowhere" / "chain.npz")
