"""The command line's words → one plain dict, with origins. Nothing else knows Hydra's composing."""

from composer.loading.load import Loader, hydra_words, load, options, override
from composer.loading.loaded import Loaded
from composer.loading.sweeps import Job, jobs

__all__ = ["Job", "Loaded", "Loader", "hydra_words", "jobs", "load", "options", "override"]
