"""Heads: features → the outputs of one role."""
