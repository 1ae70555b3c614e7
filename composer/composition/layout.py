"""A layout: the trunks and heads of a model, the user's and the algorithm's, and who reads what."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from composer.algorithms.base import AlgorithmConfig
from composer.blueprint.nodes import GIVEN, Reason
from composer.columns import Columns
from composer.composition.observed import without_mask
from composer.config import Auto, Config
from composer.heads._auxiliary import AuxiliaryHeadConfig
from composer.heads.base import HeadConfig, OutputHeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.model_config import ComposedModelConfig, TrunkConfig
from composer.spaces import facts


@dataclass(frozen=True)
class Layout:
    """The trunks and heads of a model for an environment's spaces."""

    observation_space: gym.Space
    action_space: gym.Space
    model: ComposedModelConfig
    algorithm: AlgorithmConfig | None

    @property
    def algorithm_name(self) -> str | None:
        """Its tag; None where there is none."""
        return None if self.algorithm is None else self.algorithm.type

    @functools.cached_property
    def encoded_space(self) -> gym.Space:
        """What there is to encode."""
        return without_mask(self.observation_space, self.action_space)

    @functools.cached_property
    def heads(self) -> dict[str, HeadConfig]:
        """By role: what the algorithm needs, and the user's."""
        heads = self.algorithm.heads() if self.algorithm else {"policy": PolicyHeadConfig()}
        own = {role: _completed(head, heads.get(role)) for role, head in self.model.heads.items()}
        return {role: head.resolve(self.action_space) for role, head in {**heads, **own}.items()}

    def reason(self, role: str) -> Reason:
        """Why there is a head."""
        if role in self.model.heads:
            return GIVEN
        return Reason(kind="needed", name=self.algorithm_name or "acting")

    @functools.cached_property
    def usual(self) -> dict[str, TrunkConfig]:
        """The further trunks that the algorithm has for such observations."""
        space = self.encoded_space
        return self.algorithm.layout(facts(space)) if self.algorithm else {}

    @property
    def further(self) -> Mapping[str, TrunkConfig]:
        """The trunks that the user names."""
        return {} if isinstance(self.model.trunks, Auto) else self.model.trunks

    @functools.cached_property
    def laid_out(self) -> dict[str, TrunkConfig]:
        """The further trunks that the algorithm lays out.

        It does where the user names none, or only such as auxiliary heads read.
        """
        beside = bool(self.further) and all(map(self._is_beside, self.further))
        return self.usual if beside or isinstance(self.model.trunks, Auto) else {}

    def _is_beside(self, trunk: str) -> bool:
        """Whether only auxiliary heads ask for it: none that an algorithm lays out trunks for."""
        asking = [head for head in self.heads.values() if (head.reads or head.side) == trunk]
        return bool(asking) and all(isinstance(head, AuxiliaryHeadConfig) for head in asking)

    @functools.cached_property
    def trunks(self) -> dict[str, TrunkConfig]:
        """All by name, `main` first."""
        main = TrunkConfig(
            encoder=self.model.encoder, memory=self.model.memory, observe=self.model.observe
        )
        return {"main": main, **self.laid_out, **self.further}

    @functools.cached_property
    def reads(self) -> dict[str, str]:
        """By role: the trunk that a head names, else that of its side if there is one, else `main`;
        a name may be wrong.
        """
        return {
            role: head.reads or (head.side if head.side in self.trunks else "main")
            for role, head in self.heads.items()
        }

    def is_remembered(self, trunk: str) -> bool:
        """Whether a memory of the trunk would be read: auxiliary heads read its encoder."""
        readers = (head for role, head in self.heads.items() if self.reads[role] == trunk)
        return any(isinstance(head, OutputHeadConfig) for head in readers)

    def detaches(self, role: str) -> bool:
        """Whether a head's loss does not train the trunk that it reads."""
        head, trunk = self.heads[role], self.reads[role]
        critics = [other for other, each in self.heads.items() if each.side == "critic"]
        shared = head.side == "actor" and any(self.reads[other] == trunk for other in critics)
        critic_trains = self.algorithm is not None and self.algorithm.critic_trains_shared
        return trunk in head.stop_gradient or (shared and critic_trains)

    def acting(self) -> str | None:
        """The head whose output the distribution takes."""
        able = [role for role, head in self.heads.items() if head.acts]
        policies = [role for role in able if column(self.heads[role]) == Columns.ACTION_DIST_INPUTS]
        return next(iter([*policies, *able]), None)


def column(head: HeadConfig) -> str | None:
    """Where its output goes, if there is one."""
    return head.column if isinstance(head, OutputHeadConfig) else None


def said(part: Config) -> dict[str, Any]:
    """What the user said of a part, as plain data."""
    return part.model_dump(mode="json", exclude_unset=True)


def _completed(head: HeadConfig, default: HeadConfig | None) -> HeadConfig:
    """The user's head; what it leaves out is as the algorithm has it."""
    if default is None or type(head) is not type(default):
        return head
    own = {name: getattr(head, name) for name in head.model_fields_set}
    return default.model_copy(update=own)
