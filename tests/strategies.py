"""Experiments that are valid, and what a hand that slips makes of them."""

import copy
import math
from typing import Any

from hypothesis import strategies as st

WRAPPERS = [{"path": "gymnasium.wrappers.ClipAction"}]

RUN: dict[str, Any] = {
    "algorithm": {
        "type": "ppo",
        "lr": 1e-3,
        "gamma": 0.9,
        "rollout_steps": 8,
        "epochs": 2,
        "num_minibatches": 1,
        "lr_schedule": "constant",
        "optimiser": {
            "type": "adamw",
            "betas": [0.9, 0.99],
            "parts": {"policy": {"lr": 1e-4, "frozen_until": 8}},
        },
        "value_clip": None,
        "normalize_advantages": "rollout",
    },
    "catalog": {
        "observation": {
            "vector": {"use": {"hidden": [8]}, "priority": 1},
            "mine": {
                "when": {"kind": ["box"], "rank": {"max": 1}, "trunk": "critic"},
                "use": {"type": "mlp", "hidden": [4]},
                "why": "a critic of mine",
                "priority": 2,
            },
            "flattened": None,
        }
    },
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
        "env": {"id": "Pendulum-v1", "num_envs": 1, "kwargs": {"g": 9.0}, "wrappers": WRAPPERS},
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
    st.sampled_from(["${.x}", "${env.id}", "${oc.env:NOPE}", "${", "名", "x" * 400, "on", "1:30"]),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["type", "hidden", "x", "0"]), scalars, max_size=2),
    st.sampled_from([[[4, 3, 1]], [8] * 200, {"type": "auto", "hidden": [8]}, {"é": 1}]),
)
ADDED = [
    "hidden",
    "type",
    "lr",
    "id",
    "x",
    "policy",
    "é",
    "when",
    "use",
    "priority",
    "why",
    "defaults",
]
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
            owner[draw(st.sampled_from(ADDED))] = draw(values)
    return tree


DEFAULTS: list[Any] = [
    "_self_",
    "cartpole_ppo",
    {"override /env": "pendulum"},
    {"override /algorithm": "ppo"},
    {"override /model": "shared"},
    {"override /model/encoder": "mlp"},
    {"override /model/encoder": "cnn"},
    {"override /model/distribution": None},
    {"override /logger": ["tensorboard"]},
    {"override /catalog": "default"},
    {"optional override /tuned": "acrobot_ppo"},
    {"/model/encoder": "mlp"},
    {"/experiment": "pendulum_ppo"},
]


@st.composite
def defaults_lists(draw: st.DrawFn) -> Any:
    """A defaults list, in which lines may be doubled, misspelt, nested or out of order."""
    lines = draw(st.lists(st.sampled_from(DEFAULTS), min_size=1, max_size=4))
    for index, line in enumerate(lines):
        kind = draw(st.sampled_from(["keep"] * 5 + ["misspell", "nest", "retype"]))
        key, option = next(iter(line.items())) if isinstance(line, dict) else (None, line)
        if kind == "misspell" and key:
            lines[index] = {misspelt(key, draw(typos), draw(st.integers(0, 30))): option}
        elif kind == "misspell":
            lines[index] = misspelt(str(option), draw(typos), draw(st.integers(0, 12)))
        elif kind == "nest":
            lines[index] = [line] if draw(st.booleans()) else {"experiment": line}
        elif kind == "retype":
            lines[index] = {key: draw(values)} if key else draw(values)
    return lines if draw(st.integers(0, 9)) else draw(values)


CHOICES = [
    "model=shared",
    "model=separate",
    "model=custom",
    "model/encoder=cnn",
    "model/encoder=mlp",
    "model.encoder=one_hot",
    "model/distribution=categorical",
    "env=pendulum",
    "env=frozen_lake",
    "logger=none",
    "logger=[tensorboard,none]",
    "catalog=default",
    "tuned=null",
    "experiment=null",
    "model/memory=lstm",
    "+env=taxi",
    "algorithm=ppo",
]


@st.composite
def said_in_words(draw: st.DrawFn, tree: dict[str, Any]) -> list[tuple[str, Path, Any]]:
    """Words about an experiment, each with the path and the value that it sets, if it sets one."""
    found: list[tuple[str, Path, Any]] = []
    leaves = [path for path in paths(tree) if all(isinstance(key, str) for key in path)]
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["set", "set", "set", "again", "choose", "remove"]))
        path = draw(st.sampled_from(leaves))
        if kind == "again" and found:
            path = draw(st.sampled_from(found))[1] or path
        name = ".".join(map(str, path))
        if kind == "choose":
            found.append((draw(st.sampled_from(CHOICES)), (), None))
        elif kind == "remove":
            found.append((f"~{name}", path, None))
        else:
            value = draw(st.one_of(st.just(at(tree, path)), values))
            found.append((f"{name}={as_word(value)}", path, value))
    return found


def as_word(value: object) -> str:
    """A value in the grammar of the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    if isinstance(value, list):
        return f"[{','.join(map(as_word, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{as_word(key)}:{as_word(item)}' for key, item in value.items())}}}"
    return str(value)


WORDS = [
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
    "~catalog.observation.image",
    "catalog.observation.vector.use.hidden=[8]",
    "model.encoder={type: mlp, hidden: [8]}",
    "model.trunks.critic.encoder.type=mlp",
]


@st.composite
def mistyped(draw: st.DrawFn) -> str:
    """A word with a slip of the finger anywhere in it."""
    word = draw(st.sampled_from(WORDS))
    where = draw(st.integers(0, len(word)))
    slip = draw(st.sampled_from(["", *"abe019.,=/_-+~@[]{}()'\"$:;!?*&#% \t\\é"]))
    return word[:where] + slip + word[where + draw(st.integers(0, 1)) :]
