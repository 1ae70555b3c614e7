"""For testing encoders, distributions, algorithms and plugins: checks of a part, generated spaces
to check it in, and tiny environments with a known optimum.

Importing this package registers them, so `env.id=composer.testing:Bandit-v0` works as it stands.
A problem says what an optimal policy gets in an episode (`optimal_return`) and what uniform random
actions get on average (`random_return`), both at its default arguments.

    Bandit            which arm pays most?
    ContextualBandit  ... when a Discrete observation tells
    MultiDiscreteBandit, MultiBinaryBandit, ImageBandit, DictBandit
                      ... when a MultiDiscrete, a MultiBinary, an image, two keys together tell
    TextBandit, SequenceBandit
                      ... when a word, a place in a sequence tells
    DigitsBandit, BitsBandit
                      ... of several choices at once, a MultiDiscrete, a MultiBinary
    MaskedBandit      ... of those that are not forbidden, by `info` or by a key of the observation
    Lock              is there anything to find? for those that explore
    Recall            what was shown a few steps ago? for those that remember
    TMaze             ... at the start of a corridor
    Chain             is a late reward worth more than an early one?
    Reach1D           a Box action with asymmetric bounds
    JointReach        ... beside a choice of two arms, one of which is mirrored
    ReachTruncated    ... over episodes that end by truncation only
    Counter           counts its steps; CounterVector is its own vector form
    Raises            raises where it is told to

`check_encoder(config, space)` and `check_distribution(config, space)` try a part of your own in
every way in which it will be used; `composer.testing.strategies`, which needs the extra `testing`,
has Hypothesis generate the spaces.
"""

import gymnasium as gym

from composer.testing.bandits import (
    Bandit,
    BitsBandit,
    ContextualBandit,
    DictBandit,
    DigitsBandit,
    ImageBandit,
    MultiBinaryBandit,
    MultiDiscreteBandit,
    SequenceBandit,
    TellingBandit,
    TextBandit,
)
from composer.testing.conformance import check_distribution, check_encoder
from composer.testing.control import Chain, JointReach, Lock, Reach1D, ReachTruncated
from composer.testing.masked import MaskedBandit
from composer.testing.probes import Counter, CounterVector, Raises
from composer.testing.remembering import PartlyObserved, Recall, TMaze

__all__ = [
    "PROBLEMS",
    "Bandit",
    "BitsBandit",
    "Chain",
    "ContextualBandit",
    "Counter",
    "CounterVector",
    "DictBandit",
    "DigitsBandit",
    "ImageBandit",
    "JointReach",
    "Lock",
    "MaskedBandit",
    "MultiBinaryBandit",
    "MultiDiscreteBandit",
    "PartlyObserved",
    "Raises",
    "Reach1D",
    "ReachTruncated",
    "Recall",
    "SequenceBandit",
    "TMaze",
    "TellingBandit",
    "TextBandit",
    "check_distribution",
    "check_encoder",
]

PROBLEMS = (
    Bandit,
    ContextualBandit,
    MultiDiscreteBandit,
    MultiBinaryBandit,
    ImageBandit,
    DictBandit,
    TextBandit,
    SequenceBandit,
    DigitsBandit,
    BitsBandit,
    MaskedBandit,
    Chain,
    Reach1D,
    JointReach,
    ReachTruncated,
)
"""Those with something to learn."""

for _env in (*PROBLEMS, Lock, Recall, TMaze, Raises):
    gym.register(f"{_env.__name__}-v0", entry_point=f"{__name__}:{_env.__name__}")
gym.register(
    "Counter-v0",
    entry_point=f"{__name__}:Counter",
    vector_entry_point=f"{__name__}:CounterVector",
)
