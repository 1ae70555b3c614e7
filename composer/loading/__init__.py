"""The command line's words → one plain dict, with origins. Nothing else knows Hydra's composing."""

from composer.loading.load import Loader, hydra_words, load, options, override
from composer.loading.loaded import Loaded
from composer.loading.sweeps import Job, jobs
from composer.loading.writing import as_experiment

__all__ = [
    "Job",
    "Loaded",
    "Loader",
    "as_experiment",
    "hydra_words",
    "jobs",
    "load",
    "options",
    "override",
]
