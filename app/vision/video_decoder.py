"""Decodes a video in a process of its own, which may open no file and no connection, and has little of everything else.

    python -m app.vision.video_decoder ORDER <FILE

A decoder of many formats is written in C and reads what strangers send. So this process has the file as its standard
input, and writes what it read to its standard output: a line of JSON, and after that of a sample its pixels. It keeps a
file that comes through a pipe in its memory. `app/vision/video.py` starts it.

PyAV reads the video, because OpenCV seeks by the average frame rate, which misses where the rate varies, and takes the
formats and codecs it may use from a variable of the whole process.
"""

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import av
import av.audio.stream
import av.subtitles.stream
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from app.vision.sampling import Sampler, Sampling, SamplingStep

Input = FileIO | BytesIO

FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")
"""Containers that are read, by FFmpeg's names. None of them opens other files; playlists are not among them."""

CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "mpeg4"})
"""Codecs that are read."""

PROGRESS_SECONDS = 1.0
"""Time after which the process says that it is still at work, in seconds."""

MAX_STREAMS = 32
"""Most tracks of a file."""

MAX_MEMORY = 2**31
"""Address space of the process besides the file, in bytes; a video of 4096x2160 pixels takes a quarter of it."""

THREADS = 2
"""Threads of the decoder."""

CUT = 25
"""Mean difference of luma from one frame to the next, 0..255, from which on there is a cut: the default of FFmpeg's
filter scdet, 10 %."""

_GRID = 16
"""Every so many pixels of a row and rows of a frame are compared."""

_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")

_SHORT = 1
"""Time that a video may end before its header says, in seconds."""


class Unreadable(Exception):
    """The video cannot be read on: the code of an error, and words for people."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


def confine(cpu_seconds: int | None, held: int) -> None:
    """Limit this process for good.

    Args:
        cpu_seconds: its processor time; no limit when None.
        held: bytes of the file that it keeps in memory.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415

    os.nice(10)  # Pictures come first.
    with suppress(OSError):  # Where memory is short, Linux ends this process and not the service.
        Path("/proc/self/oom_score_adj").write_text("1000")
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY + 2 * held),  # Twice while the file grows.
        (resource.RLIMIT_CPU, resource.RLIM_INFINITY if cpu_seconds is None else cpu_seconds),
        (resource.RLIMIT_NOFILE, 3),  # The standard streams: nothing else can be opened, and no socket.
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = min((size for size in (value, hard) if size != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)
        resource.setrlimit(limit, (most, most))


class CutDetector:
    """Notices that a film goes on with another shot, by FFmpeg's measure scdet.

    A cut changes a frame far more than the frame before it was changed; a pan changes every frame alike.
    """

    def __init__(self) -> None:
        self._luma: NDArray[np.uint8] | None = None
        self._change = 0.0

    def cuts(self, frame: VideoFrame) -> bool:
        """Whether there is a cut between the frame before and this one."""
        luma, before = _luma(frame), self._luma
        self._luma = luma
        if before is None or before.shape != luma.shape:
            return before is not None
        change = float(np.abs(luma.astype(np.int16) - before).mean())
        rise, self._change = change - self._change, change
        return min(change, rise) >= CUT


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """Some of the first plane of a frame, which is luma in all common formats: uint8 [h, w]."""
    plane, bits = frame.planes[0], frame.format.components[0].bits
    kind = np.dtype(np.uint8 if bits <= 8 else "<u2")
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)  # type: ignore[call-overload]
    grid = rows[::_GRID, : plane.width : _GRID]
    return np.asarray(grid >> max(bits - 8, 0), np.uint8)


def records(file: Input, order: dict[str, Any]) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8] | None]]:
    """Read a video: a record about it, then the samples with their pixels, uint8 [H, W, 3] RGB, and one of the end.

    Raises:
        Unreadable: there is no video, it is beyond the limits of the order, or it breaks off.
    """
    every = SamplingStep(Fraction(order["step"]), order["unit"])
    end = None if order["end"] is None else Fraction(order["end"])
    sampling = Sampling(every, Fraction(order["start"]), end)
    with _opened(file) as container:
        stream = _stream(container)
        _check_size(stream.codec_context.width, stream.codec_context.height, order["max_pixels"])
        length = _length(stream)
        rate = float(stream.average_rate or stream.base_rate or 25)
        yield {"duration": None if length is None else float(length), "rate": rate}, None
        distance = _key_distance(stream)
        keys_alone = every.unit == "seconds" and 0 < distance <= every.step
        yield from _samples(container, stream, sampling, distance if keys_alone else None, length, order)


def _samples(
    container: InputContainer,
    stream: VideoStream,
    sampling: Sampling,
    distance: Fraction | None,
    length: Fraction | None,
    order: dict[str, Any],
) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8] | None]]:
    sampler, cuts = Sampler(sampling), CutDetector()
    origin, rate = stream.start_time or 0, stream.average_rate or Fraction(25)
    if sampling.start and stream.time_base:
        with suppress(av.error.FFmpegError):  # A file without an index is read from its beginning.
            container.seek(origin + int(sampling.start / stream.time_base), stream=stream)
    number, cut, said, last = 0, False, time.monotonic(), Fraction(0)
    for frame in _frames(container, stream, distance is not None):
        assert frame.time_base is not None
        at = (frame.pts - origin) * frame.time_base if frame.pts is not None else number / rate
        if sampler.ended(at):
            break
        number, last = number + 1, at
        if (most := order["max_seconds"]) is not None and at - sampling.start > most:
            raise Unreadable("video_too_long", f"More than {most:g} seconds of video are not read at once.")
        _check_size(frame.width, frame.height, order["max_pixels"])
        cut = cuts.cuts(frame) or cut
        if sampler.wants(at):
            pixels = np.asarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90), np.uint8)
            height, width = pixels.shape[:2]
            yield {"time": float(at), "cut": cut, "width": width, "height": height}, pixels
            cut, said = False, time.monotonic()
        elif time.monotonic() - said > PROGRESS_SECONDS:
            yield {"frames": number}, None
            said = time.monotonic()
    if not number:
        raise Unreadable("invalid_video", "The video has no readable frame.")
    last += _SHORT + (distance or 1 / rate)
    if length is not None and last < min(length, sampling.end or length):
        raise Unreadable("invalid_video", f"The video breaks off; its header says {float(length):.1f} seconds.")
    yield {"frames": number, "end": True}, None


def _opened(file: Input) -> InputContainer:
    options = {"format_whitelist": ",".join(FORMATS), "max_streams": str(MAX_STREAMS), "protocol_whitelist": "pipe"}
    try:
        return av.open(
            file, "r", container_options=options, io_open=_refuse, buffer_size=2**16, metadata_errors="replace"
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise Unreadable(
            "invalid_video", "The file is not a readable video. MP4, MOV, WebM, MKV and AVI are read."
        ) from error


def _refuse(url: str, flags: int, options: object) -> None:
    raise PermissionError(url)


def _stream(container: InputContainer) -> VideoStream:
    """The video track."""
    pictures = [
        stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic
    ]
    if not pictures:
        raise Unreadable("invalid_video", "The file has no video track.")
    stream = pictures[0]
    name = stream.codec_context.name if stream.codec_context else "an unknown codec"
    if stream.codec_context is None or stream.codec_context.codec.canonical_name not in CODECS:
        known = ", ".join(sorted(CODECS))
        raise Unreadable("invalid_video", f"The video is coded in {name}, which is not read; {known} are.")
    stream.codec_context.thread_count = THREADS
    stream.thread_type = "AUTO"
    return stream


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise Unreadable("too_many_pixels", f"The video has {width} x {height} pixels; at most {most:,} are read.")


def _length(stream: VideoStream) -> Fraction | None:
    """Length of the track by its header, in seconds. Matroska has it in a tag, and AVI as a number of frames."""
    lengths = []
    if stream.duration is not None and stream.time_base is not None:
        lengths.append(stream.duration * stream.time_base)
    if stream.frames and stream.average_rate:
        lengths.append(stream.frames / stream.average_rate)
    if tag := _CLOCK.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(Fraction, tag.groups())
        lengths.append(3600 * hours + 60 * minutes + seconds)
    return max(lengths, default=None)


def _key_distance(stream: VideoStream) -> Fraction:
    """The longest time between two key frames by the index of the file, in seconds; 0 without an index of them."""
    times = sorted(entry.timestamp for entry in stream.index_entries if entry.is_keyframe)
    assert stream.time_base is not None
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return max(gaps, default=0) * stream.time_base


def _frames(container: InputContainer, stream: VideoStream, keys_alone: bool) -> Iterator[VideoFrame]:
    """The frames that can be decoded, in the order of their times. What is damaged is left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet: Packet[VideoStream] | None = next(packets, None)
        except av.error.FFmpegError as error:
            raise Unreadable("invalid_video", f"The video breaks off: {error.strerror}.") from error
        if packet is None:
            return
        if keys_alone and packet.size and not packet.is_keyframe:
            continue
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _input(piped: bool) -> Input:
    """Standard input as a file in which one can seek."""
    given = FileIO(0, closefd=False)
    if not piped:
        return given
    held = BytesIO()
    while part := given.read(2**20):
        held.write(part)
    held.seek(0)
    return held


def main() -> None:
    """Answer the order of the first argument."""
    order = json.loads(sys.argv[1])
    confine(order["cpu_seconds"], order["bytes"] or 0)
    out = sys.stdout.buffer
    try:
        for record, pixels in records(_input(order["bytes"] is not None), order):
            out.write(json.dumps(record).encode() + b"\n")
            if pixels is not None:
                out.write(np.ascontiguousarray(pixels).data)
            out.flush()
    except Unreadable as error:
        out.write(json.dumps({"code": error.code, "words": error.words}).encode() + b"\n")
    except MemoryError:
        out.write(json.dumps({"code": "invalid_video", "words": "The video takes too much memory."}).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
