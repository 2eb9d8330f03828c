"""Pictures checked, fitted to the mail's column and freed of metadata (place, camera, author)."""

import io
import warnings
from collections.abc import Iterable, Mapping

from PIL import Image, ImageCms, ImageOps

from mailer.errors import MailerError
from mailer.issues.manuscript import PictureSource

FILE_LIMIT = 20_000_000  #: bytes of a picture as its author hands it in
PIXEL_LIMIT = 50_000_000  #: of a picture before it is decoded
BUDGET = 1_500_000  #: bytes of all pictures of one mail

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_STEPS = ((1200, 82), (1000, 76), (800, 70), (600, 64))  # widest side across in pixels, JPEG quality


class PictureUnfit(MailerError):
    """The file cannot be shown in a mail."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}. {mend}")
        self.what, self.mend = what, mend


def fit(files: Mapping[str, bytes]) -> tuple[dict[str, PictureSource], dict[str, PictureUnfit]]:
    """Fits pictures together into the budget, as large as they may be, and says which files are none.

    The fitted ones may still be too much together: see `over_budget`.
    """
    fitted, unfit = dict[str, PictureSource](), dict[str, PictureUnfit]()
    for width, quality in _STEPS:
        for name in files.keys() - unfit.keys():
            try:
                fitted[name] = _fitted(name, files[name], width, quality)
            except PictureUnfit as error:
                unfit[name] = error
        if not over_budget(fitted.values()):
            break
    return dict(sorted(fitted.items())), unfit


def over_budget(pictures: Iterable[PictureSource]) -> str | None:
    """The pictures with their sizes, largest first, if they are too much for one mail."""
    largest = sorted(pictures, key=lambda picture: -len(picture.content))
    if sum(len(picture.content) for picture in largest) <= BUDGET:
        return None
    return ", ".join(f"{picture.name} {len(picture.content) // 1000} kB" for picture in largest)


def _fitted(name: str, content: bytes, width: int, quality: int) -> PictureSource:
    if len(content) > FILE_LIMIT:
        raise PictureUnfit(f"the file is larger than {FILE_LIMIT // 1_000_000} MB", "Save it smaller.")
    if name.lower().endswith(".svg"):
        raise PictureUnfit("SVG is not shown by mail programs", "Export it as PNG.")
    # Pillow's decoders raise nearly anything on broken files: SyntaxError, struct.error, IndexError, its own warnings.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _encoded(name, _opened(content), width, quality)
    except PictureUnfit:
        raise
    except Exception as error:
        raise PictureUnfit("the file is not a picture that can be read", "Save it again as JPEG or PNG.") from error


def _opened(content: bytes) -> Image.Image:
    """The picture, upright, in sRGB, on white. Its size is checked before it is decoded."""
    image: Image.Image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if image.width * image.height > PIXEL_LIMIT:
        what = f"the picture has {image.width} × {image.height} pixels, more than {PIXEL_LIMIT // 1_000_000} million"
        raise PictureUnfit(what, "Save it smaller.")
    image.load()
    return _on_white(_in_srgb(ImageOps.exif_transpose(image)))


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile costs the exact colours, not the picture
    return converted or image


def _on_white(image: Image.Image) -> Image.Image:
    """Transparency is filled, so that dark lines stay visible in dark mode. A new image holds no metadata."""
    clean = Image.new("RGB", image.size, "white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        clean.paste(layer, mask=layer)
    else:
        clean.paste(image.convert("RGB"))
    return clean


def _encoded(name: str, image: Image.Image, width: int, quality: int) -> PictureSource:
    image.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
    jpeg = _saved(image, "JPEG", quality=quality, optimize=True, progressive=True)
    # Drawings stay sharp as PNG wherever that is not much larger.
    png = None if name.lower().endswith((".jpg", ".jpeg")) else _saved(image, "PNG", optimize=True)
    as_png = png is not None and len(png) <= 1.5 * len(jpeg)
    return PictureSource(
        name=name,
        media_type="image/png" if as_png else "image/jpeg",
        width=image.width,
        height=image.height,
        content=png if png is not None and as_png else jpeg,
    )


def _saved(image: Image.Image, form: str, **options: int) -> bytes:
    octets = io.BytesIO()
    image.save(octets, form, **options)
    return octets.getvalue()
