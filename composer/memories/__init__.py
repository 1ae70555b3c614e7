"""Memories: features over time → features over time, with state."""
