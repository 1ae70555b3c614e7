"""The console that verbs print to."""

from typing import NoReturn

import rich.console


class Console(rich.console.Console):
    """Rich's, but that `composer` itself answers where nobody reads any more."""

    def on_broken_pipe(self) -> NoReturn:
        raise
