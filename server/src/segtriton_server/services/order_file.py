"""A file by which a hook of the pod, or a person in it, tells the server what to do."""

from __future__ import annotations

import os
from pathlib import Path


class OrderFile:
    """The file's text, read and replaced."""

    def __init__(self, path: str, server_start: float = 0.0) -> None:
        """Take where the file is, "" for nowhere, and when the server started, in seconds since the epoch.

        A pod's files outlive its containers: what is older than the server was an order to the one before it.
        """
        self._path = Path(path) if path else None
        self._server_start = server_start

    def read(self) -> str | None:
        """Return the text, None where there is no order to this server."""
        if self._path is None:
            return None
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                is_stale = os.fstat(file.fileno()).st_mtime < self._server_start
                return None if is_stale else file.read()
        except OSError:
            return None

    def write(self, text: str) -> None:
        """Replace the text, so that no reader sees half of it.

        Raises:
            ValueError: the file is nowhere.
            OSError: it cannot be written.
        """
        if self._path is None:
            raise ValueError("there is no drain file: set SEGTRITON_DRAIN_FILE for the server and for this command")
        partial = self._path.with_name(f"{self._path.name}.part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._path)
