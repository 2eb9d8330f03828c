"""The description of the public addresses, held against the pages by schemathesis: whatever is sent, no server error,
and only answers that the description names.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from mailer.app import App
from mailer.tables import Publication
from mailer.web.site import create_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

OPERATIONS = [
    ("POST", "/api/subscribe"),
    ("GET", "/api/challenge"),
    ("POST", "/subscribe"),
    ("GET", "/{publication}/{language}"),
    ("GET", "/c/{token}"),
    ("POST", "/c/{token}"),
    ("GET", "/u/{token}"),
    ("POST", "/u/{token}"),
]

pytestmark = pytest.mark.sqlite  # what differs by database is tested elsewhere


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_sent_is_answered_as_the_description_says(
    app: App, publication: Publication, method: str, path: str
) -> None:
    operation = schemathesis.openapi.from_asgi("/api/openapi.json", create_app(app))[path][method]
    anything = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
    cases = anything | anything.map(_aimed)

    @hypothesis_settings(
        max_examples=12, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=cases)
    def send(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    send()


def _aimed(case: Any) -> Any:
    """The same at a publication that there is, so that it gets past the first look."""
    if isinstance(case.body, dict):
        case.body |= {"publication": "belarus", "edition": "ru"}
    return case


def test_everything_public_is_described(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    assert {(method.upper(), path) for path, item in described["paths"].items() for method in item} >= set(OPERATIONS)
    assert described["openapi"] == "3.1.0"
