"""Answers of a server that no step has committed yet, so that a run that ends early does not ask for them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmspace.data.files import clear_when_full
from rmspace.text.records import digest


class Answers:
    r"""A file of answers by what was asked. It grows by a line per answer, until `clear` removes it.

    Args:
        path: the file, which appears with the first answer. The end of a line that was being written is dropped.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Answers(Path(folder, "kept")).add({"prompt": "2 + 2?"}, {"text": "4"})
    ...     again = Answers(Path(folder, "kept"))
    ...     again.find({"prompt": "2 + 2?"}), again.find({"prompt": "3 + 3?"})
    ({'text': '4'}, None)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fingerprints: set[str] = set()
        """What the server called itself in its answers, where it does: "system_fingerprint"."""
        self._found: dict[str, Any] = {}
        if path.is_file():
            self._read()

    def find(self, body: Mapping[str, Any]) -> Any:
        """Return the answer to a request; None where it is not known."""
        return self._found.get(digest(body)) if self._found else None

    def add(self, body: Mapping[str, Any], answer: Any) -> None:
        """Write an answer down, unless it is there: after that, no stop of the process loses it.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        if isinstance(answer, Mapping) and isinstance(name := answer.get("system_fingerprint"), str):
            self.fingerprints.add(name)
        if (asked := digest(body)) in self._found:
            return
        line = json.dumps({"asked": asked, "answer": answer}) + "\n"
        with clear_when_full(self.path, "what was answered before stays"), self.path.open("ab") as file:
            file.write(line.encode())

    def clear(self) -> None:
        """Forget all answers, because what was made of them is committed."""
        self._found = {}
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        whole = 0
        with self.path.open("rb") as file:
            for data in file:
                try:
                    line = json.loads(data)
                    self._found[line["asked"]] = line["answer"]
                except (ValueError, KeyError, TypeError):
                    break
                whole += len(data)
        with self.path.open("ab") as file:
            file.truncate(whole)
