"""A whole folder: languages and pictures together, and everything wrong said at once."""

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mailer.issues.folder import read_files, read_folder
from mailer.issues.problems import SourceError
from mailer.resources import resource

ROOT = Path(__file__).parents[2]
EXAMPLE = resource("templates") / "example" / "2026-11-16"
REAL_ISSUE = ROOT.parent / "shared" / "real-issue" / "2017-04-03"


def text(body: str = "Text.", period: str = "2017-04-03/2017-04-09") -> bytes:
    return f"---\nperiod: {period}\ntitle: A title\n---\n## A\n### B\n{body}\n".encode()


def picture() -> bytes:
    octets = io.BytesIO()
    Image.new("RGB", (60, 40)).save(octets, "PNG")
    return octets.getvalue()


def refusal(files: dict[str, bytes], slug: str = "2017-04-03") -> list[str]:
    with pytest.raises(SourceError) as caught:
        read_files(slug, files)
    return str(caught.value).splitlines()


def test_the_example_issue_is_read() -> None:
    issue = read_folder(EXAMPLE)
    assert issue.slug == "2026-11-16"
    assert (str(issue.first_day), str(issue.last_day)) == ("2026-11-16", "2026-11-22")
    assert sorted(issue.translations) == ["be", "en", "ru"]
    assert list(issue.pictures) == ["river.jpg"]
    assert issue.warnings == ()
    for translation in issue.translations.values():
        assert [str(c.verdict) for c in translation.commentaries] == ["better", "better", "unchanged", "worse"]
        assert all(commentary.lead and commentary.body for commentary in translation.commentaries)


@pytest.mark.skipif(not REAL_ISSUE.is_dir(), reason="the real issue of 2017-04-03 is not beside this checkout")
def test_the_real_issue_is_read() -> None:
    issue = read_folder(REAL_ISSUE)
    assert sorted(issue.translations) == ["be", "en", "ru"]
    assert not issue.warnings


def test_anchors_of_all_languages_differ() -> None:
    issue = read_folder(EXAMPLE)
    anchors = [c.anchor for translation in issue.translations.values() for c in translation.commentaries]
    assert len(set(anchors)) == len(anchors) == 12


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the folder cannot be read: No such file or directory\. Name a folder"):
        read_folder(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "en.md").write_bytes(text())
    with pytest.raises(SourceError, match="cannot be read: Not a directory"):
        read_folder(tmp_path / "en.md")


def test_an_empty_folder_names_the_files_it_could_hold() -> None:
    assert refusal({}) == ["2017-04-03: there is no language file. Add one or more of be.md, en.md, ru.md."]


@pytest.mark.parametrize("slug", ["", "Issue 1", "x" * 65, "ёлка", "../x", "a\x00b"])
def test_a_folder_name_that_cannot_be_a_slug_is_said(slug: str) -> None:
    assert "cannot become the issue's" in refusal({"en.md": text()}, slug)[0]


def test_a_language_without_words_is_said_with_those_that_have_some() -> None:
    found = refusal({"en.md": text(), "pl.md": text(), "README.md": b"\xff"})
    assert [line.split(":")[0] for line in found] == ["README.md", "pl.md"]
    assert all("(be, en, ru)" in line for line in found)


def test_bytes_that_are_not_utf8_are_named_with_their_line() -> None:
    assert refusal({"be.md": text() + "беларуская".encode("cp1251")}) == [
        "be.md:8: the byte 0xE1 is not UTF-8. Save the file as UTF-8."
    ]


def test_a_text_beyond_the_limit_is_refused() -> None:
    assert "too large" in refusal({"en.md": text("x" * 1_000_001)})[0]


def test_periods_that_differ_between_languages_are_refused() -> None:
    found = refusal({"be.md": text(), "en.md": text(period="2017-04-10/2017-04-16")})
    assert found == [
        "en.md: the period 2017-04-10/2017-04-16 is not that of be.md."
        " Write period: 2017-04-03/2017-04-09, or correct be.md."
    ]


def test_a_different_number_of_commentaries_is_only_a_warning() -> None:
    issue = read_files("x", {"be.md": text(), "en.md": text("Text.\n### C\nText.")})
    assert [str(warning) for warning in issue.warnings] == [
        "en.md: commentaries: 2 here, 1 in be.md. Check that none is missing."
    ]


def test_different_verdicts_and_unused_pictures_are_warnings() -> None:
    worse = text().replace(b"### B", b"### B {verdict=worse}")
    issue = read_files("x", {"be.md": text(), "en.md": worse, "a.png": picture()})
    assert [warning.file for warning in issue.warnings] == ["en.md", "a.png"]
    assert issue.pictures == {}


def test_a_missing_picture_is_named_with_those_there_are() -> None:
    [found] = refusal({"en.md": text("![alt](b.png)"), "a.png": picture()})
    assert found.startswith('en.md:7: the picture "b.png" is not in the folder.')
    assert found.endswith("There are: a.png.")


def test_a_picture_that_is_none_is_named() -> None:
    assert refusal({"en.md": text("![alt](a.png)"), "a.png": b"junk"}) == [
        "a.png: the file is not a picture that can be read. Save it again as JPEG or PNG."
    ]


def test_a_picture_is_found_by_its_decomposed_or_escaped_name(tmp_path: Path) -> None:
    folder = tmp_path / "issue"
    folder.mkdir()
    (folder / "e\u0301 1.png").write_bytes(picture())
    (folder / "en.md").write_bytes(text("![alt](<\u00e9 1.png>)\n![alt](%C3%A9%201.png)"))
    assert list(read_folder(folder).pictures) == ["\u00e9 1.png"]


def test_problems_of_all_files_come_together() -> None:
    found = refusal({"be.md": b"", "en.md": text("![](a.png)"), "ru.md": text("[x](y)")}, slug="?")
    assert [line.split(":")[0] for line in found] == ["'?'", "be.md", "en.md", "ru.md"]


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["en.md", "be.md", "a.png", "x.md", ".md"]), st.binary(max_size=300)),
    st.text(max_size=70),
)
def test_no_bytes_bring_a_traceback(files: dict[str, bytes], slug: str) -> None:
    for folder in (files, files | {"ru.md": text("![alt](a.png)")}):
        with contextlib.suppress(SourceError):
            read_files(slug, folder)
