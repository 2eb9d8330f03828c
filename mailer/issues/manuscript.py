"""An issue as its authors wrote it, before anything in it is read: plain data, light to load and to hand on."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PictureSource:
    """A picture fitted for mail: no wider than 1200 px, without metadata."""

    name: str
    media_type: str  #: image/jpeg or image/png
    width: int  #: pixels
    height: int
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Manuscript:
    """Texts and pictures."""

    texts: Mapping[str, str]  #: language -> the whole Markdown file
    pictures: Mapping[str, PictureSource]  #: by file name
