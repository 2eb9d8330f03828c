"""Whether a person wrote: what programs, lists and we ourselves send never confirms, unsubscribes or subscribes
anybody (RFC 3834 §2)."""

import re
from collections.abc import Collection, Mapping
from email.utils import getaddresses

from mailer.inbound import address, automatic
from mailer.subscribers.address import Address, AddressError, parse, same

_LISTS = ("list-id", "list-post", "list-unsubscribe", "mailing-list", "x-mailing-list", "x-loop")
_BULK = frozenset({"bulk", "list", "junk"})
_PROGRAM = re.compile(
    r"mailer[-_.]?daemon|postmaster|(no|do-?not)[-_.]?reply|owner-.*|.*-(request|owner|bounces?)", re.IGNORECASE
)


def why_not_a_person(
    fields: Mapping[str, str],
    envelope_sender: str | None,
    written_by: Address | None,
    *,
    own: Collection[str],
    own_domain: str,
) -> str | None:
    """Why a mail with these fields must not trigger anything; None where nothing speaks against it.

    `envelope_sender`: "" for the null sender, None where it is not known. `written_by`: its author(), the one address
    that is acted on. `own`: addresses that our mail is from or for. `own_domain`: whose mail we take, as A-labels; its
    subdomains are ours too.
    """
    if envelope_sender == "" or fields.get("return-path", "").replace(" ", "") == "<>":
        return "it has the null sender"
    if fields.get("auto-submitted", "no").partition(";")[0].strip().lower() != "no":
        return "it says that it was sent automatically"
    if automatic.is_automatic(fields):
        return "it is an automatic reply"
    if fields.get("precedence", "").strip().lower() in _BULK or any(name in fields for name in _LISTS):
        return "it comes from a mailing list"
    if fields.get("content-type", "").strip().lower().startswith("multipart/report"):
        return "it is a report"
    authors = [written_by.text] if written_by else address.every(fields.get("from", ""))
    ours = {_spelled(each) for each in own}
    for sender in map(_spelled, (envelope_sender or "", *authors)):
        local, _, domain = sender.rpartition("@")
        if _PROGRAM.fullmatch(local):
            return "a program sent it"
        untagged = f"{local.partition('+')[0]}@{domain}"
        if sender in ours or untagged in ours or f".{domain}".endswith(f".{own_domain}"):
            return "it is our own mail"
    return None


def _spelled(text: str) -> str:
    """One spelling for comparing: in lower case, the domain as A-labels where it is an address."""
    try:
        return f"{text.strip().rpartition('@')[0]}@{parse(text).domain}".lower()
    except AddressError:
        return text.lower()


def author(raw_from: str) -> Address | None:
    """The one address that a mail is from, checked like one that is typed into the form; None where there is none.

    `raw_from`: the field as it came, with its encoded words: a name may hold commas and brackets once it is decoded.
    """
    try:
        found = getaddresses([raw_from])
        return parse(found[0][1]) if len(found) == 1 else None
    except (AddressError, ValueError, IndexError, RecursionError):  # it is parsed by the standard library: recursively
        return None


def sent_it(written_by: Address, envelope_sender: str | None) -> bool:
    """Whether the author is also who sent it, as far as is known: anybody can write anything into From."""
    if envelope_sender is None:
        return True
    return same(_BATV.sub("", envelope_sender), written_by.text)


_BATV = re.compile(r"^(prvs|btv1)=[^=@]{1,40}=+", re.IGNORECASE)  # a signature that some servers put before it


def envelope_sender(fields: Mapping[str, str]) -> str | None:
    """The envelope's sender as the server kept it that put the mail into a mailbox; "" for the null sender, None where
    it did not."""
    kept = fields.get("return-path")
    return kept.strip().strip("<>").strip() if kept is not None else None
