"""What an SMTP reply means and what to do about it, as one table.

The recipient pays only for what is the recipient's: a block, a spam verdict or a wrong password of ours never costs
a subscription. The same code means different things at different stages, so a row names the stages it speaks of.
The first row that fits decides; RFC 5321 §4.2 and RFC 3463 say what codes mean in general, the order of the rows
what large receivers mean by them.
"""

import enum
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple


class Stage(enum.StrEnum):
    """How far a transaction had come when the reply arrived, or failed to."""

    CONNECT = "connect"  #: connection, TLS, EHLO, AUTH
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  #: after the last octet: without an answer, the mail may have been taken
    REPORTED = "reported"  #: read in a report that does not say which command it answered


class Reply(NamedTuple):
    """The server's words, or what happened instead of them (`code` None)."""

    stage: Stage
    code: int | None
    text: str

    @property
    def enhanced(self) -> str | None:
        """The status code of RFC 3463 that opens the text, such as 5.1.1."""
        return _enhanced(self.code, self.text[:_ENHANCED_LENGTH])


_ENHANCED_LENGTH = 12  # what decides, and one character behind it


@functools.lru_cache(maxsize=1000)
def _enhanced(code: int | None, text: str) -> str | None:
    found = _ENHANCED.match(text)
    return found.group(1) if found and code and found.group(1)[0] == str(code)[0] else None


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\D|$)")


class Meaning(enum.StrEnum):
    ACCEPTED = "accepted"
    DEAD_ADDRESS = "dead address"
    DOUBTED_ADDRESS = "address that seems dead"
    DEAD_DOMAIN = "dead domain"
    INACTIVE = "inactive mailbox"
    MAILBOX_FULL = "mailbox full"
    TEMPORARY = "temporary"
    MESSAGE = "this message"
    CONTENT = "content refused"
    POLICY = "refused by a policy"
    REPUTATION = "destination throttles us"
    BLOCKED = "our address blocked"
    AUTHENTICATION = "our authentication failed"
    SENDER = "sender or relaying refused"
    RELAY = "relay out of order"
    LOGIN = "login refused by the relay"
    PROTOCOL = "our bug or a broken relay"
    UNKNOWN = "refused without a known reason"
    UNANSWERED = "no answer after the last octet"


class Consequence(enum.StrEnum):
    """What becomes of the delivery."""

    ACCEPT = "accept"
    DEFER = "defer"  #: try again later
    REFUSE = "refuse"  #: this delivery is over
    RETURN = "return"  #: nothing of it was sent and it is not to blame: back into the queue
    LOSE_TRACK = "lose track"  #: not known; the publication's policy decides


@dataclass(frozen=True)
class Action:
    consequence: Consequence
    suppress: bool = False  #: the address is dead
    stop: bool = False  #: every other delivery would meet the same: stop the batch, tell the operator
    alarm: bool = False  #: ours to mend: tell the operator


ACTIONS: Mapping[Meaning, Action] = MappingProxyType(
    {
        Meaning.ACCEPTED: Action(Consequence.ACCEPT),
        Meaning.DEAD_ADDRESS: Action(Consequence.REFUSE, suppress=True),
        Meaning.DOUBTED_ADDRESS: Action(Consequence.REFUSE),
        Meaning.DEAD_DOMAIN: Action(Consequence.REFUSE),
        Meaning.INACTIVE: Action(Consequence.REFUSE),
        Meaning.MAILBOX_FULL: Action(Consequence.DEFER),
        Meaning.TEMPORARY: Action(Consequence.DEFER),
        Meaning.MESSAGE: Action(Consequence.REFUSE),
        Meaning.CONTENT: Action(Consequence.REFUSE, alarm=True),
        Meaning.POLICY: Action(Consequence.REFUSE, alarm=True),
        Meaning.REPUTATION: Action(Consequence.DEFER),
        Meaning.BLOCKED: Action(Consequence.DEFER, alarm=True),
        Meaning.AUTHENTICATION: Action(Consequence.DEFER, alarm=True),
        Meaning.SENDER: Action(Consequence.RETURN, stop=True, alarm=True),
        Meaning.RELAY: Action(Consequence.RETURN, stop=True),
        Meaning.LOGIN: Action(Consequence.RETURN, stop=True, alarm=True),
        Meaning.PROTOCOL: Action(Consequence.RETURN, stop=True, alarm=True),
        Meaning.UNKNOWN: Action(Consequence.REFUSE),
        Meaning.UNANSWERED: Action(Consequence.LOSE_TRACK),
    }
)

_ANY = frozenset(Stage)
_BEGIN = frozenset({Stage.CONNECT})
_MAIL = frozenset({Stage.MAIL})
_RCPT = frozenset({Stage.RCPT, Stage.REPORTED})
_LATE = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORTED})
_REPORTED = frozenset({Stage.REPORTED})


@dataclass(frozen=True)
class _Row:
    """Fits when the stage is one of `stages` and code, enhanced code and text match what is given."""

    meaning: Meaning
    stages: frozenset[Stage]
    code: str = ""
    enhanced: str = ""
    text: str = ""

    def fits(self, reply: Reply) -> bool:
        return (
            reply.stage in self.stages
            and re.fullmatch(self.code or "...", str(reply.code)) is not None
            and (not self.enhanced or re.fullmatch(self.enhanced, reply.enhanced or "") is not None)
            and (not self.text or re.search(self.text, reply.text, re.IGNORECASE) is not None)
        )


_TABLE = (
    # Before any recipient was named, the fault is the relay's or ours.
    _Row(Meaning.LOGIN, _BEGIN, code="530|534|535|538"),
    _Row(Meaning.RELAY, _BEGIN),
    _Row(Meaning.RELAY, _MAIL, code="421"),
    _Row(Meaning.LOGIN, _MAIL, code="530|534|535|538"),
    _Row(Meaning.PROTOCOL, _MAIL, code="50[0-4]|555"),
    _Row(Meaning.RELAY, _MAIL, code="4.."),  # no reader was named: its disk is full, its queue is too long
    _Row(Meaning.MESSAGE, _MAIL, code="552|5..", enhanced=r"5\.3\.4"),
    _Row(Meaning.SENDER, _MAIL, code="5.."),
    # What is said about us once the recipient is named (Postfix waits until then by default), in codes that look like
    # the reader's: our login, our sender, our right to relay.
    _Row(Meaning.LOGIN, _LATE, code="530|534|535|538"),
    # Who may write to this reader: Microsoft's restricted groups, lists of senders that a reader keeps.
    _Row(Meaning.POLICY, _LATE, code="5..", enhanced=r"5\.7\.(12\d?|13\d|19\d|70[35])"),
    _Row(
        Meaning.POLICY,
        _LATE,
        code="5..",
        text=r"RESOLVER\.RST\.(Sender|Auth|NotAuth)|groups\.google\.com|recipient('?s)? (preferences|settings)"
        r"|by (the )?recipient\b(?! gateway)"
        r"|(user|recipient) (refuse[sd]|rejects?)\b|blocked senders|(sender|address)\w* in the allowed",
    ),
    _Row(Meaning.AUTHENTICATION, _LATE, code="5..", text=r"\b(DMARC|SPF|DKIM|DomainKeys)\b"),
    _Row(
        Meaning.SENDER,
        _LATE,
        code="[45]..",
        text=r"sender (address )?(\S+@\S+ )?(is )?(has null|rejected|refused|verif|domain|denied|invalid)|bounce\+"
        r"|client host rejected"
        r"|unable to relay|smtp auth|authentication (is )?required|address is not verified"
        r"|relay(ing)? (access )?(is )?(denied|prohibited|not (permitted|allowed))"
        r"|not (currently )?(permitted|allowed|configured) to relay|configured to relay"
        r"|unauthenticated senders?|domain of (the )?sender|(invalid|unknown|unrout\w+|bad|illegal) (sender|return)"
        r"|(sender|return.path|from)( e?-?mail)?( address| domain)?(?! to)[^.:]{0,40} "
        r"(invalid|unknown|not (exist|found))"
        r"|invalid ip for sending|my name was rejected|sending (to/)?from an address|rcpthosts|(?<!has )not logged in"
        r"|auth failed|not a gateway"
        r"|mail ?from( \S+){0,3} (failed|mismatch\w*|differ\w*)",
    ),
    _Row(Meaning.TEMPORARY, _LATE, code="4..", text=r"\bTLS\b|handshake|certificate"),
    _Row(Meaning.REPUTATION, _LATE, code="421|4..", enhanced=r"4\.7\.(0|2[3-9]|3[0-2]|5\d\d)"),
    _Row(
        Meaning.REPUTATION,
        _LATE,
        code="4..",
        text=r"\[TS\w\d\d\]|\[TS\d\d\]|temporarily deferred|unusual rate|rate.limit|\bRP-00\d"
        r"|(blocked|listed) (using|by|in)\b"
        r"|too many (connections|sessions)|reputation|black ?list|cannot find your (reverse )?hostname",
    ),
    _Row(
        Meaning.REPUTATION,
        _LATE,
        code="5..",
        text=r"(sent|sending) (to )?too (many|much)|too many (messages(?! on the)|mails|e-?mails|connections|sessions"
        r"|errors)"
        r"|rate[ -]limit|frequency limit|\[TS\w?\d\d\]|permanently deferred"
        r"|(hourly|daily|sending) (\S+ )?(limit|quota)",
    ),
    # Said of the reader's host, in codes that are also said of ours (RFC 7505).
    _Row(Meaning.DEAD_ADDRESS, _RCPT, code="556"),
    _Row(Meaning.DEAD_DOMAIN, _RCPT, code="521", enhanced=r"5\.3\.2"),  # RFC 7504 §3
    _Row(
        Meaning.DEAD_ADDRESS,
        _RCPT,
        code="5..",
        text=r"^(?!.*\bsender\b).*((host|domain)\S*( \S+){0,3} does not accept (any )?mail"
        r"|indicated no smtp service|\bnull ?mx\b)",
    ),
    _Row(
        Meaning.AUTHENTICATION,
        _LATE,
        code="5..",
        enhanced=r"5\.7\.(2\d|3[0-2]|40|509|515)",
    ),
    _Row(
        Meaning.AUTHENTICATION,
        _LATE,
        code="5..",
        text=r"\bDMARC\b|\bSPF\b|\bDKIM\b|authentication checks? failed|domain of the author",
    ),
    _Row(Meaning.CONTENT, _LATE, code="5..", text=r"\b(uri|sur)bl\b|\burls? (\S+ ){0,3}(listed|block)"),
    _Row(Meaning.BLOCKED, _LATE, code="5..", enhanced=r"5\.7\.606"),
    _Row(
        Meaning.BLOCKED,
        _LATE,
        code="5..",
        text=r"blocked (using|by)\b(?! (our |your |the )?(spam ?assassin|anti|organi[sz]ation|content|virus))"
        r"|blocked - see"
        r"|(blocked|listed|rejected|denied|(?<!not )(?<!n't )found) (using|by|in|on|at|due to) \S*(bl\b|\.|list"
        r"|reputation|spamhaus)"
        r"|(block|black|deny|reject)[ -]?list|black (ip|hole)|\bdnsbls?\b|\brbl\b|spamhaus|spam ?cop|proofpoint\.com"
        r"|ipremoval|\b(RTR|RLY|DYN|CON):|:blocked\)|access to (submit|this mail)|listed by|senderbase|senderscore"
        r"|S3150|\b(SC|OU|DY)-00\d"
        r"|reputation|reverse.?(dns|lookup|hostname)|\brdns\b|\bPTR\b|cannot find your hostname"
        r"|\bbanned\b(?! (content|attachment|file|word))|\bIP[=:][\d.]+ - |\bip (block|is rejected)"
        r"|geographical|(open|zombie) ?(relay|proxy)|dynamic(ally)? (\S+ )?(ip|address|range|pool|host)|directly to our"
        r"|(ч[её]рн\w+|стоп-?) ?спис|黑名单|not accepting connections|too many unwanted"
        r"|(your|this|client|the|sending|from) (ip|server|network|host)( address)?( \S+){0,3} (is|was|has been) "
        r"(blocked|banned|listed|not allowed|denied|rejected|refused)|messages from \S+ (weren't|were not) sent"
        r"|connect\w*( \S+){0,3} (denied|refused by (local )?policy)",
    ),
    _Row(Meaning.SENDER, _RCPT, code="5..", enhanced=r"5\.7\.(5[47]|6[04])"),
    _Row(Meaning.SENDER, _LATE, code="5..", enhanced=r"5\.1\.[78]|5\.4\.5"),
    _Row(Meaning.TEMPORARY, _LATE, code="5..", enhanced=r"5\.2\.1", text="too quickly|rate"),
    _Row(Meaning.TEMPORARY, _LATE, code="5..", text=r"receiving (e?-?mail|messages) (too quickly|at a rate)"),
    # The reader's mailbox.
    _Row(Meaning.MAILBOX_FULL, _LATE, enhanced=r"[45]\.2\.2"),
    _Row(Meaning.MAILBOX_FULL, _LATE, code="[45][25]2|4..", text="full|over ?quota|quota exceeded"),
    _Row(
        Meaning.MAILBOX_FULL,
        _LATE,
        text=r"(mail)?(box|folder) (for user |\S+@\S+ )?(is |was )?(\S+ )?full|over (the )?(allowed |disk )?quota"
        r"|(quota|storage|mailbox)( \S+){0,3} exceed|exceed\w*( \S+){0,4} (quota|storage|mailbox)|quota violation"
        r"|insufficient (disk|storage|mailbox)|(not enough|out of) (disk|storage|free space)|\bdisk ?(space|quota|full)"
        r"|exceed\w* (the )?(allotted|allowed) (size|space|storage)|mailbox size limit|mailbox( \S+){0,3} exceeded"
        r"|exhausted allowed|too many messages on|(mailbox|account|storage)\w*( \S+){0,3} over (the|its|his) (limit"
        r"|size)"
        r"|speichervolumen|zu ?viele mails|(postfach|mailbox)( \S+){0,4} voll\b|\bpleine?\b|\bpiena\b|superato la quota"
        r"|(buz[oó]n|casilla|caixa|cuota)( \S+){0,3} (llen[ao]|chei[ao]|excedida)|przepe[lł]nion|vol geraakt|is vol\b"
        r"|переполнен|перапоўнен|[满滿]|空间不足|容量(超過|不足)|いっぱい|용량 ?초과",
    ),
    _Row(Meaning.INACTIVE, _RCPT, code="5..", enhanced=r"5\.7\.13"),
    # A local program that broke, told in the words that its system has for a missing file or user.
    _Row(
        Meaning.TEMPORARY,
        _REPORTED,
        text=r"procmail:|command died|command output|(couldn't|can't|cannot) create|lock failure",
    ),
    _Row(Meaning.TEMPORARY, _REPORTED, code="5..", text=r"queue\.expired|message expired|delivery time expired"),
    _Row(
        Meaning.DEAD_ADDRESS,
        _RCPT,
        code="5..",
        enhanced=r"5\.2\.1",
        text=r"(user|mailbox|recipient|address|addressee) (is )?(unknown|not found)"
        r"|(no such|unknown) (user|mailbox|recipient)",
    ),
    _Row(Meaning.INACTIVE, _RCPT, code="5..", enhanced=r"5\.2\.1"),
    _Row(Meaning.DEAD_ADDRESS, _RCPT, code="5..", enhanced=r"5\.1\.(1|3|6|10|351)|5\.7\.1[78]"),
    _Row(
        Meaning.INACTIVE,
        _RCPT,
        code="5..",
        text=r"disabled|inactive|(?<!temporarily )suspended|discontinued|deactivated|frozen|dormant"
        r"|(account|mailbox|user)\S*( \S+){0,3} (locked|blocked|closed|expired|terminated|not (yet )?activ\w*)|on hold"
        r"|casilla ha expirado|d[eé]sactiv|deaktiviert|gesperrt|per inutilizzo|disattivat|zablokowan|nieaktywn"
        r"|\binactiv"
        r"|заблокирован|отключ[её]н|неактив|停用|冻结|禁用|停止",
    ),
    _Row(Meaning.DEAD_DOMAIN, _RCPT, code="5..", enhanced=r"5\.1\.2|5\.4\.4|5\.4\.310"),
    # What gateways of Microsoft and Cisco say of an address they do not know, and of some that they do.
    _Row(
        Meaning.DOUBTED_ADDRESS,
        _RCPT,
        code="5..",
        enhanced=r"5\.(4\.1|7\.1)",
        text="recipient address(es)? rejected ?: access denied",
    ),
    _Row(Meaning.DOUBTED_ADDRESS, _RCPT, code="5..", enhanced=r"5\.1\.0", text="address rejected"),
    # A filter that the reader set, which answers in the words of an unknown user (mobile networks of Japan).
    _Row(Meaning.POLICY, _REPORTED, enhanced=r"5\.(2\.0|7\.\d+)", text=r"user unknown|unknown user"),
    _Row(Meaning.POLICY, _LATE, text=r"^(5\.\d\.\d )?: user unknown"),
    _Row(Meaning.TEMPORARY, _REPORTED, text=r"not found, try again|servfail|temporar\w+ (\S+ ){0,2}(dns|lookup|resol)"),
    _Row(
        Meaning.DEAD_DOMAIN,
        _RCPT,
        code="5..",
        text=r"host (\S+ )?(is )?(unknown|not found)|unknown (host|domain)"
        r"|domain (name )?(\S+ )?(is )?(not found|unknown)"
        r"|no such (domain|host)|(domain|host)( \S+)? (does not|doesn't) exist"
        r"|no (MX|mail hosts?)( or A)? (records? )?for|\bnxdomain\b|domain is not reachable"
        r"|couldn't find (any|a) (host|mail exchanger)|(illegal|invalid|bad destination) (host|domain|system)"
        r"|unrout(e)?able (mail )?(address|domain)|no mx found|non-?existent (hosts?|domain)"
        r"|mx records point to non-existent|bad destination (host|system)|domain( \S+)? couldn.t be found",
    ),
    _Row(
        Meaning.DEAD_ADDRESS,
        _RCPT,
        code="55[0-4]|501|540",
        text=r"(user|mailbox|recipient|(?<!ip )address|addressee|account|customer|alias)(\(s\))?( name)?( \S+@\S+)? "
        r"((is|was|are) )?((a|an) )?(marked as )?(unknown|invalid"
        r"|not (found|known|valid|recogni[sz]ed|listed|here|exist)"
        r"|does( ?n[o'’]t|n’t) exist|no longer|non-?existent|moved|couldn.t be found)"
        r"|(unknown|invalid|no such|non-?existent|undefined|illegal|wrong|unavailable)( \S+)? (user|mailbox|recipient"
        r"|account|address\b|customer|person|alias|local.?part|mail ?drop)|no mail ?box|not a member of domain"
        r"|address you entered couldn.t be found|one here by that name|no longer an employee|does not exist(?! in dns)"
        r"|no (mail)?box here|not our (user|customer)"
        r"|(invalid|unknown) recipient|(wasn't|was not) found at|doesn't have an? (\S+ )?account"
        r"|because the address couldn.t be found\b(?!,)|recipnotfound|final delivery userid|not a valid (user|mailbox)"
        r"|no (such )?(local )?(user|mailbox|recipient)s?\b( by)?|destinatari\w+ (invalid|inconnu|sconosciut)\w*"
        r"|(utilisateur|compte|adresse)( \S+){0,2} (inconnu|invalide)|(benutzer|empf[aä]nger) (unbekannt|nicht)"
        r"|usuario (desconocido|no existe)|(пользовател|ящик|адрес)\w*( \S+){0,2} не (найден|существует)"
        r"|not (unique|listed) in( \S+){0,5} (directory|address book)"
        r"|такого (пользователя|ящика|адреса) нет|нет такого (пользователя|ящика|адреса)"
        r"|не (найден|существует|знойдзен|існуе)"
        r"|(indirizzo|conto|casella)( \S+){0,2} (inesistente|inexist\w+)|usu[aá]rio( \S+){0,2} inexistente|no existe\b"
        r"|(adresat|adressat|adresse|konto|teilnehmer)\w*( \S+){0,2} (unbekannt|nicht (bekannt|gefunden))"
        r"|nie istnieje|nie ma takiego|introuvable|bestaat niet|onbekend|finns inte|okänd|findes ikke|neexistuje"
        r"|ismeretlen"
        r"|不存在|存在しません|見つかりません|존재하지 않",
    ),
    _Row(
        Meaning.DOUBTED_ADDRESS,
        _RCPT,
        code="550",
        text=r"(action not taken|failed): mailbox unavailable"
        r"|recipient address rejected\W*$|check (if|that|whether) (\S+ )?address is correct",
    ),
    # The message.
    _Row(
        Meaning.MESSAGE,
        _LATE,
        code="5..",
        text=r"corrupt|malformed|missing (a )?valid|\bRFC ?\d{3,4}|from: header"
        r"|(from|to|message-id|date|subject)(: )? headers|line length|invalid data"
        r"|8-?bit|\bMIME (error|structure)|(message|mail) size|size of (the|your) message",
    ),
    _Row(
        Meaning.CONTENT,
        _LATE,
        code="5..",
        text=r"spam|virus|malware|\buribl\b|content|\bUBE\b|phish|infected|trojan|\bjunk|unsolicited|\bDT:SPM"
        r"|attachment"
        r"|спам|垃圾|スパム|迷惑",
    ),
    _Row(
        Meaning.POLICY,
        _LATE,
        code="5..",
        text=r"polic(y|ies)|not authori[sz]ed|not allowed|not permitted|prohibit|permission|restrict"
        r"|access.(is )?denied",
    ),
    _Row(Meaning.CONTENT, _LATE, code="5..", enhanced=r"5\.7\.[01]"),
    _Row(Meaning.POLICY, _LATE, code="5..", enhanced=r"5\.7\.\d+"),
    _Row(Meaning.MESSAGE, _LATE, code="5..", enhanced=r"5\.(3\.4|2\.3|6\.\d+)"),
    _Row(Meaning.MESSAGE, frozenset({Stage.DATA, Stage.DOT}), code="552"),
    _Row(
        Meaning.MESSAGE,
        _LATE,
        code="5..",
        text=r"(message|mail|size|line|header)\S*( \S+){0,4} (too (big|large|long)|exceed)|exceed\w*( \S+){0,4} size"
        r"|(size|line|header) limit|hop count|too many hops|\bloop\b",
    ),
    _Row(Meaning.TEMPORARY, _RCPT, code="552"),  # RFC 5321 §4.5.3.1.10: too many recipients, once
    # The conversation.
    _Row(Meaning.PROTOCOL, _LATE, code="50[0-4]|555"),
    _Row(Meaning.TEMPORARY, _LATE, code="4.."),
    _Row(
        Meaning.TEMPORARY,
        _REPORTED,
        text=r"timed? ?out|connect\S*( \S+){0,4} refused|refused to talk|not respond|expired|try again|try later"
        r"|retr(y|ies)|unreachable|temporar|busy"
        r"|too long|network error|lookup fail|config\w* (error|problem)|no route to|no answer"
        r"|connection (was )?(lost|reset|closed|dropped|failed)"
        r"|lost connection|(unable|could ?n[o'’]t|cannot|can't) (to )?connect|\bTLS\b|certificate|gr[ea]y-?list"
        r"|failing for a long time|giving up|unavailable",
    ),
    _Row(Meaning.TEMPORARY, _REPORTED, code="5..", enhanced=r"5\.4\.[1-37]|5\.3\.[12]"),
    _Row(Meaning.UNKNOWN, _ANY),
)


OURS = frozenset({Meaning.LOGIN, Meaning.SENDER, Meaning.PROTOCOL})
"""Faults between us and the relay."""


def action(reply: Reply) -> Action:
    """What to do about the reply.

    A fault of ours that is only said once a recipient was named may be that recipient's alone (a syntax one server
    dislikes): the delivery waits its turn instead of coming back at once, so one address cannot hold up the others.
    """
    meant = meaning(reply)
    if meant in OURS and reply.stage in _LATE:
        return Action(Consequence.DEFER, alarm=True)
    return ACTIONS[meant]


def meaning(reply: Reply) -> Meaning:
    """What the reply says, and about whom."""
    if reply.stage is Stage.DOT and reply.code is not None and 200 <= reply.code < 300:
        return Meaning.ACCEPTED
    if reply.code is None:
        return Meaning.UNANSWERED if reply.stage is Stage.DOT else Meaning.RELAY
    return next(row.meaning for row in _TABLE if row.fits(reply))


# When to try again

_WAITS = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 240, 480))

GIVE_UP_AFTER = timedelta(days=3)
"""A delivery that is still refused for now is refused for good."""

_HINT = re.compile(
    r"\b(?:again|retry|wait|in|after)\D{0,20}(\d{1,5})\s*(s|sec|min|hour)(?:ond|ute)?s?\b", re.IGNORECASE
)
_UNITS = {
    "s": timedelta(seconds=1),
    "sec": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "hour": timedelta(hours=1),
}


def wait(reply: Reply, attempt: int, delivery_id: int) -> timedelta:
    """How long to wait after so many attempts: what the server asks for, else 5 minutes growing to 8 hours.

    Spread by up to a fifth, differently for each delivery and the same on every machine, so that those refused
    together do not come back together.
    """
    base = asked_to_wait(reply) or _WAITS[min(attempt, len(_WAITS)) - 1]
    base = max(
        base, timedelta(seconds=4 ** min(attempt - 1, 6))
    )  # who says "in a second" for days is not asked so often
    return base * (1 + (delivery_id * 2654435761 % 1000) / 5000)


def asked_to_wait(reply: Reply) -> timedelta | None:
    """What the server's words say about when to come again: "try again in 5 minutes"."""
    asked = _HINT.search(reply.text)
    if not asked:
        return None
    hint = int(asked.group(1)) * _UNITS[asked.group(2).lower()]
    return min(max(hint, timedelta(seconds=1)), timedelta(days=1))
