"""Environments: spaces, and vector environments in Gymnasium's interface. One file each."""
