"""Valid experiments, mutated: what is still valid builds and steps, what is not is told.

Never another exception than ComposerError, never a key that is silently ignored. More cases than
CI runs: `FUZZ_EXAMPLES=20000 pytest tests/test_fuzz.py --hypothesis-seed=random`.
"""

import copy
import math
import os
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from composer.columns import Columns
from composer.errors import ComposerError
from composer.experiment import Experiment
from composer.loading import Loader

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1200"))
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
LARGEST = 2_000_000
"""Parameters of a model that is still built."""

RUN: dict[str, Any] = {
    "algorithm": {
        "type": "ppo",
        "lr": 1e-3,
        "gamma": 0.9,
        "rollout_steps": 8,
        "epochs": 2,
        "num_minibatches": 1,
        "lr_schedule": "constant",
        "value_clip": None,
        "normalize_advantages": "rollout",
    },
    "catalog": {"observation": {"vector": {"use": {"hidden": [8]}, "priority": 1}}},
    "evaluation": {"every": 0, "episodes": 2, "deterministic": True, "seed": None},
    "checkpoint": {"every": 1000, "keep": 1},
    "logging": {"every": 100},
    "logger": {"tensorboard": {"type": "tensorboard"}},
    "total_steps": 1000,
    "seed": 1,
    "threads": 1,
    "plugins": [],
}
BASES: list[dict[str, Any]] = [
    RUN
    | {
        "env": {"id": "CartPole-v1", "num_envs": 2, "vectorization": "sync"},
        "model": {
            "encoder": {
                "type": "mlp",
                "hidden": [8, 8],
                "activation": "relu",
                "layer_norm": True,
                "kernel_initializer": {"type": "orthogonal", "gain": 1.2},
            },
            "trunks": {"critic": {"encoder": {"type": "mlp", "hidden": [4]}}},
            "heads": {"policy": {"hidden": [4]}, "value": {"reads": "critic"}},
            "distribution": {"type": "categorical"},
        },
    },
    RUN
    | {
        "env": {"id": "Pendulum-v1", "num_envs": 1, "kwargs": {"g": 9.0}},
        "model": {
            "encoder": {"type": "auto", "hidden": [8]},
            "trunks": {},
            "heads": {"value": {"stop_gradient": ["main"]}},
            "distribution": {"type": "diag_gaussian", "log_std": "dependent", "log_std_max": 1.0},
        },
    },
    RUN
    | {
        "env": {"id": "composer.testing:ImageBandit-v0", "num_envs": 1},
        "model": {
            "encoder": {
                "type": "cnn",
                "filters": [[4, 3, 1], [8, 3, 2]],
                "hidden": [8],
                "layout": "auto",
            },
        },
    },
    RUN
    | {
        "env": {"id": "composer.testing:ContextualBandit-v0", "num_envs": 1},
        "model": {"encoder": {"type": "one_hot", "hidden": []}, "memory": {"type": "none"}},
    },
]

Path = tuple[str | int, ...]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 3, 64, 10**6, 10**13]),
    st.sampled_from([-0.5, 0.0, 1e-9, 0.5, 1.0, 1.5, 2.0, 1e30, math.nan, math.inf]),
    st.sampled_from(["", "auto", "mlp", "cnn", "none", "ppo", "policy", "main", "relu", "tanh"]),
    st.sampled_from(["1e-3", "yes", "null", "???", "${seed}", "${nope}", "a b", "é", "x.y", "a/b"]),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["type", "hidden", "x", "0"]), scalars, max_size=2),
    st.just([[4, 3, 1]]),
)
typos = st.sampled_from(["drop", "double", "swap", "upper", "dash", "replace"])


def paths(tree: object, at: Path = ()) -> list[Path]:
    """Every key and index."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [path for key, value in items for path in [(*at, key), *paths(value, (*at, key))]]


def at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def misspelt(key: str, how: str, where: int) -> str:
    where %= max(1, len(key))
    head, here, tail = key[:where], key[where : where + 1], key[where + 1 :]
    return {
        "drop": head + tail,
        "double": head + here + here + tail,
        "swap": head + tail[:1] + here + tail[1:],
        "upper": key.upper(),
        "dash": key.replace("_", "-"),
        "replace": head + "q" + tail,
    }[how]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid experiment with one to three mistakes, or changes, in it."""
    tree = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(tree) or [("seed",)]))
        *above, key = path
        owner = at(tree, tuple(above))
        if key not in (owner if isinstance(owner, dict) else range(len(owner))):
            continue
        kind = draw(st.sampled_from(["retype", "retype", "rename", "drop", "swap", "nest", "add"]))
        if kind == "retype":
            owner[key] = draw(values)
        elif kind == "drop":
            del owner[key]
        elif kind == "nest":
            owner[key] = {str(key): owner[key]} if draw(st.booleans()) else [owner[key]]
        elif kind == "swap":
            other = draw(st.sampled_from(paths(tree)))
            if other[: len(path)] != path and path[: len(other)] != other:
                holder = at(tree, other[:-1])
                owner[key], holder[other[-1]] = holder[other[-1]], owner[key]
        elif kind == "rename" and isinstance(key, str) and isinstance(owner, dict):
            new = misspelt(key, draw(typos), draw(st.integers(0, 20)))
            owner[new] = owner.pop(key)
        elif kind == "add" and isinstance(owner, dict):
            owner[draw(st.sampled_from(["hidden", "type", "lr", "id", "x", "policy"]))] = draw(
                values
            )
    return tree


def require_helpful(error: ComposerError) -> None:
    """Each problem says where it is, and what to do about it."""
    for problem in error.problems:
        note(problem.render())
        assert problem.message
        assert problem.path or problem.origin, "it does not say where"
        assert problem.fix or problem.valid, "it does not say what to type"


def require_reflected(said: Any, found: Any, path: str = "") -> None:
    """What was said is in the experiment; what was not said may be anything."""
    if isinstance(said, str) and "${" in said:
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


def check(load: Any, said: Mapping[str, Any]) -> None:
    try:
        experiment = load()
        experiment.blueprint  # noqa: B018 - composed
    except ComposerError as error:
        require_helpful(error)
    else:
        require_reflected(said, experiment.to_data())
        require_works(experiment)


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fuzz") / "conf"
    (directory / "experiment").mkdir(parents=True)
    return directory


@FUZZED
@given(tree=mutated())
def test_a_mutated_file_works_or_is_told(conf, tree) -> None:
    text = "# @package _global_\n" + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    note(text)
    (conf / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    check(lambda: Experiment.load(["experiment=mine"], conf), tree)


LOADER = Loader()


@FUZZED
@given(tree=mutated(), data=st.data())
def test_mutated_words_work_or_are_told(tree, data) -> None:
    leaves = [path for path in paths(tree) if not isinstance(at(tree, path), dict | list)]
    leaves = [path for path in leaves if all(isinstance(key, str) for key in path)]
    kept = data.draw(st.lists(st.sampled_from(leaves or [()]), min_size=1, max_size=8, unique=True))
    said: dict[str, Any] = {}
    words = []
    for path in filter(None, kept):
        words.append(f"{'.'.join(map(str, path))}={as_word(at(tree, path))}")
        owner = said
        for key in path[:-1]:
            owner = owner.setdefault(str(key), {})
            if not isinstance(owner, dict):
                return
        owner[str(path[-1])] = at(tree, path)
    note(repr(words))
    check(lambda: Experiment.from_loaded(LOADER.load(words)), said)


def as_word(value: object) -> str:
    """A value in the grammar of the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)


@FUZZED
@given(data=st.data())
def test_mistyped_words_work_or_are_told(data) -> None:
    """A word with a slip of the finger anywhere in it."""
    word = data.draw(
        st.sampled_from(
            [
                "env=cartpole",
                "env.id=CartPole-v1",
                "algorithm=ppo",
                "algorithm.lr=1e-3",
                "model/encoder=mlp",
                "model.encoder.hidden=[64,64]",
                "model=shared",
                "model.heads.policy.hidden=[8]",
                "experiment=pendulum_ppo",
                "logger=none",
                "total_steps=1e6",
                "evaluation.seed=null",
            ]
        )
    )
    where = data.draw(st.integers(0, len(word)))
    slip = data.draw(st.sampled_from(["", *"abe019.,=/_-+~@[]{}()'\"$:;!?*&#% \t\\é"]))
    mistyped = word[:where] + slip + word[where + data.draw(st.integers(0, 1)) :]
    note(mistyped)
    try:
        experiment = Experiment.from_loaded(LOADER.load([mistyped]))
        experiment.blueprint  # noqa: B018 - composed
    except ComposerError as error:
        require_helpful(error)
    else:
        require_works(experiment)
