"""Capabilities that an algorithm may require of a module, one small abstract class each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import FunctionType
from typing import Any, ClassVar

from torch import Tensor

from composer.columns import Columns


class API(ABC):  # noqa: B024 - a root, whose subclasses say what is abstract
    """Base of the capabilities: a class that has an API's methods need not inherit from it."""

    signature: ClassVar[str] = ""
    """The method that a hand-written module adds, and what it returns."""
    paste: ClassVar[str] = ""
    """The same with a body, to paste; `self.encoder` and the like are layers that `setup` makes."""
    column: ClassVar[str] = ""
    """The name in `Columns` of what a module may compute instead; only the method is asked for."""
    paste_column: ClassVar[str] = ""
    """What to paste where it does."""
    paste_with: ClassVar[Mapping[str, str]] = {}
    """What to paste for an algorithm, by its type, or where another API, by its label, is required
    too; the first that fits."""

    supply: ClassVar[str] = ""
    """What gives it to a composed module, where that is not a head."""

    @classmethod
    def label(cls) -> str:
        return cls.__name__

    @classmethod
    def is_offered_by(cls, module_class: type) -> bool:
        """Whether the class has each of the API's methods, and none is left abstract."""
        methods = (getattr(module_class, name, None) for name in cls.__abstractmethods__)
        return all(m is not None and not getattr(m, "__isabstractmethod__", False) for m in methods)

    @classmethod
    def paste_for(cls, module_class: type, algorithm: str, required: "APIs") -> str:
        """The method to paste into a class, by what its code speaks of, the algorithm's type and
        all that it requires.
        """
        if cls.column and _speaks_of(module_class, cls):
            return cls.paste_column
        names = {algorithm, *(api.label() for api in required)}
        return next((cls.paste_with[name] for name in cls.paste_with if name in names), cls.paste)

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return True if cls.__abstractmethods__ and cls.is_offered_by(other) else NotImplemented


def _speaks_of(module_class: type, api: type[API]) -> bool:
    """Whether a method of the class names the API's column: `Columns.VF_PREDS`, or its text."""
    codes = [
        method.__code__
        for base in module_class.__mro__
        if not base.__module__.startswith("composer.")
        for method in vars(base).values()
        if isinstance(method, FunctionType)
    ]
    names = {api.column, getattr(Columns, api.column)}
    return any(names & {*code.co_names, *code.co_consts} for code in codes)


class PolicyAPI(API):
    """`forward_train` and `forward_exploration` return `action_dist_inputs`, `(*B, inputs)`."""

    signature = "_forward(batch) -> {action_dist_inputs: (*B, inputs)}"
    paste = (
        "def _forward(self, batch, **kwargs):\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    return {Columns.ACTION_DIST_INPUTS: self.policy(features)}"
    )


class ValueFunctionAPI(API):
    """The module estimates the value of a state."""

    signature = "compute_values(batch, embeddings=None) -> (*B,)"
    paste = (
        "def compute_values(self, batch, embeddings=None):\n"
        "    features = self.encoder(batch[Columns.OBS]) if embeddings is None else embeddings\n"
        "    return self.value(features).squeeze(-1)    # (*B,); made in `setup`: nn.Linear(…, 1)"
    )
    column = "VF_PREDS"
    paste_column = (
        "def compute_values(self, batch, embeddings=None):\n"
        "    return self._forward_train(batch)[Columns.VF_PREDS]    # (*B,)"
    )

    @abstractmethod
    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """Values of the observations, `(*B,)` float32.

        Args:
            batch: At least `obs`, nested as the space is, `(*B, …)`.
            embeddings: What `forward_train` returned as `embeddings` for the same batch: features
                `(*B, F)` by trunk. With it, nothing is encoded twice.
        """


class QNetAPI(API):
    """The module estimates the value of each action that can be counted."""

    signature = "compute_q_values(batch) -> {qf_preds: (*B, n)}"
    paste = (
        "def compute_q_values(self, batch):\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    return {Columns.QF_PREDS: self.q(features)}    # (*B, n)\n\n"
        "def get_train_action_dist_cls(self):\n"
        "    return GreedyDistribution    # from composer.distributions.greedy"
    )

    paste_with = {  # noqa: RUF012 - nobody changes it
        "PolicyAPI": paste.partition("\n\n")[0],
    }

    @abstractmethod
    def compute_q_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Q of the observations and every action.

        Args:
            batch: At least `obs`, nested as the space is, `(*B, …)`.

        Returns:
            `qf_preds`, `(*B, n)`: n is the number of actions, of a MultiDiscrete ΣK, one branch
            after the other. Of a distributional Q also `atoms` `(Z,)`, `qf_logits` and `qf_probs`
            `(*B, n, Z)`. Of several critics each has an axis in front: `(n_critics, *B, n)`.
        """

    def compute_advantage_distribution(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The same columns of the advantages alone, less their mean, where the Q is a dueling one;
        else what `compute_q_values` gives.
        """
        return self.compute_q_values(batch)


class ContinuousQAPI(API):
    """The module estimates the value of actions that are given."""

    signature = "compute_action_values(batch) -> {qf_preds: (n_critics, *B[, n_quantiles])}"
    paste = (
        "def compute_action_values(self, batch):    # import torch\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    both = torch.cat([features, batch[Columns.ACTIONS]], -1)    # real ones, (*B, A)\n"
        "    # made in `setup`: self.critics = nn.ModuleList(nn.Linear(…, 1) for _ in range(2))\n"
        "    values = [critic(both).squeeze(-1) for critic in self.critics]\n"
        "    return {Columns.QF_PREDS: torch.stack(values)}    # (n_critics, *B)"
    )
    paste_with = {  # noqa: RUF012 - nobody changes it
        "tqc": paste.replace(".squeeze(-1)", "")
        .replace("nn.Linear(…, 1)", "nn.Linear(…, 25)")
        .replace("(n_critics, *B)", "(n_critics, *B, n_quantiles)")
    }

    @abstractmethod
    def compute_action_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Q of the observations and the actions.

        Args:
            batch: At least `obs`, nested as the space is, `(*B, …)`, and `actions`: the real ones
                in the normalised space, one after the other, `(*B, A)`. Their gradient is needed.

        Returns:
            `qf_preds`, `(n_critics, *B)`; `(n_critics, *B, n)` where the space has n choices beside
            the real actions, one branch after the other; `(n_critics, *B, n_quantiles)` of a
            distributional Q.
        """

    def compute_first_action_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The same columns of the first critic alone, without the axis of critics."""
        return {Columns.QF_PREDS: self.compute_action_values(batch)[Columns.QF_PREDS][0]}


class TargetNetworkAPI(API):
    """The module holds slower copies of networks, from which targets are computed."""

    supply = "copies of the heads that the algorithm names"
    signature = "make_target_networks(), get_target_network_pairs(), forward_target(batch)"
    paste = (
        "def make_target_networks(self):    # import copy\n"
        "    self.target_q = copy.deepcopy(self.q).requires_grad_(False)\n\n"
        "def get_target_network_pairs(self):\n"
        "    return [(self.q, self.target_q)]\n\n"
        "def forward_target(self, batch):\n"
        "    return {Columns.QF_PREDS: self.target_q(self.encoder(batch[Columns.OBS]))}"
    )
    _of_actions = (
        "def make_target_networks(self):    # import copy, torch\n"
        "    self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)\n"
        "    self.target_policy = copy.deepcopy(self.policy).requires_grad_(False)  # td3\n"
        "\n"
        "def get_target_network_pairs(self):\n"
        "    return [(self.critics, self.target_critics), (self.policy, self.target_policy)]\n"
        "\n"
        "def forward_target(self, batch):\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    if Columns.ACTIONS not in batch:\n"
        "        return {Columns.ACTION_DIST_INPUTS: self.target_policy(features)}\n"
        "    both = torch.cat([features, batch[Columns.ACTIONS]], -1)\n"
        "    values = [critic(both).squeeze(-1) for critic in self.target_critics]\n"
        "    return {Columns.QF_PREDS: torch.stack(values)}"
    )
    paste_with = {  # noqa: RUF012 - nobody changes it
        "tqc": _of_actions.replace(".squeeze(-1)", ""),
        "ContinuousQAPI": _of_actions,
    }

    @abstractmethod
    def make_target_networks(self) -> None:
        """Makes the copies, equal to what they copy and without gradient; if there are some
        already, makes them equal again.
        """

    @abstractmethod
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Each network with its copy."""

    @abstractmethod
    def forward_target(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the copies say of the observations: of a Q network as `compute_q_values`, of a
        policy `action_dist_inputs`. Where the batch has `actions`, what they say of those, as
        `compute_action_values`.
        """


class InferenceOnlyAPI(API):
    """The module names what only training needs."""

    supply = "every composed module"
    signature = "get_non_inference_attributes() -> list of names"
    paste = (
        "def get_non_inference_attributes(self):\n"
        '    return ["value"]    # attributes that acting does not need'
    )

    @abstractmethod
    def get_non_inference_attributes(self) -> list[str]:
        """Dotted names of attributes that an inference-only module goes without."""


class SelfSupervisedLossAPI(API):
    """The module has losses of its own, which every algorithm adds to what it minimises."""

    signature = "compute_self_supervised_loss(batch, out) -> {name: ()}"
    paste = (
        "def compute_self_supervised_loss(self, batch, out):\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    errors = self.decoder(features) - batch[Columns.OBS]\n"
        '    return {"reconstruction": 0.1 * errors.square().mean()}'
    )

    @abstractmethod
    def compute_self_supervised_loss(
        self, batch: Mapping[str, Any], out: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """Losses by name, scalars, each with its weight; they are logged as `auxiliary/<name>`.

        A parameter that the algorithm's own loss reaches too is trained by the sum of both.

        Args:
            batch: At least `obs` and `next_obs`, nested as the space is, `(B, …)`, and `actions` as
                they are kept: what was done between the two. After several steps, where the
                algorithm's `n_step` is more than 1, `next_obs` is what was seen then. Of a module
                with a memory `(B, T, …)`, and `loss_mask`, False at steps that do not count.
            out: What `forward_train` returned for the batch.
        """


class IntrinsicRewardAPI(API):
    """The module pays for transitions beside the environment: algorithms learn from the sum."""

    signature = "compute_intrinsic_rewards(batch) -> (*B,)"
    paste = (
        "def compute_intrinsic_rewards(self, batch):\n"
        "    errors = self.predictor(batch[Columns.OBS]) - batch[Columns.NEXT_OBS]\n"
        "    return 0.1 * errors.square().mean(-1)    # (*B,)"
    )

    @abstractmethod
    def compute_intrinsic_rewards(self, batch: Mapping[str, Any]) -> Tensor:
        """What single steps are worth beside their rewards, `(*B,)` float32; called without
        gradient.

        Args:
            batch: `obs` and `next_obs`, nested as the space is, `(*B, …)`, and `actions` as they
                are kept. At the last step of an episode `next_obs` is its final observation.
        """


APIs = frozenset[type[API]]
"""A set of capabilities."""


def known_apis() -> list[type[API]]:
    """Every capability, in the order in which they were defined; those of plugins come last."""
    return API.__subclasses__()
