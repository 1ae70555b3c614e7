"""Weights of one model in another: whole modules, parts by name, parts that stay frozen.

    composer train --init-from runs/cartpole_ppo_…:main --freeze main env=cartpole

does for a run what `begin_with_a_part` does here.
"""

import tempfile
from pathlib import Path

import gymnasium as gym
import torch

from composer import Experiment, RLModule, Trainer, compose

WORDS = ["env=cartpole", "model.encoder.hidden=[32]", "total_steps=4000"]


def save_and_load(directory: Path) -> RLModule:
    """A module's own checkpoint, and the module that it holds."""
    env = gym.make("CartPole-v1")
    model = {"encoder": {"hidden": [32]}}
    blueprint = compose(env.observation_space, env.action_space, model, algorithm="ppo")
    blueprint.build(seed=0).save_to_path(directory / "module")
    return RLModule.from_checkpoint(directory / "module")


def restore_into_a_running_trainer(directory: Path) -> Trainer:
    """The trainer's module takes the policy's side; the critic, the optimiser and counts stay."""
    trainer = Trainer(Experiment.load(WORDS))
    trainer.step()
    trainer.restore(directory / "module", component=["main", "policy"])
    trainer.step()
    trainer.save(directory / "checkpoint")
    return trainer


def begin_with_a_part(directory: Path) -> Trainer:
    """Another trainer, whose main trunk comes from a checkpoint and is not trained."""
    return Trainer(
        Experiment.load([*WORDS, "seed=1"]),
        init_from=f"{directory}/checkpoint:main",
        freeze="main",
    )


def act_only(directory: Path) -> RLModule:
    """What acting needs of a full checkpoint: here without the critic."""
    blueprint = Experiment.load(WORDS).blueprint
    module = blueprint.build(inference_only=True)
    module.restore_from_path(directory / "checkpoint")
    return module


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        saved = save_and_load(directory)
        print(f"saved and loaded: {', '.join(part for part, _ in saved.named_children())}")
        first = restore_into_a_running_trainer(directory)
        second = begin_with_a_part(directory)
        second.step()
        trunks = (trainer.module.get_state("main") for trainer in (first, second))
        one, other = (torch.cat([w.flatten() for w in trunk.values()]) for trunk in trunks)
        print(f"the frozen trunk is the first trainer's: {torch.equal(one, other)}")
        acting = act_only(directory)
        print(f"acts with {', '.join(part for part, _ in acting.named_children())}")
        first.close()
        second.close()


if __name__ == "__main__":
    main()
