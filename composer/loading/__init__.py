"""The command line's words → one plain dict, with origins. Nothing else knows Hydra's composing."""

from composer.loading.load import Loaded, hydra_words, load, options, override

__all__ = ["Loaded", "hydra_words", "load", "options", "override"]
