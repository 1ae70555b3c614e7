"""Plugins that cannot be imported: the name that is wrong, and the nearest one."""

import shlex
import sys

import pytest

from composer.errors import ConfigError
from composer.experiment import Experiment


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules `named_right` and `pack.inner` in the working directory; call it to add others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def write(name, text=""):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    write("named_right")
    write("pack/__init__")
    write("pack/inner")
    return write


def problem_of(*names):
    with pytest.raises(ConfigError) as raised:
        Experiment.load([f"plugins=[{','.join(names)}]"])
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize(
    ("names", "close", "fix"),
    [
        (["named_rihgt"], "named_right", "plugins='[named_right]'"),
        (["named_right.py"], "named_right", "plugins='[named_right]'"),
        (["'named-right'"], "named_right", "plugins='[named_right]'"),
        (["pack.iner"], "pack.inner", "plugins='[pack.inner]'"),
        (["pakc.inner"], "pack", "plugins='[pack.inner]'"),
        (["pack", "named_rihgt"], "named_right", "plugins='[pack,named_right]'"),
    ],
)
def test_a_plugin_that_is_not_there_is_told_the_nearest_module(modules, names, close, fix):
    problem = problem_of(*names)
    assert problem.path == f"plugins[{len(names) - 1}]"
    assert problem.message.endswith(f"; did you mean `{close}`?")
    assert (problem.valid[0], problem.fix) == (close, fix)
    Experiment.load(shlex.split(fix))


@pytest.mark.parametrize("missing", ["no_such_library", "asks.no_such_part"])
def test_a_module_that_a_plugin_lacks_is_named_as_what_it_imports(modules, missing):
    modules("asks/__init__", f"import {missing}\n")
    problem = problem_of("asks")
    assert problem.message == f"the plugin imports `{missing}`, and there is no such module"
    assert (problem.value, problem.fix) == ("asks", "plugins='[]'")


def test_a_plugin_with_no_near_name_is_told_where_was_looked(modules, tmp_path):
    problem = problem_of("zzz")
    assert problem.message == (
        f"there is no module `zzz`; looked in {tmp_path} and what is installed"
    )
    assert problem.fix is not None
    assert problem.fix.startswith("--config-dir DIR ")
