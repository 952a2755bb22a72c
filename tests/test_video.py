"""Videos: the right frames at exact times, whatever the format; and files that harm nobody."""

import asyncio
import errno
import math
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidVideo, ServiceError, TooManyPixels, VideoTooLong
from app.vision.sampling import Sampling, SamplingStep
from app.vision.video import Sample, Video, VideoLimits, reading
from bench.clips import encoded, shot
from tests.helpers import ROOT, children

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
        async with reading(deque([source]) if isinstance(source, bytes) else source, sampling, limits) as video:
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


def cut_short(form: str, codec: str) -> bytes:
    file = encoded(shades(100), 10, codec, form)
    return file[: len(file) // 2]


@pytest.mark.parametrize(("form", "codec"), [("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mjpeg")])
def test_a_file_that_is_cut_short_says_so_after_its_samples(form: str, codec: str) -> None:
    sampling = Sampling(SamplingStep.parse("1s"))
    times = []

    async def samples() -> None:
        async with reading(deque([cut_short(form, codec)]), sampling, LIMITS) as video:
            async for sample in video.samples():
                times.append(sample.time)

    with pytest.raises(InvalidVideo, match="breaks off"):
        asyncio.run(samples())
    assert times == pytest.approx(list(range(len(times))))
    assert 2 <= len(times) <= 7


def without_video(form: str = "mp4") -> bytes:
    """A second of silence."""
    file = BytesIO()
    with av.open(file, "w", form) as container:
        sound = container.add_stream("aac", 44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        for _ in range(40):
            frame.pts = None
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return file.getvalue()


def with_tracks(count: int) -> bytes:
    """A video whose header repeats its track."""
    file = encoded(shades(5))
    head, track = file.rindex(b"moov") - 4, file.rindex(b"trak") - 4
    size = int.from_bytes(file[track : track + 4])
    total = int.from_bytes(file[head : head + 4]) + (count - 1) * size
    return (
        file[:head] + total.to_bytes(4) + file[head + 4 : track] + count * file[track : track + size]
        + file[track + size :]
    )  # fmt: skip


def with_size(width: int, height: int) -> bytes:
    """An AVI of JPEGs whose headers say that they have another size."""
    file = encoded(shades(3), 10, "mjpeg", "avi")
    old, new = ((struct.pack("<ii", *size), struct.pack(">HH", *size[::-1])) for size in ((64, 48), (width, height)))
    return file.replace(old[0], new[0]).replace(b"\x08" + old[1], b"\x08" + new[1])


def without_end() -> bytes:
    """An AVI whose header promises a million frames."""
    file = encoded(shades(30), 10, "mjpeg", "avi")
    return file.replace(struct.pack("<I", 30), struct.pack("<I", 1_000_000))


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{address}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL></MPD>',
    "smil": '<smil><body><video src="{address}"/></body></smil>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_lists_of_other_files_are_no_videos(kind: str, tmp_path: Path) -> None:
    """They name a file that there is, and a host that would notice."""
    (tmp_path / "clip.mp4").write_bytes(encoded(shades(5)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        host = f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4"
        for address in (host, str(tmp_path / "clip.mp4"), f"file:{tmp_path}/clip.mp4"):
            with pytest.raises(InvalidVideo):
                read(PLAYLISTS[kind].format(address=address).encode())
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_process_that_decodes_can_open_nothing() -> None:
    program = (
        "import socket; from app.vision.video_decoder import confine; confine(5, 0)\n"
        "for act in (lambda: open('/etc/hostname'), lambda: open('/tmp/new', 'w'), socket.socket):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno)\n"
        "try: bytearray(3 * 2**30)\n"
        "except MemoryError: print('memory')\n"
        "while True: pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", program.replace("confine(5", "confine(2")], cwd=ROOT, capture_output=True, check=False
    )
    assert done.stdout.decode().split() == [*3 * [str(errno.EMFILE)], "memory"]
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (b"", InvalidVideo),
        (b"text", InvalidVideo),
        (b"\0\0\0\x18ftypmp42" + bytes(1000), InvalidVideo),
        (b"1\n00:00:00,000 --> 00:00:01,000\nWords\n", InvalidVideo),
        (encoded(shades(30))[:-100], InvalidVideo),
        (without_video(), InvalidVideo),
        (without_video("matroska"), InvalidVideo),
        (encoded(shades(3), codec="ffv1", form="matroska"), InvalidVideo),
        (encoded(shades(3), form="flv"), InvalidVideo),
        (with_tracks(33), InvalidVideo),
        (with_tracks(10_000), InvalidVideo),
        (with_size(16384, 16384), InvalidVideo),
        (with_size(4000, 3000), TooManyPixels),
    ],
    ids=[
        "empty",
        "text",
        "header",
        "subtitles",
        "cut",
        "sound",
        "sound-mkv",
        "codec",
        "container",
        "33 tracks",
        "tracks",
        "huge",
        "large",
    ],
)
def test_what_is_no_video_or_too_much_of_one_is_refused(file: bytes, error: type[ServiceError]) -> None:
    with pytest.raises(error) as caught:
        read(file)
    assert len(str(caught.value)) > 20


def test_a_header_that_promises_too_much_is_not_believed() -> None:
    with pytest.raises(VideoTooLong):
        read(without_end(), limits=LIMITS._replace(seconds=1800))
    assert len(read(without_end(), "1s", end=2)[1]) == 3
    with pytest.raises(InvalidVideo, match="breaks off"):
        read(without_end(), "1s")


def test_a_video_without_a_length_ends_where_its_limits_are() -> None:
    """As browsers record them."""
    file = encoded(shades(40), 10, "libvpx", "webm", live="1")
    assert read(file)[0].duration is None
    for limits in (LIMITS._replace(seconds=2), LIMITS._replace(samples=3)):
        with pytest.raises(VideoTooLong):
            read(file, limits=limits)


def test_the_smallest_frames_are_read() -> None:
    (sample,) = read(encoded([np.full((1, 1, 3), 200, np.uint8)] * 3, codec="libvpx", form="webm"))[1]
    assert sample.pixels.shape == (1, 1, 3)


def test_a_decoder_that_dies_or_hangs_is_an_invalid_video() -> None:
    file, others = encoded(shades(300, (640, 480)), 10), children()

    async def killed(way: int, limits: VideoLimits) -> None:
        async with reading(deque([file]), Sampling(SamplingStep.parse("0.1s")), limits) as video:
            (child,) = children() - others
            async for sample in video.samples():
                if sample.time > 1:
                    child.send_signal(way)

    with pytest.raises(InvalidVideo, match="damaged"):
        asyncio.run(killed(signal.SIGKILL, LIMITS))
    with pytest.raises(InvalidVideo, match="no progress"):
        asyncio.run(killed(signal.SIGSTOP, LIMITS._replace(stall_seconds=0.5)))
    assert children() - others == set()


def test_no_more_is_decoded_than_is_asked_for() -> None:
    """A reader that waits keeps the decoder waiting."""
    file, others = encoded(shades(300, (640, 480)), 30), children()

    async def waiting() -> tuple[float, float]:
        async with reading(deque([file]), Sampling(SamplingStep.parse("1f")), LIMITS) as video:
            (child,) = children() - others
            await anext(video.samples())
            await asyncio.sleep(0.5)
            before = sum(child.cpu_times()[:2])
            await asyncio.sleep(0.5)
            return before, sum(child.cpu_times()[:2])

    before, after = asyncio.run(waiting())
    assert after - before < 0.05


def test_a_part_of_a_video_without_an_index_is_read() -> None:
    _, samples = read(encoded(shades(40), 10, "libvpx", "webm", live="1"), "1s", 1.5, 3.5)
    assert [sample.time for sample in samples] == pytest.approx([1.5, 2.5, 3.5])
    assert list(map(shade, samples)) == pytest.approx([100, 140, 180], abs=4)
