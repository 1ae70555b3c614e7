"""`composer ls`: what there is, plugins and a person's own files included."""

import json
import re
import textwrap

import pytest
from rich.console import Console

from composer.cli import ls
from composer.cli.main import main
from composer.encoders.base import EncoderConfig
from composer.listing import KINDS, Listing, find_kind

PLUGIN = '''
"""Encoders for a test."""
from typing import Literal
from composer.encoders.base import EncoderConfig

class EchoConfig(EncoderConfig):
    """Repeats what it sees.

    More about it.
    """
    type: Literal["echo_{name}"] = "echo_{name}"
    {field}

    def refusal(self, space):
        {refusal}
    def out_dim(self, space):
        return 1
    def build(self, space):
        raise NotImplementedError
'''


@pytest.fixture
def home(tmp_path, monkeypatch, plugins):
    """The working directory; call it to write a file there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    (tmp_path / "conf").mkdir()
    return write


def listed(capsys, *words):
    assert main(["ls", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {
        kind: {
            row["name"] if "of" not in row else f"{row['of']}.{row['name']}": row for row in rows
        }
        for kind, rows in found.items()
    }


def test_without_a_kind_every_kind_has_a_line_with_count_and_names(capsys):
    assert main(["ls"]) == 0
    out = capsys.readouterr().out
    for kind in KINDS:
        assert re.search(rf"^{kind.name} +\d+ +\w", out, re.MULTILINE)
    assert re.search(r"^encoders .*cnn.*mlp.*one_hot", out, re.MULTILINE)


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_row_of_a_kind_has_the_same_columns(kind):
    rows = Listing().rows(kind)
    assert len({tuple(row) for row in rows}) == 1
    assert all(row["name"] and row["origin"] for row in rows)


def test_encoders_say_what_they_accept(capsys):
    encoders = listed(capsys, "encoders")["encoders"]
    assert encoders["cnn"]["accepts"] == ["array", "image", "stacked images"]
    assert {"vector", "integer vector", "array", "image"} <= {*encoders["mlp"]["accepts"]}
    assert encoders["one_hot"]["accepts"] == ["discrete", "multi_discrete", "multi_binary"]
    assert encoders["mlp"]["what"].startswith("Linear layers over the flattened observation")
    assert encoders["mlp"]["origin"] == "built in"
    assert "auto" not in encoders


def test_distributions_heads_and_algorithms_say_what_they_do(capsys):
    found = listed(capsys, "distributions", "heads", "algorithms")
    assert found["distributions"]["diag_gaussian"]["accepts"] == ["vector", "array"]
    assert found["distributions"]["dirichlet"]["accepts"] == ["simplex"]
    assert "discrete" in found["distributions"]["categorical"]["accepts"]
    assert found["heads"]["value"]["gives"] == ["ValueFunctionAPI"]


REQUIRES = {
    "ppo": ["PolicyAPI", "ValueFunctionAPI"],
    "dqn": ["QNetAPI", "TargetNetworkAPI"],
    "rainbow": ["QNetAPI", "TargetNetworkAPI"],
    "sac": ["ContinuousQAPI (real, both)", "PolicyAPI", "QNetAPI (choices)", "TargetNetworkAPI"],
    "td3": ["ContinuousQAPI", "PolicyAPI", "TargetNetworkAPI"],
    "tqc": ["ContinuousQAPI", "PolicyAPI", "TargetNetworkAPI"],
}


def test_algorithms_say_whether_they_train_a_memory(capsys):
    algorithms = listed(capsys, "algorithms")["algorithms"]
    assert {name: given["memory"] for name, given in algorithms.items()} == {
        name: "trained" for name in REQUIRES
    }


def test_algorithms_say_what_they_require_for_each_kind_of_action(capsys):
    algorithms = listed(capsys, "algorithms")["algorithms"]
    assert {name: algorithms[name]["requires"] for name in REQUIRES} == REQUIRES


def test_rules_stand_in_the_order_they_are_tried_in_words(capsys):
    words = ["catalog.observation.flattened.priority=1", "catalog.observation.vector=null"]
    rules = listed(capsys, "rules", *words)["rules"]
    assert next(iter(rules)) == "observation.flattened"
    assert "observation.vector" not in rules
    assert rules["observation.flattened"]["when"] == "kind box, size at most 4096"
    assert rules["observation.image"]["when"] == "kind box, image true"
    assert rules["action.continuous"]["use"] == "diag_gaussian"
    assert rules["action.discrete"]["why"] == "one of n actions has a probability each"
    assert rules["action.discrete"]["origin"].startswith("composer/conf/catalog/default.yaml:")


def test_a_rule_shows_what_it_changes(capsys):
    rules = listed(capsys, "rules", "catalog.observation.vector.use.hidden=[32]")["rules"]
    assert rules["observation.vector"]["use"] == "{type: mlp, hidden: [32]}"


def test_files_of_ones_own_are_listed_with_their_comment_and_place(home, capsys):
    home("conf/env/short.yaml", "# Twenty steps\ndefaults: [cartpole]\nkwargs: {a: 1}\n")
    home("conf/model/encoder/my_cnn.yaml", "type: cnn\nfilters: [[32, 8, 4]]\n")
    home(
        "conf/experiment/mine.yaml",
        """\
        # @package _global_
        # yaml-language-server: $schema=../schema/experiment.json
        # What I try
        defaults:
          - override /env: short
        """,
    )
    found = listed(capsys, "env", "encoders", "experiments", "--config-dir", "conf")
    short = found["environments"]["short"]
    assert (short["id"], short["what"]) == ("CartPole-v1", "Twenty steps")
    assert short["origin"] == "conf/env/short.yaml"
    assert found["encoders"]["my_cnn"]["accepts"] == ["array", "image", "stacked images"]
    mine = found["experiments"]["mine"]
    assert (mine["what"], mine["chooses"]) == ("What I try", ["env=short"])


def test_a_file_that_is_not_valid_says_so_in_its_row(home, capsys):
    home("conf/env/bad.yaml", "type: gym\nid: CartPole-v1\nnum_env: 3\n")
    bad = listed(capsys, "env", "--config-dir", "conf")["environments"]["bad"]
    assert bad["what"].startswith("not valid: environment `gym` has no option `num_env`")


def test_a_file_that_is_no_yaml_says_so_in_its_row(home, capsys):
    home("conf/env/bad.yaml", "type: [\n")
    home("conf/experiment/bad.yaml", "type: [\n")
    found = listed(capsys, "env", "experiments", "--config-dir", "conf")
    for kind, folder in (("environments", "env"), ("experiments", "experiment")):
        what = found[kind]["bad"]["what"]
        assert what.startswith(f"not valid: conf/{folder}/bad.yaml:2 is not valid YAML")


def test_a_plugin_is_listed_with_its_module(home, capsys):
    text = PLUGIN.format(name="ls", field="size: int = 1", refusal="return None")
    home("plugin_of_ls.py", text)
    row = listed(capsys, "encoders", "plugins=[plugin_of_ls]")["encoders"]["echo_ls"]
    assert row["what"] == "Repeats what it sees."
    assert row["origin"] == "plugin_of_ls (plugin)"
    assert {"vector", "graph"} <= {*row["accepts"]}


def test_a_plugin_that_needs_an_option_cannot_be_asked(home, capsys):
    home("plugin_needs.py", PLUGIN.format(name="needs", field="size: int", refusal="return None"))
    row = listed(capsys, "encoders", "plugins=[plugin_needs]")["encoders"]["echo_needs"]
    assert row["accepts"] == "as its options say"


def test_a_plugin_that_raises_when_asked_is_named(home, capsys):
    text = PLUGIN.format(name="raises", field="size: int = 1", refusal="return space.missing")
    home("plugin_raises.py", text)
    assert main(["ls", "encoders", "plugins=[plugin_raises]"]) == 2
    error = capsys.readouterr().err
    assert "encoder `echo_raises` of plugin_raises (plugin) cannot be listed: Attribute" in error
    assert "Traceback" not in error


def test_spaces_are_told_when_asked_for_and_a_failure_does_not_hide_the_rest(home, capsys):
    home("conf/env/gone.yaml", "type: gym\nid: CartPol-v1\n")
    assert "observation" not in listed(capsys, "env")["environments"]["cartpole"]
    found = listed(capsys, "env", "--spaces", "--config-dir", "conf")["environments"]
    assert found["cartpole"]["observation"] == "Box(4,) float32"
    assert found["cartpole"]["action"] == "Discrete(2)"
    assert "CartPol" in found["gone"]["observation"]


def test_apis_are_told_with_the_parts_that_supply_them_and_who_requires_them(capsys):
    apis = listed(capsys, "apis")["apis"]
    assert apis["ValueFunctionAPI"]["supplied by"] == ["head value"]
    assert apis["QNetAPI"]["required by"] == ["dqn", "sac", "rainbow"]
    assert apis["TargetNetworkAPI"]["supplied by"].startswith("copies of the heads")
    algorithms = listed(capsys, "algorithms")["algorithms"]
    for name, algorithm in algorithms.items():
        for asked in algorithm["requires"]:
            assert name in apis[asked.partition(" ")[0]]["required by"]


@pytest.mark.parametrize("name", ["encoder", "encoders"])
def test_a_kind_is_named_in_the_singular_or_the_plural(name, capsys):
    assert "one_hot" in listed(capsys, name)["encoders"]


def test_an_unknown_kind_is_told_with_the_nearest_and_a_line_that_works(capsys):
    assert main(["ls", "enviroments"]) == 2
    error = capsys.readouterr().err
    assert "there is no list of `enviroments`; did you mean `environments`?" in error
    (line,) = re.findall(r"try     composer (.*)", error)
    assert main(line.split()) == 0


def test_piped_text_is_aligned_and_never_cut(capsys):
    assert main(["ls", "encoders"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    what, accepts = head.index("what"), head.index("accepts")
    for row in rows:
        assert row[what - 2 : what] == row[accepts - 2 : accepts] == "  "
        assert row[accepts] != " "
    assert any(row.endswith("vector, integer vector, array, image, stacked images") for row in rows)
    assert not any(line.endswith(" ") for line in (head, *rows))


def test_a_terminal_shows_a_table_with_brackets_as_they_are(monkeypatch, capsys):
    console = Console(force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(ls, "Console", lambda: console)
    assert main(["ls", "rules", "catalog.observation.vector.use.hidden=[32]"]) == 0
    out = capsys.readouterr().out
    assert "{type: mlp, hidden: [32]}" in out


def test_a_narrow_terminal_breaks_no_name(monkeypatch, capsys):
    console = Console(force_terminal=True, width=60, color_system=None)
    monkeypatch.setattr(ls, "Console", lambda: console)
    assert main(["ls", "environments"]) == 0
    out = capsys.readouterr().out
    assert "mountain_car_continuous" in out
    assert "MountainCarContinuous-v0" in out


def test_where_things_come_from_is_said_where_some_are_not_built_in(home, capsys):
    assert main(["ls", "env"]) == 0
    assert "built in" not in capsys.readouterr().out
    home("conf/env/mine.yaml", "type: gym\nid: CartPole-v1\n")
    assert main(["ls", "env", "--config-dir", "conf"]) == 0
    assert "conf/env/mine.yaml" in capsys.readouterr().out


def test_an_experiment_that_chooses_nothing_of_a_group_does_not_list_it(home, capsys):
    text = "# @package _global_\ndefaults: [override /env: pendulum, override /tuned: null]\n"
    home("conf/experiment/mine.yaml", text)
    found = listed(capsys, "experiments", "--config-dir", "conf")["experiments"]
    assert found["mine"]["chooses"] == ["env=pendulum"]


def test_a_listing_defines_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = EncoderConfig.tags()
    assert main(["ls"]) == 0
    assert EncoderConfig.tags() == before
    assert list(tmp_path.iterdir()) == []


def test_a_kind_has_the_name_of_its_group_too():
    assert find_kind("model/encoder") is find_kind("encoders")
