"""Rendering in a process of its own: the same mail, the same words where it cannot be made, and nothing left behind."""

import subprocess
import sys

import pytest

from mailer.issues.manuscript import Manuscript
from mailer.rendering.apart import Work, apart
from mailer.rendering.errors import RenderError
from tests.rendering import test_automatic_mail as automatic
from tests.rendering.test_issue_mail import ISSUE, LETTERHEAD, links, rendered

TEXTS = {language: translation.source for language, translation in ISSUE.translations.items()}
EDITIONS = [["en"], ["be", "ru"]]


def test_every_edition_is_the_same_as_if_it_were_made_here() -> None:
    manuscript = Manuscript(texts=TEXTS, pictures=ISSUE.pictures)
    bodies = apart(Work.EDITIONS, manuscript, LETTERHEAD, [(languages, links()) for languages in EDITIONS])
    assert bodies == [rendered(languages) for languages in EDITIONS]


def test_a_confirmation_is_the_same_as_if_it_were_made_here() -> None:
    body = apart(Work.AUTOMATIC, "confirmation", "ru", automatic.LETTERHEAD, automatic.about())
    assert body == automatic.confirmation("ru")


def test_what_is_wrong_with_the_issue_is_said_in_the_same_words() -> None:
    with pytest.raises(RenderError, match=r"the picture [^ ]+ is missing\. Add the issue again"):
        apart(Work.EDITIONS, Manuscript(texts=TEXTS, pictures={}), LETTERHEAD, [(["en"], links())])


def test_a_defect_of_ours_is_a_sentence_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RenderError, match="ended with status 1"):
        apart(Work.AUTOMATIC, "welcome", "en", LETTERHEAD)
    assert "TypeError" in capfd.readouterr().err


def test_a_worker_loads_nothing_that_only_rendering_migrations_or_pages_need() -> None:
    heavy = {"premailer", "lxml", "jinja2", "PIL", "nh3", "markdown_it", "babel", "alembic", "fastapi", "uvicorn"}
    asked = f"import sys, mailer.cli.worker; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
