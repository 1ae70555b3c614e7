"""RLModule: the torch module that a blueprint builds or a person writes."""
