"""The configuration groups; Hydra finds them as `pkg://composer.conf`."""
