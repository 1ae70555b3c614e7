"""Makes the README's pictures of the terminal: `python docs/screenshots.py`."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from composer.cli.main import main

WIDTH = 110
IMAGES = Path(__file__).parent / "images"
COMMANDS = {
    "explain": "composer explain env=cartpole model.encoder.hidden=[128,128]",
    "check": "composer check env=cartpole,pendulum algorithm.lr=1e-3,fast seed=0,1",
    "error": "composer train env=cartpol algorithm.lrr=1e-3 model.encoder.hiden=[64]",
}


def shoot(name: str, command: str) -> None:
    """Runs a command as in a terminal, and draws what it shows."""
    _, *words = shlex.split(command)
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "composer.cli.main", *words],
            cwd=home,
            env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=False,
        )
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(f"$ {command}", highlight=False, markup=False)
        console.print(Text.from_ansi(done.stdout or done.stderr))
        console.save_svg(str(IMAGES / f"{name}.svg"), title="composer")


if __name__ == "__main__":
    for item in COMMANDS.items():
        shoot(*item)
    main(["explain", "env=cartpole", "--out", str(IMAGES / "model.svg")])
