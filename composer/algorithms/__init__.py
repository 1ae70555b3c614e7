"""Algorithms, one file each: hyperparameters, required APIs, default trunks and heads, loss."""
