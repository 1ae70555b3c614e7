"""Blueprint: the complete graph of a module, as data."""

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self, cast

import torch
from torch import nn

from composer.apis import API, TargetNetworkAPI
from composer.blueprint.cost import count_parameters, fitting_in_memory
from composer.blueprint.explain import explained
from composer.blueprint.nodes import (
    AuxiliaryNode,
    CombineNode,
    EncoderNode,
    HeadNode,
    MemoryNode,
    Node,
)
from composer.blueprint.parts import Altered, inside, replacements, require_fitting
from composer.blueprint.text import plain
from composer.config import Config, Listed
from composer.devices import require_device
from composer.distributions.base import ActionDistribution
from composer.errors import CheckpointError
from composer.heads._auxiliary import AuxiliaryHead
from composer.heads._codes import action_code, normalised_space, widths
from composer.module.composed import (
    AuxiliaryPart,
    ComposedRLModule,
    ComposedTargets,
    HeadPart,
    TrunkEnds,
)
from composer.module.trunk import Previous, Trunk
from composer.seeds import derive_seed, seeded
from composer.spaces import Nested, SpaceField, leaves

BLUEPRINT_FORMAT = 1


class Blueprint(Config):
    """Every part of a module: concrete, checked, and with its reason.

    Made by `composer.compose`; the same blueprint builds the same module everywhere.
    """

    format: int = BLUEPRINT_FORMAT
    observation_space: SpaceField
    action_space: SpaceField
    algorithm: str | None = None
    requires: Listed[str] = ()
    """The APIs that the algorithm asks for, by name."""
    targets: Listed[str] = ()
    """Heads that have slower copies, with the trunks they read."""
    nodes: Listed[Node]
    """In the order in which they compute."""

    @property
    def by_name(self) -> dict[str, Node]:
        """The nodes by their names."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def inference_nodes(self) -> frozenset[str]:
        """Names of the nodes that actions depend on."""
        by_name = self.by_name
        found: set[str] = set()
        pending = ["distribution"]
        while pending:
            name = pending.pop()
            if name in by_name and name not in found:
                found.add(name)
                pending += by_name[name].inputs
        return frozenset(found)

    @functools.cached_property
    def non_inference_parts(self) -> tuple[str, ...]:
        """Trunks and heads that an inference-only module goes without."""
        kept = {name.partition(".")[0] for name in self.inference_nodes}
        parts = dict.fromkeys(node.name.partition(".")[0] for node in self.nodes)
        dropped = tuple(part for part in parts if part not in kept)
        return (*dropped, "target") if self.targets else dropped

    @property
    def copied(self) -> tuple[str, ...]:
        """Trunks and heads that have slower copies; `parameter_count` leaves the copies out."""
        heads = [self.by_name[role] for role in self.targets]
        return tuple(dict.fromkeys(name for node in heads for name in (node.trunk, node.name)))

    @property
    def apis(self) -> frozenset[type[API]]:
        """What the module can do, by its heads."""
        heads = (node for node in self.nodes if isinstance(node, HeadNode | AuxiliaryNode))
        by_heads = frozenset(api for node in heads for api in node.config.apis())
        return by_heads | ({TargetNetworkAPI} if self.targets else set())

    @functools.cached_property
    def acting_head(self) -> str | None:
        """The head by which actions are chosen."""
        found = (self.by_name[name] for name in self.inference_nodes if name in self.by_name)
        return next((node.name for node in found if isinstance(node, HeadNode)), None)

    @functools.cached_property
    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters by node."""
        return count_parameters(self.nodes)

    @property
    def parameter_count(self) -> int:
        """Trainable parameters of the module as built."""
        return sum(self.parameter_counts.values())

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of spaces and nodes, reasons left out: the same graph has the same everywhere."""
        data = self.to_data()
        graph = {
            **({"targets": data["targets"]} if self.targets else {}),
            "spaces": [data["observation_space"], data["action_space"]],
            "nodes": [
                {key: value for key, value in node.items() if key != "reason"}
                for node in data["nodes"]
            ],
        }
        text = json.dumps(graph, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def explain(self) -> str:
        """The parts, their shapes, costs and reasons, as text."""
        return plain(explained(self))

    def to_json(self) -> str:
        """JSON from which `from_json` makes an equal blueprint."""
        return json.dumps(self.to_data(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A blueprint from its JSON.

        Raises:
            CheckpointError: If it is not JSON, or of a newer format.
            ConfigError: If a node is not valid.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(f"the blueprint is not JSON: {error}") from None
        return cls.from_data(data)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """A blueprint from the data that `to_data` gave."""
        if isinstance(data, dict) and data.get("format", BLUEPRINT_FORMAT) > BLUEPRINT_FORMAT:
            raise CheckpointError(
                f"the blueprint has format {data['format']}; this version of Composer reads "
                f"{BLUEPRINT_FORMAT}"
            )
        return cls.parse(data, "blueprint")

    @property
    def max_seq_len(self) -> int | None:
        """Steps of the sequences that memories are trained on: of several the least."""
        memories = (node.memory for node in self.nodes if isinstance(node, MemoryNode))
        return min((memory.max_seq_len for memory in memories), default=None)

    def build(
        self,
        device: str | torch.device = "cpu",
        seed: int = 0,
        inference_only: bool = False,
        parts: Mapping[str, nn.Module] | None = None,
    ) -> ComposedRLModule:
        """The torch module.

        Args:
            device: Where its parameters are put.
            seed: Each part draws from its own stream, so that the same seed gives a part the same
                weights whatever else the module has.
            inference_only: Only what actions depend on.
            parts: Modules of one's own in the place of encoders and heads, by the node's name;
                each is tried, and is used as it is. What stands inside it is not built.

        Raises:
            CompositionError: If torch cannot use the device, a part is too large for the memory,
                or one's own does not fit.
        """
        require_device(device)
        given = replacements(parts)
        kept = [
            node
            for node in self.nodes
            if not inside(node.name, given)
            and (not inference_only or node.name in self.inference_nodes)
        ]
        built: dict[str, nn.Module] = {}
        with seeded(seed) as generator:
            require_fitting(given, self.nodes)
            for node in kept:
                generator.manual_seed(derive_seed(seed, node.name))
                with fitting_in_memory(node):
                    inner = {name: built[name] for name in node.inputs if name in built}
                    built[node.name] = given[node.name] if node.name in given else node.build(inner)
        heads = [node for node in kept if isinstance(node, HeadNode)]
        auxiliary = [node for node in kept if isinstance(node, AuxiliaryNode)]
        offers = {node.config.offers for node in (*heads, *auxiliary)}
        if self.targets and not inference_only:
            offers.add(ComposedTargets)
        module_class = ComposedRLModule.offering(frozenset(offers))
        encoders = {
            node.trunk: node
            for node in kept
            if isinstance(node, EncoderNode | CombineNode) and node.name == f"{node.trunk}.encoder"
        }
        distribution = cast("ActionDistribution | None", built.get("distribution"))
        memories = {node.trunk: node for node in kept if isinstance(node, MemoryNode)}
        module = module_class(
            recipe=Altered(self, given) if given else self,
            observation_space=self.observation_space,
            action_space=self.action_space,
            trunks={
                name: Trunk(
                    name=name,
                    encoder=built[node.name],
                    key=node.observed,
                    memory=built.get(f"{name}.memory"),
                    previous=self._previous(memories.get(name), distribution),
                )
                for name, node in encoders.items()
            },
            ends={
                name: TrunkEnds(node.space, node.observed, memories.get(name, node).out_dim)
                for name, node in encoders.items()
            },
            heads={
                node.name: HeadPart(
                    module=built[node.name],
                    reads=node.trunk,
                    detached=node.stop_gradient,
                    column=node.head.column,
                    explores=node.head.explores or node.name == self.acting_head,
                    acts=node.name == self.acting_head,
                    has_noise=node.head.has_noise,
                    method=node.head.method,
                    takes_actions=node.head.takes_actions,
                    shape=node.head.output_shape(node.out_dim),
                )
                for node in heads
            },
            auxiliary={
                node.name: AuxiliaryPart(
                    module=cast("AuxiliaryHead", built[node.name]),
                    reads=node.trunk,
                    detached=node.stop_gradient,
                    weight=node.head.weight,
                )
                for node in auxiliary
            },
            distribution=distribution,
            max_seq_len=self.max_seq_len or 1,
            targets=self.targets,
            dropped=self.non_inference_parts,
            inference_only=inference_only,
        )
        return module.to(device)

    def _previous(
        self, node: MemoryNode | None, distribution: ActionDistribution | None
    ) -> Previous | None:
        """What a memory takes beside features."""
        inputs = () if node is None else node.memory.inputs
        if not inputs:
            return None
        space = normalised_space(self.action_space)
        has_action = "prev_action" in inputs

        def normalised(actions: Nested) -> Nested:
            if distribution is None:
                return actions
            zeros = torch.zeros(1, distribution.inputs_dim, device=leaves(actions)[0].device)
            return distribution(zeros).normalised(actions)

        return Previous(
            action=(action_code(space), sum(widths(space))) if has_action else None,
            reward="prev_reward" in inputs,
            normalised=normalised,
        )
