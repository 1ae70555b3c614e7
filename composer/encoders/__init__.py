"""Encoders: observation → features `(*B, F)`. One file each: its config, then its module."""
