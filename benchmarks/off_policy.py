"""Updates of off-policy algorithms, from the replay to the weights, beside SB3's."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from composer import Experiment, Trainer
from composer.training.off_policy import OffPolicyDriver

FILLED = 2_000
"""Environment steps in the replay before anything is measured."""
UPDATES = 10
"""In a round of the measurement."""
NETS = {"net_arch": [256, 256]}
SETTINGS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "dqn": (
        "CartPole-v1",
        [
            "model.encoder.hidden=[256,256]",
            "model.encoder.activation=relu",
            "algorithm.dueling=false",
            "algorithm.double=false",
            "algorithm.target_update_every=10000",
        ],
        {"target_update_interval": 10_000},
    ),
    "sac": ("Pendulum-v1", [], {}),
    "td3": ("Pendulum-v1", [], {}),
}
"""By algorithm: its environment, and what makes both sides equal; the defaults of `sac` and `td3`
are SB3's own."""


def composer_updates(name: str) -> Callable[[int], object]:
    """Takes so many updates of 256 transitions, of networks of 256×256."""
    env_id, words, _ = SETTINGS[name]
    words = [
        f"env.id={env_id}",
        f"algorithm={name}",
        "env.num_envs=1",
        "algorithm.batch_size=256",
        f"algorithm.learning_starts={10 * FILLED}",
        "evaluation.every=0",
        "checkpoint.every=0",
        *words,
    ]
    trainer = Trainer(Experiment.load(words))
    while trainer.progress.env_steps < FILLED:
        trainer.step()
    assert isinstance(trainer.driver, OffPolicyDriver)
    update = trainer.driver.update
    return lambda count: [update(0.0) for _ in range(count)]


def sb3_updates(name: str) -> Callable[[int], object]:
    """The same of SB3."""
    import stable_baselines3

    env_id, _, options = SETTINGS[name]
    make = getattr(stable_baselines3, name.upper())
    env = gym.make(env_id)
    model = make(
        "MlpPolicy", env, batch_size=256, learning_starts=10 * FILLED, policy_kwargs=dict(NETS),
        device="cpu", seed=0, **options,
    )  # fmt: skip
    model.learn(FILLED)
    return lambda count: model.train(gradient_steps=count, batch_size=256)
