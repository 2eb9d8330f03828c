"""What a public page says of itself to search engines, and where somebody shares its address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailer.web.reading import Illustration


@dataclass(frozen=True, kw_only=True)
class Card:
    """One page. Paths begin with /; the page makes addresses of them that hold on every mirror."""

    path: str  #: the page's one address
    title: str
    description: str
    languages: Mapping[str, str] = field(default_factory=dict)  #: the same in each language, this one too: its path
    picture: Illustration | None = None
    published: datetime | None = None  #: of a text; None for a list or a form
