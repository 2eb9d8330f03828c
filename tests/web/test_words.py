"""Every sentence of pages and mails stands in every catalogue."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment

from mailer.issues.languages import available, catalogue
from mailer.resources import resource

TEMPLATES = [resource("templates") / room for room in ("web", "email")]
CODE = [Path(__file__).parents[2] / "mailer" / room for room in ("web", "rendering", "inbound")]


def _of_templates() -> set[str]:
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    found = set()
    for path in (each for room in TEMPLATES for each in room.glob("*.html")):
        for _, _, message in environment.extract_translations(path.read_text()):  # type: ignore[attr-defined]
            found.add(message if isinstance(message, str) else message[0])
    return found


def _of_code() -> set[str]:
    paths = (path for room in CODE for path in room.glob("*.py"))
    calls = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return {
        str(node.args[0].value)
        for node in calls
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("gettext", "ngettext")
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("language", available())
def test_every_sentence_is_translated(language: str) -> None:
    with catalogue(language).open("rb") as file:
        words = read_po(file, locale=language)
    said = _of_templates() | _of_code()
    assert len(said) > 200
    for sentence in said:
        message = words.get(sentence)
        assert message is not None, f"{language}.po lacks {sentence!r}"
        if language != "en":
            assert message.string, f"{language}.po does not translate {sentence!r}"
            translated = message.string if isinstance(message.string, str) else " ".join(message.string)
            assert set(re.findall(r"{\w+}", sentence)) <= set(re.findall(r"{\w+}", translated))
