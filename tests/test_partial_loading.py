"""Weights of another model for parts of this one, and parts that stay as they are."""

import ast
import copy
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from experiments import experiment, new_run, trainer_of
from gymnasium import spaces
from torch import nn

from composer import Columns, RLModule, compose
from composer.checking import check
from composer.cli.main import main
from composer.errors import CheckpointError, ModuleError, RunDirectoryError
from composer.module.saved import read_weights
from composer.running_norm import RunningNorm, gathering
from composer.training.run_directory import RunDirectory
from composer.training.start import Start

QUICK = [
    "total_steps=64",
    "algorithm.rollout_steps=8",
    "env.num_envs=2",
    "logger=none",
    "evaluation.episodes=1",
    "evaluation.every=0",
    "logging.every=0",
]
VECTOR, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A directory with a finished run of CartPole in it, `runs/a`."""
    home = tmp_path_factory.mktemp("home")
    assert main(["train", "--run-dir", str(home / "runs" / "a"), *QUICK]) == 0
    return home


@pytest.fixture
def home(trained, tmp_path, monkeypatch) -> Path:
    """A copy of it to work in."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "home"))
    return Path.cwd()


def latest(run: str) -> Path:
    return max(Path(run, "checkpoints").glob("step_*"))


def weights(path: str | Path, part: str) -> dict[str, torch.Tensor]:
    return read_weights(latest(str(path)) if str(path).startswith("runs") else path).inside([part])


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def told(capsys, *words: str) -> str:
    """What `composer` says of an error."""
    capsys.readouterr()
    assert main(list(words)) == 2
    out = capsys.readouterr()
    return out.out + out.err


def lines_to_type(text: str) -> list[list[str]]:
    tries = [line.strip() for line in text.splitlines() if line.strip().startswith("try ")]
    return [shlex.split(line.removeprefix("try")) for line in dict.fromkeys(tries)]


# from the command line


def test_a_frozen_part_has_the_weights_of_the_run_it_was_taken_from(home, capsys):
    words = ["--init-from", "runs/a:main", "--freeze", "main", "seed=1"]
    assert main(["train", "--run-dir", "runs/b", *words, *QUICK]) == 0
    assert f"start  main of runs/a/checkpoints/{latest('runs/a').name}; main frozen" in (
        capsys.readouterr().out
    )
    assert equal(weights("runs/b", "main"), weights("runs/a", "main"))
    for part in ("critic", "policy", "value"):
        assert not equal(weights("runs/b", part), weights("runs/a", part))


def test_the_run_says_what_it_has_begun_with(home):
    assert main(["train", "--run-dir", "runs/b", "--init-from", "runs/a:main,value", *QUICK]) == 0
    assert json.loads(Path("runs/b/start.json").read_text()) == {
        "init_from": "runs/a:main,value",
        "directory": str(home / latest("runs/a")),
        "parts": ["main", "value"],
        "freeze": [],
    }
    assert not Path("runs/a/start.json").exists()


def test_a_run_is_resumed_without_what_it_began_with_and_stays_frozen(home, capsys):
    words = ["--init-from", "runs/a:main", "--freeze", "main", "seed=1"]
    assert main(["train", "--run-dir", "runs/b", *words, *QUICK]) == 0
    frozen, free = weights("runs/b", "main"), weights("runs/b", "policy")
    shutil.rmtree("runs/a")
    assert main(["resume", "runs/b", "total_steps=128"]) == 0
    assert equal(weights("runs/b", "main"), frozen)
    assert not equal(weights("runs/b", "policy"), free)


def test_a_run_without_a_checkpoint_begins_again_with_the_weights(home):
    Path("runs/b").mkdir()
    settings = json.loads(Path("runs/a/experiment.json").read_text())
    run = RunDirectory.create(Path("runs/b"), settings | {"seed": 1})
    Start.read("runs/a:main", "main").kept_in(run)
    assert main(["resume", "runs/b"]) == 0
    assert equal(weights("runs/b", "main"), weights("runs/a", "main"))


def test_each_job_of_a_sweep_begins_with_the_weights(home):
    words = ["--init-from", "runs/a:main", "--freeze", "main", "seed=1,2"]
    assert main(["train", "-m", "--run-dir", "runs/sweep", *words, *QUICK]) == 0
    for job in ("runs/sweep/0", "runs/sweep/1"):
        assert equal(weights(job, "main"), weights("runs/a", "main"))


def test_a_sweep_whose_job_does_not_fit_is_not_started(home, capsys):
    text = told(capsys, "train", "-m", "--init-from", "runs/a:main,policy", "env=cartpole,pendulum")
    assert "1 of 2 jobs broken" in text
    assert "nothing was started" in text
    assert "policy.0.weight: expected (1, 64), given (2, 64)" in text
    assert [path.name for path in Path("runs").iterdir()] == ["a"]


def test_check_says_what_a_run_would_begin_with(home, capsys):
    assert main(["check", "--init-from", "runs/a", "--freeze", "main"]) == 0
    name = latest("runs/a").name
    assert f"start     all weights of runs/a/checkpoints/{name}; main frozen" in (
        capsys.readouterr().out
    )


def test_an_edited_start_is_told(home, capsys):
    Path("runs/a/start.json").write_text("{}")
    assert "start.json was edited" in told(capsys, "resume", "runs/a", "total_steps=128")


# what does not fit


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("--init-from runs/a:mian", "this model has no part `mian`; did you mean"),
        ("--init-from runs/a:main,", "a part's name is empty"),
        ("--init-from runs/a:critic model=shared", "this model has no part `critic`"),
        (
            "--init-from runs/a:main model.encoder.hidden=[32,32]",
            "shape       main.encoder.layers.0.weight: expected (32, 4), given (64, 4)",
        ),
        (
            "--init-from runs/a model.encoder.hidden=[64,64,64]",
            "missing     main.encoder.layers.4.weight (64, 64)",
        ),
        ("--init-from runs/a:critic model.encoder.hidden=[8]", "critic.encoder.layers.0.bias"),
        (
            "--init-from runs/a:value model.heads.value.hidden=[7]",
            "missing     value.layers.2.weight (1, 7)",
        ),
        ("--init-from runs/a env=pendulum", "`main`, `critic`, `policy` of runs/a/checkpoints/"),
        ("--init-from runs/a model=shared", "this model has no part `critic`"),
        ("--freeze mian,polcy", "this model has no part `polcy`; did you mean"),
        ("--freeze main,", "a part's name is empty"),
        ("--freeze main,critic,policy,value", "nothing is left to train"),
        ("--init-from runs/a:distribution", "the part `distribution` of this model has no weights"),
        ("--init-from runs/none:main", "runs/none does not exist; the newest run beside it is"),
        ("--init-from runs:main", "runs is not a run directory"),
        ("--init-from", "`--init-from` needs a value"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_starts(home, capsys, words, rule):
    given = shlex.split(words)
    text = told(capsys, "train", *given)
    assert rule in text
    assert [path.name for path in Path("runs").iterdir()] == ["a"]
    if given[1:]:
        assert f"{given[0]} = {given[1]}" in text
    mended = given
    for line in lines_to_type(text):
        keys = {word.partition("=")[0] for word in line}
        if line[0].startswith("--"):
            place = mended.index(line[0])
            mended = [*mended[:place], *line, *mended[place + 2 :]]
        else:
            kept = [word for word in mended if word.partition("=")[0] not in keys]
            mended = [*kept, *line]
    if lines_to_type(text):
        assert main(["check", *mended]) == 0


def test_a_line_is_offered_for_every_mistake_that_one_would_mend(home, capsys):
    text = told(capsys, "check", "--init-from", "runs/a", "model.encoder.hidden=[32,32]")
    assert lines_to_type(text) == [["model.encoder.hidden=[64,64]"]]
    text = told(capsys, "check", "--init-from", "runs/a", "env=pendulum")
    assert lines_to_type(text) == [["--init-from", "runs/a:value"]]
    text = told(capsys, "check", "--init-from", "runs/a:main,critic", "model=shared")
    assert lines_to_type(text) == [["--init-from", "runs/a:main"]]


def test_a_frozen_part_has_no_settings_of_the_optimiser(home, capsys):
    parts = "algorithm.optimiser.parts={main:{lr:1e-5},value:{lr:1e-5}}"
    text = told(capsys, "train", "--freeze", "main", parts)
    assert "algorithm.optimiser.parts.main = {lr: 1e-05}" in text
    assert "the part `main` is not trained: it is frozen" in text
    assert [path.name for path in Path("runs").iterdir()] == ["a"]
    left = ["--freeze", "main", "algorithm.optimiser.parts.value.frozen_until=9"]
    rest = "algorithm.optimiser.parts={critic:{frozen_until:9},policy:{frozen_until:9}}"
    text = told(capsys, "check", *left, rest)
    assert "every part is frozen until step 9" in text


def test_a_damaged_checkpoint_is_told(home, capsys):
    file = latest("runs/a") / "module" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    assert "was cut short" in told(capsys, "check", "--init-from", "runs/a:main")


# from Python


def source(tmp_path: Path, **options) -> Path:
    with trainer_of(experiment(**options)) as trainer:
        trainer.step()
        trainer.save(tmp_path / "source")
    return tmp_path / "source"


def test_a_trainer_begins_with_parts_and_freezes_them(tmp_path):
    path = source(tmp_path)
    with trainer_of(experiment(seed=1), init_from=f"{path}:main", freeze="main") as trainer:
        trainer.step()
        assert equal(trainer.module.get_state("main"), weights(path, "main"))
        assert not equal(trainer.module.get_state("policy"), weights(path, "policy"))
        frozen = set(trainer.module.main.parameters())
        held = trainer.driver.algorithm.optimiser.live
        assert not frozen & set(held)


def test_all_weights_are_taken_where_no_part_is_named(tmp_path):
    path = source(tmp_path)
    with trainer_of(experiment(seed=1), init_from=path) as trainer:
        assert equal(trainer.module.get_state(), dict(read_weights(path).tensors))
        assert not trainer.driver.algorithm.optimiser.get_tensors()


def test_an_argument_in_python_is_told_as_python_has_it(tmp_path):
    path = source(tmp_path)
    with pytest.raises(ModuleError) as error, trainer_of(experiment(), init_from=f"{path}:mian"):
        pass
    (problem,) = error.value.problems
    assert (problem.path, problem.fix) == ("init_from", f"init_from='{path}:main'")


def test_a_run_keeps_to_what_it_has_begun_with(tmp_path):
    path = source(tmp_path)
    (tmp_path / "run").mkdir()
    run = new_run(tmp_path / "run", experiment())
    with trainer_of(experiment(), run=run, freeze="main") as trainer:
        trainer.step()
    with trainer_of(experiment(), run=run) as trainer:
        assert trainer.start.freeze == ("main",)
    with (
        pytest.raises(RunDirectoryError, match=r"has begun, with main frozen; it cannot begin"),
        trainer_of(experiment(), run=run, init_from=path),
    ):
        pass


def test_a_checkpoint_goes_on_with_the_same_parts_frozen_only(tmp_path):
    with trainer_of(experiment(), freeze="main") as trainer:
        trainer.step()
        trainer.save(tmp_path / "saved")
    with (
        trainer_of(experiment()) as trainer,
        pytest.raises(CheckpointError, match=r"freeze=\['main'\]"),
    ):
        trainer.restore(tmp_path / "saved")
    with trainer_of(experiment(), freeze=["main"]) as trainer:
        trainer.restore(tmp_path / "saved")
        assert trainer.progress.updates == 1


# into a running trainer


def test_one_component_is_restored_into_a_running_trainer(tmp_path):
    path = source(tmp_path)
    with trainer_of(experiment(seed=1)) as trainer:
        trainer.step()
        before, steps = trainer.module.get_state(), trainer.progress.env_steps
        moments = copy.deepcopy(trainer.driver.get_tensors())
        trainer.restore(path, component="main.encoder")
        after = trainer.module.get_state()
        assert equal(trainer.module.get_state("main"), weights(path, "main"))
        assert all(
            torch.equal(after[name], before[name]) for name in after if name.split(".")[0] != "main"
        )
        assert equal(trainer.driver.get_tensors(), moments)
        assert trainer.progress.env_steps == steps
        trainer.step()
        assert trainer.progress.env_steps > steps


def test_a_saved_module_is_restored_into_a_running_trainer(tmp_path):
    with trainer_of(experiment(seed=1)) as trainer:
        module = experiment().blueprint.build(seed=7)
        trainer.restore(module.save_to_path(tmp_path / "saved"), component=["main", "value"])
        assert equal(trainer.module.get_state("value"), module.get_state("value"))


def test_a_component_that_does_not_fit_leaves_the_trainer_as_it_was(tmp_path):
    path = source(tmp_path, model={"type": "composed", "encoder": {"hidden": [8]}})
    with trainer_of(experiment()) as trainer:
        before = trainer.module.get_state()
        with pytest.raises(ModuleError, match=r"`value`, `main` of .* do not fit this model"):
            trainer.restore(path, component=["value", "main"])
        assert equal(trainer.module.get_state(), before)


# modules


@pytest.mark.parametrize("norm", ["none", "running"])
def test_a_part_is_loaded_into_a_model_whose_other_parts_differ(tmp_path, norm):
    settings = {"encoder": {"type": "mlp", "hidden": [8], "norm": norm}}
    first = compose(VECTOR, TWO, settings, "ppo").build(seed=1)
    first.observe(torch.full((3, 4), 5.0))
    settings["trunks"] = {}
    second = compose(VECTOR, spaces.Discrete(7), settings, "ppo").build()
    second.restore_from_path(first.save_to_path(tmp_path / "saved"), component="main.encoder")
    assert equal(second.get_state("main"), first.get_state("main"))


def test_the_encoder_of_one_key_is_a_part(tmp_path):
    several = spaces.Dict(speed=VECTOR, goal=VECTOR)
    first, second = (compose(several, TWO, algorithm="ppo").build(seed=seed) for seed in (0, 1))
    before = second.get_state("main.encoder.goal")
    second.restore_from_path(first.save_to_path(tmp_path / "saved"), "main.encoder.speed")
    part = "main.encoder.speed"
    assert equal(second.get_state(part), first.get_state(part))
    assert equal(second.get_state("main.encoder.goal"), before)


@pytest.mark.parametrize(
    ("component", "fix"),
    [
        ("man", "component='main'"),
        (["man", "polcy"], "component=['main', 'policy']"),
        ("distribution", None),
        (["value", "extra"], "component='value'"),
    ],
)
def test_a_component_that_is_in_neither_is_told_with_the_nearest(tmp_path, component, fix):
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    path = module.save_to_path(tmp_path / "saved")
    with pytest.raises(ModuleError, match=r"has no (part|weights)") as error:
        module.restore_from_path(path, component=component)
    assert {problem.fix for problem in error.value.problems} == {fix}
    if fix:
        module.restore_from_path(path, ast.literal_eval(fix.removeprefix("component=")))


def test_a_part_inside_is_offered_where_the_whole_does_not_fit(tmp_path):
    several = spaces.Dict(speed=VECTOR, goal=VECTOR)
    first = compose(several, TWO, algorithm="ppo").build()
    other = spaces.Dict(speed=VECTOR, goal=spaces.Box(-1, 1, (9,), np.float32))
    second = compose(other, TWO, algorithm="ppo").build()
    with pytest.raises(ModuleError) as error:
        second.restore_from_path(first.save_to_path(tmp_path / "saved"), "main")
    assert error.value.problems[0].fix == "component='main.encoder.speed'"


def test_a_long_difference_is_cut():
    module = compose(VECTOR, TWO, {"encoder": {"hidden": [4] * 20}}, "ppo").build()
    with pytest.raises(ModuleError, match=r"… and \d+ more"):
        module.set_state({})


def test_a_module_that_acts_only_takes_the_weights_of_a_full_checkpoint(tmp_path):
    path = source(tmp_path)
    wanted = experiment()
    slim = wanted.blueprint.build(inference_only=True)
    slim.restore_from_path(path)
    full = RLModule.from_checkpoint(path)
    assert equal(slim.get_state(), full.get_state(inference_only=True))
    with pytest.raises(ModuleError, match="the part `value` of this model has no weights"):
        slim.restore_from_path(path, component="value")


HAND_WRITTEN = {"type": "custom", "path": "experiments.Probe"}


def test_a_hand_written_model_begins_with_parts_and_freezes_them(tmp_path):
    path = source(tmp_path, model=HAND_WRITTEN)
    wanted = experiment(model=HAND_WRITTEN, seed=1)
    check(wanted, tmp_path, Start.read(f"{path}:factor", "factor"))
    with trainer_of(wanted, init_from=f"{path}:factor", freeze="factor") as trainer:
        trainer.step()
        assert equal(trainer.module.get_state("factor"), weights(path, "factor"))
        assert not equal(trainer.module.get_state("logits"), weights(path, "logits"))


def test_what_a_hand_written_model_lacks_is_told(tmp_path):
    path = source(tmp_path)
    start = Start.read(f"{path}:main,logit", "logit")
    with pytest.raises(ModuleError) as error:
        check(experiment(model=HAND_WRITTEN), tmp_path, start)
    assert [problem.message for problem in error.value.problems] == [
        "this model has no part `main`",
        "this model has no part `logit`; did you mean `logits`?",
        "this model has no part `logit`; did you mean `logits`?",
    ]
    assert [problem.fix for problem in error.value.problems] == [None, None, "freeze='logits'"]


class Slow(RLModule):
    """Written by hand, with a slower copy of its head."""

    def setup(self):
        self.encoder = nn.Linear(4, 8)
        self.q = nn.Linear(8, 2)

    def make_target_networks(self):
        self.target_q = copy.deepcopy(self.q).requires_grad_(False)

    def get_target_network_pairs(self):
        return [(self.q, self.target_q)]

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.target_q(self.encoder(batch[Columns.OBS]))}

    def get_non_inference_attributes(self):
        return ["target_q"]

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.q(self.encoder(batch[Columns.OBS]))}


def test_slower_copies_follow_the_part_that_was_loaded(tmp_path):
    first, second = Slow(VECTOR, TWO), Slow(VECTOR, TWO)
    with torch.no_grad():
        first.target_q.weight += 1
    second.restore_from_path(first.save_to_path(tmp_path / "saved"), component="q")
    assert torch.equal(second.q.weight, first.q.weight)
    assert torch.equal(second.target_q.weight, first.q.weight)


def test_a_hand_written_module_that_acts_only_takes_a_part(tmp_path):
    path = Slow(VECTOR, TWO).save_to_path(tmp_path / "saved")
    slim = Slow(VECTOR, TWO, inference_only=True)
    slim.restore_from_path(path, component="q")
    slim.restore_from_path(path)
    assert not hasattr(slim, "target_q")


def test_what_is_frozen_has_no_gradient_and_gathers_nothing():
    module = compose(VECTOR, TWO, {"encoder": {"norm": "running"}, "trunks": {}}, "ppo").build()
    module.freeze("main")
    before = module.get_state("main")
    module.observe(torch.full((3, 4), 5.0))
    assert equal(module.get_state("main"), before)
    assert {p.requires_grad for p in module.main.parameters()} == {False}
    assert {p.requires_grad for p in module.policy.parameters()} == {True}


def test_one_parameter_is_frozen():
    module = compose(VECTOR, spaces.Box(-1, 1, (2,), np.float32)).build()
    module.freeze("distribution.log_std")
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == [
        "distribution.log_std"
    ]
    with pytest.raises(ModuleError, match="has no part `man`; did you mean `main`"):
        module.freeze("man")


def test_a_norm_in_eval_mode_gathers_nothing():
    norm = RunningNorm(shape=(1,)).eval()
    with gathering(norm):
        norm(torch.ones(3, 1))
    assert norm.count == 0
