"""Hand-written modules named by a configuration, and parts of one's own in a composed module."""

import copy
import json
import re
import shlex
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Catalog, Columns, Experiment, RLModule, Trainer
from composer.algorithms.ppo import PPOConfig
from composer.algorithms.sac import SACConfig
from composer.cli.main import main
from composer.distributions.categorical import CategoricalDistribution
from composer.distributions.joint import JointConfig
from composer.distributions.squashed_gaussian import SquashedGaussianDistribution
from composer.engines.policy import build_module, evaluate_experiment
from composer.errors import CheckpointError, ComposerError, CompositionError, ContractError
from composer.model_config import CustomModelConfig
from composer.module.custom import CustomModel

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)
CODE = '''
import copy
import torch
from torch import nn
from composer import Columns, RLModule
from composer.distributions.greedy import GreedyDistribution
from composer.distributions.base import DeterministicDistribution
from composer.distributions.squashed_gaussian import SquashedGaussianDistribution


class Mine(RLModule):
    """An actor and a critic."""

    def setup(self):
        self.encoder = self.catalog.encoder(self.observation_space).config.build(
            self.observation_space
        )
        features = self.catalog.encoder(self.observation_space).config.out_dim(
            self.observation_space
        )
        self.policy = nn.Linear(features, self.model_config.get("outputs", 2))
        self.value = nn.Linear(features, 1)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.encoder(batch[Columns.OBS]))}

    def compute_values(self, batch, embeddings=None):
        return self.value(self.encoder(batch[Columns.OBS])).squeeze(-1)

    def get_non_inference_attributes(self):
        return ["value"]


class Needs(Mine):
    def setup(self):
        self.width = self.model_config["width"]


class Fails(Mine):
    def setup(self):
        super().setup()
        self.width = 1 / 0


class Misfits(Mine):
    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}


class NoCritic(RLModule):
    def setup(self):
        self.encoder = nn.Linear(4, 8)
        self.policy = nn.Linear(8, 2)
        self.value = nn.Linear(8, 1)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.encoder(batch[Columns.OBS]))}


class ActionsAlone(Mine):
    def _forward(self, batch, **kwargs):
        return {Columns.ACTIONS: super()._forward(batch)["action_dist_inputs"].argmax(-1)}


class ActionsInTraining(Mine):
    def _forward_train(self, batch, **kwargs):
        return {Columns.ACTIONS: super()._forward(batch)["action_dist_inputs"].argmax(-1)}


class Neither(Mine):
    def _forward(self, batch, **kwargs):
        return {"logits": super()._forward(batch)["action_dist_inputs"]}


class Column(Mine):
    def compute_values(self, batch, embeddings=None):
        return super().compute_values(batch).unsqueeze(-1)


class OneAction(Mine):
    def get_train_action_dist_cls(self):
        return DeterministicDistribution


class WrongName(Mine):
    def get_non_inference_attributes(self):
        return ["critic"]


class Remembers(Mine):
    def get_initial_state(self, batch_size=1):
        return {"count": torch.zeros(batch_size, 1)}

    def _forward(self, batch, **kwargs):
        state = {"count": batch[Columns.STATE_IN]["count"] + 1}
        return {**super()._forward(batch), Columns.STATE_OUT: state}


class WithoutPolicy(Mine):
    def get_non_inference_attributes(self):
        return ["policy"]


class WithoutGradient(Mine):
    def _forward(self, batch, **kwargs):
        with torch.no_grad():
            return super()._forward(batch)

    def compute_values(self, batch, embeddings=None):
        return super().compute_values(batch).detach()


class Greedy(Mine):
    def _forward_inference(self, batch, **kwargs):
        return {Columns.ACTIONS: self._forward(batch)["action_dist_inputs"].argmax(-1)}


class Both(Mine):
    def _forward_exploration(self, batch, **kwargs):
        out = self._forward(batch)
        return {**out, Columns.ACTIONS: out["action_dist_inputs"].argmax(-1)}


class Tires(Mine):
    """Raises while it collects, learns or is evaluated: in call number `model_config["calls"]`."""

    calls = 0

    def tire(self):
        self.calls += 1
        if self.calls == self.model_config["calls"]:
            raise OSError("no more")

    def _forward_exploration(self, batch, **kwargs):
        self.tire()
        return self._forward(batch)


class TiresInInference(Tires):
    _forward_exploration = RLModule._forward_exploration

    def _forward_inference(self, batch, **kwargs):
        self.tire()
        return self._forward(batch)


class FromTheDocs(RLModule):
    """Returns values, and has no method for them."""

    def setup(self):
        self.encoder = nn.Sequential(nn.Linear(self.observation_space.shape[0], 16), nn.ReLU())
        self.policy_head = nn.Linear(16, self.action_space.n)
        self.value_head = nn.Linear(16, 1)

    def _forward(self, batch, **kwargs):
        h = self.encoder(batch[Columns.OBS])
        return {
            Columns.ACTION_DIST_INPUTS: self.policy_head(h),
            Columns.VF_PREDS: self.value_head(h).squeeze(-1),
        }


class Valued(RLModule):
    """Values of two actions, by which it acts; without copies to take targets from."""

    def setup(self):
        self.encoder = nn.Linear(4, 8)
        self.q = nn.Linear(8, 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.q(self.encoder(batch[Columns.OBS]))}

    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: self._forward(batch)[Columns.ACTION_DIST_INPUTS]}

    def get_train_action_dist_cls(self):
        return GreedyDistribution


class Targeted(Valued):
    def make_target_networks(self):
        self.target_q = copy.deepcopy(self.q).requires_grad_(False)

    def get_target_network_pairs(self):
        return [(self.q, self.target_q)]

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.target_q(self.encoder(batch[Columns.OBS]))}

    def get_non_inference_attributes(self):
        return ["target_q"]


class Drawing(Targeted):
    def get_train_action_dist_cls(self):
        return RLModule.get_train_action_dist_cls(self)


class NoCopy(Targeted):
    def make_target_networks(self):
        self.target_q = self.q


class NoPairs(Targeted):
    def get_target_network_pairs(self):
        return []


class NotPairs(Targeted):
    def get_target_network_pairs(self):
        return self.q, self.target_q


class Swapped(Targeted):
    def get_target_network_pairs(self):
        return [(self.target_q, self.q)]


class Unused(Targeted):
    def forward_target(self, batch):
        return self.compute_q_values(batch)


class OtherShapes(Targeted):
    def get_target_network_pairs(self):
        return [(self.encoder, self.target_q)]


class Detached(Targeted):
    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: super().compute_q_values(batch)[Columns.QF_PREDS].detach()}


class NotFinite(Targeted):
    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: super().compute_q_values(batch)[Columns.QF_PREDS] / 0}


class DetachedValues(Mine):
    def compute_values(self, batch, embeddings=None):
        return super().compute_values(batch).detach()


class DetachedPolicy(Mine):
    def _forward(self, batch, **kwargs):
        with torch.no_grad():
            return super()._forward(batch)


class NotANumber(Mine):
    def _forward(self, batch, **kwargs):
        out = super()._forward(batch)
        return {Columns.ACTION_DIST_INPUTS: out[Columns.ACTION_DIST_INPUTS] * float("nan")}


class OneValue(Targeted):
    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: super().compute_q_values(batch)[Columns.QF_PREDS][:, :1]}


class Actor(RLModule):
    """Real actions, or two choices; the layers of critics, which nothing calls yet."""

    def setup(self):
        space, more = self.action_space, self.model_config.get("quantiles", 1)
        real = 0 if hasattr(space, "n") else space.shape[0]
        inputs = {"squashed": 2 * real, "one": real, "choice": 2}[self.model_config["acts"]]
        self.encoder = nn.Sequential(nn.Linear(self.observation_space.shape[0], 16), nn.ReLU())
        self.policy = nn.Sequential(nn.Linear(16, inputs), nn.Tanh())
        self.critics = nn.ModuleList(nn.Linear(16 + real, more) for _ in range(2))
        self.q = nn.Linear(16, 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.encoder(batch[Columns.OBS]))}


class Critics(Actor):
    def compute_action_values(self, batch):
        both = torch.cat([self.encoder(batch[Columns.OBS]), batch[Columns.ACTIONS]], -1)
        return {Columns.QF_PREDS: torch.stack([critic(both) for critic in self.critics])}

    def make_target_networks(self):
        self.slower = copy.deepcopy(self.critics)

    def get_target_network_pairs(self):
        return [(self.critics, self.slower)]

    def forward_target(self, batch):
        with torch.no_grad():
            return self.compute_action_values(batch)


class Blind(Critics):
    def compute_action_values(self, batch):
        values = super().compute_action_values(batch | {Columns.ACTIONS: torch.zeros(2, 1)})
        return {Columns.QF_PREDS: values[Columns.QF_PREDS].squeeze(-1)}

    def get_train_action_dist_cls(self):
        return SquashedGaussianDistribution


class NotOne:
    pass
'''
YAML = """
# @package _global_
defaults:
  - override /model: custom
model:
  path: own_pkg.Mine
  config: {outputs: 2}
total_steps: 600
evaluation: {episodes: 2, every: 0}
algorithm: {rollout_steps: 32}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module `own_pkg` in the working directory, and an experiment that names a class of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_pkg.py").write_text(CODE)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(YAML)
    yield tmp_path
    for name in ("own_pkg", "other_pkg"):
        sys.modules.pop(name, None)


def words(name="Mine", *more):
    return ["model=custom", f"model.path=own_pkg.{name}", "logger=none", *more]


SHORT = ["logger=none", "env.num_envs=2", "algorithm.rollout_steps=32", "evaluation.episodes=2"]


def problem_of(name, *more, kind=ComposerError):
    with pytest.raises(kind) as raised:
        Experiment.load(words(name, *more)).require_model()
    (problem,) = raised.value.problems
    return problem


# --- from the command line and YAML


def test_a_class_named_in_yaml_is_trained_evaluated_and_resumed(own, capsys):
    train = ["train", "--config-dir", "conf", "experiment=mine", "logger=none", "--run-dir", "run"]
    assert main(train) == 0
    at_the_end = re.findall(r"return (\S+) ± ", capsys.readouterr().out)[-1]
    assert main(["eval", "run"]) == 0
    assert f"return {at_the_end} ± " in capsys.readouterr().out
    assert main(["resume", "run", "total_steps=1200"]) == 0
    latest = sorted((own / "run" / "checkpoints").glob("step_*"))[-1]
    module = RLModule.from_checkpoint(latest, trust="own_pkg")
    assert type(module).__name__ == "Mine"
    assert not (own / "run" / "blueprint.json").exists()


def test_the_same_class_is_named_by_words(own):
    by_words = Experiment.load(words("Mine", "model.config.outputs=2"))
    by_file = Experiment.load(["experiment=mine"], "conf")
    assert by_words.config.model == by_file.config.model
    assert by_words.model.fingerprint == by_file.model.fingerprint
    assert Experiment.from_data(by_words.to_data()).config == by_words.config


def test_eval_trusts_the_class_of_the_runs_own_experiment_only(own, capsys):
    trainer = Trainer(Experiment.load(words("Mine")))
    trainer.save("saved")
    trainer.close()
    assert main(["eval", "saved"]) == 0
    with pytest.raises(CheckpointError, match=r"own_pkg:Mine, whose code is not trusted"):
        RLModule.from_checkpoint("saved")
    file = own / "saved" / "module" / "module.json"
    data = json.loads(file.read_text()) | {"class": "shutil:rmtree"}
    file.write_text(json.dumps(data))
    with pytest.raises(CheckpointError):
        type(trainer.module).from_checkpoint("saved")


def test_check_says_what_is_there(own, capsys):
    assert main(["check", *words("Mine")]) == 0
    out = capsys.readouterr().out
    assert "4,675 parameters" in out
    assert "PolicyAPI, ValueFunctionAPI: offered" in out


def test_explain_says_what_there_is_to_say(own, capsys):
    assert main(["explain", *words("Mine", "model.config.outputs=2")]) == 0
    out = capsys.readouterr().out
    for line in (
        r"class +own_pkg\.Mine: An actor and a critic\.",
        r"config +\{outputs: 2\}",
        r"parts +encoder \(MLPEncoder, 4,480\), policy \(Linear, 130\), value \(Linear, 65\)",
        r"offers +InferenceOnlyAPI, PolicyAPI, ValueFunctionAPI",
        r"inference-only +drops value",
        r" +model\.path=own_pkg\.Mine +model\.path=own_pkg\.Mine \(command line\)",
    ):
        assert re.search(line, out), line
    assert main(["explain", *words("Mine"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["parameters"], data["drops"]) == (4675, ["value"])
    assert main(["explain", *words("Mine"), "--out", "x.html"]) == 2
    assert "a hand-written model has no graph to draw" in capsys.readouterr().err


def test_diff_compares_settings_and_size(own, capsys):
    a, b = (shlex.join(w) for w in (words("Mine"), ["env=cartpole", "logger=none"]))
    assert main(["diff", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == [4675, 9155]
    assert "model.path" in {item["path"] for item in found["settings"]}


def test_a_sweep_checks_each_class(own, capsys):
    assert main(["check", "model=custom", "model.path=own_pkg.Mine,own_pkg.NoCritic"]) == 2
    assert "1 of 2 jobs broken" in capsys.readouterr().out


def test_a_hand_written_model_has_no_blueprint(own):
    with pytest.raises(CompositionError, match="it has no blueprint"):
        Experiment.load(words("Mine")).blueprint  # noqa: B018


# --- refusals


@pytest.mark.parametrize(
    ("path", "message", "fix"),
    [
        ("own_pkg.Mien", "`own_pkg` has no `Mien`; did you mean `own_pkg.Mine`?", "own_pkg.Mine"),
        ("own_pgk.Mine", "did you mean `own_pkg`?", "own_pkg.Mine"),
        ("own_pkg:Mine", "named by its dotted path", "own_pkg.Mine"),
        ("./own_pkg.py:Mine", "named by its dotted path", "own_pkg.Mine"),
        ("own_pkg.mine", "`own_pkg` has no `mine`; did you mean `own_pkg.Mine`?", "own_pkg.Mine"),
    ],
)
def test_a_class_that_is_not_there_is_told_the_nearest(own, path, message, fix):
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["model=custom", f"model.path={path}"]).require_model()
    (problem,) = raised.value.problems
    assert message in problem.message
    assert problem.origin == f"model.path={path} (command line)"
    assert problem.fix == f"model.path={fix}"
    Experiment.load(["model=custom", problem.fix]).require_model()


@pytest.mark.parametrize(
    "path", ["choices.NotModule", "choices", "choices.Zzz", "nested.choices", "choices.py"]
)
def test_where_no_class_is_named_the_first_that_fits_is_offered(own, path):
    (own / "nested").mkdir()
    (own / "nested" / "__init__.py").touch()
    code = "from own_pkg import NoCritic as A, Mine as B\n\nclass NotModule: ...\n"
    for directory in (own, own / "nested"):
        (directory / "choices.py").write_text(code)
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["model=custom", f"model.path={path}"]).require_model()
    (problem,) = raised.value.problems
    module = path if path == "nested.choices" else "choices"
    assert problem.valid == (f"{module}.A", f"{module}.B")
    assert problem.fix == f"model.path={module}.B"
    Experiment.load(["model=custom", problem.fix]).require_model()


def test_where_a_module_has_no_class_none_is_offered(own):
    (own / "empty_mod.py").touch()
    for path in ("empty_mod", "empty_mod.Zzz"):
        with pytest.raises(ComposerError) as raised:
            Experiment.load(["model=custom", f"model.path={path}"]).require_model()
        assert raised.value.problems[0].fix == "model.path=…"


def test_a_module_with_no_near_name_is_looked_for_elsewhere(own):
    with pytest.raises(ComposerError, match="--config-dir DIR") as raised:
        Experiment.load(["model=custom", "model.path=zzz.Mine"]).require_model()
    assert "the module `zzz` cannot be imported" in str(raised.value)


def test_what_lies_inside_a_class_is_no_module(own):
    with pytest.raises(ComposerError, match="'own_pkg' is not a package") as raised:
        Experiment.load(["model=custom", "model.path=own_pkg.Mine.setup"]).require_model()
    assert "did you mean" not in str(raised.value)
    assert raised.value.problems[0].fix == "model.path=own_pkg.Mine"


def test_a_module_beside_the_configuration_directory_is_found_from_elsewhere(own, monkeypatch):
    (own / "elsewhere").mkdir()
    monkeypatch.chdir(own / "elsewhere")
    experiment = Experiment.load(["experiment=mine"], own / "conf")
    assert experiment.custom_model.module_class.__name__ == "Mine"


def test_the_path_must_be_given(own, capsys):
    assert main(["check", "model=custom"]) == 2
    assert "model `custom` needs `path`, which is not given" in capsys.readouterr().err


def test_what_is_no_module_is_refused_with_those_that_are(own):
    problem = problem_of("NotOne")
    assert problem.message == "`own_pkg.NotOne` is not a subclass of `composer.RLModule`"
    assert "own_pkg.Mine" in problem.valid


@pytest.mark.parametrize("name", ["NoCritic", "FromTheDocs"])
def test_a_missing_api_is_refused_with_a_method_that_works_when_pasted(own, name):
    problem = problem_of(name, kind=ContractError)
    head, _, paste = problem.message.partition("\n")
    assert head.startswith(f"ppo requires ValueFunctionAPI, which {name} lacks: add ")
    assert problem.path == "model.path"
    assert problem.origin == f"model.path=own_pkg.{name} (command line)"
    assert problem.fix.endswith(f"    class {name}")
    indented = "".join(f"    {line}\n" for line in paste.splitlines())
    (own / "other_pkg.py").write_text(f"from own_pkg import *\n\nclass Mended({name}):\n{indented}")
    trainer = Trainer(Experiment.load(["model=custom", "model.path=other_pkg.Mended", *SHORT]))
    batch = {Columns.OBS: torch.rand(5, 4)}
    values = trainer.module.compute_values(batch)
    assert values.shape == (5,)
    assert torch.equal(values, trainer.module.forward_train(batch).get(Columns.VF_PREDS, values))
    assert np.isfinite(trainer.step().metrics["train/value_loss"])
    trainer.close()


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        ("WIDTH = 1 / 0\n", "ZeroDivisionError: division by zero", "1    WIDTH = 1 / 0"),
        ("import os\nclass Mine(\n", "SyntaxError: '(' was never closed", "2    class Mine("),
        ("import no_such_thing\n", "No module named 'no_such_thing'", "1    import no_such_thing"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(own, code, message, line):
    (own / "other_pkg.py").write_text(code)
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["model=custom", "model.path=other_pkg.Mine"]).require_model()
    (problem,) = raised.value.problems
    assert "the module `other_pkg` cannot be imported: " in problem.message
    assert message in problem.message
    assert problem.fix == f"{own}/other_pkg.py:{line}"


@pytest.mark.parametrize(
    ("name", "message", "line"),
    [
        ("Fails", "Fails raised ZeroDivisionError as it was made: division", "self.width = 1 / 0"),
        ("Misfits", "Misfits raised RuntimeError as it acted: mat1", "return {Columns."),
        ("Neither", "must return `action_dist_inputs` or `actions`", "class Neither"),
        (
            "NotANumber",
            "`forward_inference` of NotANumber returns `action_dist_inputs` with values that are "
            "not finite",
            "class NotANumber",
        ),
        ("WrongName", "names `critic`, which the module does not have", "class WrongName"),
        (
            "WithoutPolicy",
            "WithoutPolicy raised AttributeError as it acted without 'policy', "
            "which it says acting does not need",
            "self.policy(self.encoder(",
        ),
    ],
)
def test_what_a_class_raises_is_told_with_its_line_and_without_a_traceback(
    own, capsys, name, message, line
):
    assert main(["check", *words(name)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert f"set by  model.path=own_pkg.{name} (command line)" in err
    assert re.search(rf"try +\S+own_pkg\.py:\d+ +.*{re.escape(line)}", err)


@pytest.mark.parametrize(
    ("typed", "path", "fix"),
    [
        ("model.config={}", "model.config", "model.config.width=…"),
        ("model.config.layers=8", "model.config", "model.config.width=…"),
        ("model.config.widht=8", "model.config.widht", "model.config.width=8"),
    ],
)
def test_a_setting_that_the_class_reads_and_nobody_gives_is_told_by_its_path(own, typed, path, fix):
    problem = problem_of("Needs", typed)
    assert "the class reads the setting `width`, which is not given" in problem.message
    assert (problem.path, problem.fix) == (path, fix)
    assert problem.origin == f"{typed} (command line)"


def test_a_setting_that_is_not_given_is_a_key_error_too(own):
    module = Experiment.load(words("Mine")).custom_model.build()
    assert module.model_config.get("x", 5) == 5
    with pytest.raises(KeyError):
        module.model_config["x"]


DQN = ["algorithm=dqn", "env.num_envs=2", "evaluation.episodes=2"]


def test_a_missing_target_is_refused_with_methods_that_work_when_pasted(own):
    with pytest.raises(
        ContractError, match="dqn requires TargetNetworkAPI, which Valued"
    ) as raised:
        Experiment.load(words("Valued", *DQN)).require_model()
    paste = raised.value.problems[0].message.partition("\n")[2]
    indented = "".join(f"    {line}\n" for line in paste.splitlines())
    (own / "other_pkg.py").write_text(
        f"import copy\nfrom own_pkg import *\n\nclass Mended(Valued):\n{indented}"
    )
    Experiment.load(["model=custom", "model.path=other_pkg.Mended", *DQN]).require_model()


def test_a_class_with_targets_is_trained_evaluated_and_resumed_by_dqn(own, capsys):
    small = ["algorithm.learning_starts=40", "total_steps=120", "evaluation.every=0"]
    typed = words("Targeted", *DQN, *small, "algorithm.target_update_every=7")
    assert main(["train", *typed, "--run-dir", "run"]) == 0
    at_the_end = re.findall(r"return (\S+) ± ", capsys.readouterr().out)[-1]
    assert main(["eval", "run"]) == 0
    assert f"return {at_the_end} ± " in capsys.readouterr().out
    assert main(["resume", "run", "total_steps=200"]) == 0
    latest = sorted((own / "run" / "checkpoints").glob("step_*"))[-1]
    module = RLModule.from_checkpoint(latest, trust="own_pkg")
    assert not torch.equal(module.q.weight, module.target_q.weight)


def paste_into_mended(own, error):
    pastes = [problem.message.partition("\n")[2] for problem in error.problems]
    with (own / "other_pkg.py").open("a") as file:
        file.writelines(f"    {line}\n" for paste in pastes for line in paste.splitlines())


def pasted(own, name, *typed):
    """Words of a class `Mended`: `name`, with the methods that errors hold pasted into it."""
    with pytest.raises(ContractError) as raised:
        Experiment.load(words(name, *typed)).require_model()
    (own / "other_pkg.py").write_text(f"from own_pkg import *\n\nclass Mended({name}):\n")
    paste_into_mended(own, raised.value)
    return ["model=custom", "model.path=other_pkg.Mended", "logger=none", *typed]


SMALL = [
    "env.num_envs=2",
    "total_steps=120",
    "evaluation={episodes: 1, every: 0}",
    "algorithm.learning_starts=40",
    "algorithm.batch_size=16",
    "algorithm.train_ratio=0.1",
    "env.kwargs.max_episode_steps=30",
]


def test_what_is_pasted_for_tqc_has_quantiles_and_says_what_to_import(own):
    pasted(own, "Actor", "env=pendulum", "algorithm=tqc", "model.config={acts: squashed}")
    text = (own / "other_pkg.py").read_text()
    assert "squeeze" not in text
    assert "nn.Linear(…, 25)" in text
    assert "def make_target_networks(self):    # import copy" in text


def test_fewer_quantiles_than_tqc_leaves_out_are_refused(own):
    typed = pasted(own, "Actor", "env=pendulum", "algorithm=tqc", "model.config={acts: squashed}")
    with (own / "other_pkg.py").open("a") as file:
        file.write("    def get_train_action_dist_cls(self):\n")
        file.write("        return SquashedGaussianDistribution\n")
    with pytest.raises(ContractError, match="has 1 of the quantiles that tqc learns by"):
        Experiment.load(typed).require_model()


@pytest.mark.parametrize(
    ("algorithm", "env", "acts", "distribution"),
    [
        ("sac", "pendulum", "squashed", "SquashedGaussianDistribution"),
        ("tqc", "pendulum", "squashed", "SquashedGaussianDistribution"),
        ("td3", "pendulum", "one", "DeterministicDistribution"),
        ("sac", "cartpole", "choice", None),
    ],
)
def test_methods_pasted_for_critics_and_targets_train_are_evaluated_and_resumed(
    own, capsys, algorithm, env, acts, distribution
):
    quantiles = 5 if algorithm == "tqc" else 1
    config = f"model.config={{acts: {acts}, quantiles: {quantiles}}}"
    typed = pasted(own, "Actor", f"algorithm={algorithm}", f"env={env}", config, *SMALL)
    if distribution:
        with pytest.raises(ContractError, match=f"learns from .*{distribution}") as raised:
            Experiment.load(typed).require_model()
        paste_into_mended(own, raised.value)
        sys.modules.pop("other_pkg")
    assert main(["train", *typed, "--run-dir", "run"]) == 0
    at_the_end = re.findall(r"return (\S+) ± ", capsys.readouterr().out)[-1]
    assert main(["eval", "run"]) == 0
    assert f"return {at_the_end} ± " in capsys.readouterr().out
    assert main(["resume", "run", "total_steps=160"]) == 0
    latest = sorted((own / "run" / "checkpoints").glob("step_*"))[-1]
    module = RLModule.from_checkpoint(latest, trust="other_pkg")
    for network, target in module.get_target_network_pairs():
        pairs = zip(network.parameters(), target.parameters(), strict=True)
        assert not all(torch.equal(one, other) for one, other in pairs)


ACTS = "model.config={acts: squashed}"


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("Blind", ["algorithm=sac"], "gives values that do not depend on the actions, and sac"),
        (
            "Critics",
            ["algorithm=sac"],
            "has a DiagGaussianDistribution for Box(1,) float32, and sac learns from "
            "`composer.distributions.squashed_gaussian.SquashedGaussianDistribution`: let",
        ),
        (
            "Mine",
            ["algorithm=dqn"],
            "dqn values every action it could take",
        ),
    ],
)
def test_what_critics_of_real_actions_cannot_be_learnt_by_is_refused(own, name, typed, message):
    problem = problem_of(name, "env=pendulum", ACTS, *typed)
    assert message in problem.message


@pytest.mark.parametrize(
    ("typed", "path", "fix"),
    [
        (["algorithm=dqn", "algorithm.num_atoms=51"], "algorithm.num_atoms", None),
        (["algorithm=dqn", "algorithm.dueling=false"], "algorithm.dueling", None),
        (["algorithm=dqn", "algorithm.noisy=true"], "algorithm.noisy", None),
        (["algorithm=dqn", "algorithm.v_max=9.0"], "algorithm.v_max", None),
        (["algorithm=rainbow"], "algorithm.noisy", "algorithm=dqn"),
        (["experiment=cartpole_rainbow"], "algorithm.v_max", "algorithm=dqn"),
        (
            ["env=pendulum", "algorithm=sac", "algorithm.n_critics=4"],
            "algorithm.n_critics",
            None,
        ),
        (
            ["env=pendulum", "algorithm=tqc", "algorithm.n_quantiles=7"],
            "algorithm.n_quantiles",
            None,
        ),
    ],
)
def test_a_setting_that_only_shapes_a_composed_head_is_refused(own, typed, path, fix):
    name = "Critics" if "env=pendulum" in typed else "Targeted"
    with pytest.raises(ContractError) as raised:
        Experiment.load(words(name, *typed)).require_model()
    problem = next(problem for problem in raised.value.problems if problem.path == path)
    assert f"and {name} has layers of its own" in problem.message
    assert "(built in)" in problem.origin if fix else problem.origin.endswith("(command line)")
    line, _, old = problem.fix.partition("   in place of ")
    assert shlex.split(line) == [fix or f"~{path}"]
    kept = [word for word in typed if f"`{word}`" != old]
    mended = Experiment.load(words(name, *kept, *shlex.split(line)))
    assert not mended.config.algorithm.head_problems(name)
    assert mended.custom_model


def test_no_tuned_file_says_what_a_hand_written_module_has_layers_for(own):
    experiment = Experiment.load(words("Critics", "env=pendulum", "algorithm=tqc"))
    assert experiment.custom_model
    composed = Experiment.load(["experiment=pendulum_tqc"])
    assert composed.config.algorithm.n_critics == 2


REAL = spaces.Box(-1, 1, (1,), np.float32)


class Hybrid(RLModule):
    """A real action, and a choice, with a value for each of its options."""

    options = 2

    def setup(self):
        self.policy, self.critics = nn.Linear(4, 4), nn.Linear(4 + 1, 3 * self.options)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}

    def values(self, batch, critics):
        both = torch.cat([batch[Columns.OBS], batch[Columns.ACTIONS]], -1)
        return {Columns.QF_PREDS: critics(both).unflatten(-1, (3, self.options)).movedim(-2, 0)}

    def compute_action_values(self, batch):
        return self.values(batch, self.critics)

    def make_target_networks(self):
        self.slower = copy.deepcopy(self.critics).requires_grad_(False)

    def get_target_network_pairs(self):
        return [(self.critics, self.slower)]

    def forward_target(self, batch):
        return self.values(batch, self.slower)

    def get_train_action_dist_cls(self):
        space = self.action_space
        kinds = {"choice": CategoricalDistribution, "real": SquashedGaussianDistribution}
        parts = {key: cls.for_space(space[key]) for key, cls in kinds.items()}
        return JointConfig().join(space, parts)


class Wrong(Hybrid):
    options = 5


def test_critics_of_both_kinds_of_action_have_a_value_for_each_choice():
    both = spaces.Dict(choice=TWO, real=REAL)
    assert model_of(Hybrid, action=both, algorithm=SACConfig()).trial.parameters > 0
    with pytest.raises(ContractError, match=r"expected \(n_critics, \*B, 2\), given \(3, 2, 5\)"):
        model_of(Wrong, action=both, algorithm=SACConfig()).trial  # noqa: B018


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Drawing", "draws its actions where it explores, and dqn explores by itself"),
        ("NoCopy", "shares weights with what it copies"),
        (
            "NoPairs",
            "NoPairs must return pairs of modules from `get_target_network_pairs`, "
            "[(network, copy)], and returns nothing",
        ),
        ("NotPairs", "[(network, copy)], and returns tuple of Linear, Linear"),
        ("Swapped", "has a `forward_target` that does not use the copies"),
        ("Unused", "has a `forward_target` that does not use the copies"),
        ("OtherShapes", "a Linear whose weights are of other shapes than those of the Linear"),
        ("Detached", "Detached returns from `compute_q_values` what has no gradient, and dqn"),
        (
            "NotFinite",
            "`compute_q_values` of NotFinite returns `qf_preds` with values that are not finite",
        ),
        (
            "OneValue",
            "`compute_q_values` of OneValue must return `qf_preds`: expected (*B, 2), given (2, 1)",
        ),
    ],
)
def test_what_dqn_cannot_learn_from_is_refused_before_training(own, name, message):
    with pytest.raises(ComposerError) as raised:
        Experiment.load(words(name, *DQN)).require_model()
    assert message in raised.value.problems[0].message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ActionsAlone", "returns `actions` alone where it explores, and ppo learns from their"),
        (
            "ActionsInTraining",
            "`forward_train` of ActionsInTraining must return `action_dist_inputs`: expected",
        ),
        (
            "Column",
            "`compute_values` of Column must return `vf_preds`: expected (*B,), where *B is (2,)",
        ),
        ("WithoutGradient", "returns from `forward_train` what has no gradient, and ppo learns"),
        ("DetachedPolicy", "returns from `forward_train` what has no gradient, and ppo learns"),
        ("DetachedValues", "returns from `compute_values` what has no gradient, and ppo learns"),
    ],
)
def test_what_the_algorithm_cannot_learn_from_is_refused_before_training(own, name, message):
    problem = problem_of(name, kind=ContractError)
    assert message in problem.message
    assert problem.origin == f"model.path=own_pkg.{name} (command line)"
    with pytest.raises(ContractError):
        Trainer(Experiment.load(words(name)))


def test_a_distribution_without_density_is_refused_in_training(own):
    problem = problem_of("OneAction", "env=pendulum", "model.config.outputs=1", kind=ContractError)
    assert "always gives one and the same action" in problem.message


@pytest.mark.parametrize(
    ("name", "when"), [("Tires", "was trained"), ("TiresInInference", "was evaluated")]
)
def test_what_a_class_raises_later_is_told_so_too(own, capsys, name, when):
    assert main(["train", *words(name, *SHORT[1:], "model.config.calls=9", "total_steps=64")]) == 2
    err = capsys.readouterr().err
    assert f"{name} raised OSError as it {when}: no more" in err
    assert f"set by  model.path=own_pkg.{name} (command line)" in err
    assert re.search(r'try +\S+own_pkg\.py:\d+ +raise OSError\("no more"\)', err)
    assert "Traceback" not in err


def test_an_error_of_our_own_is_not_put_down_to_the_class(own, monkeypatch):
    trainer = Trainer(Experiment.load(words("Mine", *SHORT[1:])))
    monkeypatch.setattr(trainer.driver, "iterate", lambda *_: [][1])
    with pytest.raises(IndexError):
        trainer.step()
    trainer.close()


def test_a_distribution_of_the_wrong_width_is_refused(own):
    assert "the inputs of the distribution" in problem_of("Mine", "model.config.outputs=3").message


def test_parts_of_a_composed_model_are_not_those_of_a_hand_written_one(own):
    problem = problem_of("Mine", "model/encoder=mlp")
    assert "`encoder` belongs to model `composed`, but `custom` is selected" in problem.message


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        (["model.type=custom"], "model=custom"),
        (["experiment=typed"], "defaults: [override /model: custom]"),
    ],
)
def test_a_type_alone_is_told_the_preset_that_says_it_all(own, typed, fix):
    (own / "conf" / "experiment" / "typed.yaml").write_text(
        "# @package _global_\nmodel: {type: custom, path: own_pkg.Mine}\n"
    )
    with pytest.raises(ComposerError) as raised:
        Experiment.load([*typed, "model.path=own_pkg.Mine"], "conf")
    assert {problem.fix for problem in raised.value.problems} == {fix}


# --- what a module may be


@pytest.mark.parametrize(
    ("method", "returned", "algorithm", "message"),
    [
        (
            "_forward",
            {"actions": np.zeros(2, int)},
            "ppo",
            "`forward_inference` of Mistaken must return `actions`: expected tensors, given nd",
        ),
        ("_forward", {"actions": "left"}, "ppo", "`actions`: expected tensors, given str"),
        (
            "_forward",
            {"action_dist_inputs": 3},
            "ppo",
            "`action_dist_inputs`: expected a tensor of floats, given int",
        ),
        (
            "_forward",
            {"action_dist_inputs": torch.zeros(2, 2, dtype=torch.int64)},
            "ppo",
            "expected a tensor of floats, given torch.int64",
        ),
        (
            "get_train_action_dist_cls",
            "categorical",
            "ppo",
            "`get_train_action_dist_cls` of Mistaken must return a subclass of Distribution, or an "
            "ActionDistribution, not categorical (str)",
        ),
        (
            "compute_self_supervised_loss",
            {"own": 0.5},
            "ppo",
            "returns scalars by name, {name: ()}, here {'own': 'float'}",
        ),
        (
            "compute_q_values",
            torch.zeros(2, 2),
            "dqn",
            "`compute_q_values` of Mistaken must return a mapping with `qf_preds`, not Tensor",
        ),
        (
            "forward_target",
            torch.zeros(2, 2),
            "dqn",
            "`forward_target` of Mistaken must return a mapping with `qf_preds`, not Tensor",
        ),
    ],
)
def test_what_is_of_another_type_is_told_with_its_method(own, method, returned, algorithm, message):
    name = "Targeted" if algorithm == "dqn" else "Mine"
    model = Experiment.load(words(name, f"algorithm={algorithm}")).custom_model
    returns = {method: lambda self, *_, **__: returned}
    wrong = type("Mistaken", (model.module_class,), returns)
    with pytest.raises(ComposerError) as raised:
        model_of(wrong, algorithm=model.algorithm).trial  # noqa: B018
    (problem,) = raised.value.problems
    assert message in problem.message


class Custom(RLModule):
    """Takes any observation; acts in Discrete(2)."""

    def setup(self):
        choice = self.catalog.encoder(self.observation_space).config
        self.encoder = choice.build(self.observation_space)
        self.policy = nn.Linear(choice.out_dim(self.observation_space), 2)
        self.value = nn.Linear(choice.out_dim(self.observation_space), 1)

    def _forward(self, batch, **kwargs):
        features = self.encoder(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: self.policy(features), Columns.EMBEDDINGS: features}

    def compute_values(self, batch, embeddings=None):
        features = self.encoder(batch[Columns.OBS]) if embeddings is None else embeddings
        return self.value(features).squeeze(-1)


def model_of(cls, observation=VECTOR, action=TWO, algorithm=PPOConfig(), **more):  # noqa: B008
    setattr(sys.modules[__name__], cls.__name__, cls)
    config = CustomModelConfig(path=f"{__name__}.{cls.__name__}", **more)
    return CustomModel(config, observation, action, algorithm)


DICT = spaces.Dict(
    {"image": spaces.Box(0, 255, (3, 36, 36), np.uint8), "text": spaces.Text(5), "n": TWO}
)
MASKED = spaces.Dict({"state": VECTOR, "action_mask": spaces.MultiBinary(2)})


@pytest.mark.parametrize("space", [VECTOR, DICT, MASKED, spaces.Sequence(VECTOR)])
def test_any_observation_goes_through_the_catalogs_encoder(space):
    module = model_of(Custom, space).build()
    obs = space.sample()
    if space is MASKED:
        obs["action_mask"][:] = 1
    assert module.act(obs).value.shape == ()


def test_the_same_seed_gives_the_same_weights_and_moves_no_other_stream():
    model = model_of(Custom)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = model.build(seed=1), model.build(seed=1), model.build(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.policy.weight, again.policy.weight)
    assert not torch.equal(first.policy.weight, other.policy.weight)


def test_the_trial_leaves_the_module_as_it_was_made():
    class Counts(Custom):
        def setup(self):
            super().setup()
            self.norm = nn.BatchNorm1d(4)
            self.calls = 0

        def _forward(self, batch, **kwargs):
            self.calls += 1
            return super()._forward({Columns.OBS: self.norm(batch[Columns.OBS])})

    module = model_of(Counts).build()
    assert (module.calls, int(module.norm.num_batches_tracked)) == (0, 0)


def test_the_experiments_catalog_is_the_modules_and_is_saved_with_it(own):
    rules = ["catalog.observation.vector.use.hidden=[7]"]
    experiment = Experiment.load(words("Mine", *rules))
    trainer = Trainer(experiment)
    assert trainer.module.policy.in_features == 7
    trainer.save("saved")
    trainer.close()
    assert RLModule.from_checkpoint("saved", trust="own_pkg").policy.in_features == 7


def test_settings_are_the_modules_own_plain_data():
    module = model_of(Custom, config={"sizes": [1, 2], "deep": {"x": 1}}).build()
    assert module.model_config == {"sizes": [1, 2], "deep": {"x": 1}}


def test_the_fingerprint_is_of_the_class_its_settings_and_the_spaces():
    same = model_of(Custom).fingerprint
    assert model_of(Custom).fingerprint == same
    assert model_of(Custom, config={"x": 1}).fingerprint != same
    assert model_of(Custom, action=spaces.Discrete(2, start=1)).fingerprint != same


def test_a_checkpoint_of_other_settings_is_not_resumed(own):
    trainer = Trainer(Experiment.load(words("Mine")))
    trainer.save("saved")
    trainer.close()
    other = Trainer(Experiment.load(words("Mine", "model.config.outputs=2")))
    with pytest.raises(CheckpointError, match="holds another model"):
        other.restore("saved")
    other.close()


def test_a_module_without_its_non_inference_attributes_acts_alike():
    class Slim(Custom):
        def get_non_inference_attributes(self):
            return ["value"]

    model = model_of(Slim)
    full, slim = model.build(seed=1), model.build(seed=1, inference_only=True)
    assert model.trial.drops == ("value",)
    assert not hasattr(slim, "value")
    obs = VECTOR.sample()
    assert full.act(obs, deterministic=True).actions == slim.act(obs, deterministic=True).actions


def test_a_module_that_only_acts_takes_the_weights_of_a_full_one(own):
    trainer = Trainer(Experiment.load(words("Mine")))
    trainer.save("saved")
    trainer.close()
    model = trainer.experiment.custom_model
    slim = model.build(seed=1, inference_only=True)
    slim.restore_from_path("saved")
    assert not hasattr(slim, "value")
    assert torch.equal(slim.policy.weight, trainer.module.policy.weight)
    assert trainer.module.get_state(inference_only=True).keys() == slim.state_dict().keys()


class Least(CategoricalDistribution):
    def deterministic(self):
        return self.log_probs.argmin(-1)


class Contrary(Custom):
    """Explores by probability, and does the least probable when it does not."""

    def get_inference_action_dist_cls(self):
        return Least


def test_each_phase_may_have_a_distribution_of_its_own():
    module = model_of(Contrary).build()
    batch = {Columns.OBS: torch.rand(8, 4)}
    out = module.forward_inference(batch)
    worst = out[Columns.ACTION_DIST_INPUTS].argmin(-1)
    assert torch.equal(module.act(batch[Columns.OBS], deterministic=True).actions, worst)
    assert not isinstance(module.action_distribution(out, "exploration"), Least)


@pytest.mark.parametrize("name", ["Greedy", "Both"])
def test_actions_may_be_returned_as_they_are(own, name):
    trainer = Trainer(Experiment.load(words(name, *SHORT[1:])))
    trainer.step()
    obs = torch.rand(6, 4)
    best = trainer.module.forward_train({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS].argmax(-1)
    is_greedy = name == "Greedy"
    assert torch.equal(trainer.module.act(obs, deterministic=is_greedy).actions, best)
    assert len(trainer.evaluate().returns) == 2
    trainer.close()


def test_a_class_may_return_actions_alone_where_nothing_trains_it():
    class Right(RLModule):
        def _forward(self, batch, **kwargs):
            return {Columns.ACTIONS: torch.ones(batch[Columns.OBS].shape[:-1], dtype=torch.int64)}

    module = model_of(Right, algorithm=None).build()
    assert module.act(np.zeros((3, 4), np.float32)).env_actions.tolist() == [1, 1, 1]


def test_a_stateful_module_is_evaluated_and_saved(own):
    experiment = Experiment.load(words("Remembers", "evaluation.episodes=2"))
    module_class = experiment.custom_model.module_class
    module = module_class(*experiment.spaces)
    envs = experiment.make_evaluation_envs()
    result = evaluate_experiment(experiment, module, envs)
    envs.close()
    assert len(result.returns) == 2
    again = module_class.from_checkpoint(module.save_to_path("saved"))
    obs = np.zeros((2, 4), np.float32)
    step = again.act(obs, state=again.act(obs).state)
    assert step.state["count"].tolist() == [[2.0], [2.0]]


def test_training_a_hand_written_module_begins_with_a_ratio_of_one(own):
    experiment = Experiment.load(
        words("Mine", "algorithm.epochs=1", "algorithm.num_minibatches=1", "env.num_envs=2")
    )
    trainer = Trainer(experiment)
    metrics = trainer.step().metrics
    trainer.close()
    assert metrics["train/kl"] == pytest.approx(0, abs=1e-6)


def test_a_module_is_built_by_the_seed_of_its_experiment(own):
    first, again = (build_module(Experiment.load(words("Mine", "seed=5"))) for _ in range(2))
    assert torch.equal(first.policy.weight, again.policy.weight)


def test_a_catalog_given_to_a_module_by_hand_comes_back_from_its_checkpoint(tmp_path):
    rules = Catalog.default().rules.to_data()
    rules["observation"]["vector"]["use"]["hidden"] = [9]
    module = Custom(VECTOR, TWO, catalog=Catalog(rules))
    path = module.save_to_path(tmp_path / "saved")
    assert Custom.from_checkpoint(path).policy.in_features == 9


def test_an_environment_of_another_action_space_is_told_of_the_width():
    with pytest.raises(ComposerError, match="the inputs of the distribution"):
        model_of(Custom, action=spaces.Discrete(5)).build()


def test_gymnasium_is_not_asked_for_an_environment_to_try_a_module(monkeypatch):
    monkeypatch.setattr(gym, "make", None)
    assert model_of(Custom).parameter_count > 0
