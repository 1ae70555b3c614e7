"""Trains a policy from Python: the same experiment as `composer train env=cartpole`.

python examples/quickstart.py
"""

from composer import Experiment, Trainer


def main(total_steps: int = 60_000) -> float:
    """Trains, and returns the mean return of the last evaluation."""
    experiment = Experiment.load(["env=cartpole", "algorithm=ppo", f"total_steps={total_steps}"])
    print(experiment.blueprint.explain())

    trainer = Trainer(experiment)
    while not trainer.done:
        result = trainer.step()
        if result.evaluation is not None:
            print(f"{result.env_steps:>8} steps: return {result.evaluation.mean:.1f}")

    mean_return = trainer.evaluate().mean
    trainer.close()
    print(f"   at the end: return {mean_return:.1f}")
    return mean_return


if __name__ == "__main__":
    main()
