import pytest
import torch
from experiments import experiment, new_run, rows_of, trainer_of

CARTPOLE = {"id": "CartPole-v1", "num_envs": 2, "vectorization": "vector_entry_point"}
REACH = {"id": "composer.testing:ReachTruncated-v0", "num_envs": 2, "vectorization": "sync"}
ASYNC = REACH | {"vectorization": "async"}
SETTINGS = {
    "evaluation": {"every": 50, "episodes": 4, "num_envs": 2, "deterministic": False},
    "total_steps": 150,
    "algorithm": {"rollout_steps": 16, "reward_scaling": "running"},
}


def rows(path, env, **data):
    path.mkdir()
    wanted = experiment(env, **SETTINGS | data)
    run = new_run(path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.train()
    return rows_of(run)


@pytest.mark.parametrize("env", [CARTPOLE, REACH], ids=["cartpole", "reach"])
def test_one_seed_gives_one_sequence_of_metrics(tmp_path, env):
    first = rows(tmp_path / "a", env, seed=1)
    torch.rand(7)  # no stream of ours is torch's global one
    assert rows(tmp_path / "b", env, seed=1) == first
    assert sum("evaluation/return" in row for row in first) >= 3
    assert sum("train/loss" in row for row in first) >= 5


@pytest.mark.parametrize("env", [CARTPOLE, REACH], ids=["cartpole", "reach"])
def test_another_seed_gives_other_metrics_from_the_first_row_on(tmp_path, env):
    first, other = (rows(tmp_path / str(seed), env, seed=seed) for seed in (1, 2))
    assert first[0]["train/loss"] != other[0]["train/loss"]
    assert first[-1]["evaluation/return"] != other[-1]["evaluation/return"]


def test_environments_in_processes_of_their_own_give_the_same_metrics(tmp_path):
    settings = {"total_steps": 40, "seed": 1}
    here = rows(tmp_path / "a", REACH, **settings)
    assert rows(tmp_path / "b", ASYNC, **settings) == here


def test_environments_begin_with_the_seeds_of_their_own_stream():
    """Two seeds' first observations differ, and so do two environments'."""
    seen = []
    for seed in (0, 1):
        with trainer_of(experiment(REACH, seed=seed)) as trainer:
            seen += trainer.driver.collector.obs.flatten().tolist()
    assert len(set(seen)) == 4
