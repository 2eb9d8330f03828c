"""Reports without fields, in the manner of the systems that write them."""

import base64
import quopri

import pytest
from _pytest.mark import ParameterSet

from mailer.inbound.incoming import Action, Category, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, letter

EXIM = (
    "A message that you sent could not be delivered to one or more of its recipients.\n"
    "The following address(es) failed:\n\n"
)

#: A manner, what it should be called, and the text. A question mark: not enough to call the address dead, since the
#: reply that is quoted has no status and may have been a filter's, to the message.
MANNERS = """\
=== qmail => unknown user
Hi, the mail program at relay.example speaking.
I could not deliver your message to the following addresses.

<reader@far.example>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 unknown user

=== qmail, its own mailbox => unknown user
Hi, the mail program at relay.example speaking.
I could not deliver your message to the following addresses.

<reader@far.example>:
Sorry, no mailbox here by that name. (#5.1.1)

=== qmail, full => mailbox full
Hi, the mail program at relay.example speaking.
I could not deliver your message to the following addresses.

<reader@far.example>:
The user's mailbox is over quota. (#5.2.2)

=== qmail, in vain => temporary
Hi, the mail program at relay.example speaking.
I could not deliver your message to the following addresses.

<reader@far.example>:
I wasn't able to establish an SMTP connection. (#4.4.1)

=== qmail, our name => not permanent
Hi, the mail program at relay.example speaking.
I could not deliver your message to the following addresses.

<reader@far.example>:
Connected but my name was rejected.
Remote host said: 501 bad domain

=== Exim => unknown user
A message that you sent could not be delivered to one or more of its recipients.
The following address(es) failed:

  reader@far.example
    host mx.far.example [192.0.2.1]
    SMTP error after RCPT TO:<reader@far.example>:
    550 Unknown user

=== Exim, old => unknown user
A message that you sent could not be delivered to one or more of its recipients.
The following address(es) failed:

  reader@far.example:
    unknown local-part "reader": no such user

=== Exim, no route => unknown domain
A message that you sent could not be delivered to one or more of its recipients.
The following address(es) failed:

  reader@far.example
    Unrouteable address

=== Exim, sender refused => our fault
A message that you sent could not be delivered to one or more of its recipients.
The following address(es) failed:

  reader@far.example
    SMTP error after MAIL FROM:<x@mail.example>:
    550 No such user

=== Exim, retries => temporary
A message that you sent could not be delivered to one or more of its recipients.
The following address(es) failed:

  reader@far.example
    retry timeout exceeded

=== Postfix => unknown user
I'm sorry: your message could not be delivered to one or more recipients.

<reader@far.example>: host mx.far.example[192.0.2.1] said: 550
    <reader@far.example>: Recipient address rejected: User unknown
    (in reply to RCPT TO command)

=== Postfix, filtered => not permanent
It could not be delivered.

<reader@far.example>: host mx said: 550 Unknown user (in reply to
    end of DATA command)

=== Sendmail 8 => unknown user
   ----- The following addresses had permanent fatal errors -----
<reader@far.example>
    (reason: 550 5.1.1 user unknown)

   ----- Transcript of session follows -----
... while talking to mx.far.example.:
>>> RCPT To:<reader@far.example>
<<< 550 5.1.1 user unknown

=== Sendmail 5 => unknown user
   ----- Transcript of session follows -----
While talking to far.example:
>>> RCPT To:<reader@far.example>
<<< 550 User unknown
550 <reader@far.example>... User unknown

=== Exchange 5.5 => unknown user
Your message

  To:      reader@far.example
  Subject: News

did not reach the following recipient(s):

reader@far.example on Mon, 23 Nov 2026 10:00:00 +0100
    The recipient name is not recognized

=== Exchange 2007 => unknown user
Delivery has failed to these recipients or lists:

reader@far.example<mailto:reader@far.example>
It does not exist.

Diagnostic information for administrators:

Generating server: mx.far.example

reader@far.example
#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##

=== Domino => unknown user
Your message

  Subject: News

was not delivered to:

  reader@far.example

because:

  User reader (reader) not listed in Directory

=== GroupWise => unknown user
The message that you sent was undeliverable to the following:
	reader@far.example (user not found)

=== GroupWise, full => mailbox full
The message that you sent was undeliverable to the following:
	reader@far.example (mailbox is full)

=== Gmail => unknown user
Delivery to the following recipient failed permanently:

     reader@far.example

Technical details of permanent failure:
The error that the other server returned was: 550 550 5.1.1 no such account (state 14).

=== Gmail, connection => not permanent
Delivery to the following recipient failed permanently:

     reader@far.example

Technical details of permanent failure:
The server did not accept our requests to connect. [(0) far.example:25: socket error]

=== Yahoo => not permanent
We were unable to deliver your message to the following address.

<reader@far.example>:
554: delivery error: dd This user doesn't have an account [-5]

=== Yahoo, gone => unknown user
We were unable to deliver your message to the following address.

<reader@far.example>:
Remote host said:
550 5.1.1 unknown user
[RCPT_TO]

=== AOL => unknown user
   ----- The following addresses had delivery problems -----

<reader@far.example>

   ----- Transcript -----
<reader@far.example>... User unknown

=== Mail.ru => unknown user
К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:

  reader@far.example
    SMTP error from remote mail server after RCPT TO:<reader@far.example>:
    550 Такого пользователя нет

=== Yandex => unknown user
Ваше письмо не может быть отправлено одному или нескольким адресатам.

<reader@far.example>: host mx.far.example said: 550 5.7.1 No such user! (in reply to RCPT TO command)

=== Belarusian => unknown user
Ваш ліст не можа быць дастаўлены:

<reader@far.example>: 550 5.1.1 няма такой скрынкі

=== QQ => unknown user?
很抱歉，您的邮件未能送达以下收件人：

reader@far.example

550 Mailbox not found.

=== IMail => mailbox full
User mailbox exceeds allowed size: reader@far.example

=== IMail, gone => unknown user
Invalid final delivery userid: reader@far.example

=== MailEnable => unknown user?
Message could not be delivered to some recipients.
The following recipient(s) could not be reached:

	Recipient: [SMTP:reader@far.example]
	Reason: 550 No such user here

=== DragonFly => unknown user
There was an error delivering your mail to <reader@far.example>.

mx.far.example did not like our RCPT TO:
550 5.1.1 unknown

=== OpenSMTPD => mailbox full
An error has occurred while attempting to deliver a message for
the following list of recipients:

reader@far.example: 550 5.2.2 Mailbox full

=== Courier => unknown domain
Your message to the following recipients cannot be delivered:

<reader@far.example>:
    mx.far.example [192.0.2.1]:
<<< 550 No such domain.

=== MDaemon => unknown user?
The following addresses did not receive a copy of your message:

> reader@far.example

RCPT To:<reader@far.example>
550 <reader@far.example>, Recipient unknown

=== a sentence => mailbox full
Your mail could not be delivered to: <reader@far.example>
As the mailbox is full.

=== a daemon without an introduction => unknown user
Intended recipient: reader@far.example
Unknown user.

=== the address after the reason => mailbox full
User's mailbox is full: <reader@far.example>
Unable to deliver mail.

=== an address that is not disclosed => not permanent
The following address(es) failed:

  an undisclosed address
    (generated from reader@far.example)

=== Exchange, by directory => unknown user
Your message

  To:      list@innocent.example

did not reach the following recipient(s):

c=US;a= ;p=FAR;dda:SMTP=reader@far.example; on Mon, 23 Nov 2026
    The recipient name is not recognized

=== blocked => blocked
It could not be delivered.

<reader@far.example>: 554 5.7.1 Service unavailable; Client host blocked using bl.example

=== spam => spam
It could not be delivered.

<reader@far.example>: 550 5.7.1 This looks like spam

=== DMARC => authentication
It could not be delivered.

<reader@far.example>: 550 5.7.26 fails the DMARC policy of mail.example

=== too large => this message
It could not be delivered.

<reader@far.example>: 552 5.3.4 Message size exceeds fixed limit

=== relaying => our fault
It could not be delivered.

<reader@far.example>: 550 5.7.1 Relaying denied

=== disabled => inactive
It could not be delivered.

<reader@far.example>: 554 This account has been disabled (in reply to RCPT TO command)
"""

DEAD = {Category.UNKNOWN_USER, Category.UNKNOWN_DOMAIN}


def manners() -> list[ParameterSet]:
    found = []
    for block in MANNERS.removeprefix("=== ").split("\n=== "):
        head, _, text = block.partition("\n")
        name, _, category = head.partition(" => ")
        known = None if category == "not permanent" else Category(category.rstrip("?"))
        found.append(pytest.param(text, known, known in DEAD and not category.endswith("?"), id=name))
    return found


@pytest.mark.parametrize(("text", "category", "permanent"), manners())
def test_a_report_in_prose_names_the_address_and_why(text: str, category: Category | None, permanent: bool) -> None:
    incoming = read(letter(text + "\n--- Below this line is a copy of the message.\n\nReturn-Path: <x@y.example>\n"))
    assert incoming.kind is Kind.BOUNCE
    assert [each.address for each in incoming.recipients] == [READER]
    (reader,) = incoming.recipients
    assert reader.permanent == permanent
    assert category is None or reader.category is category


def test_several_addresses_have_each_their_own_words() -> None:
    text = EXIM + "  a@far.example\n    550 5.1.1 unknown user\n  b@far.example\n    552 5.2.2 Mailbox full\n"
    incoming = read(letter(text))
    assert [(each.address, each.permanent) for each in incoming.recipients] == [
        ("a@far.example", True),
        ("b@far.example", False),
    ]


def test_a_header_names_who_failed_where_the_text_does_not() -> None:
    incoming = read(
        letter("We are sorry, reader. The group is closed.\n", x_failed_recipients=f"{READER}, b@far.example")
    )
    assert [each.address for each in incoming.recipients] == [READER, "b@far.example"]


@pytest.mark.parametrize(
    "words",
    [
        "THIS IS A WARNING MESSAGE ONLY.",
        "Your message is delayed. We will keep trying for 2 days.",
        "Die Zustellung wird weiter versucht.",
    ],
)
def test_a_system_that_is_still_trying_has_not_failed(words: str) -> None:
    (reader,) = read(
        letter(f"{words}\n\nThe following address had errors:\n\n  {READER}\n    550 5.1.1 unknown\n")
    ).recipients
    assert (reader.permanent, reader.action) == (False, Action.DELAYED)


def test_text_in_html_alone_is_read_as_its_words() -> None:
    html = (
        f"<html><style>p {{}}</style><p>Delivery failed:<br>&lt;{READER}&gt;: 550 5.1.1 <b>unknown</b> user</p></html>"
    )
    (reader,) = read(letter(html, content_type="text/html")).recipients
    assert (reader.address, reader.diagnostic) == (READER, "550 5.1.1 unknown user")


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_encoded_text_is_decoded(encoding: str) -> None:
    text = (EXIM + f"  {READER}\n    550 5.1.1 няма\n").encode()
    encoded = base64.encodebytes(text) if encoding == "base64" else quopri.encodestring(text)
    octets = letter("", content_type="text/plain; charset=utf-8", content_transfer_encoding=encoding) + encoded
    (reader,) = read(octets).recipients
    assert (reader.address, reader.diagnostic) == (READER, "550 5.1.1 няма")


@pytest.mark.parametrize("charset", ["koi8-r", "windows-1251", "iso-8859-5", "no-such-charset", "utf-7", "idna", "''"])
def test_any_charset_is_borne(charset: str) -> None:
    octets = letter("", content_type=f"text/plain; charset={charset}") + (EXIM + f"  {READER}\n    550 нет\n").encode(
        "koi8-r"
    )
    assert [each.address for each in read(octets).recipients] == [READER]
