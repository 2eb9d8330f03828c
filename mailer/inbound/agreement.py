"""Whether a reply says yes or no: what its author wrote above the quoted original.

Every mail program quotes in a way of its own: ">", "On … wrote:", "-----Original Message-----", a block that begins
with "From:", a blockquote. What is left above it must be a word of consent and nothing that is neither that, nor a
greeting, nor a signature. No text at all is a yes as well: the mail that is replied to says so. What cannot be read,
such as an encrypted reply, is not nothing, nor is a bare no below the quote.
"""

import re
from collections.abc import Iterator, Sequence

from mailer.inbound.mime import Message, Part, words_of_html


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


_YES = _each(
    """yes yep yeah ok okay confirm confirmed agree agreed sure subscribe
    да ага ок окей хорошо подтверждаю подтвердить подтверждено согласен согласна подписаться подпишите подписываюсь
    так добра згодны згодна згодная пацвярджаю пацвердзіць пацверджана падпісацца падпішыце падпісваюся"""
)
_BESIDE = _each(
    """i we me my the a it this to of course please subscription thanks thank you very much hello hi dear good day
    keep sending присылайте дальше дасылайце далей
    я мы мне меня мою моя на это пожалуйста подписку подписка спасибо большое конечно здравствуйте привет добрый доброе
    день утро вечер
    мяне маю мая гэта калі ласка падпіску падпіска дзякуй вялікі вядома вітаю прывітанне добры дзень вечар
    раніцы"""
)
_NO = _each(
    """no nope not never don't dont didn't stop cancel unsubscribe remove
    нет не никогда стоп отмена отмените отпишите отписаться удалите
    ні ніколі адмена адмяніце адпішыце адпісацца выдаліце"""
)
_BARE_NO = _each("no nope not нет не ні")
_BESIDE_NO = _each(
    """i me it was wasn't thanks thank you sorry
    я это был была были спасибо гэта быў дзякуй"""
)

_LINES = 400  #: that are looked at
_NAME_LINES = 2
_NODS = frozenset("+.,!…()✓✔✅👍👌🙏️")  #: what says yes, or nothing, without a word


def agrees(message: Message) -> bool:
    """Whether the author says yes, or nothing at all."""
    said = next(_said(message), None)
    return _is_yes(said) if said else _is_empty(message)


def _is_empty(message: Message) -> bool:
    """Whether all of the text was read, and is none."""
    bodies = _bodies(message)
    plain = [part.text() for part in bodies if part.type == "text/plain"]
    return bool(bodies) and not message.truncated and not any(map(_hides_something, plain))


def _hides_something(text: str) -> bool:
    return bool(_ENCRYPTED.search(text)) or _is_no(text.rstrip().rpartition("\n")[2])


_ENCRYPTED = re.compile(r"^-----BEGIN PGP MESSAGE-----", re.MULTILINE)


def declines(message: Message) -> bool:
    """Whether the author says no, and nothing else."""
    return any(_is_no(" ".join(text)) for text in _said(message))


def _is_no(text: str) -> bool:
    words = set(_words(text))
    return bool(words & _BARE_NO) and words <= _BARE_NO | _BESIDE_NO and not text.startswith(">")


def _said(message: Message) -> Iterator[list[str]]:
    """The author's own lines: of the plain text, of the HTML where the plain text has none."""
    bodies = _bodies(message)
    for kind in ("text/plain", "text/html"):
        for part in bodies:
            if part.type == kind:
                text = part.text() if kind == "text/plain" else words_of_html(_above_quote(part.markup()))
                if lines := _own_lines(text):
                    yield lines
                    return


def _bodies(message: Message) -> list[Part]:
    return [part for part in message.parts if part.type in ("text/plain", "text/html") and not _is_attached(part)]


def _is_attached(part: Part) -> bool:
    return part.fields.get("content-disposition", "").strip().lower().startswith("attachment")


def _above_quote(markup: str) -> str:
    begins = _HTML_QUOTE.search(markup)
    return markup[: markup.rfind("<", 0, begins.start() + 1)] if begins else markup


_HTML_QUOTE = re.compile(
    r"<blockquote\b|<hr\b|border-top:\s{0,5}solid"
    r"|<\w{1,10}\s[^<>]{0,300}?(?:gmail_quote|gmail_attr|gmail_extra|moz-cite-prefix|yahoo_quoted|protonmail_quote"
    r"|divRplyFwdMsg|appendonsend|OLK_SRC_BODY_SECTION|reference-message)",
    re.IGNORECASE,
)


def _own_lines(text: str) -> list[str]:
    """The lines above the quoted original, and those between and below lines that begin with ">"."""
    lines = [line.replace("\N{NO-BREAK SPACE}", " ").strip() for line in text.split("\n")[:_LINES]]
    own = list[str]()
    at = 0
    while at < len(lines):
        line = lines[at]
        if _is_signature(line):
            at = next((later for later in range(at, len(lines)) if lines[later].startswith(">")), len(lines))
            continue
        attribution = _attribution(lines, at)
        if attribution:
            at += attribution
            quoted = next((each for each in lines[at:] if each), "")
            if not quoted.startswith(">"):
                break
            continue
        if _SEPARATOR.match(line) or _is_header(lines, at):
            break
        if line and not line.startswith(">"):
            own.append(line)
        at += 1
    return own


_SEPARATOR = re.compile(r"[-_=*—–]{5,}|[-—–]{2,}\s?\w.{0,60}\w\s?[-—–]{2,}$")
_SENT_FROM = re.compile(
    r"(sent (from|with|via|by)|get outlook"
    r"|отправлено|послано|адпраўлена|даслана|надіслано|gesendet|envoyé|wysłan[eo])\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"((best|kind|warm)( regards| wishes)?|regards|sincerely|с уважением|всего (доброго|хорошего)|з павагай|з пашанай"
    r"|усяго (добрага|найлепшага))[\s,.!]*(?:$|[,\n])",
    re.IGNORECASE,
)


def _is_signature(line: str) -> bool:
    return line in ("--", "—") or bool(_SENT_FROM.match(line) or _CLOSING.match(line))


_WHEN = re.compile(r"\b20\d\d\b|\b\d{1,2}[:.]\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{2}")
_WROTE = re.compile(
    r"\b(wrote|writes|написал|написала|писал|писала|пишет|напісаў|напісала|піша|schrieb|napisał)\b", re.IGNORECASE
)


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines, from this one on, say who wrote what is quoted below, and when; 0 where none do.

    Programs fold it at will: only its last line ends in a colon.
    """
    for many in (1, 2, 3):
        part = lines[at : at + many]
        if len(part) < many or not part[-1] or part[-1].startswith(">"):
            return 0
        if part[-1].endswith(":"):
            whole = " ".join(part)
            tells = "@" in whole or _WHEN.search(whole) or _WROTE.search(whole)
            begins = many == 1 or (_WHEN.search(part[0]) and not set(_words(part[0])) & _NO)
            return many if tells and begins else 0
    return 0


_FROM = re.compile(r"\*?(from|от|от кого|отправитель|ад|ад каго|від|von|od|de)\*?\s?:", re.IGNORECASE)
_LABEL = re.compile(r"\*?[^\W\d][\w .-]{0,20}\*?\s?:\*?\s")


def _is_header(lines: Sequence[str], at: int) -> bool:
    """Whether a block of header fields begins, as Outlook puts it before what it quotes."""
    following = next((line for line in lines[at + 1 :] if line), "")
    return bool(_FROM.match(lines[at]) or (_LABEL.match(lines[at]) and _LABEL.match(following)))


def _is_yes(lines: Sequence[str]) -> bool:
    text = "\n".join(lines)
    words = _words(text)
    if "?" in text or set(words) & _NO:
        return False
    if not words:
        return all(char in _NODS or char.isspace() for char in text)
    last = max((index for index, line in enumerate(lines) if _YES & set(_words(line))), default=None)
    if last is None:
        return False
    below = [line for line in lines[last + 1 :] if not set(_words(line)) <= _BESIDE]
    return set(_words("\n".join(lines[: last + 1]))) <= _YES | _BESIDE and (
        len(below) <= _NAME_LINES and all(map(_is_name, below))
    )


def _is_name(line: str) -> bool:
    words = re.findall(r"[\w'-]+", line)
    return len(words) <= 4 and all(word[0].isupper() for word in words)


def _words(text: str) -> list[str]:
    folded = text.casefold().replace("ё", "е").replace("’", "'")
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+", folded)
