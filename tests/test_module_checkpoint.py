import importlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Columns, RLModule, RLModuleSpec, compose
from composer.errors import CheckpointError, CompositionError, ModuleError
from composer.files import atomic_directory
from composer.module.composed import ComposedRLModule

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)
THREE = spaces.Box(np.array([-1, -np.inf, 0]), np.array([1, np.inf, 5]), dtype=np.float64)

CODE = """
from torch import nn
from composer import Columns, RLModule

class Theirs(RLModule):
    def setup(self):
        self.policy = nn.Linear(4, 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}

class Other:
    pass
"""


class Mine(RLModule):
    def setup(self):
        self.policy = nn.Linear(4, self.model_config["width"])

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def mine(**options):
    return Mine(VECTOR, TWO, model_config={"width": 2}, **options)


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A checkpoint of a module whose code lies in a package that is no longer imported."""
    package = tmp_path / "code" / "their_pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(CODE)
    monkeypatch.syspath_prepend(package.parent)
    module = importlib.import_module("their_pkg.parts").Theirs(VECTOR, TWO)
    path = module.save_to_path(tmp_path / "saved")
    forget()
    yield path
    forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_pkg"]:
        del sys.modules[name]


def rewritten(path, **changes):
    """The same module with `module.json` changed, and checksums that fit."""
    data = json.loads((path / "module.json").read_text()) | changes
    weights = (path / "weights.safetensors").read_bytes()
    other = path.with_name("rewritten")
    with atomic_directory(other) as directory:
        (directory / "module.json").write_text(json.dumps(data))
        (directory / "weights.safetensors").write_bytes(weights)
    return other


# round trips


@pytest.mark.parametrize("action_space", [TWO, THREE])
@pytest.mark.parametrize("inference_only", [False, True])
def test_a_composed_module_comes_back(tmp_path, action_space, inference_only):
    blueprint = compose(VECTOR, action_space, algorithm="ppo")
    module = blueprint.build(seed=3, inference_only=inference_only)
    again = RLModule.from_checkpoint(module.save_to_path(tmp_path / "saved"))
    assert isinstance(again, ComposedRLModule)
    assert same(again, module)
    assert again.inference_only == inference_only
    obs = np.ones((5, 4), np.float32)
    ours, theirs = (m.act(obs, generator=torch.Generator().manual_seed(0)) for m in (again, module))
    assert torch.equal(ours.actions, theirs.actions)


def test_a_hand_written_module_comes_back_by_its_class(tmp_path):
    module = mine()
    again = Mine.from_checkpoint(module.save_to_path(tmp_path / "saved"))
    assert type(again) is Mine
    assert same(again, module)
    assert again.model_config == {"width": 2}
    assert (again.observation_space, again.action_space) == (VECTOR, TWO)


@pytest.mark.parametrize("option", ["inference_only", "learner_only"])
@pytest.mark.parametrize("cls", [Mine, None])
def test_what_a_module_is_for_comes_back(tmp_path, option, cls):
    settings = {"model_config": {"width": 2}} if cls else {"algorithm": "ppo"}
    module = RLModuleSpec(cls, VECTOR, TWO, **settings, **{option: True}).build()
    again = (cls or RLModule).from_checkpoint(module.save_to_path(tmp_path / "saved"))
    assert getattr(again, option) is True
    assert same(again, module)


def test_a_module_that_is_saved_twice_is_the_last_one(tmp_path):
    first, second = (compose(VECTOR, TWO).build(seed=seed) for seed in (0, 1))
    first.save_to_path(tmp_path / "saved")
    second.save_to_path(tmp_path / "saved")
    assert same(RLModule.from_checkpoint(tmp_path / "saved"), second)


def test_a_module_inside_a_checkpoint_is_found(tmp_path):
    module = compose(VECTOR, TWO).build(seed=3)
    with atomic_directory(tmp_path / "latest") as directory:
        (directory / "module").mkdir()
        module.write(directory / "module")
    for path in (tmp_path / "latest", tmp_path / "latest" / "module"):
        assert same(RLModule.from_checkpoint(path), module)


def test_a_checkpoint_holds_json_and_safetensors_only(tmp_path):
    path = mine().save_to_path(tmp_path / "saved")
    assert {file.name for file in path.iterdir()} == {
        "module.json",
        "weights.safetensors",
        "manifest.json",
    }


def test_settings_that_are_no_plain_data_cannot_be_saved(tmp_path):
    module = Mine(VECTOR, TWO, model_config={"width": 2, "how": object()})
    with pytest.raises(CheckpointError, match="the model_config of Mine is not plain data"):
        module.save_to_path(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


# trust


def test_code_that_is_not_trusted_is_not_imported(theirs):
    with pytest.raises(CheckpointError) as error:
        RLModule.from_checkpoint(theirs)
    assert "their_pkg.parts:Theirs, whose code is not trusted" in str(error.value)
    assert "RLModule.from_checkpoint(…, trust=['their_pkg'])" in str(error.value)
    assert not any(name.startswith("their_pkg") for name in sys.modules)


@pytest.mark.parametrize(
    "trust", [["their_pkg"], ["their_pkg.parts"], "their_pkg", ("x", "their_pkg")]
)
def test_code_that_is_trusted_is_imported(theirs, trust):
    module = RLModule.from_checkpoint(theirs, trust=trust)
    assert type(module).__name__ == "Theirs"
    assert module.act(np.zeros((3, 4), np.float32)).actions.shape == (3,)


@pytest.mark.parametrize("trust", [["their"], ["their_pkg.other"], ["their_pkg.part"], ["t"]])
def test_trust_is_by_whole_names(theirs, trust):
    with pytest.raises(CheckpointError, match="not trusted"):
        RLModule.from_checkpoint(theirs, trust=trust)


def test_an_installed_plugin_is_trusted(theirs, monkeypatch):
    points = [SimpleNamespace(value="their_pkg.register:run")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert type(RLModule.from_checkpoint(theirs)).__name__ == "Theirs"


def test_a_class_trusts_itself_only(theirs):
    with pytest.raises(CheckpointError, match="not trusted"):
        Mine.from_checkpoint(theirs)


def test_a_class_of_the_same_name_is_told_that_it_is_another(theirs):
    namesake = type("Theirs", (Mine,), {})
    with pytest.raises(CheckpointError) as error:
        namesake.from_checkpoint(theirs)
    assert f"not trusted (this is {__name__}:Theirs); call RLModule." in str(error.value)


def test_the_code_of_another_class_is_refused(tmp_path):
    path = compose(VECTOR, TWO).build().save_to_path(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="holds a ComposedRLModule, not a Mine"):
        Mine.from_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("their_pkg.gone:Theirs", "their_pkg.gone:Theirs cannot be imported: No module named"),
        ("their_pkg.parts:Gone", "their_pkg.parts:Gone cannot be imported: .* has no attribute"),
        ("their_pkg.parts:Other", "their_pkg.parts:Other is not an RLModule"),
        ("their_pkg.parts:nn.Linear", "their_pkg.parts:nn.Linear is not an RLModule"),
    ],
)
def test_a_class_that_is_not_there_is_an_error(theirs, name, message):
    with pytest.raises(CheckpointError, match=message):
        RLModule.from_checkpoint(rewritten(theirs, **{"class": name}), trust=["their_pkg"])


# damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def edit(path):
    data = path.read_bytes()
    path.write_bytes(data[:-10] + bytes(10))


@pytest.mark.parametrize("file", ["module.json", "weights.safetensors"])
@pytest.mark.parametrize(
    ("damage", "words"), [(truncate, "cut short"), (edit, "edited"), ("unlink", "missing")]
)
def test_a_damaged_file_is_named(tmp_path, file, damage, words):
    module = compose(VECTOR, TWO).build()
    path = module.save_to_path(tmp_path / "saved")
    (path / file).unlink() if damage == "unlink" else damage(path / file)
    with pytest.raises(CheckpointError) as error:
        RLModule.from_checkpoint(path)
    assert file in str(error.value)
    assert words in str(error.value)
    before = module.get_state()
    with pytest.raises(CheckpointError):
        module.restore_from_path(path)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.get_state().items())


def test_a_directory_that_is_not_there_or_no_module_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="there is no directory"):
        RLModule.from_checkpoint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no manifest.json"):
        RLModule.from_checkpoint(tmp_path / "empty")
    with atomic_directory(tmp_path / "other"):
        pass
    with pytest.raises(CheckpointError, match=r"holds no module: it has no module.json"):
        RLModule.from_checkpoint(tmp_path / "other")


def test_a_newer_format_is_refused(tmp_path):
    path = compose(VECTOR, TWO).build().save_to_path(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="has format 99; this version of Composer reads 1"):
        RLModule.from_checkpoint(rewritten(path, format=99))


# one part


def test_one_component_is_restored_and_the_others_stay(tmp_path):
    first, second = (compose(VECTOR, TWO, algorithm="ppo").build(seed=seed) for seed in (0, 1))
    before = second.get_state()
    second.restore_from_path(first.save_to_path(tmp_path / "saved"), component="policy")
    for name, tensor in second.get_state().items():
        source = first.get_state() if name.startswith("policy.") else before
        assert torch.equal(tensor, source[name])


def test_a_component_is_restored_from_a_module_whose_other_parts_differ(tmp_path):
    path = compose(VECTOR, TWO, {"heads": {"value": {"hidden": [7]}}}, "ppo").build(seed=1)
    path = path.save_to_path(tmp_path / "saved")
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    module.restore_from_path(path, component="main")
    with pytest.raises(ModuleError, match="the state does not fit this module"):
        module.restore_from_path(path)
    with pytest.raises(ModuleError, match="has no part `man`; did you mean `main`"):
        module.restore_from_path(path, component="man")


def test_a_full_module_is_loaded_without_what_only_training_needs(tmp_path):
    full = compose(VECTOR, TWO, algorithm="ppo").build()
    full.save_to_path(tmp_path / "it")
    acting = RLModule.from_checkpoint(tmp_path / "it", inference_only=True)
    assert acting.inference_only
    assert not hasattr(acting, "value")
    own, given = acting.state_dict(), full.state_dict()
    assert own.keys() < given.keys()
    assert all(torch.equal(own[name], given[name]) for name in own)


def test_a_module_that_only_learns_is_loaded_to_act(tmp_path):
    mine(learner_only=True).save_to_path(tmp_path / "it")
    acting = Mine.from_checkpoint(tmp_path / "it", inference_only=True)
    assert (acting.inference_only, acting.learner_only) == (True, False)


def test_the_directory_of_a_run_is_told_its_newest_checkpoint(tmp_path):
    for step in ("step_000000000001", "step_000000000002"):
        mine().save_to_path(tmp_path / "run" / "checkpoints" / step / "module")
    with pytest.raises(CheckpointError, match="the directory of a run") as raised:
        Mine.from_checkpoint(tmp_path / "run")
    path = raised.value.problems[0].fix
    assert path == str(tmp_path / "run" / "checkpoints" / "step_000000000002")


def test_loading_no_part_is_refused(tmp_path):
    mine().save_to_path(tmp_path / "it")
    with pytest.raises(ModuleError, match="no part is named") as raised:
        mine().restore_from_path(tmp_path / "it", component=[])
    assert raised.value.problems[0].fix == "component='policy'"


@pytest.mark.parametrize("given", [3, "width", ["width"]])
def test_settings_that_are_no_mapping_are_refused(given):
    with pytest.raises(ModuleError, match="settings are given by name"):
        Mine(VECTOR, TWO, model_config=given)


def test_an_environment_in_the_place_of_its_space_is_told_the_space():
    with pytest.raises(CompositionError, match=r"for instance env\.action_space"):
        compose(VECTOR, object())
