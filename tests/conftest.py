import textwrap

import pytest

from composer.config import Family


@pytest.fixture(autouse=True)
def plugins(request):
    """Leaves the family members that come with Composer and those of the test's own file."""
    before = {root: dict(root.members) for root in Family.__subclasses__()}
    _keep(("composer.", request.module.__name__))
    yield
    _keep(("composer.",))
    for root, members in before.items():
        root.members.update(members)


def _keep(homes):
    for root in Family.__subclasses__():
        kept = {
            tag: part for tag, part in root.members.items() if part.__module__.startswith(homes)
        }
        root.members.clear()
        root.members.update(kept)


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A user's directory `conf` below the working directory; call it to write a file there."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "conf"
    home.mkdir()

    def write(name, text):
        path = home / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    return write
