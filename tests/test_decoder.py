"""Decoding: every accepted form of a picture gives what a person would see; the rest is refused clearly."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from app.errors import FileTooLarge, InvalidImage, ServiceError, TooManyPixels, UnsupportedFormat
from app.vision import jpeg
from app.vision.decoder import Limits, PixelPicture
from app.vision.decoder import Picture as Upload
from app.vision.geometry import Pixels
from bench.malicious_images import chunk
from tests.helpers import bilevel_bomb, encoded


def read(data: bytes, max_bytes: int = 20 * 2**20, max_pixels: int = 50_000_000) -> Pixels:
    return Upload(data, Limits(max_bytes, max_pixels)).rgb()


def distance(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference in grey levels; infinite when the sizes differ."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF"])
def test_every_accepted_format_is_recognised_by_content(astronaut: Pixels, format: str) -> None:
    image = read(encoded(astronaut, format))
    assert image.dtype == np.uint8
    assert distance(image, astronaut) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(astronaut: Pixels, orientation: int) -> None:
    turned = {
        1: astronaut,
        2: astronaut[:, ::-1],
        3: astronaut[::-1, ::-1],
        4: astronaut[::-1],
        5: astronaut.transpose(1, 0, 2),
        6: np.rot90(astronaut),
        7: np.rot90(astronaut, 2).transpose(1, 0, 2),
        8: np.rot90(astronaut, -1),
    }[orientation][:]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.ascontiguousarray(turned), "PNG", exif=exif)
    assert distance(read(data), astronaut) == 0


@pytest.mark.parametrize(("short_side", "side"), [(513, 512), (256, 256), (171, 256), (128, 128), (60, 64), (16, 16)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF"])
def test_a_picture_is_reduced_by_a_whole_factor(astronaut: Pixels, format: str, short_side: int, side: int) -> None:
    upload = Upload(encoded(astronaut, format, **({"quality": 95} if format == "JPEG" else {})), Limits(10**7, 10**7))
    reduced = upload.rgb(short_side)
    assert (upload.width, upload.height) == (512, 512)
    assert reduced.shape == (side, side, 3)
    expected = Image.fromarray(upload.rgb()).resize(reduced.shape[1::-1], Image.Resampling.BOX)
    assert distance(reduced, np.asarray(expected)) < 3


def test_pixels_are_reduced_as_a_file_is(astronaut: Pixels) -> None:
    limits = Limits(10**7, 10**7)
    for short_side in (None, 600, 200, 100):
        of_file = Upload(encoded(astronaut), limits).rgb(short_side)
        assert (PixelPicture(astronaut, limits).rgb(short_side) == of_file).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("kind", ["L", "RGB", "CMYK", "profile"])
def test_every_kind_of_jpeg_is_reduced_upright(astronaut: Pixels, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if kind == "profile" else None
    image = Image.fromarray(astronaut[:, :400]).convert("RGB" if kind == "profile" else kind)
    data = encoded(image, "JPEG", quality=95, exif=exif, icc_profile=profile)
    upload = Upload(data, Limits(10**7, 10**7))
    assert (upload.width, upload.height) == ((512, 400) if orientation == 6 else (400, 512))
    full = Image.fromarray(upload.rgb()).resize((upload.width // 2, upload.height // 2))
    assert distance(upload.rgb(200), np.asarray(full)) < 5


def test_senseless_orientation_is_ignored(astronaut: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert distance(read(encoded(astronaut, "PNG", exif=exif)), astronaut) == 0


def test_transparency_is_composited_on_white(astronaut: Pixels) -> None:
    alpha = np.full(astronaut.shape[:2], 255, np.uint8)
    alpha[:, :100] = 0
    image = read(encoded(np.dstack([astronaut, alpha])))
    assert (image[:, :100] == 255).all()
    assert distance(image[:, 100:], astronaut[:, 100:]) == 0


def test_a_palette_with_a_transparent_colour_is_composited_on_white() -> None:
    picture = Image.fromarray(np.eye(8, dtype=np.uint8), mode="P")
    picture.putpalette([10, 20, 30, 200, 0, 0])
    image = read(encoded(picture, "PNG", transparency=0))
    assert (image[0, 1] == 255).all()
    assert tuple(image[0, 0]) == (200, 0, 0)


def test_sixteen_bits_are_scaled_not_clipped(astronaut: Pixels) -> None:
    grey = np.asarray(Image.fromarray(astronaut).convert("L"))
    image = read(encoded(Image.fromarray(grey.astype(np.uint16) * 257)))
    assert distance(image[..., 0], grey) == 0


def test_one_bit_is_black_and_white() -> None:
    image = read(encoded(Image.fromarray(np.eye(32, dtype=np.uint8) * 255).convert("1")))
    assert set(np.unique(image)) == {0, 255}


def test_cmyk_looks_like_rgb(astronaut: Pixels) -> None:
    image = read(encoded(Image.fromarray(astronaut).convert("CMYK"), "JPEG", quality=95))
    assert distance(image, astronaut) < 6


def test_a_colour_profile_is_converted(astronaut: Pixels) -> None:
    # Lab's own profile does not fit RGB data, and is left out; a real one changes the samples as littleCMS does.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert distance(read(encoded(astronaut, "PNG", icc_profile=profile)), astronaut) < 1
    misfit = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert distance(read(encoded(astronaut, "PNG", icc_profile=misfit)), astronaut) == 0
    assert distance(read(encoded(astronaut, "PNG", icc_profile=b"no profile")), astronaut) == 0


def exchanged(image: Pixels) -> tuple[bytes, Pixels]:
    """A JPEG whose colour profile exchanges red and blue, and what a person sees of it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for one, other in ((b"rXYZ", b"?XYZ"), (b"bXYZ", b"rXYZ"), (b"?XYZ", b"bXYZ")):
        profile = profile.replace(one, other, 1)
    return encoded(image, "JPEG", quality=95, icc_profile=profile), np.ascontiguousarray(image[..., ::-1])


@pytest.mark.parametrize("short_side", [None, 100])
def test_a_reduced_copy_follows_the_colour_profile(short_side: int | None) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, :100], image[:, 100:] = (250, 20, 20), (20, 20, 250)
    data, seen = exchanged(image)
    copy = Upload(data, Limits(10**7, 10**7)).rgb(short_side)
    side = short_side or 200
    expected = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(copy.astype(int) - expected)) < 6
    assert int(copy[5, -5, 0]) - int(copy[5, 5, 0]) > 30


def test_the_first_frame_of_an_animation_is_taken(astronaut: Pixels) -> None:
    frames = [Image.fromarray(astronaut), Image.new("RGB", (512, 512))]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert distance(read(stream.getvalue()), astronaut) < 10


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidImage),
        (b"just some text", InvalidImage),
        (b"<!doctype html><html><body>no</body></html>", InvalidImage),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormat),
        (b"PK\x03\x04" + bytes(60), InvalidImage),
        (b"II*\0" + bytes(60), UnsupportedFormat),
        (b"\0\0\0\x18ftypheic" + bytes(60), UnsupportedFormat),
        (b"\x89PNG\r\n\x1a\n", InvalidImage),
        (b"\xff\xd8\xff\xe0" + bytes(100), InvalidImage),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20), InvalidImage),
        (b"\0\0\0\x1cftypavif" + bytes(40), InvalidImage),
        (bilevel_bomb(), TooManyPixels),
        (b"x" * 3_000_000, FileTooLarge),
    ],
)
def test_what_cannot_be_shown_is_refused(data: bytes, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        read(data, max_bytes=2_000_000)


TIFF_BY_ANOTHER_NAME = encoded(np.zeros((8, 8, 3), np.uint8), "TIFF").replace(b"*", b"+", 1)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (TIFF_BY_ANOTHER_NAME, "TIFF"),
        (encoded(np.zeros((8, 8, 3), np.uint8), "TGA"), "TGA"),
        (encoded(np.zeros((8, 8, 3), np.uint8), "PPM"), "PPM"),
        (encoded(np.zeros((8, 8, 3), np.uint8), "QOI"), "QOI"),
        (encoded(np.zeros((8, 8, 3), np.uint8), "BMP")[14:], "DIB"),
        (encoded(np.zeros((64, 64, 3), np.uint8), "JPEG").replace(b"\0\x11\x08", b"\0\x11\x0c"), "8 bits"),
        (b"\0\0\0\x18ftypcrx " + bytes(60), "CR3"),
        (b"\0\0\0\x20ftypisom" + bytes(60), "video"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "video"),
    ],
)
def test_a_known_kind_is_refused_by_name(data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedFormat, match=kind):
        read(data)


def bitmap(image: Pixels, alpha: int, masks: tuple[int, ...] = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)) -> bytes:
    """A BMP of version 4, with 32 bits a pixel, as Windows writes it."""
    height, width = image.shape[:2]
    pixels = np.dstack([image[::-1, :, ::-1], np.full((height, width), alpha, np.uint8)]).tobytes()
    head = struct.pack("<IiiHHII16x4I52x", 108, width, height, 1, 32, 3, len(pixels), *masks)
    return struct.pack("<2sI4xI", b"BM", 14 + len(head) + len(pixels), 14 + len(head)) + head + pixels


def test_the_alpha_of_a_bitmap_is_ignored_where_it_is_zero_everywhere(astronaut: Pixels) -> None:
    assert (read(bitmap(astronaut, 0)) == astronaut).all()
    assert (read(bitmap(astronaut, 255)) == astronaut).all()
    half = bitmap(astronaut, 0)[:-4] + b"\0\0\0\xff"
    assert (read(half)[1:] == 255).all()
    with pytest.raises(UnsupportedFormat, match="kind of BMP"):
        read(bitmap(astronaut, 0, masks=(0xFF000000, 0xFF0, 0xFF0000, 0)))


RANDOM_BYTES = np.random.default_rng(0).bytes(1_500_000)


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"iCCP", b"name\0\0" + zlib.compress(RANDOM_BYTES)),
        chunk(b"zTXt", b"name\0\0" + zlib.compress(RANDOM_BYTES)),
        chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(20_000_000))),
        chunk(b"tEXt", b"a\0b")[:-1] + b"x",
        chunk(b"gAMA", b"\0\0\0\1")[:-1] + b"x",
        chunk(b"eXIf", b"II*\0")[:-1] + b"x",
        chunk(b"cHRM", b"xx"),
        chunk(b"pHYs", b"xx"),
        chunk(b"sRGB", b""),
        chunk(b"acTL", b"xx"),
    ],
)
def test_a_png_needs_its_pixels_alone(astronaut: Pixels, damaged: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    layers = Image.fromarray(np.dstack([astronaut, np.full((512, 512), 255, np.uint8)]))
    for data, seen in ((encoded(layers), astronaut), (encoded(astronaut, exif=exif), astronaut[::-1, ::-1])):
        assert (read(data[:33] + damaged + data[33:]) == seen).all()
    with pytest.raises(InvalidImage):
        read((data[:33] + damaged + data[33:]).replace(b"IDAT", b"IDAX"))


def test_a_picture_of_several_views_is_a_jpeg(astronaut: Pixels) -> None:
    image = Image.fromarray(astronaut)
    picture = Upload(encoded(image, "MPO", save_all=True, append_images=[image]), Limits(10**7, 10**7))
    assert picture.format == "JPEG"
    assert picture.rgb(64).shape == (64, 64, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF"])
def test_truncated_files_are_refused_not_half_read(astronaut: Pixels, format: str) -> None:
    data = encoded(astronaut, format)
    for share in (0.9, 0.5, 0.1):
        with pytest.raises(InvalidImage):
            read(data[: int(len(data) * share)])
        with pytest.raises(InvalidImage):
            Upload(data[: int(len(data) * share)], Limits(10**7, 10**7)).rgb(64)


KINDS: dict[str, dict[str, object]] = {
    "sequential": {},
    "progressive": {"progressive": True},
    "with restart markers": {"restart_marker_blocks": 4},
}


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_half_a_jpeg_is_refused_whatever_follows_it(astronaut: Pixels, options: dict[str, object], mode: str) -> None:
    data = encoded(Image.fromarray(astronaut).convert(mode), "JPEG", **options)
    for share in (0.3, 0.6):
        half = data[: int(len(data) * share)].rstrip(b"\xff")
        for end in (b"", b"\xff\xd9", b"\xff\xd9" + bytes(100), bytes(1000) + b"\xff\xd9"):
            for short_side in (None, 64):
                with pytest.raises(InvalidImage, match="truncated"):
                    Upload(half + end, Limits(10**7, 10**7)).rgb(short_side)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("colour", [None, "white", "#808080"])
def test_a_jpeg_that_lacks_only_its_end_is_whole(
    astronaut: Pixels, options: dict[str, object], mode: str, colour: str | None
) -> None:
    image = Image.fromarray(astronaut) if colour is None else Image.new("RGB", (300, 200), colour)
    data = encoded(image.convert(mode), "JPEG", **options)
    whole = Upload(data, Limits(10**7, 10**7))
    for other in (data[:-2], data[:-1], data + b"more\xff\xd9", data + bytes(100)):
        upload = Upload(other, Limits(10**7, 10**7))
        for short_side in (None, 64, None):
            assert (upload.rgb(short_side) == whole.rgb(short_side)).all()


@pytest.mark.parametrize(
    "data", [b"\xff\xd8", b"\xff\xd8\xff\xc2\0\x08\x08\0\1\0\1\0", b"\xff\xd8\xff\xda\0\2", b"text"]
)
def test_what_has_no_scan_can_be_looked_at(data: bytes) -> None:
    assert jpeg.open_ended(data) in (data, None)
