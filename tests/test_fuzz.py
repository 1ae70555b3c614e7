"""Valid experiments, mutated: what is still valid builds and steps, what is not is told.

Never another exception than ComposerError, never a key that is silently ignored. More cases than
CI runs: `make fuzz`.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from composer.columns import Columns
from composer.config import Auto
from composer.errors import ComposerError
from composer.experiment import Experiment
from composer.loading import Loader
from tests.strategies import (
    BASES,
    as_word,
    at,
    defaults_lists,
    mistyped,
    mutated,
    paths,
    said_in_words,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))
LARGEST = 2_000_000
"""Parameters of a model that is still built."""


def fuzzed(share: int = 1) -> settings:
    """The settings of a test that runs one in `share` of the examples: a file takes many times the
    time of a word.
    """
    return settings(
        max_examples=max(1, EXAMPLES // share),
        deadline=None,
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )


def require_helpful(error: ComposerError) -> None:
    """Each problem says where it is, and what to do about it."""
    for problem in error.problems:
        note(problem.render())
        assert problem.message
        assert problem.path or problem.origin, "it does not say where"
        assert problem.fix or problem.valid, "it does not say what to type"


def require_reflected(said: Any, found: Any, path: str = "") -> None:
    """What was said is in the experiment; what was not said may be anything."""
    if said == "auto" or (isinstance(said, str) and "${" in said):
        return
    if isinstance(said, list | tuple) and isinstance(found, Mapping):  # a layer's [4, 3, 1]
        found = list(found.values())[: len(said)]
    if isinstance(found, list | tuple) and all(item == said for item in found):  # 3, for [3, 3]
        return
    if isinstance(said, Mapping) and (said or isinstance(found, Mapping)):
        if isinstance(found, str):
            found = {"type": found}
        assert isinstance(found, Mapping), f"{path} was said to be {said}, and is {found}"
        for key, value in said.items():
            assert key in found or value is None, f"{path}.{key} was ignored"
            require_reflected(value, found.get(key), f"{path}.{key}")
    elif isinstance(found, Mapping) and isinstance(said, str):
        assert found.get("type", said) == said, f"{path} was said to be {said}, and is {found}"
    elif isinstance(said, list | tuple) and isinstance(found, list | tuple):
        assert len(said) == len(found), f"{path} was said to be {said}, and is {found}"
        for index, (one, other) in enumerate(zip(said, found, strict=True)):
            require_reflected(one, other, f"{path}[{index}]")
    else:
        assert said == found, f"{path} was said to be {said!r}, and is {found!r}"


def require_works(experiment: Experiment) -> None:
    """The model is built, acts in its environment, and can be trained."""
    blueprint = experiment.blueprint
    if blueprint.parameter_count > LARGEST:
        return
    module = blueprint.build(seed=0)
    envs = experiment.config.env.make(1)
    try:
        obs, _ = envs.reset(seed=0)
        step = module.act(obs)
        envs.step(step.env_actions)
    finally:
        envs.close()
    out = module.forward_train({Columns.OBS: torch.as_tensor(obs)})
    distribution = module.action_distribution(out)
    assert torch.isfinite(distribution.log_prob(step.actions)).all()


def require_arrived(experiment: Experiment) -> None:
    """What is said of the main encoder and of the distribution is in the blueprint."""
    model: Any = experiment.config.model
    nodes: dict[str, Any] = {node.name: node for node in experiment.blueprint.nodes}
    for name, part in (("main.encoder", model.encoder), ("distribution", model.distribution)):
        said = part.hints if isinstance(part, Auto) else part.to_data()
        require_reflected(said, nodes[name].config.to_data(), name)


def check(load: Any, *said: Mapping[str, Any]) -> None:
    """The experiment works and reflects each thing said, or the error is helpful."""
    try:
        experiment = load()
        experiment.blueprint  # noqa: B018 - composed
    except ComposerError as error:
        require_helpful(error)
    else:
        for one in said:
            require_reflected(one, experiment.to_data())
        require_arrived(experiment)
        require_works(experiment)


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fuzz") / "conf"
    (directory / "experiment").mkdir(parents=True)
    return directory


@fuzzed(8)
@given(tree=mutated())
def test_a_mutated_file_works_or_is_told(conf, tree) -> None:
    write(conf, tree)
    check(lambda: Experiment.load(["experiment=mine"], conf), tree)


@fuzzed(8)
@given(tree=st.sampled_from(BASES), defaults=defaults_lists())
def test_a_mutated_defaults_list_works_or_is_told(conf, tree, defaults) -> None:
    write(conf, {"defaults": defaults, **tree})
    check(lambda: Experiment.load(["experiment=mine"], conf), tree)


def write(conf: Any, tree: Any) -> None:
    plain = json.loads(json.dumps(tree))  # nothing twice, which YAML would write as an alias
    text = "# @package _global_\n" + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    note(text)
    (conf / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")


LOADER = Loader()


@fuzzed()
@given(tree=mutated(), data=st.data())
def test_mutated_words_work_or_are_told(tree, data) -> None:
    leaves = [path for path in paths(tree) if not isinstance(at(tree, path), dict | list)]
    leaves = [path for path in leaves if all(isinstance(key, str) for key in path)]
    kept = data.draw(st.lists(st.sampled_from(leaves or [()]), min_size=1, max_size=8, unique=True))
    said = [(path, at(tree, path)) for path in kept if path]
    words = [f"{'.'.join(map(str, path))}={as_word(value)}" for path, value in said]
    note(repr(words))
    check(lambda: Experiment.from_loaded(LOADER.load(words)), *map(as_tree, said))


@pytest.fixture(scope="module")
def loaders(conf):
    for index, tree in enumerate(BASES):
        text = "# @package _global_\n" + yaml.safe_dump(tree)
        (conf / "experiment" / f"base{index}.yaml").write_text(text)
    return Loader(conf)


@fuzzed(3)
@given(index=st.integers(0, len(BASES) - 1), data=st.data())
def test_words_over_a_file_work_or_are_told(loaders, index, data) -> None:
    said = data.draw(said_in_words(BASES[index]))
    words = [word for word, _, _ in said]
    note(repr((index, words)))
    last = [
        as_tree((path, value))
        for position, (word, path, value) in enumerate(said)
        if path and not word.startswith("~")
        if not any(overlap(path, later) for _, later, _ in said[position + 1 :])
    ]
    check(lambda: Experiment.from_loaded(loaders.load([f"experiment=base{index}", *words])), *last)


def overlap(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def as_tree(said: tuple[tuple[Any, ...], Any]) -> Any:
    """`{"a": {"b": value}}` of a path and a value."""
    path, value = said
    return {path[0]: as_tree((path[1:], value))} if path else value


@fuzzed()
@given(word=mistyped())
def test_mistyped_words_work_or_are_told(word) -> None:
    note(word)
    check(lambda: Experiment.from_loaded(LOADER.load([word])))
