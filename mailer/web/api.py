"""Subscribing for programs and for pages of other sites: JSON, for every origin, without cookies.

What is wrong is said as RFC 9457 problem details that name the field. The addresses are described, with the forms, in
templates/web/openapi.yaml.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mailer.issues.languages import available
from mailer.rendering.words import Words, words
from mailer.resources import resource
from mailer.subscribers import address
from mailer.subscribers.address import AddressError
from mailer.web import asking, place
from mailer.web.altcha import HARDER, TRIES
from mailer.web.asking import Asking, Outcome, evenly
from mailer.web.front import HONEYPOT, PROOF
from mailer.web.languages import accepted
from mailer.web.pages import NEVER_KEPT, READ, AcceptLanguage, Site, TheSite, clean
from mailer.web.security import other_site, reader_network

router = APIRouter(prefix="/api")

WORDING = "A request to /api/subscribe"
"""What stands in the record in place of the words that the reader saw: only the other site knows them, and what it
said of them would be any stranger's text. The words of the confirm page, which are ours, follow."""

_FIELDS = ("publication", "edition", "address", "language", HONEYPOT, PROOF)


@router.api_route("/openapi.json", methods=READ)
def describe() -> Response:
    """What there is for programs, the forms included."""
    return Response(_description(), media_type="application/json", headers={"Cache-Control": "public, max-age=3600"})


@functools.cache
def _description() -> bytes:
    path = resource("templates") / "web" / "openapi.yaml"
    return json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))).encode()


@router.api_route("/challenge", methods=READ)
def challenge(request: Request, site: TheSite) -> Response:
    """A proof of work to do, as altcha's widget asks for it. Harder when much comes in."""
    network = reader_network(request, site.app.settings.trusted_proxies)
    tries = TRIES * (HARDER if asking.is_pressed(site.app, network) else 1)
    made = site.challenges.make(site.app.clock(), tries=tries)
    return JSONResponse(made, headers={"Cache-Control": NEVER_KEPT})


@router.api_route("/subscribe", methods=READ)
def nothing_to_read() -> Response:
    """Without it the address would be looked for among the publications."""
    raise HTTPException(405, headers={"Allow": "OPTIONS, POST"})


@router.options("/subscribe")
@router.options("/challenge")
def preflight(request: Request) -> Response:
    """What a page of another site may send (Fetch §4.8)."""
    methods = "POST" if request.scope["path"].endswith("/subscribe") else "GET"
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": "content-type",
            "Access-Control-Max-Age": "86400",
        },
    )


@router.post("/subscribe")
async def subscribe(request: Request, site: TheSite, accept_language: AcceptLanguage) -> Response:
    """The same as the form, with the same answer for every address that could be one."""
    language = accepted(accept_language)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return problem(site, 415, "not-json", words(language))
    try:
        sent = json.loads(await request.body())
    except (ValueError, RecursionError):
        return problem(site, 400, "not-json", words(language))
    if not isinstance(sent, dict):
        return problem(site, 400, "not-json", words(language))
    return await evenly(site.app.database.beside_others(partial(_subscribe, request, site, sent, accept_language)))


def _subscribe(request: Request, site: Site, sent: Mapping[str, Any], accept_language: str) -> Response:
    fields = {name: clean(sent[name]) for name in _FIELDS if isinstance(sent.get(name), str)}
    asked, spoken = fields.get("language", ""), words(accepted(accept_language))
    if asked in available():
        spoken = words(asked)
    with site.app.database.read() as session:
        at = place.find(session, fields.get("publication", ""))
    wrong = dict[str, str]()
    edition = at.edition(fields.get("edition", "")) if at else None
    if at is None:
        wrong["publication"] = spoken.gettext("There is no such publication.")
    elif edition is None:
        wrong["edition"] = spoken.gettext("Choose the edition that you want to read.")
    try:
        reader = address.parse(fields.get("address", ""))
        if refusal := site.policy.refusal(reader):
            wrong["address"] = _REFUSED[refusal](spoken)
    except AddressError:
        wrong["address"] = _REFUSED["typo"](spoken)
    for name in _FIELDS:
        if name in sent and name not in fields:
            wrong[name] = spoken.gettext("This has to be text.")
    if "language" not in wrong and asked and (asked not in at.languages if at else asked not in available()):
        wrong["language"] = spoken.gettext("This newsletter has no pages in this language.")
    if wrong or at is None or edition is None:
        return _wrong_fields(site, spoken, wrong)
    language = asked or accepted(accept_language, at.languages)
    if not fields.get(HONEYPOT):
        origin = other_site(request, site.app.settings.link_hosts)
        answer = asking.ask(
            site.app,
            site.challenges,
            Asking(
                edition=edition,
                address=reader,
                language=language,
                wording=f"{WORDING}, in the words of {origin}" if origin else WORDING,
                source=f"api {origin}".strip(),
                network=reader_network(request, site.app.settings.trusted_proxies),
                proof=fields.get(PROOF, ""),
                by_program=True,
            ),
        )
        if answer.outcome is Outcome.TOO_MANY and answer.again:
            seconds = max(-int((site.app.clock() - answer.again).total_seconds() // 1), 1)
            refused = problem(site, 429, "too-many", spoken)
            refused.headers["Retry-After"] = str(seconds)
            return refused
        if answer.outcome is not Outcome.RECEIVED:
            return problem(site, 403, "proof-of-work", spoken)
    text = spoken.gettext(
        "If we may write to the address that you typed, a letter is on its way."
        " Open the link in it and press the button there: only then are you subscribed."
    )
    return _json({"status": "check-mailbox", "detail": text}, spoken, 202)


_REFUSED = {
    "typo": lambda spoken: spoken.gettext(
        "We cannot write to this address. An e-mail address looks like name@example.org:"
        " check it for missing or extra characters."
    ),
    "role": lambda spoken: spoken.gettext(
        "Such an address belongs to an office or a machine, not to a reader. Please use another one."
    ),
    "disposable": lambda spoken: spoken.gettext(
        "Temporary addresses are not taken here: the letters would soon go nowhere. Please use another one."
    ),
    "ours": lambda spoken: spoken.gettext("This is one of our own addresses. Please use yours."),
}


# Problems: RFC 9457

_PROBLEMS = {
    "wrong-fields": lambda spoken: spoken.gettext("Some fields are wrong: see errors."),
    "proof-of-work": lambda spoken: spoken.gettext(
        "A proof of work is needed: ask /api/challenge for a challenge, solve it and send it in the field altcha."
    ),
    "too-many": lambda spoken: spoken.gettext("Too many requests have come in. Please try again later."),
    "not-json": lambda spoken: spoken.gettext("Send a JSON object, as application/json."),
    "not-found": lambda spoken: spoken.gettext("There is no such page"),
    "method-not-allowed": lambda spoken: spoken.gettext("This address cannot be used in that way."),
    "too-large": lambda spoken: spoken.gettext("That was too much at once"),
    "unavailable": lambda spoken: spoken.gettext("Nothing was saved. Please try again in a minute."),
    "bad-request": lambda spoken: spoken.gettext("That did not work"),
}

_OF_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 503: "unavailable"}


def problem(site: Site, status: int, kind: str, spoken: Words, **more: Any) -> Response:
    """What is wrong. Its type is an address in the description of these addresses."""
    details = {
        "type": f"{site.app.link_host}/api/openapi.json#{kind}",
        "title": _PROBLEMS[kind](spoken),
        "status": status,
        **more,
    }
    return _json(details, spoken, status, "application/problem+json")


def problem_of_status(site: Site, status: int, accept_language: str) -> Response:
    """For what goes wrong before or beside the addresses here."""
    return problem(site, status, _OF_STATUS.get(status, "bad-request"), words(accepted(accept_language)))


def _wrong_fields(site: Site, spoken: Words, wrong: Mapping[str, str]) -> Response:
    errors: Sequence[Mapping[str, str]] = [
        {"pointer": f"#/{field}", "field": field, "detail": detail} for field, detail in wrong.items()
    ]
    return problem(site, 422, "wrong-fields", spoken, errors=errors)


def _json(content: Mapping[str, Any], spoken: Words, status: int, kind: str = "application/json") -> Response:
    headers = {"Cache-Control": NEVER_KEPT, "Content-Language": spoken.language}
    return JSONResponse(dict(content), status_code=status, headers=headers, media_type=kind)
