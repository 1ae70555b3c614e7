"""The command line's words → one plain dict, with origins. Nothing else knows Hydra's composing."""

from composer.loading.load import hydra_words, load, options, override
from composer.loading.loaded import Loaded
from composer.loading.rewriting import as_typed

__all__ = ["Loaded", "as_typed", "hydra_words", "load", "options", "override"]
