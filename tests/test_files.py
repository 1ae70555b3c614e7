import errno
import math
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from composer import files
from composer.errors import CheckpointError, RunDirectoryError
from composer.files import (
    atomic_directory,
    new_run_directory,
    read_json,
    read_tensors,
    remove_leftovers,
    verify_directory,
    write_json,
    write_tensors,
)

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def write_checkpoint(path: Path, step: int) -> None:
    with atomic_directory(path) as directory:
        write_json(directory / "state.json", {"step": step})
        (directory / "module").mkdir()
        write_tensors(directory / "module" / "weights.safetensors", TENSORS)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def assert_only(parent: Path, step: int) -> None:
    """One whole checkpoint, of this step, and nothing beside it."""
    assert names(parent) == ["latest"]
    verify_directory(parent / "latest")
    assert read_json(parent / "latest" / "state.json") == {"step": step}


# Single files


def test_json_round_trips(tmp_path):
    data = {"a": [1, 2.5, None, True], "größe": "×", "big": 2**127}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data


def test_json_refuses_what_json_cannot_say(tmp_path):
    write_json(tmp_path / "a.json", 1)
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [b"", b'{"a": [1, 2', b"\xff\xfe", b"not json"])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.json is not JSON: cut short or edited\?"):
        read_json(path)


@pytest.mark.parametrize("read", [read_json, read_tensors])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(CheckpointError, match="gone cannot be read: No such file"):
        read(tmp_path / "gone")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.tensor(True),
        torch.empty(0),
        torch.empty(2, 0, 3),
        torch.arange(12).reshape(3, 4).T,
        torch.arange(12)[::3],
        torch.ones(3).expand(4, 3),
        torch.rand(2).to(torch.bfloat16),
        torch.get_rng_state(),
        torch.nn.Parameter(torch.rand(3)),
    ],
    ids=lambda tensor: f"{str(tensor.dtype)[6:]}-{tuple(tensor.shape)}",
)
def test_tensors_round_trip(tmp_path, tensor):
    write_tensors(tmp_path / "a", {"x": tensor})
    read = read_tensors(tmp_path / "a")["x"]
    assert read.dtype == tensor.dtype
    assert read.shape == tensor.shape
    assert torch.equal(read, tensor)


def test_tensors_that_share_memory_are_read_apart(tmp_path):
    whole = torch.zeros(4)
    write_tensors(tmp_path / "a", {"whole": whole, "half": whole[:2], "again": whole})
    read = read_tensors(tmp_path / "a")
    read["whole"].fill_(1.0)
    assert torch.equal(read["half"], torch.zeros(2))
    assert torch.equal(read["again"], torch.zeros(4))


def test_no_tensors_round_trip(tmp_path):
    write_tensors(tmp_path / "a", {})
    assert read_tensors(tmp_path / "a") == {}


def test_read_tensors_do_not_depend_on_the_file(tmp_path):
    write_tensors(tmp_path / "a", TENSORS)
    read = read_tensors(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"")
    assert torch.equal(read["weight"], TENSORS["weight"])


def test_tensors_cut_short_anywhere_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"a\.safetensors is not a safetensors file"):
            read_tensors(path)


# Directories


def test_a_directory_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "latest"
    with atomic_directory(path) as directory:
        write_json(directory / "state.json", {"step": 1})
        assert not path.exists()
        assert re.fullmatch(r"\.tmp-latest-[0-9a-f]{6}", directory.name)
        assert directory.parent == path.parent
    assert_only(path.parent, step=1)


def test_a_directory_is_replaced(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    (tmp_path / "latest" / "stray").touch()
    write_checkpoint(tmp_path / "latest", 2)
    assert_only(tmp_path, step=2)
    assert names(tmp_path / "latest") == ["manifest.json", "module", "state.json"]


def test_the_manifest_lists_every_file(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    manifest = read_json(tmp_path / "latest" / "manifest.json")
    assert sorted(manifest["files"]) == ["module/weights.safetensors", "state.json"]
    path = tmp_path / "latest" / "state.json"
    assert manifest["files"]["state.json"]["size"] == path.stat().st_size


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_an_exception_leaves_what_was_there(tmp_path, error):
    write_checkpoint(tmp_path / "latest", 1)

    def interrupted():
        with atomic_directory(tmp_path / "latest") as directory:
            write_json(directory / "state.json", {"step": 2})
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert_only(tmp_path, step=1)


# Damage


def test_a_directory_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no directory .*gone"):
        verify_directory(tmp_path / "gone")


def test_a_directory_without_a_manifest_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no manifest\.json: it is not a checkpoint"):
        verify_directory(tmp_path)


@pytest.mark.parametrize("name", ["state.json", "module/weights.safetensors"])
def test_every_truncation_is_found(tmp_path, name):
    write_checkpoint(tmp_path / "latest", 1)
    path = tmp_path / "latest" / name
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        expected = f"{name} was cut short: expected {len(whole)} bytes, given {length}"
        with pytest.raises(CheckpointError, match=expected):
            verify_directory(tmp_path / "latest")


@pytest.mark.parametrize("name", ["state.json", "module/weights.safetensors"])
def test_every_flipped_bit_is_found(tmp_path, name):
    write_checkpoint(tmp_path / "latest", 1)
    path = tmp_path / "latest" / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=f"{name} was edited: expected sha256 .*, given"):
            verify_directory(tmp_path / "latest")


def test_a_file_made_longer_is_found(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    with open(tmp_path / "latest" / "state.json", "a") as file:
        file.write(" ")
    with pytest.raises(CheckpointError, match=r"state\.json was edited: expected 16 bytes"):
        verify_directory(tmp_path / "latest")


def test_all_damage_is_named_at_once(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    (tmp_path / "latest" / "state.json").unlink()
    (tmp_path / "latest" / "module" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as error:
        verify_directory(tmp_path / "latest")
    assert "state.json is missing: expected 16 bytes" in str(error.value)
    assert "weights.safetensors was cut short" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 1, "fil', r"manifest\.json is not JSON"),
        ("[]", r"manifest\.json was edited"),
        ('{"format": 1, "files": []}', r"manifest\.json was edited"),
        ('{"format": 1, "files": {"a": 1}}', r"manifest\.json was edited"),
        ('{"format": 99, "files": {}}', "has format 99; this version of Composer reads 1"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, content, message):
    write_checkpoint(tmp_path / "latest", 1)
    (tmp_path / "latest" / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        verify_directory(tmp_path / "latest")


# A full disk


class FullFile:
    """Takes half of what is written, then finds the disk full."""

    def __init__(self, file, number: int):
        self.file = file
        self.number = number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise OSError(self.number, os.strerror(self.number))


class Disk:
    """Fills up at one of its operations; counts them."""

    def __init__(self, monkeypatch, full_at: int, number: int = errno.ENOSPC):
        self.operations = 0
        self.full_at = full_at
        self.number = number
        for name in ("fsync", "rename", "replace"):
            monkeypatch.setattr(files.os, name, self.counted(getattr(os, name)))
        monkeypatch.setattr(files, "open", self.open, raising=False)

    def is_full(self) -> bool:
        self.operations += 1
        return self.operations == self.full_at

    def counted(self, function):
        def operation(*args):
            if self.is_full():
                raise OSError(self.number, os.strerror(self.number))
            return function(*args)

        return operation

    def open(self, path, mode):
        file = Path(path).open(mode)  # noqa: SIM115
        return FullFile(file, self.number) if mode == "wb" and self.is_full() else file


def operations_of_a_checkpoint(tmp_path: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, full_at=0)
        write_checkpoint(tmp_path / "counted", 0)
        write_checkpoint(tmp_path / "counted", 0)
        return disk.operations // 2 + 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_full_at_any_operation_loses_nothing(tmp_path, number):
    total = operations_of_a_checkpoint(tmp_path)
    runs = tmp_path / "runs"
    step = 0
    write_checkpoint(runs / "latest", step)
    failures = 0
    for full_at in range(1, total + 1):
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, full_at, number)
            try:
                write_checkpoint(runs / "latest", step + 1)
            except CheckpointError as error:
                failures += 1
                text = str(error)
                path = re.escape(str(runs / "latest"))
                assert re.search(f"{path} cannot be written: the disk is full", text)
                assert os.strerror(number) in text
                assert "what was written before is intact" in text
                assert ".tmp-" not in text
        verify_directory(runs / "latest")
        step = read_json(runs / "latest" / "state.json")["step"]
        remove_leftovers(runs)
        assert_only(runs, step)
    assert failures >= 15


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_a_disk_full_while_one_file_is_written_keeps_the_old_one(tmp_path, full_at, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, "old")
    Disk(monkeypatch, full_at)
    with pytest.raises(CheckpointError, match=r"a\.json cannot be written: the disk is full"):
        write_json(path, "new")
    assert read_json(path) == "old"
    assert names(tmp_path) == ["a.json"]


def test_other_failures_of_the_disk_are_not_called_a_full_one(tmp_path, monkeypatch):
    Disk(monkeypatch, 2, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        write_checkpoint(tmp_path / "latest", 1)
    assert names(tmp_path) == []


def test_a_limit_on_file_sizes_loses_nothing(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    script = f"""
import resource, sys, torch
from pathlib import Path
from composer.errors import CheckpointError
from composer.files import atomic_directory, write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with atomic_directory(Path({str(tmp_path)!r}) / "latest") as directory:
        write_tensors(directory / "big", {{"x": torch.zeros(10_000)}})
except CheckpointError as error:
    print(error)
"""
    command = [sys.executable, "-B", "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "latest cannot be written: the disk is full (File too large)" in output
    assert_only(tmp_path, step=1)


# A killed process


def kill_while_writing(path: Path, operation: int) -> None:
    script = f"""
import os, signal
from pathlib import Path
from composer import files
seen = 0
def counted(function):
    def wrapper(*args):
        global seen
        seen += 1
        if seen == {operation}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return wrapper
for name in ("fsync", "rename", "replace"):
    setattr(os, name, counted(getattr(os, name)))
with files.atomic_directory(Path({str(path)!r})) as directory:
    files.write_json(directory / "state.json", {{"step": 2}})
"""
    subprocess.run([sys.executable, "-c", script], check=False)


# state.json: write, rename, directory; sync of it; the manifest's three; then the renames 8 and 9.
@pytest.mark.parametrize(("operation", "step"), [(2, 1), (7, 1), (8, 1), (9, 1), (10, 2)])
def test_a_kill_at_any_moment_leaves_one_whole_copy(tmp_path, operation, step):
    write_checkpoint(tmp_path / "latest", 1)
    kill_while_writing(tmp_path / "latest", operation)
    assert len(names(tmp_path)) > 1 or not (tmp_path / "latest").exists()
    remove_leftovers(tmp_path)
    assert_only(tmp_path, step)


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    write_checkpoint(tmp_path / "latest", 1)
    (tmp_path / ".tmp-latest-0a1b2c" / "module").mkdir(parents=True)
    (tmp_path / ".tmp-state.json-0a1b2c").touch()
    (tmp_path / "mine.tmp").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["latest", "mine.tmp"]


def test_a_directory_that_is_not_there_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "gone")
    assert names(tmp_path) == []


# Run directories


def test_a_run_directory_says_what_and_when(tmp_path):
    path = new_run_directory(tmp_path / "runs", "cartpole_ppo")
    assert path.is_dir()
    assert re.fullmatch(r"cartpole_ppo_\d{8}-\d{6}_[0-9a-f]{6}", path.name)


def test_a_run_directory_is_never_used_twice(tmp_path, monkeypatch):
    suffixes = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(suffixes))

    class Clock:
        @staticmethod
        def now():
            return datetime(2020, 1, 2, 3, 4, 5)

    monkeypatch.setattr(files, "datetime", Clock)
    assert new_run_directory(tmp_path, "a").name == "a_20200102-030405_aaaaaa"
    assert new_run_directory(tmp_path, "a").name == "a_20200102-030405_bbbbbb"


def test_four_processes_at_once_make_four_run_directories(tmp_path):
    script = f"""
from pathlib import Path
from composer.files import new_run_directory
print("ready", flush=True)
input()
print(new_run_directory(Path({str(tmp_path)!r}), "run"))
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(4)]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * 4
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    made = {process.communicate()[0].strip() for process in running}
    assert len(made) == 4
    assert made == {str(path) for path in tmp_path.iterdir()}


def test_a_dangling_link_in_the_place_of_the_runs_is_an_error(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "gone")
    with pytest.raises(RunDirectoryError, match="cannot be made: File exists"):
        new_run_directory(tmp_path / "runs", "a")


def test_a_file_in_the_place_of_the_runs_is_an_error(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(RunDirectoryError, match="cannot be made: Not a directory"):
        new_run_directory(tmp_path / "runs", "a")


@pytest.mark.parametrize("place", ["file", "file/x", "file/x/y"])
def test_a_directory_is_not_written_in_the_place_of_a_file_or_below_one(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(CheckpointError, match="file is a file, where a directory is to be written"),
        atomic_directory(tmp_path / place),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"
