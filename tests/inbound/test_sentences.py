"""What real servers say, category by category, and reports as many producers write them.

sentences.txt holds a sentence a line under its category; where a careful reader would take either of two, both are
named after bars. producers.txt holds messages, each under a line with its name, kind and recipients.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.inbound.diagnosis import PERMANENT, diagnose
from mailer.inbound.incoming import Category
from mailer.inbound.reading import read

HERE = Path(__file__).parent


def sentences() -> dict[Category, list[tuple[str, set[Category]]]]:
    found: dict[Category, list[tuple[str, set[Category]]]] = {}
    category = Category.UNKNOWN
    for line in (HERE / "sentences.txt").read_text().splitlines():
        if heading := re.fullmatch(r"\[([a-z, ]+)\]", line):
            category = Category(heading.group(1))
        elif line and not line.startswith("# "):
            words, *others = line.split("|")
            found.setdefault(category, []).append((words, {category, *map(Category, others)}))
    return found


SENTENCES = sentences()


def test_the_table_is_large_and_speaks_of_every_category_that_servers_name() -> None:
    assert sum(map(len, SENTENCES.values())) > 500
    assert set(SENTENCES) == set(Category) - {Category.COMPLAINT, Category.AUTO_REPLY, Category.DELIVERED}


@pytest.mark.parametrize("category", SENTENCES)
def test_a_sentence_means_what_a_careful_reader_takes_it_for(category: Category) -> None:
    wrong = [(words, found) for words, right in SENTENCES[category] if (found := diagnose(words).category) not in right]
    assert wrong == []


@pytest.mark.parametrize("category", [each for each in SENTENCES if each not in PERMANENT])
def test_no_sentence_about_anything_else_kills_an_address(category: Category) -> None:
    assert [words for words, right in SENTENCES[category] if diagnose(words).permanent and not right & PERMANENT] == []


def producers() -> Iterator[object]:
    for block in re.split(r"^=== ", (HERE / "producers.txt").read_text(), flags=re.M)[1:]:
        head, _, message = block.partition("\n")
        name, kind, said = (each.strip() for each in head.split("|"))
        recipients = dict(each.split() for each in said.split(", ") if each)
        charset = re.search(r'charset="?(gb2312|koi8-r)', message)
        octets = message.encode(charset.group(1) if charset else "utf-8")
        yield pytest.param(octets, kind, recipients, id=name)


@pytest.mark.parametrize(("octets", "kind", "recipients"), list(producers()))
def test_a_report_is_read_whoever_wrote_it(octets: bytes, kind: str, recipients: dict[str, str]) -> None:
    incoming = read(octets)
    said = {each.address: "hard" if each.permanent else "soft" for each in incoming.recipients}
    assert (incoming.kind, said) == (kind, recipients)
