"""Optimisers: one file for each kind of `torch.optim`, and what runs them."""
