"""What is wrong with the defaults lists of the user's files, which Hydra says in its own words."""

import re
from collections.abc import Sequence

import yaml
from hydra.errors import MissingConfigException

from composer.errors import Problem, did_you_mean, nearest, nearest_first, shown
from composer.loading.files import Choice, ConfigFiles, YamlFile, pairs
from composer.loading.words import Words

SHAPE = "- override /GROUP: OPTION   for a line of `defaults` that chooses"
HEADER = "# @package _global_   as the first line of the file"


def flaw(read: Words) -> Problem | None:
    """What is wrong with the first of the user's files whose defaults list cannot be."""
    files = reached(read)
    problems = (unreadable(file) or _flaw(file, read.files, files) for file in files)
    return next(filter(None, problems), None)


def _flaw(file: YamlFile, files: ConfigFiles, reached: Sequence[YamlFile]) -> Problem | None:
    """What is wrong with the first line that cannot stand in the file's defaults list."""
    listed = {item.group for one in reached for item in one.choices() if not item.override}
    choices, folder = list(file.choices()), file.name.rpartition("/")[0]
    for index, choice in enumerate(choices):
        group, tail = choice.group, choice.group.removeprefix(f"{folder}/")
        meant = nearest(tail, files.base)
        rule, fix, valid = None, _line(meant or group, choice, files), ()
        if spaced := re.search(r"override\s+/?([\w/]+?)[\s:]+(\w+)$", f"{group}/{choice.option}"):
            rule = "a line that chooses has a colon and a space: `- override /group: option`"
            fix = f"- override /{spaced[1]}: {spaced[2]}"
        elif choice.override and not all(item.override for item in choices[index:]):
            rule = "lines with `override` come last in a defaults list"
            fix = "move it below the lines without `override`"
        elif choice.moved or group == folder or group.startswith("hydra/"):
            continue
        elif group in files.base and not choice.override:
            rule = f"`{group}` is chosen already: a file that chooses another says `override`"
            fix = _line(group, choice, files)
        elif tail == folder:
            rule = f"a file lists another of `{folder}` by its name alone"
            fix = f"- {choice.option}"
        elif group not in files.base and tail in files.base:
            rule = f"`{tail}` is looked for in `{folder}`: a group of a run begins with `/`"
        elif choice.override and group not in {*files.base, *listed}:
            rule = f"there is no group `{tail}`{did_you_mean(tail, files.base)}"
            fix, valid = fix if meant else None, nearest_first(tail, files.groups())
        if rule:
            return Problem(rule, origin=file.place(choice.line), valid=valid, fix=fix)
    return None


def _line(group: str, choice: Choice, files: ConfigFiles) -> str:
    """The line of a defaults list that chooses what was meant."""
    option, options = str(choice.option), files.options(group)
    close = option if option in options else nearest(option, options)
    return f"- override /{group}: {close or option}"


def missing(error: MissingConfigException, read: Words) -> Problem:
    """A defaults list that names what does not exist."""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = read.files.options(group)
    if group and not options:
        groups = read.files.groups()
        message = f"there is no group `{group}`{did_you_mean(group, groups)}"
        valid = nearest_first(group, groups)
    else:
        message = f"there is no {group or 'file'} `{option}`{did_you_mean(option, options)}"
        valid = nearest_first(option, options)
    found = (
        (file, choice)
        for file in reached(read)
        for choice in file.choices()
        if (choice.group, choice.option) == (group, option)
    )
    file, choice = next(found, (None, None))
    if file is None or choice is None:
        return Problem(message, valid=valid)
    fix = _line(group, choice, read.files) if choice.override and nearest(option, options) else None
    return Problem(message, origin=file.place(choice.line), valid=valid, fix=fix)


_OUT = "take out one of the lines that refer to one another"


def circle(read: Words) -> Problem:
    """Files that list one another."""

    def search(file: YamlFile, trail: tuple[str, ...]) -> tuple[str, ...] | None:
        if file.name in trail:
            return (*trail[trail.index(file.name) :], file.name)
        found = (read.files.find(f"{item.group}/{item.option}") for item in file.choices())
        circles = (search(other, (*trail, file.name)) for other in found if other is not None)
        return next(filter(None, circles), None)

    circle = next(filter(None, (search(file, ()) for file in reached(read))), None)
    if circle is None:
        return Problem("a value or a file refers to itself", origin=places(read), fix=_OUT)
    first = read.files.find(circle[0])
    return Problem(
        f"files list one another in a circle: {' → '.join(circle)}",
        origin=first.place() if first else None,
        fix=_OUT,
    )


def unreadable(file: YamlFile) -> Problem | None:
    """What makes a file unreadable that Hydra reports without its name."""
    try:
        root = file.root
    except UnicodeDecodeError as error:
        return Problem(f"{file.place()} is not UTF-8 text: byte {error.start}: {error.reason}")
    except (OSError, yaml.YAMLError) as error:
        return Problem(f"{file.place()} cannot be read: {error}")
    for key, value in pairs(root):
        if key.value == "defaults" and not isinstance(value, yaml.SequenceNode):
            return Problem(
                "`defaults` is a list, each line of it `- group: option`",
                origin=file.place(key.start_mark.line + 1),
                fix=SHAPE,
            )
    return None


def no_mapping(file: YamlFile) -> Problem | None:
    """The problem of a file that is a list or a plain value."""
    root = file.root
    if not root or isinstance(root, yaml.MappingNode) or not root.value:
        return None
    what = f"`{shown(root.value)}`" if isinstance(root, yaml.ScalarNode) else "a list"
    message = f"a file is a mapping of keys to values, not {what}"
    return Problem(message, origin=file.place(root.start_mark.line + 1))


def reached(read: Words) -> list[YamlFile]:
    """The user's files that the words lead to, by their own defaults lists, and tuned ones."""
    names = [
        *(f"{group}/{option}" for group, item in read.chosen.items() for option in item.options),
        *(f"tuned/{option}" for option in read.files.options("tuned")),
    ]
    found: dict[str, YamlFile] = {}
    while names:
        name = names.pop(0)
        file = read.files.find(name)
        if file is None or file.built_in or name in found:
            continue
        found[name] = file
        if not unreadable(file):
            names.extend(f"{choice.group}/{choice.option}" for choice in file.choices())
    return list(found.values())


def places(read: Words) -> str | None:
    """The user's files in play, where it is not known which of them is at fault."""
    return ", ".join(file.place() for file in reached(read)) or None
