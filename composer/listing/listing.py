"""What there is to choose from, as rows: parts, environments, experiments and rules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.algorithms.base import AlgorithmConfig
from composer.apis import known_apis
from composer.catalog.rules import CatalogConfig, in_order
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.environments.base import EnvironmentConfig
from composer.errors import (
    ComposerError,
    ConfigError,
    Problem,
    UsageError,
    did_you_mean,
    nearest,
    nearest_first,
    shown,
)
from composer.experiment import load_with_plugins
from composer.heads.base import HeadConfig
from composer.listing.answers import (
    Answers,
    accepts,
    gives,
    home,
    identity,
    identity_and_spaces,
    nothing,
    requires,
    summary,
)
from composer.loading import load
from composer.loading.failures import explained
from composer.loading.files import YamlFile
from composer.memories.base import MemoryConfig
from composer.optimisers.base import OptimiserConfig

Row = dict[str, str | list[str]]
Asked = Callable[[Any], Answers]
"""What a part says of itself, by column; the part is None where it cannot be made."""


class Listing:
    """What there is, with a person's plugins and files.

    Args:
        words: The command line's: `plugins=[my_pkg]`, `catalog=mine`.
        config_dir: A directory of one's own, with groups as Composer's `conf/` has them.
        with_spaces: Make every environment once, to say what it observes and does.

    Raises:
        ConfigError: If a word or a file cannot be read, or a plugin cannot be imported.
    """

    def __init__(
        self,
        words: Sequence[str] = (),
        config_dir: str | Path | None = None,
        *,
        with_spaces: bool = False,
    ) -> None:
        self.words = tuple(words)
        self.config_dir = config_dir
        self.with_spaces = with_spaces
        self.loaded = load_with_plugins(words, config_dir)

    def rows(self, kind: str) -> list[Row]:
        """What there is of a kind, a row each, all with the same columns.

        Raises:
            ComposerError: If there is no such kind, or a file or a plugin cannot be listed.
        """
        return list(find_kind(kind).rows(self))

    def files(self, group: str) -> dict[str, YamlFile]:
        """The YAML files of a group, by option."""
        known = self.loaded.read.files
        found = {option: known.find(f"{group}/{option}") for option in known.options(group)}
        return {option: file for option, file in found.items() if file is not None}

    def composed(self, group: str, option: str, file: YamlFile) -> Any:
        """What choosing a file of a group gives for that group."""
        above = tuple(group.split("/"))
        with explained(self.loaded.read):
            content = file.content
        if "${" not in file.text and next(file.choices(), None) is None and file.package == above:
            return content
        data: Any = load([*self.words, f"{group}={option}"], self.config_dir).data
        for key in above:
            data = data[key]
        return data


@dataclass(frozen=True)
class Kind:
    """Something there are several of."""

    name: str
    rows: Callable[[Listing], Iterator[Row]]
    also: tuple[str, ...] = ()
    """Other names that mean it."""


def find_kind(name: str) -> Kind:
    """The kind of a name, singular or plural.

    Raises:
        ComposerError: Names the kinds, the nearest first.
    """
    by_name = {known: kind for kind in KINDS for known in (kind.name, *kind.also)}
    if name in by_name:
        return by_name[name]
    names = [kind.name for kind in KINDS]
    close = by_name[nearest(name, by_name) or names[0]].name
    raise UsageError(
        Problem(
            f"there is no list of `{name}`{did_you_mean(name, names)}",
            valid=nearest_first(close, names),
            fix=f"composer ls {close}",
        )
    )


def _parts(root: Any, group: str, asked: Asked) -> Callable[[Listing], Iterator[Row]]:
    """Rows of a family's members, and of the YAML files that preset one."""

    def rows(listing: Listing) -> Iterator[Row]:
        root.tags()  # knows them all from now on
        for tag, member in sorted(root.members.items()):
            if lacks := member.lacks():
                what = f"not valid: it lacks {lacks}"
                yield {"name": tag, "what": what, **asked(None), "origin": home(member)}
                continue
            is_whole = not any(field.is_required() for field in member.model_fields.values())
            try:
                about = asked(member.parse({}) if is_whole else None)
            except Exception as error:  # a plugin may raise anything
                raise ConfigError(
                    f"the {root.family} `{tag}` of {home(member)} cannot be listed: "
                    f"{type(error).__name__}: {error}"
                ) from error
            yield {"name": tag, "what": summary(member), **about, "origin": home(member)}
        for option, file in listing.files(group).items():
            if option not in root.members:
                yield from _preset(listing, root, group, option, file, asked)

    return rows


def _preset(
    listing: Listing, root: Any, group: str, option: str, file: YamlFile, asked: Asked
) -> Iterator[Row]:
    try:
        data = listing.composed(group, option, file)
        if data == {"type": "auto"}:
            return
        about = asked(root.parse(data))
        what = file.summary
    except ComposerError as error:
        about = asked(None)
        what = _not_valid(error)
    yield {"name": option, "what": what, **about, "origin": _place(file)}


def _environments(listing: Listing) -> Iterator[Row]:
    asked = identity_and_spaces if listing.with_spaces else identity
    return _parts(EnvironmentConfig, "env", asked)(listing)


def _experiments(listing: Listing) -> Iterator[Row]:
    for name, file in listing.files("experiment").items():
        try:
            with explained(listing.loaded.read):
                file.content  # noqa: B018 - read, so that what is no YAML is told
                chooses = [
                    f"{choice.group}={choice.option}" for choice in file.choices() if choice.option
                ]
            what = file.summary
        except ComposerError as error:
            what, chooses = _not_valid(error), []
        yield {"name": name, "what": what, "chooses": chooses, "origin": _place(file)}


def _rules(listing: Listing) -> Iterator[Row]:
    """The decision tree, in the order in which its rules are tried."""
    try:
        catalog = CatalogConfig.parse(listing.loaded.data["catalog"], "catalog")
    except ComposerError as error:
        raise listing.loaded.with_origins(error) from None
    for tree, rules in (("observation", catalog.observation), ("action", catalog.action)):
        for name, rule in in_order(rules):
            options = rule.use.to_data()
            own = {key: options[key] for key in rule.use.altered()}
            yield {
                "of": tree,
                "name": name,
                "when": str(rule.when),
                "use": shown({"type": rule.use.type, **own}) if own else rule.use.type,
                "why": rule.why,
                "origin": listing.loaded.origin(f"catalog.{tree}.{name}") or "",
            }


def _apis(listing: Listing) -> Iterator[Row]:
    """What algorithms may require of a module, and the parts that supply it."""
    heads = {tag: HeadConfig.members[tag] for tag in HeadConfig.tags()}
    algorithms = list(_parts(AlgorithmConfig, "algorithm", requires)(listing))
    for api in known_apis():
        supply = [f"head {tag}" for tag, head in heads.items() if api in head.apis()]
        yield {
            "name": api.label(),
            "method": api.signature,
            "supplied by": supply or api.supply,
            "required by": [
                str(row["name"])
                for row in algorithms
                if api.label() in (str(asked).partition(" ")[0] for asked in row["requires"])
            ],
            "origin": home(api),
        }


KINDS = (
    Kind("encoders", _parts(EncoderConfig, "model/encoder", accepts), ("encoder", "model/encoder")),
    Kind("memories", _parts(MemoryConfig, "model/memory", nothing), ("memory", "model/memory")),
    Kind("heads", _parts(HeadConfig, "model/head", gives), ("head",)),
    Kind(
        "distributions",
        _parts(DistributionConfig, "model/distribution", accepts),
        ("distribution", "model/distribution"),
    ),
    Kind("algorithms", _parts(AlgorithmConfig, "algorithm", requires), ("algorithm",)),
    Kind("optimisers", _parts(OptimiserConfig, "algorithm/optimiser", nothing), ("optimiser",)),
    Kind("apis", _apis, ("api",)),
    Kind("environments", _environments, ("environment", "env", "envs")),
    Kind("experiments", _experiments, ("experiment",)),
    Kind("rules", _rules, ("rule", "catalog")),
)
"""What can be listed."""


def _not_valid(error: ComposerError) -> str:
    return f"not valid: {error.problems[0].message}"


def _place(file: YamlFile) -> str:
    return "built in" if file.built_in else file.place()
