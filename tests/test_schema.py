"""JSON Schemas of the YAML files: what the loader accepts is valid, typical mistakes are not."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import yaml
from jsonschema import Draft202012Validator
from omegaconf import OmegaConf

from composer import conf
from composer.algorithms.base import AlgorithmConfig
from composer.cli.main import main
from composer.config import Auto, AutoOr, Frozen, FrozenDict
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.experiment import Experiment
from composer.loading.files import ConfigFiles
from composer.schema import json_schema, schema_names

CONF = Path(conf.__file__).parent.resolve()
SHIPPED = sorted(CONF.rglob("*.yaml"))


def mistakes(schema, data):
    return [error.message for error in Draft202012Validator(schema).iter_errors(data)]


def read(text):
    return OmegaConf.to_container(OmegaConf.create(text))


@pytest.fixture(scope="module")
def experiment():
    return json_schema("experiment")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_shipped_file_names_its_schema_and_is_valid(path):
    text = path.read_text()
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    schema = (path.parent / named).resolve()
    assert schema.is_relative_to(CONF / "schema")
    assert mistakes(json.loads(schema.read_text()), read(text)) == []


def test_every_part_of_an_experiment_that_is_a_group_has_a_schema():
    assert {"experiment", "env", "algorithm", "catalog", "model", "model/encoder"} <= {
        *schema_names()
    }
    for name in schema_names():
        Draft202012Validator.check_schema(json_schema(name))


def test_the_schemas_that_ship_are_up_to_date(tmp_path):
    """In a process of its own, without the parts that tests define."""
    code = (
        "import json; from composer.schema import *; "
        "print(json.dumps({name: json_schema(name) for name in schema_names()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    made = json.loads(done.stdout)
    shipped = {path.relative_to(CONF / "schema") for path in (CONF / "schema").rglob("*.json")}
    assert {path.with_suffix("").as_posix() for path in shipped} == made.keys()
    for name, schema in made.items():
        path = CONF / "schema" / f"{name}.json"
        assert json.loads(path.read_text()) == schema, f"make schema  writes {path} anew"


def test_the_command_prints_what_ships(capsys):
    assert main(["schema", "engine"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Composer: engine"
    assert main(["schema"]) == 0
    assert "total_steps" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize("name", ["cartpole_ppo", "pendulum_ppo"])
def test_a_whole_experiment_with_every_default_filled_in_is_valid(experiment, name):
    assert mistakes(experiment, Experiment.load([f"experiment={name}"]).to_data()) == []


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("model/encoder", EncoderConfig),
        ("model/distribution", DistributionConfig),
        ("algorithm", AlgorithmConfig),
    ],
)
def test_every_member_of_a_family_with_every_default_filled_in_is_valid(name, root):
    for tag in root.tags():
        assert mistakes(json_schema(name), root.parse({"type": tag}).to_data()) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "total_steps: 1e6",
        "total_steps: ${oc.env:STEPS}",
        "env:\n  id: ???",
        "env: {wrappers: [a.b.C, {path: a.b.D, kwargs: {x: 1}}]}",
        "defaults: [cartpole_ppo, {override /env: pendulum}, {override /env: my_own}, _self_]",
        "hydra: {sweeper: {max_batch_size: 2}}",
        "model: {encoder: mlp}",
        "model: {encoder: auto, distribution: {type: auto, log_std_init: -1.0}}",
        "model: {encoder: {hidden: [32]}}",
        "model: {encoder: {type: auto, hidden: [32], filters: auto}}",
        "model: {encoder: {type: cnn, filters: [[32, 8, 4], {channels: 8, kernel: [3, 2]}]}}",
        "model: {encoder: {type: conv1d, filters: [[32, 8, 4], {channels: 8, kernel: [3]}]}}",
        "model: {encoder: {type: cnn3d, filters: [[32, 8], {channels: 8, kernel: [3, 2, 1]}]}}",
        "model: {encoder: {type: set, pool: max, norm: running}}",
        "model: {encoder: {type: set, pool: {type: attention, heads: 2}}}",
        "model: {encoder: {type: mlp, activation: LeakyReLU, kernel_initializer: orthogonal}}",
        "model: {encoder: {type: mlp, activation: null, kernel_initializer: zeros_}}",
        "model: {encoder: {kernel_initializer: {type: orthogonal, gain: 0.1}}}",
        "model: {trunks: {critic: {encoder: mlp}}, heads: {policy: {hidden: [64]}}}",
        "model: {trunks: auto}",
        "threads: auto",
        "threads: 4",
        "plugins: [my_pkg.encoders]",
        "catalog: {observation: {flattened: null, vector: {use: {hidden: [32]}}}}",
        "catalog: {action: {mine: {when: {kind: box, shape: [2, {min: 3}]}, use: categorical}}}",
    ],
)
def test_what_the_loader_accepts_is_valid(experiment, text):
    assert mistakes(experiment, read(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "totl_steps: 3",
        "total_steps: fast",
        "total_steps: 0",
        "algorithm: {lrr: 1}",
        "algorithm: {lr: [1]}",
        "algorithm: {type: pppo}",
        "algorithm: {lr_schedule: liner}",
        "algorithm: pppo",
        "env: {num_envs: 0}",
        "model: {encoder: {hiden: [64]}}",
        "model: {encoder: {type: mlp, filters: auto}}",
        "model: {encoder: {type: mlp, hidden: 64}}",
        "model: {encoder: {type: mlp, hidden: [0]}}",
        "model: {encoder: {type: cnn, filters: [{channels: 8, kernel: [1, 2, 3]}]}}",
        "model: {encoder: {type: conv1d, filters: [{channels: 8, kernel: [1, 2]}]}}",
        "model: {encoder: {type: set, pool: meen}}",
        "model: {encoder: {type: set, pool: {type: max, heads: 2}}}",
        "model: {encoder: {activation: rellu}}",
        "model: {encoder: {kernel_initializer: xavier_unifrm}}",
        "model: {heads: {policy: {hiden: [64]}}}",
        "model: {trunks: {critic: {encodr: mlp}}}",
        "catalog: {observation: {mine: {wen: {}}}}",
        "defaults: {override /env: pendulum}",
        "logger: {tensorboard: {typ: tensorboard}}",
        "threads: many",
    ],
)
def test_a_typical_mistake_is_not_valid(experiment, text):
    assert mistakes(experiment, read(text)) != []


def test_docstrings_describe_classes_and_options_inherited_ones_too(experiment):
    ppo = experiment["$defs"]["PPOConfig"]
    assert ppo["description"].startswith("Clipped surrogate objective")
    assert ppo["properties"]["clip"]["description"].startswith("ε of the surrogate")
    assert ppo["properties"]["gamma"]["description"] == "Discount factor of the return."
    assert "description" not in ppo["properties"]["type"]
    assert ppo["properties"]["lr"]["default"] == 2.5e-4


def test_nothing_is_required(experiment):
    assert "required" not in json.dumps(experiment).replace("as required", "")


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_holds_others_of_its_family_is_in_the_schema():
    class NestedConfig(EncoderConfig):
        """Holds others."""

        type: Literal["nested"] = "nested"
        children: Frozen[AutoOr[EncoderConfig]] = FrozenDict()
        first: AutoOr[EncoderConfig] = Auto()

        def refusal(self, space):
            return None

        def out_dim(self, space):
            return 1

        def build(self, space):
            raise NotImplementedError

    schema = json_schema("model/encoder")
    good = {"type": "nested", "children": {"a": "nested", "b": {"children": {"c": "auto"}}}}
    assert mistakes(schema, good) == []
    assert mistakes(schema, {"type": "nested", "children": {"a": {"type": "nestd"}}}) != []


def test_words_name_plugins_and_a_directory_adds_its_options(
    monkeypatch, tmp_path, capsys, plugins
):
    home = tmp_path / "conf" / "env"
    home.mkdir(parents=True)
    (home / "mine.yaml").write_text("id: CartPole-v1\n")
    (tmp_path / "plug_schema.py").write_text(
        "from typing import Literal\n"
        "from composer.memories.base import MemoryConfig\n"
        "class Echo(MemoryConfig):\n"
        '    type: Literal["echo_of_schema"] = "echo_of_schema"\n'
        "    size: int = 3\n"
        '    """Of the echo."""\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["schema", "plugins=[plug_schema]", "--config-dir", "conf"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$defs"]["Echo"]["properties"]["size"]["description"] == "Of the echo."
    listed = schema["properties"]["defaults"]["items"]["anyOf"][1]["properties"]["override /env"]
    assert {"mine", "cartpole"} <= {*listed["anyOf"][0]["enum"]}


def test_a_schema_that_is_not_there_is_told_with_the_nearest(capsys):
    assert main(["schema", "experment"]) == 2
    error = capsys.readouterr().err
    assert "there is no schema of `experment`; did you mean `experiment`?" in error
    assert "try     composer schema experiment" in error
    assert main(["schema", "env", "model"]) == 2
    assert "one schema at a time" in capsys.readouterr().err


def test_the_comment_below_the_package_header_leaves_the_header_in_force(monkeypatch, tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    header = "# @package _global_\n# yaml-language-server: $schema=../schema/experiment.json\n"
    (folder / "mine.yaml").write_text(f"{header}seed: 7\n")
    assert Experiment.load(["experiment=mine"], tmp_path / "conf").config.seed == 7


def test_the_comment_above_the_package_header_takes_its_force_and_is_told(tmp_path, capsys):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    header = "# yaml-language-server: $schema=../schema/experiment.json\n# @package _global_\n"
    (folder / "mine.yaml").write_text(f"{header}seed: 7\n")
    assert ConfigFiles.of(tmp_path / "conf").find("experiment/mine").package == ("experiment",)
    assert main(["explain", "--config-dir", str(tmp_path / "conf"), "experiment=mine"]) == 2
    assert "# @package _global_   as the first line of the file" in capsys.readouterr().err


def test_a_directory_without_yaml_is_no_group_that_a_person_may_mean(tmp_path):
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "experiment.json").write_text("{}")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "one.yaml").write_text(yaml.safe_dump({"a": 1}))
    groups = ConfigFiles.of(tmp_path).groups()
    assert "sets" in groups
    assert "schema" not in groups
