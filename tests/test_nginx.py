"""The service behind a real nginx, as deploy/README.md sets it up and with its defaults. Needs nginx (nginx-light)."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from app.main import create_app
from app.settings import Settings
from bench.server import free_port
from tests.helpers import ROOT, check_problem, parts, serving

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

(DOCUMENTED,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "deploy" / "README.md").read_text(), re.DOTALL)

MAIN = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {rest}
}}
"""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with serving(create_app(Settings(), parts())) as url:
        yield url


@contextmanager
def nginx(folder: Path, configuration: str, port: int) -> Iterator[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(MAIN.format(user=user, folder=folder, rest=configuration))
    process = subprocess.Popen([str(NGINX), "-e", f"{folder}/errors", "-c", str(file)])
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx2.get(f"{url}/livez")
                break
            except httpx2.TransportError:
                assert process.poll() is None, (folder / "errors").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def as_documented(service: str, folder: Path) -> Iterator[str]:
    port = free_port()
    own = DOCUMENTED.replace("127.0.0.1:8000", service.removeprefix("http://"))
    with nginx(folder, own.replace("listen 8080", f"listen 127.0.0.1:{port}"), port) as url:
        yield url


@pytest.fixture
def documented(service: str, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx as it is documented."""
    with as_documented(service, tmp_path) as url:
        yield url


@contextmanager
def located(service: str, folder: Path, location: str, *lines: str) -> Iterator[str]:
    """An nginx with its defaults and these lines."""
    port = free_port()
    body = "\n".join(f"{line};" for line in (f"proxy_pass {service}/", *lines))
    server = f"server {{ listen 127.0.0.1:{port}; client_max_body_size 97m; location {location} {{ {body} }} }}"
    with nginx(folder, server, port) as url:
        yield url


UPGRADE = ("proxy_http_version 1.1", "proxy_set_header Upgrade $http_upgrade", "proxy_set_header Connection upgrade")


def frame(url: str, origin: str) -> str:
    """What a page of `origin` is answered to a frame that is no picture."""
    with connect(f"{url.replace('http', 'ws', 1)}/live", origin=Origin(origin), compression=None) as live:
        live.send(b"no picture")
        return str(live.recv(timeout=30))


def test_the_documented_lines_serve_pictures_and_the_camera_of_the_page(documented: str, portrait: bytes) -> None:
    assert httpx2.post(f"{documented}/predict", files={"file": portrait}).json()["emotion"] == "happy"
    assert "invalid_image" in frame(documented, documented)


@pytest.mark.slow
def test_a_camera_on_a_connection_that_served_requests_stays_open(tmp_path: Path) -> None:
    app, short = create_app(Settings(), parts()), 0.4
    with serving(app, head_seconds=short, body_seconds=short) as service, as_documented(service, tmp_path) as url:
        for _ in range(3):
            assert httpx2.get(f"{url}/livez").status_code == 200
        with connect(f"{url.replace('http', 'ws', 1)}/live", compression=None) as live:
            for _ in range(5):
                live.send(b"no picture")
                assert "invalid_image" in live.recv(timeout=30)
                time.sleep(short)


@pytest.mark.parametrize(("path", "status"), [("/predict", 413), ("/predict/annotated", 413), ("/nothing", 404)])
def test_a_body_that_is_too_large_is_answered_by_the_service(documented: str, path: str, status: int) -> None:
    answer = httpx2.post(f"{documented}{path}", content=bytes(90 * 2**20), timeout=60)
    check_problem(answer, status, {404: "not_found", 413: "file_too_large"}[status])


def test_a_body_is_answered_on_a_connection_that_nginx_closes(service: str, tmp_path: Path) -> None:
    with located(service, tmp_path, "/") as url:  # HTTP/1.0, and Connection: close.
        for _ in range(3):
            answer = httpx2.post(f"{url}/predict", content=bytes(45_000_000), timeout=60)
            check_problem(answer, 413, "file_too_large")


def test_the_camera_works_where_the_port_is_left_out(service: str, tmp_path: Path) -> None:
    with located(service, tmp_path, "/", *UPGRADE, "proxy_set_header Host $host") as url:
        assert "invalid_image" in frame(url, url)


def test_a_page_whose_host_is_hidden_is_told_which_header_mends_it(service: str, tmp_path: Path) -> None:
    with located(service, tmp_path, "/", *UPGRADE) as url, pytest.raises(ConnectionClosed) as caught:
        frame(url, url.replace("127.0.0.1", "localhost"))
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4403
    assert "proxy_set_header Host $http_host" in caught.value.rcvd.reason


def test_below_a_path_a_slash_at_the_end_leads_nowhere_else(service: str, tmp_path: Path, portrait: bytes) -> None:
    with located(service, tmp_path, "/faces/") as url:
        answer = httpx2.post(f"{url}/faces/predict/", content=portrait)
        assert (answer.status_code, answer.json()["emotion"]) == (200, "happy")
