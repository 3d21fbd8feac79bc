"""Names that load when first used: all are there, and are those that type checkers see."""

import ast
import importlib
import inspect
import sys

import pytest

import hilbertsd as hsd

PACKAGES = ["hilbertsd", "hilbertsd.nets", "hilbertsd.operators", "hilbertsd.schemes"]


def for_type_checkers(package):
    """Return name -> value of the imports under TYPE_CHECKING, read from the source."""
    found = {}
    for block in ast.parse(inspect.getsource(package)).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in block.body:
                module = importlib.import_module(line.module)
                found |= {alias.name: getattr(module, alias.name) for alias in line.names}
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there_and_the_one_that_type_checkers_see(name):
    if name in ("hilbertsd.nets", "hilbertsd.schemes"):
        pytest.importorskip("equinox")
        pytest.importorskip("optax")
    package = importlib.import_module(name)
    seen = for_type_checkers(package)
    assert seen
    assert set(seen) <= set(package.__all__)
    assert all(getattr(package, one) is value for one, value in seen.items())
    assert all(hasattr(package, one) for one in package.__all__)
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_is_not_there_is_refused_as_python_does(name):
    package = importlib.import_module(name)
    assert not hasattr(package, "nothing")
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        package.nothing()


def test_a_missing_extra_is_named_and_another_missing_module_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "hilbertsd.nets.models", None)
    monkeypatch.delitem(vars(hsd.nets), "mlp", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"hilbertsd\.nets\.models"):
        hsd.nets.mlp(3, 2)
    monkeypatch.delitem(sys.modules, "hilbertsd.nets.models")
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(
        hsd.HilbertSDError, match=r"^hilbertsd\.nets\.mlp needs equinox, .*'hilbertsd\[nets\]'"
    ):
        hsd.nets.mlp(3, 2)
