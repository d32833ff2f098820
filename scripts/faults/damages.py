"""Random damage of files: what is then read is what was written, or there is an error of one line."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from faults.promise import Found, Promise, same
from faults.subjects import SUBJECTS, Subject

PAGE = 4096
Damage = Callable[[Path, Path, random.Random], None]  # (a file, a file of other content, random numbers)


def flip_bit(file: Path, other: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def change_bytes(file: Path, other: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    place = rng.randrange(len(content))
    content[place : place + 8] = rng.randbytes(min(8, len(content) - place))
    file.write_bytes(content)


def zero_page(file: Path, other: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = rng.randrange(len(content)) // PAGE * PAGE
    end = min(start + PAGE, len(content))
    content[start:end] = bytes(end - start)
    file.write_bytes(content)


def cut(file: Path, other: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content))])


def append(file: Path, other: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.randrange(1, 200)))


def change_digit(file: Path, other: Path, rng: random.Random) -> None:
    """Change one digit: the smallest change that leaves JSON and other text whole."""
    content = bytearray(file.read_bytes())
    digits = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    if digits:
        content[rng.choice(digits)] = rng.choice(b"0123456789")
    file.write_bytes(content)


def remove(file: Path, other: Path, rng: random.Random) -> None:
    file.unlink()


def mix(file: Path, other: Path, rng: random.Random) -> None:
    """Put the file of another folder in the place of this one, as a copy that was stopped halfway does."""
    shutil.copyfile(other, file)


DAMAGES: tuple[Damage, ...] = (flip_bit, change_bytes, zero_page, cut, append, change_digit, remove, mix)


def attack(subject: Subject, times: int, folder: Path, rng: random.Random) -> Found:
    """Write a subject, damage a copy of it so many times, each time at another place, and read it."""
    whole, other, copy = folder / "whole", folder / "other", folder / "copy"
    subject.write(whole, 0)
    subject.write(other, 7)
    right = subject.read(whole)
    several = len(_files(whole)) > 1  # a folder of one file cannot be mixed
    damages = [damage for damage in DAMAGES if several or damage is not mix]
    found = Found(0, 0, 0)
    for time in range(times):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        file = rng.choice(_files(copy))
        damages[time % len(damages)](file, other / file.relative_to(copy), rng)
        found += _read(subject, copy, right)
    return found


def _promise(subject: Subject) -> Promise:
    return Promise(
        subject.name,
        "what is read is what was written, or an error says that it is damaged",
        "one file is changed, cut, lengthened or removed, or comes from another folder",
        partial(attack, subject),
    )


PROMISES = tuple(map(_promise, SUBJECTS))


def _read(subject: Subject, folder: Path, right: list[Any]) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = subject.read(folder)
        except (ValueError, TypeError, OSError) as error:
            return Found(1, 1, int("\n" in str(error)))
    return Found(1, 0, int(not same(read, right)))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
