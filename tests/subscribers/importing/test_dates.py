"""What a cell says that should hold when a reader left."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.subscribers.importing.dates import happened

SPELLINGS = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S+03:00", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y, %H:%M:%S", "%m/%d/%y %I:%M %p", "%d-%m-%Y", "%d.%m.%y"),
    *("%Y%m%d", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M%S", "%d %B %Y", "%b %d, %Y", "%B %d, %Y at %I:%M %p", "%d-%b-%Y"),
    *("%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %Y %H:%M:%S GMT+0300 (Moscow Standard Time)", "%dth %B %Y"),
)
NOTHING = (
    *("", "NULL", "null", "None", "nil", "NaN", "NaT", "\\N", "-", "--", "\N{EM DASH}", "n/a", "N/A", "(null)"),
    *("false", "False", "no", "0", "never", "Never", "нет", "никогда", "0.0", "00000000"),
    *("0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00.000Z", "00/00/0000", "00.00.0000 00:00"),
    *("0001-01-01T00:00:00Z", "0001-01-01 00:00:00+00", "1/1/0001 12:00:00 AM", "-0001-11-30 00:00:00"),
    *("1970-01-01", "1970-01-01 03:00:00", "1/1/1970", "31.12.1969 19:00", "1900-01-00", "1899-12-30", "1601-01-01"),
)
PADDING = st.sampled_from(["", " ", "\t", "\N{NO-BREAK SPACE}"])
MOMENTS = st.integers(1_010_000_000, 1_990_000_000).map(lambda each: datetime.fromtimestamp(each, UTC))  # 2002 to 2033


@given(at=MOMENTS, spelling=st.sampled_from(SPELLINGS), padding=PADDING)
def test_a_date_says_that_it_happened(at: datetime, spelling: str, padding: str) -> None:
    assert happened(f"{padding}{at.strftime(spelling)}{padding}") is True


@pytest.mark.parametrize(
    "text", ["1/1/01", "01.01.01", "30/11/01", "31.12.69", "31 января 2020 г., 10:00", "5 мая 2020"]
)
def test_so_does_one_that_looks_like_none_or_is_in_other_words(text: str) -> None:
    assert happened(text) is True


@given(at=MOMENTS)
def test_so_does_one_in_seconds_or_as_mail_writes_it(at: datetime) -> None:
    seconds = int(at.timestamp())
    for text in (f"{seconds}", f"{seconds}.25", f"{seconds}000", f"{seconds}000000", format_datetime(at)):
        assert happened(text) is True


@given(
    text=st.sampled_from(["true", "yes", "1", "t", "y", "да", "так"]),
    case=st.sampled_from([str.upper, str.lower, str.title]),
)
def test_so_does_a_yes(text: str, case: object) -> None:
    assert callable(case)
    assert happened(case(text)) is True


@given(text=st.sampled_from(NOTHING), case=st.sampled_from([str, str.upper, str.lower]), padding=PADDING)
def test_what_stands_for_nothing_says_that_it_did_not(text: str, case: type[str], padding: str) -> None:
    assert happened(f"{padding}{case(text)}{padding}") is False


@pytest.mark.parametrize(
    "text",
    [
        *(
            "perhaps",
            "unknown",
            "x",
            "2",
            "2020",
            "43831",
            "1.2.3",
            "10.0.0.1",
            "31.31.2020",
            "0020-01-05",
            "9999-12-31",
        ),
        *("1950-05-05", "Jan 1, 1970", "12 monkeys 1995", "31 Foo 2020", "a@far.example.org", "+375 29 123-45-67"),
    ],
)
def test_anything_else_is_not_known(text: str) -> None:
    assert happened(text) is None


@given(st.text(st.characters(exclude_categories=["Nd"]), min_size=8))
def test_without_a_figure_and_in_many_letters_nothing_is_known(text: str) -> None:
    assert happened(f"{text}+") is None


@given(st.text(max_size=40) | st.from_regex(r"[-+0-9./: TZtz,]{0,30}"))
def test_any_cell_has_an_answer(text: str) -> None:
    assert happened(text) in (True, False, None)
    assert happened(f" {text} ") is happened(text)
