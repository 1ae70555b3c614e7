"""Twenty mistakes and what Composer says of each, word for word: `messages/golden.txt`.

To see what changed after a message was reworded: `python tests/test_messages.py` writes the file
again, and `git diff` shows it.
"""

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

import pytest

from composer.cli.main import main

HERE = Path(__file__).parent / "messages"
GOLDEN = HERE / "golden.txt"
BLOCKS = re.split(r"^(?=\$ )", GOLDEN.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def said(command: str) -> str:
    """What a command says of a mistake."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        status = main(shlex.split(command)[1:])
    assert status == 2, f"{command} left with {status}"
    return shown.getvalue()


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0][2:] for block in BLOCKS])
def test_a_mistake_is_told_in_these_words(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    command, _, text = block.partition("\n")
    assert said(command[2:]).strip() == text.strip()


def test_there_are_twenty() -> None:
    assert len(BLOCKS) >= 20


if __name__ == "__main__":
    os.chdir(HERE)
    commands = [block.splitlines()[0][2:] for block in BLOCKS]
    GOLDEN.write_text("\n".join(f"$ {item}\n{said(item)}" for item in commands), encoding="utf-8")
