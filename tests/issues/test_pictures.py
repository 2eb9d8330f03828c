"""Pictures are checked before they are decoded, fitted, and leave without metadata."""

import io
import random
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mailer.issues.manuscript import PictureSource
from mailer.issues.pictures import BUDGET, FILE_LIMIT, fit, over_budget


def drawn(form: str = "JPEG", size: tuple[int, int] = (300, 200), mode: str = "RGB", **options: Any) -> bytes:
    octets = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else None).save(octets, form, **options)
    return octets.getvalue()


def noise(width: int, height: int, seed: int) -> bytes:
    octets = io.BytesIO()
    pixels = random.Random(seed).randbytes(3 * width * height)
    Image.frombytes("RGB", (width, height), pixels).save(octets, "JPEG", quality=95)
    return octets.getvalue()


def fitted(name: str, content: bytes) -> PictureSource:
    pictures, unfit = fit({name: content})
    assert not unfit
    return pictures[name]


def refusal(name: str, content: bytes) -> str:
    pictures, unfit = fit({name: content})
    assert not pictures
    return str(unfit[name])


def test_a_wide_picture_is_fitted_to_1200_pixels() -> None:
    picture = fitted("a.jpg", drawn(size=(2400, 1000)))
    assert (picture.width, picture.height, picture.media_type) == (1200, 500, "image/jpeg")
    assert Image.open(io.BytesIO(picture.content)).size == (1200, 500)


def test_a_small_picture_keeps_its_size() -> None:
    assert fitted("a.jpg", drawn(size=(300, 200))).width == 300


def test_a_drawing_stays_png_and_a_photograph_in_png_becomes_jpeg() -> None:
    assert fitted("a.png", drawn("PNG")).media_type == "image/png"
    octets = io.BytesIO()
    Image.open(io.BytesIO(noise(300, 300, 1))).save(octets, "PNG")
    assert fitted("a.png", octets.getvalue()).media_type == "image/jpeg"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_place_camera_and_comments_are_gone(form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    options: dict[str, Any] = {"comment": b"a comment"} if form == "JPEG" else {}
    octets = drawn(form, exif=exif, **options)
    assert b"a camera" in octets
    picture = fitted("a.png", octets)
    image = Image.open(io.BytesIO(picture.content))
    assert not image.getexif()
    assert b"a camera" not in picture.content
    assert b"a comment" not in picture.content
    assert not {"exif", "comment", "icc_profile", "xmp"} & image.info.keys()


def test_a_picture_lying_on_its_side_is_turned_up() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = fitted("a.jpg", drawn(size=(300, 200), exif=exif))
    assert (picture.width, picture.height) == (200, 300)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_every_mode_comes_out_on_white(mode: str) -> None:
    picture = fitted("a.png", drawn("PNG", mode=mode))
    image = Image.open(io.BytesIO(picture.content))
    assert image.mode == "RGB"
    if mode == "RGBA":
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_the_four_colours_of_print_are_converted() -> None:
    assert Image.open(io.BytesIO(fitted("a.jpg", drawn(mode="CMYK")).content)).mode == "RGB"


def test_a_broken_colour_profile_does_not_cost_the_picture() -> None:
    assert fitted("a.jpg", drawn(icc_profile=b"no profile"))


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (8_000, 12_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        assert "picture" in refusal("a.png", bomb)


def test_an_oversize_file_is_refused() -> None:
    assert "larger than 20 MB" in refusal("a.jpg", bytes(FILE_LIMIT + 1))


def test_svg_is_refused_with_a_mend() -> None:
    assert "Export it as PNG" in refusal("chart.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"not a picture", drawn()[:100], drawn("PNG")[:60], drawn("BMP")])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    assert "JPEG or PNG" in refusal("a.jpg", content)


@given(
    st.binary(max_size=200),
    st.sampled_from([drawn(size=(8, 8)), drawn("PNG", (8, 8)), drawn("GIF", (8, 8))]),
    st.integers(0, 200),
)
def test_no_bytes_bring_a_traceback(junk: bytes, picture: bytes, at: int) -> None:
    for content in (junk, picture[:at] + junk + picture[at:], picture[:at] + junk):
        pictures, unfit = fit({"a.png": content})
        assert len(pictures) + len(unfit) == 1


def test_pictures_that_are_too_much_together_are_made_smaller() -> None:
    files = {f"{n}.jpg": noise(1200, 700, n) for n in range(4)}
    pictures, unfit = fit(files)
    assert not unfit
    assert over_budget(pictures.values()) is None
    assert sum(len(picture.content) for picture in pictures.values()) <= BUDGET
    assert all(picture.width < 1200 for picture in pictures.values())


def test_pictures_that_cannot_fit_are_named_with_their_sizes() -> None:
    sizes = {"a.jpg": 900_000, "b.jpg": 800_000}
    pictures = [
        PictureSource(name=n, media_type="image/jpeg", width=1, height=1, content=bytes(s)) for n, s in sizes.items()
    ]
    assert over_budget(pictures) == "a.jpg 900 kB, b.jpg 800 kB"


def test_equal_pictures_give_equal_bytes() -> None:
    content = drawn("PNG", (1500, 900))
    assert fitted("a.png", content) == fitted("a.png", content)
