"""Distributions: policy outputs → actions. One file each: config, module, distribution."""
