"""Files that commands write: whole or not at all, and readable by nobody else."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mailer.errors import MailerError


@contextlib.contextmanager
def written(target: str, *, replace: bool = False) -> Iterator[TextIO]:
    """A file that takes its name once the block has ended well; "-" is standard output. Raises MailerError."""
    if target == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    if path.exists() and not replace:
        raise MailerError(f"{path} is there already. Name another file, or say --force.")
    try:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(opened, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123  (a descriptor)
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MailerError(f"{path}: cannot be written: {error.strerror}.") from None
