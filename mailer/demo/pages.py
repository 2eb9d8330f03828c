"""Pages of the demo's mailbox: what was caught, and each mail as its reader sees it."""

from typing import Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.templating import Jinja2Templates

from mailer.demo.mailbox import Caught, Mailbox
from mailer.rendering.decoded import part
from mailer.resources import resource

SHOWN = 200


def pages(mailbox: Mailbox, front: str) -> FastAPI:
    """The application. `front`: the address of the publication's pages."""
    site = FastAPI(title="Caught mail", docs_url=None, redoc_url=None, openapi_url=None)
    templates = Jinja2Templates(resource("templates") / "demo")

    def mail(number: int) -> Caught:
        if not 0 <= number < len(mailbox.mails):
            raise HTTPException(404, "There is no such mail.")
        return mailbox.mails[number]

    @site.get("/")
    def every(request: Request, to: str = "") -> HTMLResponse:
        found = [caught for caught in reversed(mailbox.mails) if to.lower() in caught.recipient.lower()]
        context = {"mails": found[:SHOWN], "found": len(found), "to": to, "front": front}
        return templates.TemplateResponse(request, "mailbox.html", context)

    @site.get("/{number}")
    def one(request: Request, number: int) -> HTMLResponse:
        caught = mail(number)
        message = caught.message()
        headers = [(name, " ".join(str(value).split())) for name, value in message.items()]
        context = {"mail": caught, "headers": headers, "front": front}
        return templates.TemplateResponse(request, "mail.html", context)

    @site.get("/{number}/{kind}")
    def body(number: int, kind: Literal["html", "plain", "source"]) -> HTMLResponse:
        message = mail(number).message()
        if kind == "source":
            return PlainTextResponse(message.as_bytes())  # type: ignore[return-value]
        if kind == "plain":
            return PlainTextResponse(part(message, "plain"))  # type: ignore[return-value]
        policy = {"Content-Security-Policy": "sandbox allow-popups allow-top-navigation; script-src 'none'"}
        return HTMLResponse(part(message, "html"), headers=policy)

    return site
