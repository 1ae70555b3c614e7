"""Engines: where training runs."""
