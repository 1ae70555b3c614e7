"""The one thing pyproject.toml cannot say: `conf/` is the package `composer.conf`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["composer", "composer.*"]), "composer.conf"])
