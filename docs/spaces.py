"""Makes `docs/spaces.md` from the catalog and the parts there are: `python docs/spaces.py`."""

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer import masks
from composer.blueprint.text import brief
from composer.catalog.catalog import Catalog
from composer.catalog.rules import in_order
from composer.config import Family
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError
from composer.listing import Listing
from composer.schema import described_fields
from composer.spaces import batching, describe

PAGE = Path(__file__).parent / "spaces.md"

VECTOR, DIGIT = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(4)
OBSERVATIONS: dict[str, gym.Space] = {
    "number": spaces.Box(-1, 1, (), np.float32),
    "vector": VECTOR,
    "vector of integers": spaces.Box(0, 9, (4,), np.int64),
    "image": spaces.Box(0, 255, (84, 84, 3), np.uint8),
    "image, channels first": spaces.Box(0, 255, (3, 84, 84), np.uint8),
    "image of one channel": spaces.Box(0, 255, (84, 84), np.uint8),
    "stacked images": spaces.Box(0, 255, (4, 84, 84, 3), np.uint8),
    "matrix": spaces.Box(-1, 1, (16, 3), np.float32),
    "array": spaces.Box(-1, 1, (2, 3, 4, 5, 6), np.float32),
    "large array": spaces.Box(-1, 1, (20, 30, 40), np.float32),
    "choice": DIGIT,
    "choice of many": spaces.Discrete(5000),
    "several choices": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(3),
    "text": spaces.Text(8),
    "dict": spaces.Dict(speed=VECTOR, gear=DIGIT),
    "tuple": spaces.Tuple((VECTOR, DIGIT)),
    "one of several": spaces.OneOf((VECTOR, DIGIT)),
    "sequence": spaces.Sequence(VECTOR),
    "graph": spaces.Graph(VECTOR, None),
    "graph with edges": spaces.Graph(VECTOR, DIGIT),
}
ACTIONS: dict[str, gym.Space] = {
    "choice": DIGIT,
    "several choices": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(3),
    "real, bounded": VECTOR,
    "real, unbounded": spaces.Box(-np.inf, np.inf, (4,), np.float32),
    "simplex": spaces.Box(0, 1, (4,), np.float32),
    "integers": spaces.Box(0, 9, (4,), np.int64),
    "dict": spaces.Dict(steer=VECTOR, gear=DIGIT),
    "tuple": spaces.Tuple((VECTOR, DIGIT)),
    "one of several": spaces.OneOf((VECTOR, DIGIT)),
    "text": spaces.Text(8),
    "sequence": spaces.Sequence(VECTOR),
    "graph": spaces.Graph(VECTOR, None),
}

Row = Sequence[str]


class Option(NamedTuple):
    """A field of a part, as people read it."""

    name: str
    default: str
    about: str


def text() -> str:
    """The page."""
    listing, catalog = Listing(), Catalog.default()
    observed, acted = catalog.rules.observation, catalog.rules.action
    presets = (
        (f"`model={name}`", comment(file.text)) for name, file in listing.files("model").items()
    )
    sections = [
        INTRODUCTION,
        "## Observations\n",
        table(
            ("a space like", "", "encoder", "rule", "others, by `model/encoder=…`"),
            chosen(catalog.encoder, OBSERVATIONS, presets_of(listing, "model/encoder")),
        ),
        "\nThe rules, in the order in which they are tried:\n",
        table(("rule", "when", "chooses", "why"), rules(observed)),
        "\n## Actions\n",
        table(
            ("a space like", "", "distribution", "rule", "others, by `model/distribution=…`"),
            chosen(catalog.distribution, ACTIONS, presets_of(listing, "model/distribution")),
        ),
        "\nThe rules, in the order in which they are tried:\n",
        table(("rule", "when", "chooses", "why"), rules(acted)),
        COMPOSITES,
        MASKS + about(masks),
        RAGGED + about(batching),
        "\n## Encoders\n",
        *family(EncoderConfig),
        "\n## Distributions\n",
        *family(DistributionConfig),
        "\n## Presets of whole models\n",
        table(("", "what it is"), presets),
    ]
    return "\n".join(sections) + "\n"


INTRODUCTION = """# Spaces

What Composer makes of every observation and action space: what it chooses, by which rule, and what
else there is. This page is made from the decision tree and the parts by `make docs`.

Each choice below is `auto`. Another one is a word on the command line or a line of YAML, and a
field of the choice can be set without naming it:

    composer explain env=cartpole model/encoder=residual_mlp
    composer explain env=cartpole model.encoder.hidden=[256,256]
    composer explain env=pendulum model/distribution=squashed_gaussian
"""

COMPOSITES = """
## Dicts, Tuples and what is nested in them

A composite has a part for each of its children, chosen by the same rules; what is not named stays
`auto`. A child's line is as that of the whole, below `children`, by key or by index:

    composer explain env.id=composer.testing:DictBandit-v0 model.encoder.children.image=impala_cnn
    composer explain env.id=composer.testing:DictBandit-v0 model.encoder.children.image.hidden=[64]
    composer explain env.id=composer.testing:DictBandit-v0 model.encoder.combine=attention
    composer explain env.id=composer.testing:DictBandit-v0 model/encoder=flatten

`combine` says how the children's features become one vector, and `hidden` what layers come behind.
`flatten` makes one vector of the whole instead. A trunk sees all keys, or those that it names:

    composer explain env.id=composer.testing:DictBandit-v0 model.observe=[image]
    composer explain env.id=composer.testing:DictBandit-v0 model.trunks.critic.observe=[digit]

```yaml
model:
  encoder:
    children: {image: {type: impala_cnn, hidden: [128]}, digit: embedding}
    combine: {type: attention, heads: 2}
    hidden: [64]
```

Actions nest in the same way: `model.distribution.children.steer=beta`. The parts of a `joint` are
drawn independently; `model/distribution=autoregressive` lets each know those before it, in the
`order` it is told."""

MASKS = """
## Masks

Where some actions are forbidden, the environment says so by `action_mask`, in `info` or as a key of
a Dict observation, which no encoder sees then.

"""

RAGGED = """
## Batches of what has no fixed shape

An observation goes into a module as the environment gives it, batched. `composer.spaces.batch`
makes a batch of samples, `canonical` of what a vector environment returns:

"""


def about(module: ModuleType) -> str:
    """What a module's docstring says behind its first line."""
    return inspect.cleandoc(module.__doc__ or "").partition("\n\n")[2]


def presets_of(listing: Listing, group: str) -> dict[str, Any]:
    """Every part of a group that can be chosen by name alone, by name."""
    root: Any = EncoderConfig if group == "model/encoder" else DistributionConfig
    found = {
        tag: root.members[tag]()
        for tag in root.tags()
        if not any(field.is_required() for field in root.members[tag].model_fields.values())
    }
    for option, file in listing.files(group).items():
        data = listing.composed(group, option, file)
        if option not in found and data.get("type") != "auto":
            found[option] = root.parse(data)
    return found


def chosen(choose: Any, samples: dict[str, gym.Space], parts: dict[str, Any]) -> Iterator[Row]:
    """For each space what the tree chooses, and what else could be."""
    for name, space in samples.items():
        able = [option for option, part in parts.items() if takes(part, space)]
        try:
            choice = choose(space)
            used, rule = f"`{choice.config.type}`", f"`{choice.reason.name}`"
            able = [option for option in able if option != choice.config.type]
        except CompositionError:
            used, rule = "none: choose one" if able else "none", ""
        yield name, f"`{describe(space)}`", used, rule, listed(able)


def comment(yaml: str) -> str:
    """What a YAML file says of itself at its top."""
    lines = (line.removeprefix("# ") for line in yaml.splitlines() if line.startswith("#"))
    return " ".join(line for line in lines if not line.startswith(("@", "yaml-language-server")))


def takes(part: Any, space: gym.Space) -> bool:
    """Whether a part can be chosen for a space as it is."""
    try:
        return part.refusal(space) is None and part.resolve(space) is not None
    except CompositionError:
        return False


def rules(tree: Any) -> Iterator[Row]:
    for name, rule in in_order(tree):
        yield f"`{name}`", str(rule.when), f"`{rule.use.type}`", rule.why


def family(root: Any) -> Iterator[str]:
    """Each part with its options; those that several parts have stand together, once."""
    options = {tag: list(options_of(root.members[tag])) for tag in root.tags()}
    count = Counter(option for own in options.values() for option in own)
    shared = [option for option in count if count[option] > 1]
    used: dict[Any, None] = {}
    for tag, own in options.items():
        member = root.members[tag]
        used |= dict.fromkeys(families_in(member, root))
        yield f"**`{tag}`**: {words(inspect.cleandoc(member.__doc__ or ''))}\n"
        if common := [f"`{option.name}`" for option in own if option in shared]:
            yield f"Options: {', '.join(common)}{', and' if len(own) > len(common) else '.'}\n"
        if own_rows := [option_row(option) for option in own if option not in shared]:
            yield table(("option", "default", ""), own_rows) + "\n"
    if shared:
        yield f"Options that several {root.family}s have:\n"
        yield table(
            ("option", "default", "", "of"),
            (
                (*option_row(option), listed(tag for tag in options if option in options[tag]))
                for option in shared
            ),
        )
    for inner in used:
        yield f"\n### {inner.family.capitalize()}s\n"
        yield from family(inner)


def options_of(member: Any) -> Iterator[Option]:
    described, defaults = described_fields(member), member.model_construct().to_data()
    for name, field in member.model_fields.items():
        if name != "type":
            default = "" if field.is_required() else f"`{brief(defaults.get(name))}`"
            yield Option(name, default, words(described.get(name, "")) + choices(field.annotation))


def choices(annotation: Any) -> str:
    """What there is to choose from, where that is a few words."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal:
            return f" One of {listed(part for part in get_args(part))}."
        if is_family(part) and part.root not in (EncoderConfig, DistributionConfig):
            return f" One of {listed(part.tags())}."
    return ""


def families_in(member: Any, root: Any) -> Iterator[Any]:
    """The families of which a part's options are members."""
    for field in member.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if is_family(part) and part is not root:
                yield part.root


def is_family(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Family)


def option_row(option: Option) -> Row:
    return f"`{option.name}`", option.default, option.about.strip()


def listed(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def words(text: str) -> str:
    """A docstring on one line."""
    return " ".join(text.split())


def table(titles: Row, rows: Iterable[Row]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    cells = ([re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    PAGE.write_text(text())
