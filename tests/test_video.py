"""Videos: the right frames at exact times, whatever the format; and files that harm nobody."""

import asyncio
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import ServiceError, TooManyPixels, VideoTooLong
from app.vision.sampling import Sampling, SamplingStep
from app.vision.video import Sample, Video, VideoLimits, reading
from bench.clips import encoded, shot

LIMITS = VideoLimits(pixels=9_000_000, stall_seconds=30)
Pixels = NDArray[np.uint8]


def read(
    source: bytes | Path,
    every: str = "0.5s",
    start: float = 0,
    end: float | None = None,
    limits: VideoLimits = LIMITS,
) -> tuple[Video, list[Sample]]:
    """A video that was read, and its samples."""
    sampling = Sampling(SamplingStep.parse(every), Fraction(start), None if end is None else Fraction(end))

    async def samples() -> tuple[Video, list[Sample]]:
        async with reading(source, sampling, limits) as video:
            return video, [sample async for sample in video.samples()]

    return asyncio.run(samples())


def shades(count: int, size: tuple[int, int] = (64, 48)) -> list[Pixels]:
    """Frames that tell their number by their shade: 40, 44, ..."""
    return [np.full((size[1], size[0], 3), 40 + 4 * (number % 50), np.uint8) for number in range(count)]


def shade(sample: Sample) -> float:
    return float(sample.pixels.mean())


@pytest.mark.parametrize(
    ("step", "rate"),
    [("0.1", 24), ("0.7", 24), ("0.3", 25), ("0.5s", 25), ("0.1", 30), ("0.7", 30), ("1s", 60), ("0.3", 120)],
)
def test_a_sample_is_the_first_frame_at_or_after_each_multiple(step: str, rate: int) -> None:
    _, samples = read(encoded(shades(2 * rate), rate, preset="ultrafast"), step)
    exact = Fraction(step.removesuffix("s")) * rate
    numbers = [math.ceil(number * exact) for number in range(math.ceil(2 * rate / exact))]
    assert [sample.time for sample in samples] == pytest.approx([number / rate for number in numbers], abs=1e-4)
    assert list(map(shade, samples)) == pytest.approx([40 + 4 * (number % 50) for number in numbers], abs=3)


FORMS = [
    ("libx264", "mp4"),
    ("libx264", "mov"),
    ("libx264", "matroska"),
    ("libx265", "mp4"),
    ("libvpx", "webm"),
    ("libvpx-vp9", "webm"),
    ("libsvtav1", "mp4"),
    ("mjpeg", "avi"),
    ("mpeg4", "avi"),
    ("mpeg4", "mp4"),
]


@pytest.mark.parametrize(("codec", "form"), FORMS)
def test_every_format_gives_the_same_samples(codec: str, form: str) -> None:
    video, samples = read(encoded(shades(30), 10, codec, form), "0.7s")
    assert [sample.time for sample in samples] == pytest.approx([0, 0.7, 1.4, 2.1, 2.8])
    assert list(map(shade, samples)) == pytest.approx([40 + 4 * number for number in (0, 7, 14, 21, 28)], abs=4)
    assert video.frames == 30
    assert video.duration is None or video.duration == pytest.approx(3, abs=0.05)


def test_frames_of_a_varying_rate_have_their_own_times() -> None:
    times = [0, 0.04, 0.3, 0.9, 1.0, 1.49, 1.5, 2.2]
    _, samples = read(encoded(shades(8), times=times))
    assert [sample.time for sample in samples] == pytest.approx([0, 0.9, 1.0, 1.5, 2.2])
    assert list(map(shade, samples)) == pytest.approx([40, 52, 56, 64, 68], abs=3)


def test_every_tenth_frame_and_every_frame_can_be_asked_for() -> None:
    file = encoded(shades(30), 10)
    assert [sample.time for sample in read(file, "10f")[1]] == pytest.approx([0, 1, 2])
    assert len(read(file, "1f")[1]) == len(read(file, "0.001s")[1]) == 30


def test_a_part_is_read_from_its_first_moment_to_its_last() -> None:
    file = encoded(shades(50), 10, g="5")
    video, samples = read(file, "0.4s", 1.23, 2.5)
    assert [sample.time for sample in samples] == pytest.approx([1.3, 1.7, 2.1, 2.5])
    assert list(map(shade, samples)) == pytest.approx([40 + 4 * number for number in (13, 17, 21, 25)], abs=3)
    assert video.frames < 20
    assert read(file, "0.4s", 60)[1] == []


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_phones_video_is_upright(rotation: int) -> None:
    """A player turns the frame clockwise, so the bright corner at the top left moves."""
    frame = np.full((48, 64, 3), 60, np.uint8)
    frame[:24, :32] = 220
    (sample,) = read(encoded([frame] * 3, rotation=rotation))[1]
    upright = np.rot90(frame, -rotation // 90)
    assert sample.pixels.shape == upright.shape
    assert sample.pixels.astype(int) == pytest.approx(upright.astype(int), abs=40)


def test_key_frames_suffice_for_long_steps() -> None:
    """Every fifth frame is a key frame; the others are not decoded where a second passes between samples."""
    file = encoded(shades(50), 10, g="5", sc_threshold="0")
    video, samples = read(file, "1s")
    assert [sample.time for sample in samples] == pytest.approx([0, 1, 2, 3, 4])
    assert list(map(shade, samples)) == pytest.approx([40 + 40 * number for number in range(5)], abs=3)
    assert video.frames == 10
    assert read(file, "0.4s")[0].frames == 50


def test_cuts_are_noticed_and_pans_are_none(astronaut: Pixels, hopper: Pixels) -> None:
    left, right = (0, 0, 0.6, 0.6), (0.4, 0, 0.6, 0.6)
    size = (320, 240)
    frames = [*shot(astronaut, size, 30, left, right), *shot(hopper, size, 30, left, right)]
    _, samples = read(encoded(frames, 15))
    assert [sample.cut for sample in samples] == [False, False, False, False, True, False, False, False]


def test_a_file_on_disk_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(encoded(shades(30), 10))
    assert [sample.time for sample in read(path, "1s")[1]] == pytest.approx([0, 1, 2])
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("text", "step", "unit"), [("0.5", 0.5, "seconds"), ("2s", 2, "seconds"), ("10f", 10, "frames")]
)
def test_steps_are_seconds_or_frames(text: str, step: float, unit: str) -> None:
    assert tuple(SamplingStep.parse(text)) == (step, unit)


@pytest.mark.parametrize("text", ["", "0", "-1s", "0f", "1.5f", "nan", "inf", "often", "1e-9", "9" * 50, "٣s"])
def test_a_senseless_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as argparse wants it
        SamplingStep.parse(text)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (LIMITS._replace(pixels=64 * 48 - 1), TooManyPixels),
        (LIMITS._replace(seconds=2.9), VideoTooLong),
        (LIMITS._replace(samples=5), VideoTooLong),
    ],
    ids=["pixels", "seconds", "samples"],
)
def test_limits_are_told_before_anything_is_decoded(limits: VideoLimits, error: type[ServiceError]) -> None:
    file = encoded(shades(30), 10)
    with pytest.raises(error):
        read(file, limits=limits)
    assert read(file, limits=VideoLimits(64 * 48, 30, seconds=3, samples=6))[1]
