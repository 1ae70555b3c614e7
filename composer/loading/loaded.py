"""What the words gave: one plain dict that knows where its values come from."""

import re
import shlex
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from composer.errors import (
    ComposerError,
    Problem,
    did_you_mean,
    line_to_type,
    nearest,
    nearest_first,
    shown,
)
from composer.loading.cures import by_id, for_shell
from composer.loading.defaults import HEADER
from composer.loading.origins import Origins, Written
from composer.loading.paths import Parts, dotted, nested, parts_of
from composer.loading.refusals import at
from composer.loading.rewriting import LOGGER
from composer.loading.words import Words, on_command_line


@dataclass(frozen=True)
class Loaded:
    """What the words gave, and where each value came from."""

    data: dict[str, Any]
    words: tuple[str, ...]
    """As they were typed."""
    choices: dict[str, str]
    """Group → option: `{"env": "cartpole", "algorithm": "ppo"}`."""
    origins: Origins = field(repr=False, compare=False)
    read: Words = field(repr=False, compare=False)

    def origin(self, path: str) -> str | None:
        """Where the value at `path`, or else the nearest value above it, was set."""
        chosen = self.read.chosen.get("/".join(parts_of(path)))
        return on_command_line(chosen.word) if chosen else self.origins.origin(path)

    def with_origins(self, error: ComposerError) -> ComposerError:
        """The same error, each problem saying where its value was set."""
        return type(error)(*map(self._placed, error.problems))

    def _placed(self, problem: Problem) -> Problem:
        if not problem.path:
            return problem
        parts = parts_of(problem.path)
        part = at(self.data, parts)
        is_type = isinstance(part, dict) and part.get("type") == problem.value
        is_chosen = "/".join(parts) in self.read.chosen
        origin = self.origin(f"{problem.path}.type" if is_type and not is_chosen else problem.path)
        placed = replace(problem, origin=problem.origin or origin)
        if (misplaced := self._misplaced(placed, parts)) is not None:
            return misplaced
        owner, _, key = problem.path.rpartition(".")
        group = "/".join(parts_of(owner))
        if group.startswith(f"{LOGGER}/"):
            group = LOGGER
        if key == "type" and parts in self.origins.named and problem.valid:
            return self._unknown_option(placed, group)
        path = owner if key == "type" else problem.path
        if (name := self._option_in_file(placed, path)) is not None:
            return self._unchosen_option(placed, path, name)
        if selected := re.search(r" belongs to .*, but `([^`]+)` is selected$", problem.message):
            by = self._selection(owner, group)
            message = f"{problem.message} by {by}" if by else problem.message
            is_typed = by is not None and by.startswith("`") and problem.fix is not None
            fix = f"{problem.fix}   in place of {by}" if is_typed else problem.fix
            told = replace(placed, message=message, fix=fix)
            return self._chosen_whole(told, group, selected[1])
        return replace(placed, fix=self._fix(placed) or self._without(placed))

    def _chosen_whole(self, problem: Problem, group: str, option: str) -> Problem:
        """Where a type alone was set over what our own files say: the option that says it all."""
        is_ours = (problem.origin or "").endswith("(built in)")
        if group in self.read.chosen or not is_ours or option not in self.read.files.options(group):
            return problem
        is_typed = self.origins.word((*parts_of(group.replace("/", ".")), "type")) is not None
        line = f"{group}={option}" if is_typed else f"defaults: [override /{group}: {option}]"
        return replace(problem, fix=line)

    def _misplaced(self, problem: Problem, parts: Parts) -> Problem | None:
        """The problem of a file whose keys have gone elsewhere than was meant."""
        found = self._in_file(parts)
        if found is None or " has no option " not in problem.message:
            return None
        file, package = found.source.file, found.source.package
        if package == parts:
            why = "lacks the line that says its keys are the experiment's own; they have gone"
            if "@package" in file.text:
                why = "has a header that is not `_global_`; its keys have gone"
            message, fix = f"{file.place()} {why} to `{problem.path}`", HEADER
        elif package == parts[:-1] and parts[-1:] == package[-1:]:
            message = f"the keys of {file.place()} are those of `{dotted(package)}` already"
            fix = f"the lines below `{parts[-1]}:` alone"
        else:
            return None
        return replace(problem, message=message, valid=(), fix=fix)

    def _unknown_option(self, problem: Problem, group: str) -> Problem:
        """The problem of `env=cartpol`, in the words in which it was typed."""
        name = str(problem.value)
        names = {*self.read.files.options(group), *problem.valid}
        ordered = nearest_first(name, names)
        is_typed = group in self.read.chosen or group == LOGGER
        line = f"{group}={ordered[0]}" if is_typed else f"- override /{group}: {ordered[0]}"
        told = problem.message.partition("\n")[1:]  # of classes that have no type
        return replace(
            problem,
            message=f"there is no {group.rpartition('/')[2]} `{name}`{did_you_mean(name, names)}"
            f"{self.read.files.misnamed(f'{group}/{name}')}{''.join(told)}",
            path=group.replace("/", "."),
            valid=ordered,
            fix=(by_id(group, name, self.read.files) if is_typed else None) or line,
        )

    def _option_in_file(self, problem: Problem, path: str) -> str | None:
        """The text that a user's file has as the value of a group: `env: pendulum`."""
        parts = parts_of(path)
        found = self._in_file(parts) if "/".join(parts) in self.read.files.base else None
        value = at(self.data, parts) if found and not found.below else None
        is_refused = problem.message.startswith(("there is no ", "the value should be a mapping"))
        return value if is_refused and isinstance(value, str) else None

    def _unchosen_option(self, problem: Problem, path: str, name: str) -> Problem:
        """The problem of `env: pendulum`, where a line of `defaults` was meant."""
        group, key = path.replace(".", "/"), path.rpartition(".")[2]
        names = {*self.read.files.options(group), *problem.valid}
        close = nearest(name, names)
        rule = "is a plain value; a file chooses the option of a group in its `defaults`"
        return replace(
            problem,
            message=f"`{key}: {name}` {rule}" if name in names else problem.message,
            path=path,
            valid=nearest_first(name, names),
            fix=f"defaults: [override /{group}: {close}]   in its place" if close else None,
        )

    def _fix(self, problem: Problem) -> str | None:
        """The line to type where the mistake is: a word, or a line of a user's file."""
        key, _, text = (problem.fix or "").partition("=")
        right, wrong = parts_of(key), parts_of(problem.path)
        if problem.fix == (takes_away := f"~{problem.path}"):
            return self._plain_option(wrong) or for_shell(takes_away)
        if not text or not re.fullmatch(r"[\w.\[\]]+", key):
            return problem.fix
        if self._in_file(wrong) or (wrong[-1] == "type" and self._in_file(wrong[:-1])):
            is_moved = problem.fix == line_to_type(key, problem.value)
            value = shown(problem.value) if is_moved else _in_yaml(text)
            if right[-1] == "type" and isinstance(at(self.data, right[:-1]), str):
                right = right[:-1]
            shared = takewhile(
                lambda pair: pair[0] == pair[1], zip(wrong, right[:-1], strict=False)
            )
            return nested(right[len(list(shared)) :], value)
        group = key.replace(".", "/")
        is_option = group in self.read.files.base and re.fullmatch(r"\w+", text)
        return f"{group}={text}" if is_option else problem.fix

    def _plain_option(self, parts: Parts) -> str | None:
        """The option named as its type, where another of it, `algorithm=rainbow`, was chosen and
        no word says the value.
        """
        group, tag = "/".join(parts[:-1]), at(self.data, (*parts[:-1], "type"))
        is_other = tag != self.choices.get(group) and tag in self.read.files.options(group)
        if not is_other or self.origins.word(parts) is not None:
            return None
        chosen = self.read.chosen.get(group)
        return f"{group}={tag}" + (f"   in place of `{chosen.word}`" if chosen else "")

    def _without(self, problem: Problem) -> str | None:
        """The line that takes away what was said, where nothing could be said instead."""
        parts = parts_of(problem.path)
        is_said = any(typed.touches(parts) for typed in self.read.typed) or self._in_file(parts)
        if problem.valid or not is_said:
            return None
        end = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        items = None if end is None else at(self.data, parts[:end])
        if end is None or not isinstance(items, list):
            return for_shell(f"~{problem.path}")
        index = int(parts[end])
        return line_to_type(dotted(parts[:end]), [*items[:index], *items[index + 1 :]])

    def _in_file(self, parts: Parts) -> Written | None:
        """What a user's file says at a path, or above it, where no word does."""
        is_typed = any(item.touches(parts) for item in self.read.typed)
        found = None if is_typed else self.origins.written(parts)
        return None if found is None or found.source.file.built_in else found

    def _selection(self, owner: str, group: str) -> str | None:
        """What selected the type of the part at `owner`: a word, or a line of a file."""
        path = (*parts_of(owner), "type")
        chosen = self.read.chosen.get(group)
        word = self.origins.word(path) or (chosen.word if chosen else None)
        if word:
            return f"`{word}`"
        if isinstance(at(self.data, path[:-1]), str):  # `encoder: cnn`
            return self.origins.exact(path[:-1])
        source = self.origins.source(path)
        by_group = source is not None and source.file.name.startswith(f"{group}/")
        return self.origins.chosen(group) if by_group else self.origins.exact(path)


def _in_yaml(text: str) -> str:
    """A value of a word for a shell, as a file has it."""
    return re.sub(r":(?=\S)", ": ", "".join(shlex.split(text)))
