"""What the service needs of the machine, and how it leaves: no writable file, no network, no rights; SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from bench.server import free_port
from tests.helpers import ROOT, wait_until_ready

pytestmark = pytest.mark.slow

UP = """
import fcntl, socket, struct
with socket.socket() as loopback:
    fcntl.ioctl(loopback, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
"""
BARE = """
set -e
"$0" -c "$UP"
mount --make-rprivate /
mount -t tmpfs -o ro none /dev/shm
mount -o remount,bind,ro /
exec $AS "$0" -c "$DRIVER"
"""
AS_USER_1000 = (
    "setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set -all,+dac_read_search "
    "--inh-caps -all,+dac_read_search --ambient-caps +dac_read_search"
)
"""Reading stays allowed, because the interpreter may lie in another user's folder."""

DRIVER = """
import json, os, subprocess, sys, tempfile, time, urllib.request

try:
    raise SystemExit(f"{tempfile.gettempdir()} can be written")
except FileNotFoundError:
    pass
# matplotlib, which Keras imports if it is there, is not part of the service, and does want to write.
code = "import sys; sys.modules['matplotlib'] = None; from app.__main__ import main; main()"
service = subprocess.Popen([sys.executable, "-c", code], stdout=sys.stderr)
address = "http://127.0.0.1:8000"
while True:
    try:
        urllib.request.urlopen(f"{address}/readyz")
        break
    except OSError:
        assert service.poll() is None, "the service ended while starting"
        time.sleep(0.1)
request = urllib.request.Request(f"{address}/predict", data=sys.stdin.buffer.read())
emotion = json.load(urllib.request.urlopen(request))["emotion"]
service.terminate()
print(json.dumps({"emotion": emotion, "user": os.getuid(), "code": service.wait(20)}))
"""


@pytest.mark.parametrize("engine", ["keras", "litert"])
def test_it_serves_without_a_writable_file_or_a_network(engine: str, portrait: bytes) -> None:
    root = os.geteuid() == 0
    command = ["unshare", *([] if root else ["--map-root-user"]), "--mount", "--net", "sh", "-c", BARE, sys.executable]
    environment = {**os.environ, "UP": UP, "DRIVER": DRIVER, "AS": AS_USER_1000 if root else "", "HOME": "/nonexistent"}
    environment |= {"EMOTION_ENGINE": engine, "EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": "8000"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, input=portrait, capture_output=True, timeout=200, check=False
    )
    assert result.returncode == 0, result.stderr.decode()
    answer = json.loads(result.stdout)
    assert (answer["emotion"], answer["code"]) == ("happy", 0)
    assert b"temporary directory" not in result.stderr
    if root:
        assert answer["user"] == 1000


@contextmanager
def started(**settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A service of its own on the engine that starts fast: its address and its process."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": str(port), "EMOTION_ENGINE": "litert"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment | settings, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def test_told_to_stop_under_load_it_answers_what_it_has_admitted(portrait: bytes) -> None:
    files = [("files", portrait)] * 16
    with started() as (url, process), ThreadPoolExecutor(4) as pool:
        batches = [pool.submit(httpx2.post, f"{url}/predict/batch", files=files, timeout=60) for _ in range(4)]
        while "expressions_in_flight_pictures 64.0" not in httpx2.get(f"{url}/metrics").text:
            assert not all(batch.done() for batch in batches), "too fast to catch"
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for batch in batches:
            results = batch.result().json()["results"]
            assert [result["faces"][0]["emotion"] for result in results] == ["happy"] * 16
        assert process.wait(20) == 0
        assert time.monotonic() - told < 20


def test_a_client_that_never_ends_does_not_keep_it_from_stopping(portrait: bytes) -> None:
    with started(EMOTION_STOP_SECONDS="1") as (url, process):
        address = urlsplit(url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nsome")
            assert httpx2.post(f"{url}/predict", content=portrait, timeout=60).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def written(process: subprocess.Popen[bytes]) -> int:
    """Bytes that a process has given to files, pipes and terminals; what it sends through sockets is not among them."""
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def files(process: subprocess.Popen[bytes]) -> list[str]:
    """What a process has open, other than sockets and pipes."""
    opened = [os.readlink(file) for file in Path(f"/proc/{process.pid}/fd").iterdir()]
    return sorted(file for file in opened if file.startswith("/"))


def test_nothing_of_a_hundred_large_pictures_is_written_anywhere(portrait: bytes) -> None:
    segment = b"\xff\xfe" + (65_002).to_bytes(2, "big") + bytes(65_000)
    large = portrait[:2] + segment * 235 + portrait[2:]
    assert len(large) > 15_000_000
    with started() as (url, process):
        before, opened = written(process), files(process)
        with httpx2.Client(base_url=url, timeout=60) as client:
            for number in range(100):
                upload: dict[str, Any] = {"content": large} if number % 2 else {"files": {"file": ("name.jpg", large)}}
                assert client.post("/predict", **upload).json()["emotion"] == "happy"
        lines = 100 * 1000
        assert written(process) - before < lines
        assert files(process) == opened
