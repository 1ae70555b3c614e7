"""How fast a run is."""

import time

from composer import Experiment, Trainer


def steps_a_second(words: list[str]) -> float:
    """Environment steps a second of an experiment, its first update left out."""
    trainer = Trainer(Experiment.load(words))
    trainer.step()
    taken, start = trainer.progress.env_steps, time.perf_counter()
    while not trainer.done:
        trainer.step()
    speed = (trainer.progress.env_steps - taken) / (time.perf_counter() - start)
    trainer.close()
    return speed
