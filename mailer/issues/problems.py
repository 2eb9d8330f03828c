"""What is wrong with an issue's files, said so that its author can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass

from mailer.errors import MailerError


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, or for a warning looks wrong."""

    file: str
    line: int | None  #: counted from 1; None where it is about the whole file
    what: str
    mend: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}. {self.mend}"


class SourceError(MailerError):
    """An issue cannot be read; `problems` holds everything that was found, one line each in the message."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))
        super().__init__("\n".join(map(str, self.problems)))
