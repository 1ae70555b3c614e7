import textwrap

import pytest

from composer.config import Family


@pytest.fixture
def plugins():
    """Forgets the family members that a test defines."""
    before = {root: dict(root.members) for root in Family.__subclasses__()}
    yield
    for root, members in before.items():
        root.members.clear()
        root.members.update(members)


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
