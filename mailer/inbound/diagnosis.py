"""From the words of a report to what they mean.

There is one table of meanings, that of SMTP replies (mailer.delivery.reply). Here a report's words are brought into
the shape of a reply: its code, its status code, and the stage it answered where the report says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mailer.delivery.reply import Meaning, Reply, Stage, meaning
from mailer.inbound.incoming import Action, Category

DIAGNOSTIC = 1000  #: characters of a diagnostic text that are kept and looked at

CATEGORIES: Mapping[Meaning, Category] = MappingProxyType(
    {
        Meaning.ACCEPTED: Category.UNKNOWN,
        Meaning.DEAD_ADDRESS: Category.UNKNOWN_USER,
        Meaning.DOUBTED_ADDRESS: Category.DOUBTED_USER,
        Meaning.DEAD_DOMAIN: Category.UNKNOWN_DOMAIN,
        Meaning.INACTIVE: Category.INACTIVE,
        Meaning.MAILBOX_FULL: Category.MAILBOX_FULL,
        Meaning.TEMPORARY: Category.TEMPORARY,
        Meaning.MESSAGE: Category.MESSAGE,
        Meaning.CONTENT: Category.SPAM,
        Meaning.POLICY: Category.POLICY,
        Meaning.REPUTATION: Category.BLOCKED,
        Meaning.BLOCKED: Category.BLOCKED,
        Meaning.AUTHENTICATION: Category.AUTHENTICATION,
        Meaning.SENDER: Category.OUR_FAULT,
        Meaning.RELAY: Category.BLOCKED,  # who refuses the connection refuses our host
        Meaning.LOGIN: Category.OUR_FAULT,
        Meaning.PROTOCOL: Category.OUR_FAULT,
        Meaning.UNKNOWN: Category.UNKNOWN,
        Meaning.UNANSWERED: Category.TEMPORARY,
    }
)

_BY_CLASS = "5.0.0"

PERMANENT = frozenset({Category.UNKNOWN_USER, Category.DOUBTED_USER, Category.UNKNOWN_DOMAIN})
"""The address's own death. Effects may still wait for a second one (a domain can be ill for a day)."""


@dataclass(frozen=True)
class Diagnosis:
    category: Category
    permanent: bool
    status: str | None
    diagnostic: str | None


def diagnose(words: str, *, status: str | None = None, action: Action = Action.FAILED, around: str = "") -> Diagnosis:
    """What `words` mean.

    `words`: the diagnostic text. `status`: the Status field, which counts where the words hold no code of their own.
    `around`: other text of the report, taken where neither says anything.
    """
    if action in (Action.DELIVERED, Action.RELAYED, Action.EXPANDED):
        return Diagnosis(Category.DELIVERED, False, _specific(status) or status, _line(words) or None)
    words, around = _line(words), _line(around)
    meant, reply = _meaning(words, status, action, around)
    if meant is Meaning.UNKNOWN and around:
        second, of_around = _meaning(around, status, action)
        if second is not Meaning.UNKNOWN:
            meant, reply = second, of_around
    category = CATEGORIES[meant]
    permanent = category in PERMANENT and action is Action.FAILED and _class_of(reply) == 5
    if category is Category.UNKNOWN_USER and reply.stage is Stage.REPORTED and reply.enhanced is None:
        permanent = False  # a bare 550 that may have answered the message: filters use the words of an unknown user
    named = None if reply.enhanced == _BY_CLASS and not status else reply.enhanced
    return Diagnosis(category, permanent, named or status, words or around or None)


def _meaning(words: str, status: str | None, action: Action, around: str = "") -> tuple[Meaning, Reply]:
    reply = as_reply(words, status, action, around)
    return meaning(reply), reply


def as_reply(words: str, status: str | None = None, action: Action = Action.FAILED, around: str = "") -> Reply:
    """The reply that a report's words tell of; where they hold no code, its class is that of the status and action.

    `around` only serves to know the stage, where it names one and no other.
    """
    stage = _stage(words) or (_stage(around) if around else None) or Stage.REPORTED
    found = _REPLY.search(words) or _CODE.search(words)
    code = int(found.group("code")) if found else None
    own = _own_status(words, found)
    enhanced = own or _specific(status) or status
    if code is None:
        code = 450 if action is Action.DELAYED or (enhanced or "5")[0] == "4" else 550
        enhanced = enhanced or (_BY_CLASS if code == 550 else None)  # the reporting system's own words, not a reply
    if own and own[0] != str(code)[0]:
        own = None
    text = words[found.end() :].strip() if found else words
    if enhanced and enhanced[0] == str(code)[0]:
        text = f"{enhanced} {text.removeprefix(enhanced).lstrip()}"
    if stage in (Stage.DATA, Stage.DOT) and enhanced and enhanced.startswith("5.1."):
        stage = Stage.REPORTED  # said of a recipient after all, as LMTP does
    return Reply(stage, code, text)


def from_reply(words: str | None) -> str | None:
    """The words from the reply on that they tell of; all of them where they tell of none."""
    found = (_REPLY.search(words) or _CODE.search(words)) if words else None
    return words[found.start("code") :] if words and found else words


def _stage(words: str) -> Stage | None:
    named = {stage for stage, pattern in _STAGES if pattern.search(words)}
    return named.pop() if len(named) == 1 else None


_SPACE = re.compile(r"\s+")


def _line(words: str) -> str:
    return _SPACE.sub(" ", words[: 4 * DIAGNOSTIC]).strip()[:DIAGNOSTIC]


def _class_of(reply: Reply) -> int:
    return (reply.code or 0) // 100


def _specific(status: str | None) -> str | None:
    """A status that says more than its class."""
    return status if status and not re.fullmatch(r"[245]\.0\.0", status) else None


def _own_status(words: str, found: re.Match[str] | None) -> str | None:
    """The status code in the words: next to the reply's code, else anywhere, such as (#5.1.1)."""
    beside = _STATUS.match(words, found.end()) if found else None
    if beside and _specific(beside.group(1)):
        return beside.group(1)
    each = [at.group(1) for at in _STATUS_ANYWHERE.finditer(words)]
    return next(filter(_specific, each), None)


_STATUS = re.compile(r"[\s#('\"]*([45]\.\d{1,3}\.\d{1,3})(?![\d.])")
_STATUS_ANYWHERE = re.compile(r"(?<![\w.\[/-])#?([45]\.\d{1,3}\.\d{1,3})(?![\w.]\d|\.\d|\d)")

#: A reply's code with a status code at its side is one wherever it stands.
_REPLY = re.compile(r"(?<![\w.])(?P<code>[45]\d\d)(?=[ \-:]{1,3}#?[45]\.\d{1,3}\.\d{1,3}(?![\d.]))-?:?")
#: Alone, it must open the words or follow what introduces a reply.
_CODE = re.compile(
    r"(?:^|[;(\"']"
    r"|\b(?:said|reply|returned|response|was|error|reason|with|message|error_code|said was|me|failed|from)\b\s*:{0,2}"
    r"|<<<|->|>|\]:?|[:,#-])\s*['\"(#]?(?P<code>[45][0-5]\d)(?=[ \-:,;)>\"']|$)-?:?",
    re.IGNORECASE,
)

#: Which command it answered, in the words of Postfix, Exim, Sendmail, DragonFly, Yahoo, qmail, SendGrid.
_STAGES = tuple(
    (stage, re.compile(pattern, re.IGNORECASE))
    for stage, pattern in (
        (
            Stage.RCPT,
            r"in reply to RCPT TO|(after|for|our|in|following|sent:?|>>>|<<<|-->) RCPT (TO|command)|\[RCPT_TO\]"
            r"|does not like recipient",
        ),
        (
            Stage.MAIL,
            r"in reply to MAIL FROM|(after|our|in|>>>) MAIL (FROM|command)|\[MAIL_FROM\]|does not like sender"
            r"|but sender was rejected",
        ),
        (Stage.DOT, r"in reply to end of DATA|after end of data|our final DATA|failed after I sent the message"),
        (Stage.DATA, r"in reply to DATA|after DATA\b|failed on DATA command"),
        (
            Stage.CONNECT,
            r"refused to talk to me|after initial connection|(after|in reply to|our) (HELO|EHLO|STARTTLS)"
            r"|but greeting failed|initial greeting|my name was rejected",
        ),
    )
)
