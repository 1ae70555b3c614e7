"""Words of the command line that are not quite right, and the line that is."""

import shlex

import pytest

from composer.errors import ComposerError, ConfigError
from composer.experiment import Experiment
from composer.loading import jobs, load


def problems_of(*words):
    with pytest.raises(ConfigError) as raised:
        load(words)
    return raised.value.problems


def problem_of(*words):
    (problem,) = problems_of(*words)
    return problem


@pytest.mark.parametrize(
    ("words", "count", "fix"),
    [
        (["algorithm.lr", "=0.1"], 2, "algorithm.lr=0.1"),
        (["algorithm.lr", "=", "0.1"], 3, "algorithm.lr=0.1"),
        (["algorithm.lr=", "0.1"], 2, "algorithm.lr=0.1"),
        (["model.encoder.hidden=[64,", "64]"], 2, "'model.encoder.hidden=[64, 64]'"),
        (["model.encoder.hidden=[64", "64]"], 2, "'model.encoder.hidden=[64, 64]'"),
        (
            ["model.encoder={type:", "mlp,", "hidden:", "[3]}"],
            4,
            "'model.encoder={type: mlp, hidden: [3]}'",
        ),
    ],
)
def test_a_word_that_the_shell_has_cut_is_one_error_and_one_word(words, count, fix):
    problem = problem_of("seed=1", *words, "threads=2")
    assert problem.message.startswith(f"`{' '.join(words)}` reaches Composer as {count} words: ")
    assert problem.fix == fix
    assert load(["seed=1", *shlex.split(fix), "threads=2"]).data["threads"] == 2


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ('algorithm.lr ="0.1"', "algorithm.lr=0.1"),
        ("seed = 3", "seed=3"),
        ("seed:3", "seed=3"),
        ("seed==3", "seed=3"),
        ("model.encoder.hidden=(32,32)", "'model.encoder.hidden=[32,32]'"),
        ("model.encoder.hidden=[64", "'model.encoder.hidden=[64]'"),
        ("model.encoder.hidden=[64,64]]", "'model.encoder.hidden=[64,64]'"),
        ("env.kwargs.x=a b; c", "\"env.kwargs.x='a b; c'\""),
        ("env=pendulum,", "env=pendulum"),
        ("pendulm", "env=pendulum"),
        ("ppo", "algorithm=ppo"),
    ],
)
def test_a_word_that_cannot_be_read_says_what_was_meant(word, fix):
    problem = problem_of(word)
    assert "cannot be read" in problem.message
    assert problem.fix == fix
    load(shlex.split(fix))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("=3", "`=3` cannot be read: expected `key=value`"),
        ("", "`` cannot be read: expected `key=value`"),
    ],
)
def test_a_word_that_may_mean_anything_gets_the_groups(word, message):
    problem = problem_of(word)
    assert problem.message.startswith(message)
    assert problem.fix is None
    assert {"env", "algorithm", "model/encoder"} <= set(problem.valid)


@pytest.mark.parametrize(
    ("word", "rule", "fix"),
    [
        ("foo", "expected `key=value`", "foo=…"),
        ("a..b=1", "it is made of names with dots between them", "a.b=1"),
        ("a[0]=1", "a list is given as a whole", "'a=[1]'"),
        ("tota[l_steps=1", "a list is given as a whole", "total_steps=1"),
        ("(seed=1", "it is made of names with dots between them", "seed=1"),
        ("=seed=1", "expected `key=value`", "seed=1"),
        ("a=[1,,2]", "text with special characters is quoted", "'a=[1,2]'"),
        ("a=[1,2,]", "text with special characters is quoted", "'a=[1,2]'"),
        ("env=car}", "text with special characters is quoted", "\"env='car}'\""),
    ],
)
def test_a_word_that_cannot_be_read_says_what_set_it_and_a_line(word, rule, fix):
    problem = problem_of(word)
    assert problem.message.endswith(rule)
    assert (problem.fix, problem.origin) == (fix, f"{word} (command line)")


@pytest.mark.parametrize(
    "word", ["env=null", "seed=0,1", "model/encodr=mlp", "env.x@=1", "hydra.run.dir=z", "~sed"]
)
def test_every_word_in_error_is_where_the_error_was_set(word):
    problem = problem_of(word)
    assert problem.origin == f"{word} (command line)"
    assert problem.fix or problem.valid


def test_two_words_that_are_each_in_error_are_not_one():
    assert [problem.message for problem in problems_of("seed", "env=pendulum", "=3")] == [
        "`seed` cannot be read: expected `key=value`",
        "`=3` cannot be read: expected `key=value`",
    ]


@pytest.mark.parametrize(
    ("word", "cure", "fix"),
    [
        ("hydra.run.dir=zz", "train has --run-dir", "composer train --run-dir zz"),
        (
            "hydra.sweep.dir=zz",
            "only a sweep has Hydra's settings",
            "composer train -m hydra.sweep.dir=zz",
        ),
        ("~hydra.run", "only a sweep has Hydra's settings", "composer train -m '~hydra.run'"),
    ],
)
def test_a_setting_of_hydra_that_a_run_does_not_use_is_refused(word, cure, fix):
    problem = problem_of(word)
    assert problem.message == f"`{word}` would have no effect: {cure}"
    assert problem.fix == fix


@pytest.mark.parametrize("word", ["seed=0,1", "seed=choice(0,1)", "seed=range(3)", "env=a,b"])
def test_a_sweep_is_refused_and_says_what_takes_one(word):
    problem = problem_of(word)
    assert problem.message == f"`{word}` is several values, which only a sweep takes" + (
        "; a list is written seed=[0,1]" if word == "seed=0,1" else ""
    )
    assert problem.fix == f"composer train -m {shlex.quote(word)}"


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("env=taxi", "['env=taxi']"),
        ([3], '["env=cartpole", "seed=1"]'),
        ({"env": "cartpole"}, '["env=cartpole", "seed=1"]'),
        (None, '["env=cartpole", "seed=1"]'),
        (3, '["env=cartpole", "seed=1"]'),
    ],
)
def test_words_are_a_list(words, fix):
    with pytest.raises(ConfigError) as raised:
        Experiment.load(words)
    (problem,) = raised.value.problems
    assert problem.message.startswith("the words are a list of texts, one for each `key=value`")
    assert problem.fix == fix


def schema_problem(*words):
    with pytest.raises(ComposerError) as raised:
        Experiment.load(words).spaces  # noqa: B018 - made to find the environment
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize(
    ("word", "right", "fix"),
    [
        ("alg=ppo", "algorithm", "algorithm=ppo"),
        ("encoder=mlp", "model.encoder", "model/encoder=mlp"),
        ("lr=0.1", "algorithm.lr", "algorithm.lr=0.1"),
        ("gama=0.9", "algorithm.gamma", "algorithm.gamma=0.9"),
        ("hidden=[64]", "model.encoder.hidden", "model.encoder.hidden='[64]'"),
        ("total_step=5", "total_steps", "total_steps=5"),
        ("algorithm.total_steps=5", "total_steps", "total_steps=5"),
        ("num_envs=3", "env.num_envs", "env.num_envs=3"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_the_right_one(word, right, fix):
    problem = schema_problem(word)
    assert problem.message.endswith(f"; did you mean `{right}`?")
    assert problem.valid[0] == right
    assert problem.fix == fix
    Experiment.load(shlex.split(fix))


def test_a_name_that_nothing_is_close_to_gets_no_suggestion():
    for word, fix in (("env.id=Nope", "composer ls env"), ("width=3", None)):
        problem = schema_problem(word)
        assert "did you mean" not in problem.message
        assert problem.fix == fix


def test_one_value_where_a_list_is_wanted_is_told_the_list():
    assert schema_problem("model.encoder={type: mlp, hidden: 64}").fix == (
        "model.encoder.hidden='[64]'"
    )


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("algorithm.lr='0.1'", "algorithm.lr=0.1"),
        ("seed=1.0", "seed=1"),
        ("plugins=json", "plugins='[json]'"),
        ("model.heads={vlue: {hidden: [3]}}", "model.heads.value.hidden='[3]'"),
        ("n_envs=4", "env.num_envs=4"),
        ("enviroment=pendulum", "env=pendulum"),
    ],
)
def test_a_value_of_another_kind_and_a_name_that_is_nearly_right_are_told_the_line(word, fix):
    assert schema_problem(word).fix == fix
    Experiment.load(shlex.split(fix))


def test_a_number_that_is_no_integer_is_not_made_one():
    assert schema_problem("seed='1.5'").fix == "seed=0"


def test_words_in_one_pair_of_quotes_are_told_apart():
    problem = problem_of("env=taxi model.encoder={type: mlp} seed=1")
    assert problem.message.startswith("the value of `env=taxi model.encoder={type: mlp} seed=1`")
    problem = problem_of("env=taxi seed=1")
    assert problem.message == "`env=taxi seed=1` is 2 words in one: quotes go around each"
    assert problem.fix == "env=taxi seed=1"


@pytest.mark.parametrize(
    ("word", "why", "fix"),
    [
        ("~zzz", "nothing gives `zzz`", None),
        ("~total_step", "nothing gives `total_step`", "'~total_steps'"),
        ("~total_steps=7", "`total_steps` is 60000", "'~total_steps'"),
        (
            "~catalog.observation.imge",
            "nothing gives `catalog.observation.imge`",
            "'~catalog.observation.image'",
        ),
        ("~model=shared", "another option of `model` is chosen, or none", "'~model'"),
    ],
)
def test_what_cannot_be_taken_away_is_said_in_our_words(word, why, fix):
    problem = problem_of("experiment=cartpole_ppo", word)
    assert problem.message == f"`{word}` takes nothing away: {why}"
    assert (problem.fix, problem.origin) == (fix, f"{word} (command line)")
    if fix:
        load(["experiment=cartpole_ppo", *shlex.split(fix)])


def test_words_are_taken_in_their_order():
    assert load(["seed=1", "~seed", "seed=2"]).data["seed"] == 2
    assert "seed" not in load(["seed=1", "~seed=1"]).data
    assert "nothing gives `seed`" in problem_of("~seed", "seed=1").message


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("env@foo=taxi", "env=taxi"),
        ("e@nv=taxi", "env=taxi"),
        ("total@_steps=1", "total_steps=1"),
        ("model/encoder@model.trunks.critic.encoder=mlp", "model.trunks.critic.encoder=mlp"),
    ],
)
def test_an_option_stays_where_its_group_says(word, fix):
    problem = problem_of(word)
    assert problem.message.startswith(f"`{word}`: `@` puts an option elsewhere")
    assert problem.fix == fix
    load([fix])


def test_what_nothing_can_mend_is_taken_away():
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["env.kwargs.nope=3"]).blueprint  # noqa: B018
    assert raised.value.problems[0].fix == "'~env.kwargs'"
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["plugins=[[4]]"])
    assert raised.value.problems[0].fix == "plugins='[]'"


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("logger=non.", "logger=none"),
        ("algorithm=${env}", None),
        (f"algorithm=ppo{'x' * 400}", "algorithm=ppo"),
        ("~catalog.observation.ima@ge", "'~catalog.observation.image'"),
    ],
)
def test_a_slip_that_hydra_stumbles_over_is_told(word, fix):
    problem = problem_of(word)
    assert (problem.fix, problem.origin) == (fix, f"{word} (command line)")
    assert problem.fix or problem.valid


def test_a_list_typed_in_place_of_a_mapping_names_the_mapping():
    problem = problem_of("model.encoder=[1,2]")
    assert (problem.path, problem.value) == ("model.encoder", [1, 2])
    assert problem.fix == "'model.encoder={type: …}'"


def test_a_type_set_by_a_word_is_what_a_part_that_does_not_fit_was_set_by():
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["model.encoder.type=cnn"]).blueprint  # noqa: B018
    (problem,) = raised.value.problems
    assert (problem.path, problem.origin) == (
        "model.encoder",
        "model.encoder.type=cnn (command line)",
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("seed=1", "seed=2"),
        ("env=cartpole", "env=pendulum"),
        ("model/encoder=mlp", "model.encoder=cnn"),
        ("algorithm.lr=1e-3", "+algorithm.lr=1e-2"),
        ("logger=none", "logger=tensorboard"),
    ],
)
def test_words_that_contradict_one_another_are_refused(earlier, later):
    problem = problem_of(earlier, "threads=2", later)
    assert problem.message == f"`{earlier}` and `{later}` cannot both be: give one"
    assert (problem.origin, problem.fix) == (f"{later} (command line)", later)


@pytest.mark.parametrize(
    "words",
    [
        ("seed=1", "seed=1"),
        ("env=pendulum", "env='pendulum'"),
        ("algorithm.lr=1e-3", "algorithm.lr=0.001"),
        ("model.encoder={type: mlp}", "model.encoder.hidden=[1]"),
        ("model.encoder.hidden=[1]", "model.encoder={type: mlp}"),
        ("env=gym", "env={id: Taxi-v3}"),
        ("x={a: 1}", "x={b: 2}"),
        ("seed=1", "~seed", "seed=2"),
    ],
)
def test_words_that_add_to_one_another_are_taken(words):
    load(words)


@pytest.mark.parametrize("name", ["LunarLander-v3", "ALE/Pong-v5", "composer.testing:Counter-v0"])
def test_the_id_of_an_environment_is_not_its_option(name):
    with pytest.raises(ConfigError) as raised:
        Experiment.load([f"env={name}"])
    (problem,) = raised.value.problems
    assert problem.message.startswith(f"there is no env `{name}`")
    assert problem.fix == f"env.id={name}"


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("algorithm/lr=3", "algorithm.lr=3"),
        ("env/id=Taxi-v3", "env.id=Taxi-v3"),
        ("model/encoder/hidden=[3]", "'model.encoder.hidden=[3]'"),
    ],
)
def test_a_setting_with_slashes_is_told_with_dots(word, fix):
    problem = problem_of(word)
    assert "has dots in its path" in problem.message
    assert problem.fix == fix
    load(shlex.split(fix))


def test_a_word_below_a_plain_value_of_a_file_is_what_replaced_it():
    problem = schema_problem("algorithm.lr.foo=3")
    assert (problem.path, problem.origin) == (
        "algorithm.lr",
        "algorithm.lr.foo=3 (command line)",
    )


@pytest.mark.parametrize(
    ("words", "sweep"), [(["seed=0,,1"], "seed=0,1"), (["seed=0,", "1"], "'seed=0, 1'")]
)
def test_values_of_a_sweep_that_were_mistyped_are_told_as_a_sweep(words, sweep):
    assert problem_of(*words).fix == f"composer train -m {sweep}"
    with pytest.raises(ConfigError) as raised:
        jobs(words)
    assert raised.value.problems[0].fix == sweep
    assert len(jobs(shlex.split(sweep))) == 2


def test_the_directory_of_a_run_is_told_what_takes_it(tmp_path):
    (tmp_path / "experiment.json").touch()
    with pytest.raises(ComposerError, match="is the directory of a run, which `eval`") as raised:
        load([str(tmp_path)])
    assert raised.value.problems[0].fix == f"composer eval {tmp_path}"


def test_a_word_that_is_too_long_for_the_name_of_a_file_is_told():
    with pytest.raises(ConfigError, match="cannot be read"):
        Experiment.load(["x" * 5000])
