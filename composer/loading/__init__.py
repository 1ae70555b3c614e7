"""The command line's words → one plain dict, with origins. Nothing else knows Hydra's composing."""

from composer.loading.load import Loaded, hydra_words, load, options, override
from composer.loading.writing import as_experiment

__all__ = ["Loaded", "as_experiment", "hydra_words", "load", "options", "override"]
