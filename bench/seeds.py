"""Makes a dozen small picture files as seeds for fuzzing, one for each kind that the decoder knows."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SIDE = (48, 64)


def seeds() -> dict[str, bytes]:
    """Files of a gradient with noise, by name."""
    random = np.random.default_rng(0)
    pixels = np.indices(SIDE).sum(axis=0)[..., None] + random.integers(0, 90, (*SIDE, 3))
    colour = Image.fromarray(pixels.astype(np.uint8))
    grey = colour.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "baseline JPEG, turned": _file(colour, "JPEG", exif=exif),
        "progressive JPEG with a profile": _file(colour, "JPEG", progressive=True, icc_profile=profile),
        "CMYK JPEG": _file(colour.convert("CMYK"), "JPEG"),
        "PNG with transparency": _file(colour.convert("RGBA"), "PNG", exif=exif),
        "PNG with a palette": _file(colour.convert("P"), "PNG", transparency=0),
        "PNG of 16 bits": _file(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG"),
        "PNG of one bit": _file(grey.convert("1"), "PNG"),
        "lossy WebP": _file(colour, "WEBP", exif=exif),
        "lossless WebP": _file(colour.convert("RGBA"), "WEBP", lossless=True),
        "AVIF": _file(colour, "AVIF", speed=10),
        "BMP": _file(colour, "BMP"),
        "animated GIF": _file(grey, "GIF", save_all=True, append_images=[grey.rotate(90)]),
    }


def _file(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()
