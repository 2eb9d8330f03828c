"""What became of the situation: a sign and words, never colour alone."""

import enum


class Verdict(enum.StrEnum):
    BETTER = "better"
    UNCHANGED = "unchanged"
    WORSE = "worse"

    @property
    def sign(self) -> str:
        return _SIGNS[self]


_SIGNS = {Verdict.BETTER: "▲", Verdict.UNCHANGED: "●", Verdict.WORSE: "▼"}
