"""Hydra, ready to compose, and the files that it merges."""

from collections.abc import Iterator
from contextlib import contextmanager

from hydra import initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.types import RunMode

from composer.loading.files import BASE, PACKAGE
from composer.loading.origins import Source
from composer.loading.words import Words


@contextmanager
def hydra_ready() -> Iterator[ConfigLoader]:
    """Hydra, ready to compose. Inside a Hydra job, that job's own state comes back afterwards."""
    outer, runtime = GlobalHydra.instance().hydra, JobRuntime.instance()
    job_name = runtime.get("name")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(PACKAGE, job_name="composer", version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    finally:
        GlobalHydra.instance().hydra = outer
        runtime.set("name", job_name)


def sources_of(read: Words) -> list[Source]:
    """The files in the order in which Hydra merged them."""
    with hydra_ready() as loader:
        listed = loader.compute_defaults_list(BASE, read.choosing, RunMode.RUN).defaults
    found = ((item, read.files.find(item.config_path)) for item in listed)
    return [
        Source(file, tuple(filter(None, (item.package or "").split("."))), item.parent)
        for item, file in found
        if file is not None
    ]
