"""Bodies are their own canonical form, and a second implementation accepts every signature."""

import base64
import dataclasses
import hashlib
import importlib.util
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.app import App
from mailer.delivery import launch
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.rendering.body import Body, Inline
from mailer.rendering.dkim import DkimError, DkimKey, Signer, load_keys, unaligned
from mailer.rendering.message import Message, MessageError, Slot, compose, marker
from mailer.resources import resource
from mailer.tables import Publication
from mailer.tokens import WIDTH
from tests.rendering.test_message import contents, head, printable, tokens, values, with_markers

EXAMPLE = resource("templates") / "example" / "2026-11-16"
PNG = Inline(cid="p1@mailer", media_type="image/png", content=b"\x89PNG\r\n.\r\n  \t", filename="a  b\t.png")
has_nacl = importlib.util.find_spec("nacl") is not None  # dkimpy needs it for Ed25519
modest = settings(max_examples=40)

# White space as it comes in letters, tables and code: what the relaxed form is about.
spaced = st.lists(st.sampled_from([" ", "\t", "a", ".", "=", "ы", "\n", "\r\n", "\v", "F", marker(Slot.UNSUBSCRIBE)]))
pieces = st.one_of(contents.map(with_markers), spaced.map("".join), spaced.map(lambda made: "".join(made) * 9))


@cache
def rsa_key(selector: str = "r1") -> DkimKey:
    return DkimKey.new(selector, "example.org")


@cache
def ed_key() -> DkimKey:
    return DkimKey.new("e1", "example.org", ed25519=True)


def message(html: str = "<p>H</p>", text: str = "T", subject: str = "S", **changes: object) -> Message:
    return compose(Body(subject=subject, html=html, text=text), head(**changes))


def signed(made: Message, keys: Sequence[DkimKey], given: Mapping[Slot, str] | None = None) -> bytes:
    given = given or values()
    octets = made.splice(given)
    return Signer(keys).prepare(made).sign(given, octets) + octets


# Straight from RFC 6376


def relaxed_body(body: bytes) -> bytes:
    """§3.4.4."""
    lines = [re.sub(rb"[ \t]+", b" ", re.sub(rb"[ \t]+\Z", b"", line)) for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def relaxed_field(field: bytes) -> bytes:
    """§3.4.2."""
    name, _, value = field.partition(b":")
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b""))
    return name.lower().rstrip(b" \t") + b":" + value.strip(b" \t") + b"\r\n"


def fields_of(octets: bytes) -> list[bytes]:
    return re.split(rb"\r\n(?![ \t])", octets.partition(b"\r\n\r\n")[0])


def tags(field: bytes) -> dict[str, str]:
    """§3.2, without any white space."""
    listed = re.sub(r"\s", "", field.partition(b":")[2].decode()).split(";")
    return {name: value for name, _, value in (tag.partition("=") for tag in listed)}


def verifies_by_the_book(octets: bytes, field: bytes, key: DkimKey) -> None:
    """§6.1.3. Raises for a signature that does not verify."""
    tag, rest = tags(field), list(reversed(fields_of(octets)))
    body_hash = hashlib.sha256(relaxed_body(octets.partition(b"\r\n\r\n")[2])).digest()
    assert tag["bh"] == base64.b64encode(body_hash).decode()
    covered = b""
    for name in tag["h"].split(":"):
        found = next((each for each in rest if each.lower().startswith(name.lower().encode() + b":")), None)
        if found is not None:
            rest.remove(found)
            covered += relaxed_field(found)
    covered += relaxed_field(re.sub(rb"([; ]b=)[^;]*\Z", rb"\1", field)).removesuffix(b"\r\n")
    public = key.private_key.public_key()
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(tag["b"]), hashlib.sha256(covered).digest())


def is_accepted(octets: bytes, keys: Sequence[DkimKey], index: int = 0) -> bool:
    """What dkimpy says."""
    records = {f"{key.record_name}.".encode(): key.record.encode() for key in keys}
    try:
        return bool(dkim.DKIM(octets).verify(index, dnsfunc=lambda name, timeout=5: records.get(name)))
    except dkim.ValidationError:  # the body's hash
        return False


def assert_signed(octets: bytes, keys: Sequence[DkimKey]) -> None:
    """One good signature a key, in their order, the first fields of all."""
    found = fields_of(octets)[: len(keys)]
    for index, (field, key) in enumerate(zip(found, keys, strict=True)):
        assert field.startswith(b"DKIM-Signature: ")
        tag = tags(field)
        assert (tag["a"], tag["s"], tag["d"]) == (key.algorithm, key.selector, key.domain)
        if key.is_rsa or has_nacl:
            assert is_accepted(octets, keys, index)
        if not key.is_rsa:
            verifies_by_the_book(octets, field, key)


# Bodies


@given(html=pieces, text=pieces, unsubscribe=tokens, pictures=st.booleans())
def test_a_composed_body_is_its_own_relaxed_form(html: str, text: str, unsubscribe: str, pictures: bool) -> None:
    made = compose(Body(subject="S", html=html, text=text, inlines=(PNG,) if pictures else ()), head())
    for body in (made.body, made.splice(values(unsubscribe)).partition(b"\r\n\r\n")[2]):
        assert relaxed_body(body) == body
        assert Relaxed.canonicalize_body(body) == body
        assert body.endswith(b"--\r\n")


@pytest.mark.parametrize(
    "text", ["a  b", "a \t b", "  a", "\ta", " \n \n", "a \r\n\r\n\r\n", "x" * 74 + "  y", " " * 200, ""]
)
def test_white_space_survives_and_is_relaxed(text: str) -> None:
    body = message(text=text, html=text).body
    assert relaxed_body(body) == body


@pytest.mark.parametrize("changes", [{"media_type": "image/png  x"}, {"cid": "a  b"}, {"cid": "a>\r\nX: b"}])
def test_a_picture_cannot_bring_white_space_into_part_headers(changes: dict[str, str]) -> None:
    inline = dataclasses.replace(PNG, **changes)  # type: ignore[arg-type]
    with pytest.raises(MessageError):
        compose(Body(subject="S", html="", text="", inlines=(inline,)), head())


# Signatures


@modest
@given(html=pieces, text=pieces, unsubscribe=tokens, confirm=tokens)
def test_both_signatures_hold_for_every_content_and_token(html: str, text: str, unsubscribe: str, confirm: str) -> None:
    keys = [rsa_key(), ed_key()]
    assert_signed(signed(message(html, text), keys, values(unsubscribe, confirm)), keys)


@modest
@given(subject=printable, sender=printable, unsubscribe=tokens)
def test_hostile_names_and_subjects_are_signed_soundly(subject: str, sender: str, unsubscribe: str) -> None:
    keys = [rsa_key(), ed_key()]
    try:
        made = message(subject=subject, sender_name=sender, unsubscribe_url=None, automatic=True)
    except MessageError:
        return
    assert_signed(signed(made, keys, values(unsubscribe)), keys)


@pytest.mark.parametrize("subject", ["", " ", "  a   b  ", "a: b; c=d", "б" * 300, "word " * 60, "DKIM-Signature: b="])
@pytest.mark.parametrize("address", ["a@example.org", '"a  b"@example.org', "ю@example.org", "a@" + "x." * 100 + "org"])
def test_every_address_and_subject(subject: str, address: str) -> None:
    octets = signed(message(subject=subject), [ed_key()], values() | {Slot.TO: address})
    verifies_by_the_book(octets, fields_of(octets)[0], ed_key())


def test_every_edition_of_the_example_is_signed(app: App, publication: Publication) -> None:
    keys = [rsa_key(), ed_key()]
    with app.database.write() as session:
        issue, _ = issues.add(session, publication, read_folder(EXAMPLE), app.clock())
        editions = launch.render(session, issue, app.settings)
    assert len(editions) == 3
    for made in editions.values():
        assert relaxed_body(made.body) == made.body
        assert_signed(signed(Message.load(made.dump()), keys), keys)


def test_whatever_matters_is_signed_and_nothing_of_the_body_is_left_out() -> None:
    tag = tags(fields_of(signed(message(), [rsa_key()]))[0])
    assert tag["c"] == "relaxed/relaxed"
    assert "l" not in tag
    names = tag["h"].split(":")
    assert names.count("From") == 2
    assert set(names) >= {
        *("To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"),
        *("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID"),
    }


def test_a_field_that_is_not_there_is_not_named() -> None:
    tag = tags(fields_of(signed(message(unsubscribe_url=None, feedback_id=None), [rsa_key()]))[0])
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID"} & set(tag["h"].split(":"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: S", b"Subject: T"),
        (b"To: reader", b"To: raeder"),
        (b"a" * WIDTH, b"a" * (WIDTH - 1) + b"b"),
        (b"<p>H</p>", b"<p>h</p>"),
        (b"From: ", b"From: other@example.net\r\nFrom: "),
        (b"One-Click", b"Two-Click"),
        (b"--\r\n", b"--\r\nmore\r\n"),
    ],
)
def test_a_changed_octet_is_noticed(before: bytes, after: bytes) -> None:
    octets = signed(message(html=f"<p>H</p>{marker(Slot.UNSUBSCRIBE)}"), [rsa_key()])
    assert is_accepted(octets, [rsa_key()])
    assert before in octets
    assert not is_accepted(octets.replace(before, after), [rsa_key()])


@modest
@given(at=st.integers(0), flip=st.integers(1, 255))
def test_no_octet_of_the_body_can_be_changed(at: int, flip: int) -> None:
    octets = bytearray(signed(message(), [ed_key()]))
    body = octets.index(b"\r\n\r\n") + 4
    octets[body + at % (len(octets) - body)] ^= flip
    changed = bytes(octets)
    if relaxed_body(changed[body:]) != changed[body:]:
        return  # white space that the relaxed form forgives
    with pytest.raises(AssertionError):
        verifies_by_the_book(changed, fields_of(changed)[0], ed_key())


def test_keys_are_changed_without_a_gap() -> None:
    old, new = rsa_key("r1"), rsa_key("r2")
    both = [old, new]
    assert is_accepted(signed(message(), [old]), both)
    assert is_accepted(signed(message(), [new]), both)
    assert_signed(signed(message(), both), both)
    assert not is_accepted(signed(message(), [old]), [new])


def test_without_keys_nothing_is_added() -> None:
    assert signed(message(), []) == message().splice(values())


def test_the_same_mail_has_the_same_signature() -> None:
    assert signed(message(), [rsa_key(), ed_key()]) == signed(message(), [rsa_key(), ed_key()])


def test_the_field_can_go_on_the_wire_as_it_is() -> None:
    field = signed(message(), [rsa_key()]).partition(b"\r\nFrom:")[0]
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert field.isascii()


def test_a_body_that_an_earlier_version_kept_is_signed_as_it_is() -> None:
    made = message(text="one two")
    kept = Message(made.head, made.body.replace(b"one two", b"one  two \t"), made.patches)
    octets = signed(kept, [rsa_key()])
    assert tags(fields_of(octets)[0])["c"] == "relaxed/simple"
    assert is_accepted(octets, [rsa_key()])


def test_mails_are_signed_in_several_threads_at_once() -> None:
    made = message(html=marker(Slot.UNSUBSCRIBE) * 3, text="words " * 2000)
    prepared = Signer([rsa_key(), ed_key()]).prepare(made)
    readers = [values(unsubscribe=letter * WIDTH) for letter in "abcdef01" * 4]

    def sign(given: dict[Slot, str]) -> bytes:
        return prepared.sign(given, made.splice(given))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign, readers)) == list(map(sign, readers))


# Keys and their files


@pytest.mark.parametrize("make", [rsa_key, ed_key])
def test_a_record_is_read_by_others_and_fits_a_txt_record(make: Callable[[], DkimKey]) -> None:
    key = make()
    if key.is_rsa or has_nacl:
        _, size, kind, _ = dkim.evaluate_pk("name", key.record)
        assert (size, kind) == ((2048, b"rsa") if key.is_rsa else (256, b"ed25519"))
    assert "".join(key.record_strings) == key.record
    assert all(0 < len(string.encode()) <= 255 for string in key.record_strings)
    assert len(key.record_strings) == (2 if key.is_rsa else 1)


@pytest.mark.parametrize("make", [rsa_key, ed_key])
def test_a_saved_key_is_the_same_key_and_its_owners_only(make: Callable[[], DkimKey], tmp_path: Path) -> None:
    key = make()
    path = key.save(tmp_path / "keys")
    assert path.name == f"{key.selector}._domainkey.example.org.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys([path])[0].record == key.record
    before = path.read_bytes()
    with pytest.raises(DkimError, match="not overwritten"):
        DkimKey.new(key.selector, "example.org", ed25519=True).save(tmp_path / "keys")
    assert path.read_bytes() == before


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


def test_a_key_that_cannot_be_used_is_one_line_with_its_mend(tmp_path: Path) -> None:
    good = rsa_key().save(tmp_path).read_bytes()
    cases = {
        "s._domainkey.missing.example.pem": (None, "cannot be read: No such file"),
        "s._domainkey.text.example.pem": (b"not a key", "not a private key"),
        "s._domainkey.binary.example.pem": (bytes(range(256)), "not a private key"),
        "s._domainkey.locked.example.pem": (pem(rsa.generate_private_key(65537, 2048), b"secret"), "not a private key"),
        "s._domainkey.short.example.pem": (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        "s._domainkey.curve.example.pem": (pem(ec.generate_private_key(ec.SECP256R1())), "neither"),
        "key.pem": (good, "SELECTOR._domainkey.DOMAIN.pem"),
        "s._domainkey.localhost.pem": (good, "SELECTOR._domainkey.DOMAIN.pem"),
        "s._domainkey.example.org.key": (good, "SELECTOR._domainkey.DOMAIN.pem"),
        "-s._domainkey.example.org.pem": (good, "SELECTOR._domainkey.DOMAIN.pem"),
    }
    for name, (content, told) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DkimError, match=r"^MAILER_DKIM_KEYS: ") as error:
            load_keys([path])
        assert told in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_the_same_key_twice_is_refused(tmp_path: Path) -> None:
    path = ed_key().save(tmp_path)
    with pytest.raises(DkimError, match=r"MAILER_DKIM_KEYS: .* twice"):
        load_keys([path, path])


@pytest.mark.parametrize(
    ("selector", "domain"), [("a b", "example.org"), ("", "example.org"), ("s", "org"), ("s", "пример.рф")]
)
def test_a_name_that_is_none_is_refused(selector: str, domain: str) -> None:
    with pytest.raises(DkimError, match="is not a"):
        DkimKey.new(selector, domain, ed25519=True)


@pytest.mark.parametrize(
    ("sender", "counts"),
    [
        ("editors@example.org", True),
        ("editors@News.Example.ORG", True),
        ("editors@badexample.org", False),
        ("editors@example.net", False),
        ("editors@" + "x." * 20 + "example.org", True),
    ],
)
def test_dmarc_counts_the_signatures_of_the_senders_domain(sender: str, counts: bool) -> None:
    assert unaligned([ed_key()], ["other@example.com", sender]) == ([] if counts else [ed_key()])


def test_a_key_of_a_subdomain_counts_too() -> None:
    assert unaligned([DkimKey.new("s", "mail.example.org", ed25519=True)], ["editors@example.org"]) == []


def test_where_there_is_no_publication_no_key_is_a_stranger() -> None:
    assert unaligned([ed_key()], []) == []
