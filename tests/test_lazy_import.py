import subprocess
import sys

import pytest

import composer
from composer.cli.main import VERBS

HEAVY = ("torch", "hydra", "gymnasium", "numpy", "tensorboard", "rich")


def loaded(code):
    """Which heavy libraries a fresh interpreter has imported after `code`."""
    report = f"import sys; print('LOADED', *[n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_composer_imports_nothing_heavy():
    assert loaded("import composer") == set()


def test_help_of_every_verb_imports_nothing_heavy():
    words = [["--help"], [], ["help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
    code = (
        "from composer.cli.main import main\n"
        f"for words in {words}:\n"
        "    try: main(words)\n"
        "    except SystemExit as done: assert done.code == 0"
    )
    assert loaded(code) == set()


@pytest.mark.parametrize("words", [["trian"], ["train", "--rundir", "x"], ["eval"]])
def test_a_command_that_cannot_be_read_imports_nothing_heavy(words):
    assert loaded(f"from composer.cli.main import main; assert main({words}) == 2") == set()


@pytest.mark.parametrize("line", ["composer ", "composer train env=cart", "composer eval "])
def test_completing_imports_no_more_than_a_bare_hydra_application(line):
    code = (
        "import os\nfrom composer.cli.main import main\n"
        f"os.environ['COMP_LINE'] = {line!r}\nassert main(['complete']) == 0"
    )
    assert loaded(code) <= {"hydra"}


def test_config_and_errors_need_no_torch():
    assert "torch" not in loaded("import composer.config, composer.errors, composer.columns")


@pytest.mark.parametrize("name", composer.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(composer, name).__name__ in (name, "compose")
    assert name in dir(composer)


def test_the_public_names_have_homes():
    assert sorted(composer.__all__) == composer.__all__ == sorted(composer._HOMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'composer' has no attribute 'Agent'"):
        _ = composer.Agent
