import pytest

from composer.config import Family


@pytest.fixture
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
