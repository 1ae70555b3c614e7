"""Settings: what a hand-written module was given to be made by."""

from collections.abc import Mapping
from typing import Any, NoReturn, Self

from composer.errors import ModuleError, Problem, did_you_mean


class MissingSettingError(ModuleError, KeyError):
    """A class reads a setting that is not given."""

    def __init__(self, key: str, given: Mapping[str, Any]) -> None:
        self.key, self.given = key, dict(given)
        message = f"the class reads the setting `{key}`, which is not given"
        super().__init__(Problem(message + did_you_mean(key, given), "model_config", self.given))


class Settings(dict[str, Any]):
    """A dict that names what was meant by a key that it does not have."""

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Self:
        """The settings that are given; none by default.

        Raises:
            ModuleError: If they are no mapping.
        """
        if not isinstance(given, Mapping | None):
            rule = "settings are given by name, as a mapping"
            raise ModuleError(
                Problem(rule, "model_config", given, fix="model_config={'width': 64}")
            )
        return cls(given or {})

    def __missing__(self, key: str) -> NoReturn:
        raise MissingSettingError(key, self)
