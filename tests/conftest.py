import textwrap

import pytest

from composer.config import Family


@pytest.fixture(autouse=True)
def plugins():
    """Forgets the family members that a test defines, and keeps what Composer imported for it."""
    before = {root: dict(root.members) for root in Family.__subclasses__()}
    yield
    for root in Family.__subclasses__():
        found = root.members.items()
        own = {tag: part for tag, part in found if part.__module__.startswith("composer.")}
        members = {**own, **before.get(root, {})}
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
