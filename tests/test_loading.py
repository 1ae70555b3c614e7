"""The command line's words → a dict with origins."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from composer.errors import ConfigError, Problem
from composer.experiment import Experiment
from composer.loading import hydra_words, load, options, override


def problems_of(*words, config_dir=None):
    with pytest.raises(ConfigError) as raised:
        load(words, config_dir)
    return raised.value.problems


def problem_of(*words, config_dir=None):
    (problem,) = problems_of(*words, config_dir=config_dir)
    return problem


def test_nothing_said_is_ppo_on_cartpole():
    loaded = load([])
    assert loaded.data["env"] == {"type": "gym", "id": "CartPole-v1"}
    assert loaded.data["algorithm"]["type"] == "ppo"
    assert loaded.data["model"] == {
        "type": "composed",
        "trunks": "auto",
        "encoder": {"type": "auto"},
        "memory": {"type": "none"},
        "distribution": {"type": "auto"},
    }
    assert loaded.data["logger"] == {"tensorboard": {"type": "tensorboard"}}
    assert loaded.choices["env"] == "cartpole"
    assert loaded.choices["model/encoder"] == "auto"
    assert "hydra" not in loaded.data


def test_words_are_kept_as_typed():
    words = ("env=pendulum", "+seed=1")
    assert load(words).words == words


# What is typed


def test_unknown_keys_are_left_to_the_schema_all_at_once():
    data = load(["evn=3", "algorithm.lrr=1", "model.encoder.hiden=[64]"]).data
    assert (data["evn"], data["algorithm"]["lrr"]) == (3, 1)
    assert data["model"]["encoder"] == {"type": "auto", "hiden": [64]}


@pytest.mark.parametrize("word", ["seed=3", "+seed=3", "++seed=3"])
def test_plus_signs_are_allowed_and_not_needed(word):
    assert load([word]).data["seed"] == 3


@pytest.mark.parametrize("word", ["model/encoder=cnn", "model.encoder=cnn", "+model/encoder=cnn"])
def test_a_group_is_chosen_by_slash_or_dot(word):
    loaded = load([word])
    assert loaded.data["model"]["encoder"] == {"type": "cnn"}
    assert loaded.choices["model/encoder"] == "cnn"


def test_a_mapping_is_a_value_even_where_a_group_is():
    loaded = load(["model.encoder={type: mlp, hidden: [3]}"])
    assert loaded.data["model"]["encoder"] == {"type": "mlp", "hidden": [3]}


def test_a_bare_string_below_a_group_is_a_value():
    children = load(["model.encoder.children.image=cnn"]).data["model"]["encoder"]["children"]
    assert children == {"image": "cnn"}


def test_an_empty_mapping_replaces_what_is_there():
    assert load(["model=separate", "model.trunks={}"]).data["model"]["trunks"] == {}


def test_an_empty_mapping_inside_another_replaces_what_is_there():
    words = ["model=separate", "model={trunks: {}}"]
    assert load(words).data["model"]["trunks"] == {}
    assert override({"a": {"b": {"c": 1}}}, ["a={b: {}}"]).data == {"a": {"b": {}}}


def test_a_value_can_be_deleted():
    assert "id" not in load(["~env.id"]).data["env"]


def test_hydras_settings_pass_to_a_sweep():
    assert "hydra.sweep.dir=elsewhere" in hydra_words(["hydra.sweep.dir=elsewhere"], None)


def test_no_experiment_can_be_said():
    assert load(["experiment=null"]).data == load([]).data


def test_an_id_alone_implies_gym():
    assert load(["env.id=Acrobot-v1"]).data["env"] == {"type": "gym", "id": "Acrobot-v1"}
    assert load(["env={id: Acrobot-v1}"]).choices["env"] == "gym"
    assert load(["env=pendulum", "env.id=X"]).choices["env"] == "pendulum"


def test_every_word_in_error_is_reported_at_once():
    assert len(problems_of("foo", "seed=1,2", "experiment=nope", "modle/encoder=cnn")) == 4


def test_an_unknown_group_names_the_nearest():
    problem = problem_of("modle/encoder=cnn")
    assert problem.message == (
        "`modle/encoder=cnn`: there is no group `modle/encoder`; did you mean `model/encoder`?"
    )
    assert problem.fix == "model/encoder=cnn"


def test_an_unknown_option_of_a_file_group_says_where_files_are_looked_for(conf):
    conf("experiment/mine", "seed: 1")
    problem = problem_of("experiment=mien", config_dir="conf")
    assert problem.message == (
        "there is no experiment `mien`; did you mean `mine`?\n"
        "looked for composer/conf/experiment/mien.yaml (built in) and conf/experiment/mien.yaml"
    )
    assert problem.valid[0] == "mine"
    assert problem.fix == "experiment=mine"
    assert problem.origin == "experiment=mien (command line)"


def test_an_unknown_option_without_a_directory_says_how_to_name_one():
    assert "--config-dir DIR" in problem_of("catalog=mine").message


@pytest.mark.parametrize("word", ["env=null", "~env"])
def test_a_run_needs_an_environment(word):
    problem = problem_of(word)
    assert problem.message == f"`{word}`: a run needs one option of `env`"
    assert problem.fix == "env=cartpole"


def test_a_tagged_group_takes_one_option():
    assert problem_of("env=[cartpole,taxi]").message == "`env` takes one option, not a list"


# A type without a YAML


def test_an_option_without_a_yaml_is_a_type():
    loaded = load(["env=maze", "model/encoder=fourier", "algorithm=mine", "engine=cloud"])
    assert loaded.data["env"] == {"type": "maze"}
    assert loaded.data["algorithm"] == {"type": "mine"}
    assert loaded.data["engine"] == {"type": "cloud"}
    assert loaded.data["model"]["encoder"] == {"type": "fourier"}
    assert loaded.origin("env.type") == "env=maze (command line)"


def test_loggers_are_named_by_their_types():
    assert load(["logger=mine"]).data["logger"] == {"mine": {"type": "mine"}}
    assert load(["logger=[tensorboard,mine]"]).data["logger"] == {
        "tensorboard": {"type": "tensorboard"},
        "mine": {"type": "mine"},
    }
    assert load(["logger=none"]).data["logger"] == {}


def test_an_unknown_type_is_reported_as_the_option_that_was_typed():
    error = ConfigError(
        Problem("there is no environment `cartpol`", "env.type", "cartpol", valid=("gym", "maze"))
    )
    (problem,) = load(["env=cartpol"]).with_origins(error).problems
    assert problem.message == "there is no env `cartpol`; did you mean `cartpole`?"
    assert problem.path == "env"
    assert problem.valid[0] == "cartpole"
    assert set(problem.valid) == {*options("env"), "maze"}
    assert problem.fix == "env=cartpole"
    assert problem.origin == "env=cartpol (command line)"


def test_an_experiment_may_select_a_type_without_a_yaml(conf):
    conf(
        "experiment/mine",
        """\
        # @package _global_
        defaults:
          - override /env: maze
        """,
    )
    loaded = load(["experiment=mine"], "conf")
    assert loaded.data["env"] == {"type": "maze"}
    assert loaded.origin("env.type") == "conf/experiment/mine.yaml:3"


# What is typed wins


def test_a_typed_group_wins_over_an_experiments_override(conf):
    conf("experiment/mine", "# @package _global_\ndefaults:\n  - override /env: pendulum\n")
    assert load(["experiment=mine"], "conf").choices["env"] == "pendulum"
    assert load(["experiment=mine", "env=taxi"], "conf").data["env"]["id"] == "Taxi-v3"


def test_a_file_that_undoes_a_typed_group_is_refused(conf):
    conf("experiment/mine", "# @package _global_\n\nmodel:\n  encoder: {type: mlp}\nenv: {id: X}\n")
    encoder, env = sorted(
        problems_of("experiment=mine", "model/encoder=cnn", "env=pendulum", config_dir="conf"),
        key=lambda problem: problem.path,
        reverse=True,
    )
    assert encoder.message == (
        "`model/encoder=cnn` was typed and says cnn, but a plain value in a file undoes it"
    )
    assert (encoder.path, encoder.value) == ("model.encoder.type", "mlp")
    assert encoder.origin == "conf/experiment/mine.yaml:4"
    assert (env.path, env.origin) == ("env.id", "conf/experiment/mine.yaml:5")
    assert "override /env: …" in env.fix


def test_a_tuned_file_that_undoes_a_typed_group_is_refused(conf):
    conf("tuned/frozen_lake_ppo", "# @package _global_\nenv: {id: Taxi-v2}\n")
    problem = problem_of("env=frozen_lake", config_dir="conf")
    assert problem.origin == "conf/tuned/frozen_lake_ppo.yaml:2"


def test_a_type_without_a_yaml_can_be_undone_too(conf):
    conf("experiment/mine", "# @package _global_\nmodel:\n  encoder: mlp\n")
    problem = problem_of("experiment=mine", "model/encoder=fourier", config_dir="conf")
    assert problem.message.startswith("`model/encoder=fourier` was typed and says fourier")
    assert problem.origin == "conf/experiment/mine.yaml:3"


def test_a_typed_value_may_change_a_typed_group(conf):
    assert load(["env=pendulum", "env.id=X"]).data["env"]["id"] == "X"
    conf("experiment/mine", "# @package _global_\nenv: {id: Y}\n")
    data = load(["experiment=mine", "env=pendulum", "env.id=X"], "conf").data
    assert data["env"]["id"] == "X"


def test_what_an_option_pulls_in_itself_does_not_undo_it(conf):
    conf("catalog/mine", "defaults: [_self_, more]\nobservation: {tiny: {why: a}}\n")
    conf("catalog/more", "observation: {tiny: {why: b}}\naction: {}\n")
    assert load(["catalog=mine"], "conf").data["catalog"]["observation"]["tiny"]["why"] == "b"


def test_a_model_preset_may_choose_its_parts(conf):
    conf("model/mine", "defaults:\n  - override encoder: cnn\ntype: composed\n")
    conf("model/plain", "encoder: {type: mlp, hidden: [3]}\n")
    assert load(["model=mine"], "conf").data["model"]["encoder"] == {"type": "cnn"}
    assert load(["model=mine", "model/encoder=mlp"], "conf").choices["model/encoder"] == "mlp"
    plain = load(["model=plain"], "conf").data["model"]["encoder"]
    assert plain == {"type": "mlp", "hidden": [3]}
    problem = problem_of("model=plain", "model/encoder=cnn", config_dir="conf")
    assert problem.origin == "conf/model/plain.yaml:1"


def test_tuned_values_lie_between_the_groups_and_the_experiment(conf):
    conf("tuned/frozen_lake_ppo", "# @package _global_\nseed: 1\nthreads: 1\n")
    conf(
        "experiment/mine", "# @package _global_\ndefaults: [override /env: frozen_lake]\nseed: 2\n"
    )
    loaded = load(["experiment=mine"], "conf")
    assert (loaded.data["seed"], loaded.data["threads"]) == (2, 1)
    assert loaded.choices["tuned"] == "frozen_lake_ppo"
    assert "tuned" not in load(["env=blackjack"]).choices


# The user's directory


def test_a_directory_that_does_not_exist_is_refused(tmp_path):
    assert problem_of(config_dir=tmp_path / "nope").message == (
        f"the configuration directory {tmp_path / 'nope'} does not exist"
    )


def test_a_directory_may_have_any_name(tmp_path):
    home = tmp_path / "it's, a [conf] = {dir}"
    (home / "env").mkdir(parents=True)
    (home / "env" / "maze.yaml").write_text("type: gym\nid: Maze-v0\n")
    assert load(["env=maze"], home).data["env"]["id"] == "Maze-v0"
    assert "maze" in options("env", home)


def test_options_are_found_below_a_group(conf):
    conf("env/grid/small", "type: gym\nid: Small-v0\n")
    assert load(["env=grid/small"], "conf").data["env"]["id"] == "Small-v0"
    assert "grid/small" in options("env", "conf")
    assert options("model") == (
        "auto",
        "cleanrl",
        "custom",
        "rllib_ppo",
        "sb3",
        "separate",
        "shared",
    )


def test_a_file_hidden_by_one_of_ours_is_refused(conf):
    conf("env/cartpole", "type: gym\nid: Mine-v0\n")
    problem = problem_of(config_dir="conf")
    assert problem.message == (
        "conf/env/cartpole.yaml is never read, because composer/conf/env/cartpole.yaml (built in) "
        "comes first; give it another name"
    )
    assert load(["env=taxi"], "conf").choices["env"] == "taxi"


def test_a_base_of_ones_own_is_refused(conf):
    conf("config", "seed: 1\n")
    assert problem_of(config_dir="conf").message == (
        "conf/config.yaml is never read, because composer/conf/config.yaml (built in) comes first; "
        "write an experiment"
    )


def test_a_directory_that_hydra_takes_for_a_group_is_named(conf, tmp_path):
    (tmp_path / "conf" / "plugins").mkdir()
    problem = problem_of("plugins=[mine]", config_dir="conf")
    assert problem.message.startswith("`plugins=[mine]`: `plugins` is taken for a group")


def test_our_own_directory_hides_nothing():
    home = Path(__file__).parent.parent / "conf"
    assert load([], home).data == load([]).data


# Files in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "conf/experiment/mine.yaml:2 is not valid YAML: expected ',' or ']'"),
        (
            "a: 1\nb: 2\na: 3\n",
            "conf/experiment/mine.yaml:3 is not valid YAML: found duplicate key",
        ),
        ("a:\n\tb: 1\n", "conf/experiment/mine.yaml:2 is not valid YAML: found character '\\t'"),
    ],
)
def test_a_syntax_error_names_file_and_line(conf, text, message):
    conf("experiment/mine", text)
    assert problem_of("experiment=mine", config_dir="conf").message.startswith(message)


G = "# @package _global_\n"


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (f"{G}defaults:\n  - override /catalog: defualt\n",
         "there is no catalog `defualt`; did you mean `default`?", ":3"),
        (f"{G}defaults:\n  - nope\n", "there is no experiment `nope`", ":3"),
        (f"{G}defaults:\n  - /evn: taxi\n", "there is no group `evn`; did", ":3"),
        (f"{G}defaults:\n  - override /evn: cartpole\n", "there is no group `evn`; did", ":3"),
        (f"{G}defaults:\n  - /env: pendulum\n", "`env` is chosen already: a file that", ":3"),
        (f"{G}defaults:\n  - override /env: a\n  - cartpole_ppo\n", "lines with `override`", ":3"),
        (f"{G}defaults:\n  a: b\n", "`defaults` is a list", ":2"),
        (f"{G}defaults:\n  - override /env: 3\n", "unsupported item value in defaults", ""),
        (f"{G}defaults:\n  - 3: x\n", "a line of a defaults list is not", ""),
        (f"{G}defaults:\n  - mine\n", "files list one another in a circle", ""),
        (f"{G}env: [1]\n", "a list cannot take the place of a mapping", ":2"),
        (f"{G}~: 1\n", "a key is empty", ""),
        ("# @package a b\nc: 1\n", "too many components", ""),
    ],
)  # fmt: skip
def test_a_file_that_hydra_cannot_compose_is_named(conf, text, message, line):
    conf("experiment/mine", text)
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message.startswith(message)
    assert problem.origin == f"conf/experiment/mine.yaml{line}"


def test_an_experiment_without_its_header_is_told_so(conf):
    conf("experiment/mine", "defaults:\n  - override /env: taxi\n")
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message == (
        "the file's lines are about `experiment` itself, for want of a header"
    )
    assert problem.origin == "conf/experiment/mine.yaml:2"
    assert problem.fix == "# @package _global_   as the first line of the file"


def test_files_that_list_one_another_are_a_circle(conf):
    conf("experiment/a", "defaults: [b]\n")
    conf("experiment/b", "defaults: [a]\n")
    problem = problem_of("experiment=a", config_dir="conf")
    assert problem.message == (
        "files list one another in a circle: experiment/a → experiment/b → experiment/a"
    )


GIVEN = "`{}` is not given: an interpolation takes what a file or a word gives, and not a default"


def test_a_file_that_is_no_text_is_named(conf, tmp_path):
    conf("experiment/mine", "")
    (tmp_path / "conf/experiment/mine.yaml").write_bytes(b"a: \xff\n")
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message.startswith("conf/experiment/mine.yaml is not UTF-8 text")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${nope.x}", GIVEN.format("nope.x")),
        ("${oc.env:COMPOSER_NOPE}", "environment variable 'COMPOSER_NOPE' not found"),
        ("${nope:1}", "unsupported interpolation type nope"),
        (
            "${nope",
            "the interpolation cannot be read: no viable alternative at input '${nope'",
        ),
    ],
)
def test_an_interpolation_that_leads_nowhere_names_its_line(conf, value, message):
    conf("experiment/mine", f"# @package _global_\nthreads: 1\nseed: '{value}'\n")
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message == message
    assert problem.origin == "conf/experiment/mine.yaml:3"


def test_a_typed_interpolation_that_leads_nowhere_names_the_word():
    problem = problem_of("seed=${nope}")
    assert problem.message == GIVEN.format("nope")
    assert (problem.path, problem.value) == ("seed", "${nope}")
    assert problem.origin == "seed=${nope} (command line)"


def test_a_word_that_cannot_be_merged_is_named():
    problem = problem_of("catalog.observation=[1]")
    assert problem.origin == "catalog.observation=[1] (command line)"


def test_interpolations_in_a_circle_are_refused(conf):
    conf("experiment/mine", "# @package _global_\na: ${b}\nb: ${a}\n")
    problem = problem_of("experiment=mine", config_dir="conf")
    assert (problem.message, problem.path) == ("recursive interpolation detected", "a")


def test_values_still_to_be_given_are_all_named(conf):
    conf("experiment/mine", "# @package _global_\nseed: ???\nalgorithm:\n  lrx: ???\n")
    lr, seed = sorted(
        problems_of("experiment=mine", config_dir="conf"), key=lambda problem: problem.path
    )
    assert lr.message == seed.message == "needs a value"
    assert (lr.path, lr.origin) == ("algorithm.lrx", "conf/experiment/mine.yaml:4")
    assert seed.fix == "seed=…"
    assert load(["experiment=mine", "seed=1", "algorithm.lrx=1"], "conf").data["seed"] == 1


@pytest.mark.parametrize(
    ("key", "path", "read"),
    [
        ("on", "model.True", "an unquoted on, yes or true as a boolean"),
        ("0", "model.0", "`0` as a number"),
    ],
)
def test_keys_that_yaml_does_not_read_as_text_are_refused(conf, key, path, read):
    conf("experiment/mine", f"# @package _global_\nmodel:\n  {key}: 1\n")
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message == f"a key is text, and YAML reads {read}: put the key in quotes"
    assert (problem.path, problem.origin) == (path, "conf/experiment/mine.yaml:3")


# Sweeps, Hydra's jobs, complete configurations


def test_sweeps_pass_through_to_hydras_runner(conf):
    words = hydra_words(
        ["seed=0,1", "model.encoder=cnn,mlp", "env.id=A,B", "hydra.sweep.dir=x"], "conf"
    )
    search, *rest = words
    assert search == f"hydra.searchpath=['file://{Path('conf').resolve()}']"
    assert sorted(rest) == sorted(
        ["++seed=0,1", "model/encoder=cnn,mlp", "++env.id=A,B", "env=gym", "hydra.sweep.dir=x"]
    )


def test_an_unknown_experiment_in_a_sweep_is_refused_before_it_starts():
    with pytest.raises(ConfigError, match="there is no experiment `nope`"):
        hydra_words(["experiment=cartpole_ppo,nope"], None)


def test_rewritten_words_can_be_loaded_again(conf):
    conf("env/maze", "type: gym\nid: Maze-v0\n")
    words = ["env=maze", "logger=mine", "model.trunks={}", "seed=3"]
    assert load(hydra_words(words, "conf"), "conf").data == load(words, "conf").data


def test_loading_works_inside_a_hydra_job_and_leaves_it_as_it_was():
    with initialize_config_module("composer.conf", version_base="1.3", job_name="outer"):
        outer = GlobalHydra.instance().hydra
        assert load(["env=taxi"]).origin("env.id").startswith("composer/conf/env/taxi.yaml")
        assert GlobalHydra.instance().hydra is outer
        assert compose("config").env.id == "CartPole-v1"


def test_a_complete_configuration_takes_typed_values_only():
    data = {"env": {"type": "gym", "id": "X"}, "seed": 1, "a": {"b": 1}}
    loaded = override(data, ["seed=2", "a={c: 3}"])
    assert loaded.data == {"env": {"type": "gym", "id": "X"}, "seed": 2, "a": {"b": 1, "c": 3}}
    assert loaded.origin("seed") == "seed=2 (command line)"
    assert loaded.origin("env.id") is None
    assert override(data, ["a={}"]).data["a"] == {}
    with pytest.raises(ConfigError) as raised:
        override(data, ["env=taxi", "~seed"])
    assert [problem.message for problem in raised.value.problems] == [
        "`env=taxi` chooses a preset, and what is changed here is complete already: give values",
        "`~seed` takes something away, and what is changed here is complete already: give values",
    ]


def test_a_complete_configuration_may_get_another_environment_id():
    assert override({"env": {"id": "X"}}, ["env.id=Y"]).data == {"env": {"id": "Y"}}


def test_loading_does_not_import_torch():
    code = "import sys, composer.loading as l; l.load([]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


# A part that is named by a word, and has fields


NAMED = [
    ("model.encoder.children.image=impala_cnn", "model.encoder.children.image.hidden=[64]"),
    ("model.encoder.children.a.children.b=mlp", "model.encoder.children.a.children.b.hidden=[64]"),
    ("model.encoder.children={image: impala_cnn}", "model.encoder.children.image.hidden=[64]"),
    ("model.encoder.children.image=impala_cnn", "model.encoder.children={image: {hidden: [64]}}"),
    ("model.encoder.combine=attention", "model.encoder.combine.heads=3"),
    ("model.encoder.pool=attention", "model.encoder.pool.heads=3"),
    ("model.distribution.children.steer=beta", "model.distribution.children.steer.hidden=[64]"),
    ("model.trunks.critic.encoder=mlp", "model.trunks.critic.encoder.hidden=[64]"),
    ("model.encoder.kernel_initializer=orthogonal", "model.encoder.kernel_initializer.gain=2"),
    ("catalog.observation.image.use=impala_cnn", "catalog.observation.image.use.hidden=[64]"),
]


def part_of(data, words):
    """The mapping that two words are about."""
    fields = [path.partition("=")[0].split(".") for path in words]
    for part in max((path for path in fields), key=len)[:-1]:
        data = data[part]
    return data.get("image", data)


@pytest.mark.parametrize("words", [*NAMED, *(words[::-1] for words in NAMED)], ids=str)
def test_a_part_named_by_a_word_keeps_its_fields_in_any_order(words):
    loaded = load(words)
    part = part_of(loaded.data, words)
    name = next(word for word in words if "[" not in word and not word[-1].isdigit())
    assert part["type"] == name.rstrip("}").replace(": ", "=").rpartition("=")[2]
    assert len(part) == 2


def test_auto_keeps_the_fields_typed_beside_it_in_any_order():
    words = ["model.encoder.children.image=auto", "model.encoder.children.image.hidden=[64]"]
    for typed in (words, words[::-1]):
        assert load(typed).data["model"]["encoder"]["children"] == {"image": {"hidden": [64]}}


def test_auto_takes_away_what_a_file_says():
    assert load(["model=separate", "model.trunks=auto"]).data["model"]["trunks"] == "auto"


def test_a_part_named_in_a_file_keeps_its_name_beside_a_typed_field(conf):
    text = "# @package _global_\nmodel: {encoder: {children: {image: impala_cnn}}}\n"
    conf("experiment/mine", text)
    word = "model.encoder.children.image.hidden=[64]"
    loaded = load(["experiment=mine", word], "conf")
    children = loaded.data["model"]["encoder"]["children"]
    assert children == {"image": {"type": "impala_cnn", "hidden": [64]}}
    path = "model.encoder.children.image"
    assert loaded.origin(f"{path}.type") == "conf/experiment/mine.yaml:2"
    assert loaded.origin(f"{path}.hidden") == f"{word} (command line)"


def test_fields_in_a_file_stay_beside_a_typed_name(conf):
    text = "# @package _global_\nmodel: {encoder: {children: [mlp, {hidden: [64]}]}}\n"
    conf("experiment/mine", text)
    words = ["model.encoder.children.0.hidden=[3]", "model.encoder.children.1=mlp"]
    assert load(["experiment=mine", *words], "conf").data["model"]["encoder"]["children"] == [
        {"type": "mlp", "hidden": [3]},
        {"hidden": [64], "type": "mlp"},
    ]


def test_the_arguments_of_an_environment_are_no_parts(conf):
    conf("experiment/mine", "# @package _global_\nenv: {kwargs: {a: {b: 1}, c: x}}\n")
    words = ["experiment=mine", "env.kwargs.a=y", "env.kwargs.c.d=2"]
    assert load(words, "conf").data["env"]["kwargs"] == {"a": "y", "c": {"d": 2}}


@pytest.mark.parametrize(
    "words",
    [
        ("env.kwargs.a=x", "env.kwargs.a.b=1"),
        ("model.encoder.norm=null", "model.encoder.norm.x=1"),
        ("algorithm.lr=0.1", "algorithm.lr.start=0.2"),
        ("model.encoder.children.a=cnn", "model.encoder.children.a.type=mlp"),
    ],
)
def test_a_plain_value_and_something_below_it_cannot_both_be(words):
    for typed in (words, words[::-1]):
        problem = problem_of(*typed)
        assert problem.message == f"`{words[0]}` and `{words[1]}` cannot both be: give one"
        assert problem.fix == words[1]


def test_a_file_whose_fields_take_away_a_name_is_refused(conf):
    G = "# @package _global_\n"
    conf("experiment/one", G + "model: {encoder: {children: {image: impala_cnn}}}\n")
    text = "defaults: [one]\nmodel: {encoder: {children: {image: {SAYhidden: [64]}}}}\n"
    conf("experiment/mine", G + text.replace("SAY", ""))
    problem = problem_of("experiment=mine", config_dir="conf")
    assert problem.message.startswith("takes away `impala_cnn`, which another file gives")
    assert (problem.origin, problem.fix) == (
        "conf/experiment/mine.yaml:3",
        "image: {type: impala_cnn}",
    )
    conf("experiment/mine", G + text.replace("SAY", "type: impala_cnn, "))
    children = load(["experiment=mine"], "conf").data["model"]["encoder"]["children"]
    assert children == {"image": {"type": "impala_cnn", "hidden": [64]}}


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("env=atari=pong", "env=atari/pong"),
        ("model=encoder=cnn", "model/encoder=cnn"),
        ("env=Pong-v5", "env=atari/pong"),
        ("env=SpaceInvaders-v5", "env=atari/space_invaders"),
        ("env=LunarLander-v3", "env.id=LunarLander-v3"),
        ('model.encoder.children={"a.b": mlp}', "'model.encoder.children={a.b: mlp}'"),
    ],
)
def test_a_word_in_another_notation_has_the_line_in_ours(word, line):
    with pytest.raises(ConfigError) as raised:
        Experiment.load([word])
    (problem,) = raised.value.problems
    assert problem.fix == line
    load(shlex.split(line))
