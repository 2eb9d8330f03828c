"""mailer reasons: why readers left."""

import json
from datetime import date

from sqlmodel import select

from mailer.app import assemble
from mailer.settings import load
from mailer.tables import Parting, PartingReason, Publication
from tests.cli.conftest import Type


def test_reasons_are_counted_and_quoted_and_terminals_are_safe_from_them(installed: Type) -> None:
    assert installed("reasons").out == "Nobody has given a reason.\n"
    with assemble(load()).database.write() as session:
        publication_id = session.exec(select(Publication.id)).one()
        assert publication_id is not None
        for reason, words in (("unsafe", ""), ("unsafe", "at work \x1b[2J"), ("elsewhere", "")):
            month = date(2026, 11, 1)
            session.add(Parting(publication_id=publication_id, month=month, reason=PartingReason(reason), words=words))
    assert installed("reasons").out.splitlines()[:2] == ["     2  unsafe", "     1  elsewhere"]
    assert "2026-11  unsafe: at work" in installed("reasons").out
    assert "\x1b" not in installed("reasons").out
    counts, said = map(json.loads, installed("reasons", "--json").lines)
    assert counts == {"counts": {"unsafe": 2, "elsewhere": 1}}
    assert said == {"month": "2026-11", "reason": "unsafe", "words": "at work \x1b[2J"}
