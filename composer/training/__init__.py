"""Training: drivers, rollouts, evaluation, metrics."""
