"""What providers tell by HTTP: from their call to its effect, and what comes of calls that are not theirs."""

import contextlib
import json
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.delivery.states import DeliveryStatus
from mailer.inbound import effects, quarantine, reports
from mailer.inbound.addresses import ours
from mailer.inbound.incoming import Category, Effect
from mailer.inbound.providers import ses
from mailer.inbound.providers.mailgun import Mailgun
from mailer.inbound.providers.postmark import Postmark
from mailer.inbound.providers.provider import Call, NotNow, Provider, Refused
from mailer.inbound.providers.sendgrid import SendGrid
from mailer.inbound.providers.signed import Signed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import SuppressionReason
from mailer.tokens import Purpose
from mailer.web.security import LARGEST_EVENTS
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.inbound import callers
from tests.inbound.callers import SECRET, TOPIC, Caller, Mail
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER

with warnings.catch_warnings():  # httpx is what we have; Starlette would rather have its successor
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SES, SENDGRID = callers.Ses(), callers.SendGrid()
CERTIFICATE = SES.certificate
EVERY: tuple[Caller, ...] = (SES, SENDGRID, callers.Postmark(), callers.Mailgun(), callers.Signed())
pytestmark = pytest.mark.sqlite  # and on PostgreSQL what is marked so

_, _, POSTMARK, MAILGUN, SIGNED = EVERY
each_provider = pytest.mark.parametrize("caller", EVERY, ids=lambda caller: caller.name)


class Amazon:
    """What SNS serves by HTTPS."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.serves = CERTIFICATE

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        return self.serves


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
def client(inbound: Inbound, amazon: Amazon) -> TestClient:
    """The site of an installation that has them all."""
    told = {
        "MAILER_EVENTS_SES_TOPICS": TOPIC,
        "MAILER_EVENTS_POSTMARK_PASSWORD": SECRET,
        "MAILER_EVENTS_SENDGRID_KEY": SENDGRID.setting,
        "MAILER_EVENTS_MAILGUN_KEY": SECRET,
        "MAILER_EVENTS_SECRET": SECRET,
    }
    values = {name.removeprefix("MAILER_").lower(): value for name, value in told.items()}
    known = type(inbound.app.settings)(_env_file=None, **{**inbound.app.settings.model_dump(), **values})
    web = create_app(replace(inbound.app, settings=known))
    web.state.told.providers["ses"] = ses.Ses([TOPIC], amazon)
    return TestClient(web, base_url="https://news.example.org", raise_server_exceptions=True)


@pytest.fixture
def mail_of(inbound: Inbound) -> Callable[..., Mail]:
    def act(delivery_id: int, recipient: str = READER) -> Mail:
        token = inbound.app.tokens.make(Purpose.MESSAGE_ID, delivery_id)
        path = inbound.bounce_address(delivery_id)
        return Mail(recipient=recipient, token=token, message_id=f"<{token}@{DOMAIN}>", return_path=path)

    return act


MailOf = Callable[..., Mail]


def tell(client: TestClient, caller: Caller, told: Any, clock: HandedClock) -> dict[str, int]:
    """What a genuine call did."""
    headers, body = caller.call(told, clock())
    answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
    assert answer.status_code == 200, answer.text
    effects: dict[str, int] = answer.json()["effects"]
    return effects


# What they do


@pytest.mark.postgresql
@each_provider
def test_an_unknown_user_is_suppressed(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    assert tell(client, caller, caller.bounce(mail_of(delivery_id)), clock) == {"suppressed": 1}
    assert inbound.delivery(delivery_id).status is DeliveryStatus.BOUNCED
    (listed,) = inbound.suppressions
    assert (listed.reason, listed.address) == (SuppressionReason.BOUNCE, READER)
    (arrival,) = inbound.arrivals
    assert (arrival.road, arrival.delivery_id, arrival.category) == (caller.name, delivery_id, Category.UNKNOWN_USER)
    assert "no mailbox here" in (arrival.diagnostic or "")


@each_provider
def test_a_block_costs_nobody_anything(
    inbound: Inbound,
    sent: Sent,
    client: TestClient,
    clock: HandedClock,
    mail_of: MailOf,
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (delivery_id,) = sent(READER)
    blocked = "550 5.7.1 Our system blocked your IP address, listed on a blacklist"
    assert tell(client, caller, caller.bounce(mail_of(delivery_id), blocked), clock) == {"alarm": 1}
    assert inbound.suppressions == []
    assert "not for its reader's fault" in caplog.text


@pytest.mark.postgresql
@each_provider
def test_a_complaint_lets_the_reader_go(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    assert tell(client, caller, caller.complaint(mail_of(delivery_id)), clock) == {"complained": 1}
    delivery = inbound.delivery(delivery_id)
    assert delivery.status is DeliveryStatus.COMPLAINED
    assert delivery.subscription_id is not None
    assert inbound.reader(delivery.subscription_id).status is SubscriptionStatus.SUPPRESSED
    assert [each.reason for each in inbound.suppressions] == [SuppressionReason.COMPLAINT]


@each_provider
def test_what_asks_for_nothing_leaves_no_trace(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    assert tell(client, caller, caller.nothing(mail_of(delivery_id)), clock) == {}
    assert inbound.arrivals == []


@each_provider
def test_what_is_not_understood_waits_for_the_operator(
    inbound: Inbound, client: TestClient, clock: HandedClock, caller: Caller
) -> None:
    assert tell(client, caller, caller.strange(), clock) == {"quarantined": 1}
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert b"elegram" in inbound.kept(arrival.id)
    with pytest.raises(quarantine.NotThere, match="let the provider send it again"):
        inbound.effects.retry(arrival.id)  # it is no mail


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_signatures_of_sns_are_known(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, version: str
) -> None:
    (delivery_id,) = sent(READER)
    caller = callers.Ses(key=SES.key, version=version)
    assert tell(client, caller, caller.bounce(mail_of(delivery_id)), clock) == {"suppressed": 1}


def test_who_unsubscribes_at_the_provider_leaves_and_is_not_suppressed(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf
) -> None:
    (delivery_id,) = sent(READER)
    told = SENDGRID.complaint(mail_of(delivery_id))
    told[0]["event"] = "unsubscribe"
    assert tell(client, SENDGRID, told, clock) == {"complained": 1}
    assert inbound.suppressions == []


@pytest.mark.parametrize(
    ("caller", "change", "category"),
    [
        (SES, {"bounce": {"bounceSubType": "MailboxFull"}}, Category.MAILBOX_FULL),
        (SES, {"bounce": {"bounceSubType": "NoEmail"}}, Category.DOUBTED_USER),
        (SENDGRID, {"event": "dropped", "reason": "Bounced Address"}, Category.DOUBTED_USER),
        (SENDGRID, {"event": "dropped", "reason": "Spam Reporting Address"}, Category.BLOCKED),
        (SENDGRID, {"bounce_classification": "Reputation"}, Category.BLOCKED),
        (SENDGRID, {"type": "blocked", "bounce_classification": "Unclassified"}, Category.BLOCKED),
        (POSTMARK, {"Type": "SoftBounce"}, Category.TEMPORARY),
        (POSTMARK, {"Type": "DMARCPolicy"}, Category.AUTHENTICATION),
        (MAILGUN, {"reason": "suppress-bounce"}, Category.DOUBTED_USER),
        (MAILGUN, {"reason": "suppress-complaint"}, Category.BLOCKED),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | dict) else str(value),
)
def test_where_there_are_no_words_the_provider_s_own_class_counts(
    inbound: Inbound,
    sent: Sent,
    client: TestClient,
    clock: HandedClock,
    mail_of: MailOf,
    caller: Caller,
    change: dict[str, Any],
    category: Category,
) -> None:
    (delivery_id,) = sent(READER)
    told = caller.bounce(mail_of(delivery_id), "")
    event = told[0] if isinstance(told, list) else told
    for name, value in change.items():
        event[name] = {**event[name], **value} if isinstance(value, dict) else value
    for recipient in event.get("bounce", {}).get("bouncedRecipients", []):
        del recipient["diagnosticCode"]
    event.pop("delivery-status", None)
    tell(client, caller, told, clock)
    assert [each.category for each in inbound.arrivals] == [category]
    assert inbound.suppressions == []


@pytest.mark.postgresql
@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_words_that_a_database_refuses_lose_nothing(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, character: str
) -> None:
    (delivery_id,) = sent(READER)
    event = SIGNED.bounce(mail_of(delivery_id), f"550 5.1.1 no {character} mailbox")["events"][0]
    told = {"events": [{**event, "id": character, "server": character}, dict.fromkeys(event, character)]}
    assert tell(client, SIGNED, told, clock) == {"suppressed": 1, "quarantined": 1}
    lost = {**event, "return_path": f"bounce+{character}@{DOMAIN}", "message_id": character, "id": "3"}
    assert tell(client, SIGNED, {"events": [lost]}, clock) == {"quarantined": 1}


# The same again


@pytest.mark.postgresql
@each_provider
def test_the_same_event_again_has_no_effect(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    told = caller.bounce(mail_of(delivery_id))
    headers, body = caller.call(told, clock())
    for effect in ("suppressed", "nothing"):
        answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
        assert answer.json()["effects"] == {effect: 1}
    assert tell(client, caller, told, clock) == {"nothing": 1}
    assert len(inbound.arrivals) == len(inbound.suppressions) == 1


def test_a_signature_of_mailgun_s_serves_for_one_body(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf
) -> None:
    (delivery_id,) = sent(READER)
    _, body = MAILGUN.call(MAILGUN.nothing(mail_of(delivery_id)), clock())
    assert client.post("/api/events/mailgun", content=body).status_code == 200
    changed = json.dumps({**json.loads(body), "event-data": MAILGUN.bounce(mail_of(delivery_id))}).encode()
    answer = client.post("/api/events/mailgun", content=changed)
    assert (answer.status_code, inbound.arrivals) == (403, [])


# Batches


def test_one_event_of_a_batch_that_fails_holds_up_no_other(
    inbound: Inbound,
    sent: Sent,
    client: TestClient,
    clock: HandedClock,
    mail_of: MailOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = sent("a@far.example", "b@far.example", "c@far.example")
    named = dict(zip("abc", ids, strict=True))
    told = [SENDGRID.bounce(mail_of(named[each], f"{each}@far.example"), id=each)[0] for each in named]
    act = reports.act

    def broken(session: Any, delivery: Any, *rest: Any) -> Any:
        if delivery.id == ids[1]:
            raise ZeroDivisionError
        return act(session, delivery, *rest)

    monkeypatch.setattr(reports, "act", broken)
    batch = [told[0], 7, None, told[1], told[2], ["x"]]
    assert tell(client, SENDGRID, batch, clock) == {"quarantined": 4, "suppressed": 2}
    assert len(inbound.suppressions) == 2


def test_an_event_that_nobody_foresaw_is_set_aside_and_the_rest_is_done(
    inbound: Inbound,
    sent: Sent,
    client: TestClient,
    clock: HandedClock,
    mail_of: MailOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = sent("a@far.example", "b@far.example", "c@far.example")
    mails = [mail_of(each, f"{name}@far.example") for name, each in zip("abc", ids, strict=True)]
    path = mails[1].return_path

    def broken(text: str, domain: str) -> Any:
        if text == path:
            raise RecursionError
        return ours(text, domain)

    monkeypatch.setattr(effects, "ours", broken)
    batch = [{**SIGNED.bounce(each, id=each.token)["events"][0], "return_path": each.return_path} for each in mails]
    for expected in ({"suppressed": 2, "quarantined": 1}, {"nothing": 3}):
        assert tell(client, SIGNED, {"events": batch}, clock) == expected
    assert "RecursionError" in caplog.text
    (waits,) = [each for each in inbound.arrivals if each.effect is Effect.QUARANTINED]
    assert waits.id is not None
    assert b"b@far.example" in inbound.kept(waits.id)


def test_an_event_that_cannot_even_be_kept_is_a_line_in_the_log(
    inbound: Inbound,
    client: TestClient,
    clock: HandedClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(quarantine, "keep", broken)
    assert tell(client, SENDGRID, [{"event": "telegram"}], clock) == {"nothing": 1}
    assert "can neither be acted on nor kept: ZeroDivisionError" in caplog.text


def test_what_cannot_be_taken_now_is_to_come_again_and_the_rest_is_done(
    inbound: Inbound, client: TestClient, clock: HandedClock, mail_of: MailOf, claimed: int
) -> None:
    strange = {"event": "telegram"}
    headers, body = SENDGRID.call([*SENDGRID.bounce(mail_of(claimed)), strange], clock())
    answer = client.post("/api/events/sendgrid", headers=headers, content=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert [each.effect for each in inbound.arrivals] == [Effect.QUARANTINED]


def test_a_full_quarantine_puts_an_event_off(
    inbound: Inbound, client: TestClient, clock: HandedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "FULL", 1)
    headers, body = SENDGRID.call([{"event": "telegram"}], clock())
    assert client.post("/api/events/sendgrid", headers=headers, content=body).status_code == 503
    assert inbound.arrivals == []


# Whose they are


@each_provider
def test_an_event_about_another_recipient_waits_for_the_operator(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    mail = mail_of(delivery_id, "victim@far.example")
    assert tell(client, caller, caller.bounce(mail), clock) == {"quarantined": 1}
    assert tell(client, caller, caller.complaint(mail), clock) == {"quarantined": 1}
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED
    assert inbound.suppressions == []


@each_provider
def test_an_event_without_a_valid_token_waits_for_the_operator(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    forged = "0" * 32
    path = f"bounce+{forged}@{DOMAIN}"
    mail = Mail(recipient=READER, token=forged, message_id=f"<{forged}@{DOMAIN}>", return_path=path)
    assert tell(client, caller, caller.bounce(mail), clock) == {"quarantined": 1}
    assert tell(client, caller, caller.complaint(mail), clock) == {"quarantined": 1}
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED


def test_an_event_that_names_two_deliveries_waits_for_the_operator(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf
) -> None:
    first, second = sent("a@far.example", "b@far.example")
    mail = replace(mail_of(first, "a@far.example"), return_path=inbound.bounce_address(second))
    assert tell(client, SES, SES.bounce(mail), clock) == {"quarantined": 1}


def test_an_event_about_a_delivery_of_long_ago_waits_for_the_operator(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf
) -> None:
    (delivery_id,) = sent(READER)
    clock.pass_(days=inbound.app.settings.return_path_days + 1)
    assert tell(client, SENDGRID, SENDGRID.bounce(mail_of(delivery_id)), clock) == {"quarantined": 1}


# Forged, stale, malformed


@each_provider
def test_a_call_with_another_key_is_refused(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller
) -> None:
    (delivery_id,) = sent(READER)
    headers, body = caller.forged(caller.bounce(mail_of(delivery_id)), clock())
    answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
    assert (answer.status_code, inbound.arrivals) == (403, [])
    assert answer.headers["cache-control"] == "no-store"


@each_provider
def test_a_call_that_is_not_signed_is_refused(inbound: Inbound, client: TestClient, caller: Caller) -> None:
    assert client.post(f"/api/events/{caller.name}", content=b"{}").status_code == 401
    answer = client.post(f"/api/events/{caller.name}", content=b"")
    assert answer.status_code in (400, 401)
    assert inbound.arrivals == []


@pytest.mark.parametrize("minutes", [-75, -16, 16, 75])
@pytest.mark.parametrize("caller", [each for each in EVERY if each.name != "postmark"], ids=lambda each: each.name)
def test_a_call_of_another_time_is_refused(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, caller: Caller, minutes: int
) -> None:
    (delivery_id,) = sent(READER)
    headers, body = caller.call(caller.bounce(mail_of(delivery_id)), clock())
    clock.pass_(minutes=minutes)
    answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
    late = caller.name == "ses" and abs(minutes) < 70  # SNS signs once, and tries for an hour
    assert answer.status_code == (200 if late else 403)


@pytest.mark.parametrize("told", [[], 7, "x", None, {"events": 7}])
def test_a_genuine_call_that_makes_no_sense_is_refused_or_kept(
    inbound: Inbound, client: TestClient, clock: HandedClock, told: Any
) -> None:
    for caller in EVERY:
        headers, body = caller.call(told, clock())
        answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
        assert answer.status_code in (200, 400)
    assert {each.effect for each in inbound.arrivals} == {Effect.QUARANTINED}


def test_a_call_that_is_too_large_is_refused(inbound: Inbound, client: TestClient, clock: HandedClock) -> None:
    headers, body = SENDGRID.call([{"event": "telegram", "x": "x" * 800_000}], clock())
    assert client.post("/api/events/sendgrid", headers=headers, content=body).status_code == 200
    headers, body = SENDGRID.call([{"event": "telegram", "x": "x" * LARGEST_EVENTS}], clock())
    assert client.post("/api/events/sendgrid", headers=headers, content=body).status_code == 413
    assert len(inbound.arrivals) == 1


def test_deep_json_is_refused(client: TestClient, clock: HandedClock) -> None:
    for body in (b"[" * 500_000, b'{"signature":' * 50_000, b"\xff\xfe", b"1" * 100_000):
        assert client.post("/api/events/mailgun", content=body).status_code in (400, 401)


@pytest.mark.parametrize("depth", [50, 120, 300, 900])
def test_a_genuine_call_that_nests_deep_is_kept_or_refused(
    inbound: Inbound, client: TestClient, clock: HandedClock, depth: int
) -> None:
    told: Any = {"event": "telegram"}
    for _ in range(depth):
        told = [told]
    headers, body = SENDGRID.call([{"event": "telegram", "within": told}], clock())
    answer = client.post("/api/events/sendgrid", headers=headers, content=body)
    assert (answer.status_code, len(inbound.arrivals)) == ((200, 1) if depth == 50 else (400, 0))


@pytest.mark.parametrize("timestamp", ["999999999999", "99999999999", "9" * 400, "-1", "1e9", "٣"])
def test_a_genuine_call_whose_time_is_none_is_refused(inbound: Inbound, client: TestClient, timestamp: str) -> None:
    body = json.dumps({"events": [{"kind": "telegram"}]}).encode()
    made = callers.hexdigest(SECRET, timestamp.encode() + b"." + body)
    headers = {b"X-Mailer-Timestamp": timestamp.encode(), b"X-Mailer-Signature": made.encode()}
    answer = client.post("/api/events/signed", headers=headers, content=body)
    assert (answer.status_code, inbound.arrivals) == (403, [])


def test_a_provider_that_is_not_set_up_is_not_there(inbound: Inbound, client: TestClient) -> None:
    nobody = TestClient(create_app(inbound.app), base_url="https://news.example.org")
    for caller in EVERY:
        assert nobody.post(f"/api/events/{caller.name}").status_code == 404
    assert client.post("/api/events/telegram").status_code == 404
    assert client.get("/api/events/ses").status_code == 405


# Amazon's certificate and topics


def test_the_certificate_is_fetched_once(
    inbound: Inbound, sent: Sent, client: TestClient, clock: HandedClock, mail_of: MailOf, amazon: Amazon
) -> None:
    (delivery_id,) = sent(READER)
    for number in range(3):
        tell(client, SES, SES.bounce(mail_of(delivery_id), id=str(number)), clock)
    assert amazon.asked == [callers.CERTIFICATE]


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-0123abcd.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-0123abcd.pem",
        "https://x@sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        "https://sns.eu-central-1.amazonaws.com:444/SimpleNotificationService-0123abcd.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        "https://sns.eu-central-1.amazonaws.com/other.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem?x=1",
        "https://sns.eu-central-1.amazonaws.com/../SimpleNotificationService-0123abcd.pem",
        "https://[sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        "https://sns.eu-central-1.amazonaws.com:x/SimpleNotificationService-0123abcd.pem",
        "",
    ],
)
def test_a_certificate_from_anywhere_else_is_not_even_fetched(
    inbound: Inbound,
    client: TestClient,
    clock: HandedClock,
    amazon: Amazon,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
) -> None:
    monkeypatch.setattr(callers, "CERTIFICATE", url)
    _, body = SES.call(SES.strange(), clock())
    assert client.post("/api/events/ses", content=body).status_code == 403
    assert (amazon.asked, inbound.arrivals) == ([], [])


def test_a_topic_that_the_operator_has_not_named_is_refused(
    client: TestClient, clock: HandedClock, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "TOPIC", TOPIC + "s")
    fields = {"Type": "SubscriptionConfirmation", "Message": "m", "Token": "t", "SubscribeURL": SUBSCRIBE}
    for body in (SES.call(SES.strange(), clock())[1], SES.message(clock(), fields)):
        assert client.post("/api/events/ses", content=body).status_code == 403
    assert amazon.asked == []


SUBSCRIBE = f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"


def test_a_subscription_of_the_operator_s_topic_is_confirmed(
    inbound: Inbound, client: TestClient, clock: HandedClock, amazon: Amazon
) -> None:
    fields = {"Type": "SubscriptionConfirmation", "Message": "m", "Token": "abc", "SubscribeURL": SUBSCRIBE}
    assert client.post("/api/events/ses", content=SES.message(clock(), fields)).status_code == 200
    assert amazon.asked == [callers.CERTIFICATE, SUBSCRIBE]
    evil = {**fields, "SubscribeURL": "https://evil.example/?Action=ConfirmSubscription"}
    assert client.post("/api/events/ses", content=SES.message(clock(), evil)).status_code == 403
    assert amazon.asked == [callers.CERTIFICATE, SUBSCRIBE]
    assert inbound.arrivals == []


@pytest.mark.parametrize("served", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_proves_nothing(
    client: TestClient, clock: HandedClock, amazon: Amazon, served: bytes
) -> None:
    amazon.serves = served
    _, body = SES.call(SES.strange(), clock())
    assert client.post("/api/events/ses", content=body).status_code == 403


def test_nobody_makes_us_ask_amazon_without_end(client: TestClient, clock: HandedClock, amazon: Amazon) -> None:
    amazon.serves = b""
    _, body = SES.call(SES.strange(), clock())
    statuses = [client.post("/api/events/ses", content=body).status_code for _ in range(ses.FETCHES + 5)]
    assert statuses == [403] * ses.FETCHES + [503] * 5
    assert len(amazon.asked) == ses.FETCHES


# Anything at all


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 4), at=st.floats(0, 1), octets=st.binary(max_size=12), cut=st.integers(0, 12))
def test_whatever_is_changed_in_a_call_has_no_effect(
    inbound: Inbound,
    client: TestClient,
    victim: Mail,
    clock: HandedClock,
    number: int,
    at: float,
    octets: bytes,
    cut: int,
) -> None:
    caller = EVERY[number]
    headers, body = caller.call(caller.bounce(victim), clock())
    if caller.name in ("postmark", "mailgun"):  # who sign nothing or another thing than the body
        headers, body = caller.forged(caller.bounce(victim), clock())
    place = int(at * len(body))
    changed = body[:place] + octets + body[place + cut :]
    if changed == body:
        return
    before = len(inbound.arrivals)
    answer = client.post(f"/api/events/{caller.name}", headers=headers, content=changed)
    if answer.status_code == 200:  # white space: what SNS signs are the values, and they are the same
        assert caller.name == "ses"
        assert json.loads(changed) == json.loads(body)
    else:
        assert answer.status_code in (400, 401, 403)
        assert len(inbound.arrivals) == before


def elsewhere(caller: Caller, mail: Mail, where: list[int], value: Any, complains: bool) -> Any:
    """What a provider tells, with another value somewhere in it."""
    told = caller.complaint(mail) if complains else caller.bounce(mail)
    inner: Any = told
    for index in where:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
        if not keys:
            break
        key = keys[index % len(keys)]
        if not isinstance(inner[key], dict | list) or index == where[-1]:
            inner[key] = value
            break
        inner = inner[key]
    return told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 4), where=st.lists(st.integers(0, 20), max_size=4), value=JSON, complains=st.booleans())
def test_whatever_a_genuine_call_tells_it_is_taken_or_refused(
    inbound: Inbound,
    client: TestClient,
    stranger: Mail,
    clock: HandedClock,
    number: int,
    where: list[int],
    value: Any,
    complains: bool,
) -> None:
    caller = EVERY[number]
    headers, body = caller.call(elsewhere(caller, stranger, where, value, complains), clock())
    answer = client.post(f"/api/events/{caller.name}", headers=headers, content=body)
    assert answer.status_code in (200, 400)
    assert inbound.suppressions == []


@settings(max_examples=150)
@given(number=st.integers(0, 4), where=st.lists(st.integers(0, 20), max_size=4), value=JSON, complains=st.booleans())
def test_whatever_a_genuine_call_tells_it_is_understood_or_kept(
    number: int, where: list[int], value: Any, complains: bool
) -> None:
    caller, now = EVERY[number], datetime(2026, 11, 20, tzinfo=UTC)
    mail = Mail(recipient=READER, token="t", message_id="<t@x>", return_path="r")
    headers, body = caller.call(elsewhere(caller, mail, where, value, complains), now)
    call = Call(headers={name.lower(): each for name, each in headers.items()}, body=body)
    with contextlib.suppress(Refused):
        for event in KNOWN[caller.name].events(call, now):
            assert (event.provider, len(event.digest)) == (caller.name, 64)


KNOWN: dict[str, Provider] = {
    "ses": ses.Ses([TOPIC], lambda _: CERTIFICATE),
    "sendgrid": SendGrid(SENDGRID.setting),
    "postmark": Postmark(SECRET),
    "mailgun": Mailgun(SECRET),
    "signed": Signed(SECRET),
}


@pytest.fixture
def victim(sent: Sent, mail_of: MailOf) -> Mail:
    (delivery_id,) = sent(READER)
    return mail_of(delivery_id)


@pytest.fixture
def stranger(sent: Sent, mail_of: MailOf) -> Mail:
    """About a delivery to somebody else."""
    (delivery_id,) = sent(READER)
    return mail_of(delivery_id, "stranger@far.example")


# Amazon over the wire


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """answering(b"HTTP/1.1 200 OK…") -> the address of a server that says so once."""
    listeners = list[socket.socket]()

    def serve(listener: socket.socket, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

    def start(answer: bytes) -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(listeners[-1], answer), daemon=True).start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}/x.pem"

    yield start
    for each in listeners:
        each.close()


def test_amazon_s_answer_is_fetched(answering: Callable[[bytes], str]) -> None:
    assert ses.fetched(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) == b"hi"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "answers 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (ses.LARGEST + 1), "too much"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "does not answer"),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer"),
    ],
)
def test_an_answer_of_amazon_s_that_cannot_be_used_makes_the_call_come_again(
    answering: Callable[[bytes], str], answer: bytes, said: str
) -> None:
    with pytest.raises(NotNow, match=said):
        ses.fetched(answering(answer))
