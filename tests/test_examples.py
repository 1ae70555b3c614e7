"""Every example and every snippet of the README runs."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a plugin named twice is imported once
    spec.loader.exec_module(module)
    return module


def test_quickstart_trains(capsys: pytest.CaptureFixture[str]) -> None:
    mean_return = example("quickstart").main(total_steps=2_000)
    assert mean_return >= 8  # no episode of CartPole can be shorter
    assert "main.encoder" in capsys.readouterr().out


def test_own_loop_learns() -> None:
    untrained, trained = example("own_loop").main(updates=10), example("own_loop").main(updates=120)
    assert trained > 2 * untrained


def test_hand_written_module_acts() -> None:
    assert example("vpg_module").main(episodes=3) >= 3 * 8


def test_plugin_encoder_is_chosen_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    example("plugin_encoder").main()
    assert re.search(r"main\.encoder +fourier ", capsys.readouterr().out)


PAGES = ("README.md", "docs/testing.md")
SNIPPETS = [
    (page, snippet)
    for page in PAGES
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("page", "snippet"), SNIPPETS)
def test_a_snippet_of_the_documentation_runs(
    page: str, snippet: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, page, "exec"), {"__name__": "snippet"})


def test_readme_experiment_is_valid(tmp_path: Path) -> None:
    from composer import Experiment

    text = (ROOT / "README.md").read_text()
    (snippet,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(snippet)
    experiment = Experiment.load(["experiment=mine"], config_dir=tmp_path / "conf")
    assert experiment.config.env.to_data()["id"] == "Pendulum-v1"
    assert experiment.blueprint.by_name["main.encoder"].out_dim == 128


def test_a_field_of_a_plugin_is_set_beside_its_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    from composer import Experiment

    monkeypatch.chdir(ROOT / "examples")
    example("plugin_encoder")
    words = ["model/encoder=fourier", "model.encoder.features=16"]
    config = Experiment.load(words).blueprint.by_name["main.encoder"].to_data()["config"]
    assert (config["type"], config["features"]) == ("fourier", 16)
