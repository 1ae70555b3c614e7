"""The decision tree: rules that turn `auto` into a concrete choice for a space."""
