"""The resolved graph: every part with its concrete config, its inputs, its width, its reason."""
