"""Decodes picture files into upright pixels, within limits.

The content of a file tells its format; its name and declared type are ignored.
"""

import math
import re
import struct
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from app.errors import FileTooLarge, InvalidImage, TooManyPixels, UnsupportedFormat
from app.vision import image_guard, jpeg, memory

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF")
"""Accepted formats, by Pillow's names. An animation counts as its first frame."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".bmp", ".gif"})
"""Suffixes of the files that are read from folders and archives. A file given by its own path is always tried."""

_ACCEPTED = "JPEG, PNG, WebP, AVIF, BMP and GIF"

_OTHERS = (
    ("TIFF", 0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("HEIC", 4, (b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftypmif1", b"ftypmsf1", b"ftyphevc")),
    ("JPEG XL", 0, (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    ("JPEG 2000", 0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("Photoshop", 0, (b"8BPS",)),
    ("icon", 0, (b"\0\0\1\0",)),
    ("PDF", 0, (b"%PDF",)),
    ("PCX", 0, (b"\x0a\x05\x01",)),
    ("QOI", 0, (b"qoif",)),
    ("TGA", -18, (b"TRUEVISION-XFILE.",)),
    ("PPM", 0, tuple(b"P%d%c" % (kind, space) for kind in range(1, 8) for space in b" \n\r\t")),
    ("A bitmap without its file header (DIB)", 0, (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0")),
    ("A PNG for iOS alone (CgBI)", 12, (b"CgBI",)),
    ("CR3", 4, (b"ftypcrx",)),
    ("A video", 4, (b"ftypiso", b"ftypmp4", b"ftypavc1", b"ftypM4V", b"ftypMSNV", b"ftypqt", b"ftyp3g", b"ftypdash")),
    ("A video", 0, (b"\x1a\x45\xdf\xa3",)),
)
"""Formats that are refused by name: name, offset and signatures. A negative offset counts from the end."""

_DEEP_JPEG = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\0[\x0b-\x20][\x02-\x07\x09-\x10]")
"""Frame header of a JPEG whose samples do not have 8 bits."""

_BASE64 = (b"data:image/", b"/9j/", b"iVBORw0KGgo", b"UklGR", b"R0lGOD", b"AAAA")
"""First bytes of a picture in base64, and of a `data:` URL that holds one."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIDEWAYS = range(5, 9)
"""EXIF orientations that swap width and height."""

_CORRUPT = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
)
"""Errors that Pillow's decoders raise on corrupt files."""

_TRUNCATED = "The picture is truncated or corrupt."

LARGE = 16_000_000
"""Pixels above which a picture's memory goes back to the system right after decoding."""

_STRIP = 256
"""Rows that are converted at a time."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


class Limits(NamedTuple):
    """Limits of one picture. Each is checked before the work that it bounds.

    Attributes:
        max_bytes: largest file, in bytes.
        max_pixels: largest picture, width x height.
    """

    max_bytes: int
    max_pixels: int

    def check_size(self, width: int, height: int) -> None:
        """Raise TooManyPixels if a picture is too large."""
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"The picture of {width} x {height} pixels is larger than {self.max_pixels / 1e6:.3g} megapixels, the "
                "most that is taken. Try a smaller copy."
            )


def is_picture(name: str) -> bool:
    """Whether a file name has the suffix of a picture."""
    return Path(name).suffix.lower() in SUFFIXES


class PixelPicture:
    """A picture that is already decoded, with the methods of `Picture`.

    Attributes:
        width, height: in pixels.
        format: `pixels`.
    """

    format = "pixels"

    def __init__(self, pixels: NDArray[np.uint8], limits: Limits) -> None:
        """Check the size.

        Args:
            pixels: uint8 [H, W, 3] RGB, upright, 0..255.
            limits: only the limit of pixels applies.

        Raises:
            TooManyPixels.
        """
        self._pixels = pixels
        self.height, self.width = pixels.shape[:2]
        limits.check_size(self.width, self.height)

    def rgb(self, short_side: int | None = None) -> NDArray[np.uint8]:
        """The pixels, reduced by the largest whole factor that keeps the shorter side at `short_side` or more."""
        factor = _whole_factor(self.width, self.height, short_side)
        return self._pixels if factor == 1 else np.asarray(Image.fromarray(self._pixels).reduce(factor))


class Picture:
    """A picture file with a valid header. Its pixels are decoded on demand.

    Attributes:
        width, height: size of the upright picture, in pixels.
        format: one of `FORMATS`.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        """Check the header.

        Args:
            data: a JPEG, PNG, WebP, AVIF, BMP or GIF file.
            limits: the limit of bytes is checked before the header is parsed, that of pixels before any is decoded.

        Raises:
            InvalidImage, UnsupportedFormat, FileTooLarge, TooManyPixels.
        """
        if len(data) > limits.max_bytes:
            raise FileTooLarge(limits.max_bytes)
        if not data:
            raise InvalidImage("The file is empty.")
        turned = image_guard.check(data)
        self._data, self._open_ended = data, False
        with self._open() as picture:
            self.format = "JPEG" if isinstance(picture, JpegImageFile) else str(picture.format)
            width, height = picture.size
            limits.check_size(width, height)
            orientation = _orientation(picture) if turned else 1
        self._turn = _UPRIGHT.get(orientation)
        self.width, self.height = (height, width) if orientation in _SIDEWAYS else (width, height)

    def rgb(self, short_side: int | None = None) -> NDArray[np.uint8]:
        """Decode the picture as a viewer would show it.

        The EXIF orientation is applied, transparency is composited on white, an embedded colour profile is converted
        to sRGB, and 16-bit samples are scaled to 8.

        Args:
            short_side: minimum length of the shorter side. The picture is reduced by a whole factor, a JPEG first by a
                power of two while it is decoded. Full size when None.

        Returns:
            uint8 [h, w, 3], 0..255; h and w are those of the picture or a fraction of them.

        Raises:
            InvalidImage: it is truncated or corrupt.
        """
        try:
            return self._decoded(short_side)
        finally:
            if self.width * self.height > LARGE:
                memory.trim()

    def _decoded(self, short_side: int | None) -> NDArray[np.uint8]:
        colours = self._loaded(short_side)
        return self._upright(_to_rgb(colours, _whole_factor(*colours.size, short_side)))

    def _open(self) -> ImageFile.ImageFile:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is one for the process; `Limits` has that of a picture.
        try:
            return Image.open(BytesIO(self._data), formats=FORMATS)
        except _CORRUPT as error:
            essential = image_guard.essential_png(self._data)
            if len(essential) == len(self._data):
                raise _refusal(self._data, error, "The picture's header is corrupt.") from error
            self._data = essential
            return self._open()

    def _loaded(self, short_side: int | None) -> Image.Image:
        with self._open() as picture:
            if short_side is not None and isinstance(picture, JpegImageFile):
                width, height = picture.size
                factor = short_side / min(width, height)
                picture.draft(None, (math.ceil(width * factor), math.ceil(height * factor)))
            try:
                picture.load()
            except _CORRUPT as error:
                if not self._end_opened():
                    raise _refusal(self._data, error, _TRUNCATED) from error
                return self._loaded(short_side)
        if isinstance(picture, JpegImageFile):
            last = picture.width - 1, picture.height - 1
            suspect = picture.info.get("progressive") or jpeg.ends_in_grey(picture.getpixel(last))
            return self._loaded(short_side) if suspect and self._end_opened() else picture
        if picture.format == "BMP" and picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (0, 0):
            return picture.convert("RGB")  # An alpha channel of zeros only is unused.
        return picture

    def _end_opened(self) -> bool:
        """Change the data of a JPEG once, so that it cannot be decoded where lines are missing; whether it changed.

        Raises:
            InvalidImage: scans are missing.
        """
        if self._open_ended:
            return False
        before, self._open_ended = self._data, True
        after = jpeg.open_ended(before)
        if after is None:
            raise InvalidImage(_TRUNCATED)
        self._data = after
        return after is not before

    def _upright(self, picture: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(picture if self._turn is None else picture.transpose(self._turn))


def _whole_factor(width: int, height: int, short_side: int | None) -> int:
    """The largest whole factor that keeps the shorter side at `short_side` or more."""
    return max(min(width, height) // short_side, 1) if short_side is not None else 1


def _refusal(data: bytes, error: Exception, otherwise: str) -> InvalidImage | UnsupportedFormat:
    """The error for a file that Pillow cannot read. It names the kind of file if that is known."""
    if kind := _kind(data, str(error)):
        return UnsupportedFormat(f"{kind} is not supported; {_ACCEPTED} are.")
    if data.startswith(_BASE64):
        return InvalidImage('The picture is base64 text; send the bytes themselves, or JSON: {"image": "<base64>"}.')
    if isinstance(error, UnidentifiedImageError):
        return InvalidImage(f"The file is not a picture of a known format; {_ACCEPTED} are supported.")
    return InvalidImage(otherwise)


def _kind(data: bytes, problem: str) -> str | None:
    for name, place, signatures in _OTHERS:
        if data[place:].startswith(signatures):
            return name
    if b"<svg" in data[:1024].lower():
        return "SVG"
    if data.startswith(b"\xff\xd8") and _DEEP_JPEG.search(data):
        return "A JPEG of other than 8 bits a sample"
    if data.startswith(b"BM") and "Unsupported" in problem:
        return "This kind of BMP"
    return None


def _orientation(picture: ImageFile.ImageFile) -> int:
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except _CORRUPT:
        return 1


def _to_rgb(picture: Image.Image, factor: int) -> Image.Image:
    """Convert and reduce a picture; a reduction works in strips, because each conversion makes a copy."""
    if factor == 1:
        return _colours(picture)
    width, height = picture.size
    reduced = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    rows = factor * math.ceil(_STRIP / factor)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        reduced.paste(_colours(strip).reduce(factor), (0, top // factor))
    return reduced


def _colours(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        samples = np.asarray(picture).astype(np.float32) / 257
        return Image.fromarray(np.clip(samples, 0, 255).round().astype(np.uint8)).convert("RGB")
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    if picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    return _to_srgb(picture, profile) if profile else picture.convert("RGB")


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, *_CORRUPT):
        converted = None  # An unreadable profile, or one for another colour space, is ignored.
    return picture.convert("RGB") if converted is None else converted
