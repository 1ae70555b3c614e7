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
        (["Named_Right"], "named_right", "plugins='[named_right]'"),
        (["named_right.py"], "named_right", "plugins='[named_right]'"),
        (["./named_right.py"], "named_right", "plugins='[named_right]'"),
        (["pack/inner.py"], "pack.inner", "plugins='[pack.inner]'"),
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
        "; with --config-dir DIR a module beside DIR is found"
    )
    assert problem.fix is not None
    assert problem.fix.startswith("--config-dir DIR ")


@pytest.mark.parametrize("name", ["named", "pack_encoder", "named_left", "x" * 300])
def test_a_module_that_only_begins_alike_is_not_offered(modules, name):
    problem = problem_of(name)
    assert "--config-dir DIR" in problem.message
    assert "did you mean" not in problem.message
    assert problem.fix is not None
    assert problem.fix.startswith("--config-dir DIR ")


def test_a_near_name_does_not_hide_the_flag(modules):
    assert "--config-dir DIR" in problem_of("named_rihgt").message


def test_who_has_named_the_directory_is_not_told_to(modules, tmp_path):
    (tmp_path / "conf").mkdir()
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["plugins=[zzz]"], "conf")
    (problem,) = raised.value.problems
    assert "--config-dir" not in problem.message


def test_a_complete_configuration_needs_its_directory_too(modules):
    data = Experiment.load([]).to_data()
    with pytest.raises(ConfigError, match="the configuration directory nope does not exist"):
        Experiment.from_data(data, "nope")
