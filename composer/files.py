"""Files that are either whole or not there: JSON and safetensors, never pickle."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from composer.errors import CheckpointError, RunDirectoryError

FORMAT = 1
MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"
ASIDE = ".old-"
FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_json(path: Path, data: object) -> None:
    """Replaces the file by `data`, or leaves what was there.

    Raises:
        CheckpointError: The disk is full.
        ValueError: A number is infinite or not a number: JSON has no word for it.
    """
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
    _write(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        CheckpointError: The file is missing or is not JSON.
    """
    try:
        return json.loads(_read(path))
    except ValueError as error:  # of the JSON, or of its UTF-8
        raise CheckpointError(f"{path} is not JSON: cut short or edited? {error}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replaces the file by the tensors, from any device, or leaves what was there.

    Tensors that share memory are written apart.

    Raises:
        CheckpointError: The disk is full.
    """
    apart = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    _write(path, safetensors.torch.save(apart))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote, on the CPU, in memory of its own.

    Raises:
        CheckpointError: The file is missing or is not safetensors.
    """
    try:
        return safetensors.torch.load(_read(path))
    except (SafetensorError, ValueError) as error:
        message = f"{path} is not a safetensors file: cut short or edited? {error}"
        raise CheckpointError(message) from None


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory that becomes `path` when the block ends, checksums included.

    What stood at `path` is replaced then, and kept where anything fails. A process killed at any
    moment leaves one whole copy: at `path`, or where `remove_leftovers` puts it back from.

    Raises:
        CheckpointError: The disk is full, or `path`, or what it lies in, is a file.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise CheckpointError(f"{place} is a file, where a directory is to be written")
    temporary = _beside(path, TEMPORARY)
    with naming_full_disk(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            _seal(temporary)
            _move_into_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def verify_directory(path: Path) -> None:
    """Compares every file with the checksums taken when the directory was written.

    Raises:
        CheckpointError: Names every file that is missing, cut short or edited.
    """
    if not path.is_dir():
        raise CheckpointError(f"there is no directory {path}")
    if not (path / MANIFEST).is_file():
        raise CheckpointError(f"{path} has no {MANIFEST}: it is not a checkpoint, or not all of it")
    manifest = read_json(path / MANIFEST)
    try:
        version = manifest["format"]
        files = [(name, item["size"], item["sha256"]) for name, item in manifest["files"].items()]
    except (AttributeError, KeyError, TypeError):
        raise CheckpointError(f"{path / MANIFEST} was edited: it lists no files") from None
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has format {version}; this version of Composer reads {FORMAT}"
        )
    problems = [_difference(path / name, size, digest) for name, size, digest in files]
    found = [problem for problem in problems if problem]
    if found:
        raise CheckpointError(*found)


def remove_leftovers(parent: Path) -> None:
    """Clears away what a killed `atomic_directory` or write left in `parent`.

    A directory that was moved aside and never replaced is put back. Nothing else may be writing
    into `parent`.
    """
    for aside in sorted(parent.glob(f"{ASIDE}*")):
        original = parent / aside.name.removeprefix(ASIDE).rpartition("-")[0]
        if original.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(original)
    for temporary in parent.glob(f"{TEMPORARY}*"):
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink()


def new_run_directory(parent: Path, stem: str) -> Path:
    """Makes `parent/<stem>_<date>-<time>_<six random hex digits>`, never one that exists.

    Raises:
        RunDirectoryError: No directory can be made in `parent`.
    """
    while True:
        path = parent / f"{stem}_{datetime.now():%Y%m%d-%H%M%S}_{secrets.token_hex(3)}"
        if make_directory(path):
            return path


def make_directory(path: Path) -> bool:
    """Makes a directory and those above it; False where there is something at `path` already.

    Raises:
        RunDirectoryError: It cannot be made.
    """
    try:
        path.mkdir(parents=True)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            return False
        raise RunDirectoryError(f"{path} cannot be made: {error.strerror}") from error
    return True


class _FullDisk(CheckpointError):
    title = "a file cannot be written"


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Says of a full disk which path was being written: the outermost one, where they nest."""
    try:
        yield
    except _FullDisk as error:
        raise _full_disk(path, error.__cause__) from error.__cause__
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise _full_disk(path, error) from error


def _full_disk(path: Path, cause: BaseException | None) -> _FullDisk:
    reason = cause.strerror if isinstance(cause, OSError) else cause
    return _FullDisk(
        f"{path} cannot be written: the disk is full ({reason})\nwhat was written before is intact"
    )


def _write(path: Path, data: bytes) -> None:
    temporary = _beside(path, TEMPORARY)
    with naming_full_disk(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _beside(path: Path, prefix: str) -> Path:
    return path.with_name(f"{prefix}{path.name}-{secrets.token_hex(3)}")


def _sync(path: Path) -> None:
    """Asks the disk to hold a file, or the names in a directory, before anything later."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(directory: Path) -> None:
    """Writes the manifest and syncs all there is."""
    inside = sorted(directory.rglob("*"))
    files = {
        path.relative_to(directory).as_posix(): {
            "size": path.stat().st_size,
            "sha256": _digest(path),
        }
        for path in inside
        if path.is_file()
    }
    for path in inside:
        _sync(path)
    write_json(directory / MANIFEST, {"format": FORMAT, "files": files})


def _move_into_place(temporary: Path, path: Path) -> None:
    aside = _beside(path, ASIDE)
    try:
        if path.exists():
            os.rename(path, aside)
        os.rename(temporary, path)
    except BaseException:
        if aside.exists() and not path.exists():
            os.rename(aside, path)
        raise
    _sync(path.parent)
    # The new one is in place: what cannot be deleted now is left for `remove_leftovers`.
    shutil.rmtree(aside, ignore_errors=True)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(path: Path, size: int, digest: str) -> str | None:
    if not path.is_file():
        return f"{path} is missing: expected {size} bytes"
    given = path.stat().st_size
    if given != size:
        what = "cut short" if given < size else "edited"
        return f"{path} was {what}: expected {size} bytes, given {given}"
    actual = _digest(path)
    if actual != digest:
        return f"{path} was edited: expected sha256 {digest}, given {actual}"
    return None
