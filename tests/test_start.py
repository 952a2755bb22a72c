"""What keeps the service from starting, and how it says so; how it stops."""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app import __version__
from app.__main__ import COMMANDS
from app.bootstrap import load, load_classifier
from app.errors import StartError
from app.main import create_app
from app.model.card import LICENCE, NOT_KNOWN, Card, digest, read_card
from app.model.classifier import Classifier
from app.model.use_policy import IN_WORDS, USE_POLICY
from app.settings import MOST_PIXELS, Settings, cannot
from app.vision import memory
from app.vision.blazeface import BlazeFace
from app.vision.detector import FaceDetector, FoundFace
from app.vision.haar import HaarDetector
from bench.server import free_port
from tests.helpers import ROOT, wait_until_ready

MODEL = Settings().model_path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the model and its card that a test may spoil."""
    copy = tmp_path / MODEL.name
    copy.symlink_to(MODEL)
    shutil.copy(Card.path_of(MODEL), Card.path_of(copy))
    return copy


def start(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EMOTION_HOST": "127.0.0.1", "EMOTION_PORT": str(free_port()), **settings}
    command = [sys.executable, "-m", "app", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_shipped_model_fits_its_card() -> None:
    assert read_card(MODEL).name == "emotion_vgg16"


def test_what_holds_for_every_model_is_in_no_cards_file(model: Path) -> None:
    card = read_card(model)
    assert (card.use_policy, card.not_known, card.licence) == (USE_POLICY, NOT_KNOWN, LICENCE)
    card.write(model)
    assert read_card(model) == card
    assert not {"use_policy", "not_known", "licence"} & set(json.loads(Card.path_of(model).read_text()))


def test_a_missing_model_is_an_error(model: Path) -> None:
    model.unlink()
    with pytest.raises(StartError, match="missing"):
        read_card(model)


def test_a_missing_card_is_an_error(model: Path) -> None:
    Card.path_of(model).unlink()
    with pytest.raises(StartError, match="missing"):
        read_card(model)


def test_a_truncated_model_is_an_error(model: Path) -> None:
    content = model.read_bytes()
    model.unlink()
    model.write_bytes(content[:-1])
    with pytest.raises(StartError, match="SHA-256"):
        read_card(model)


def test_a_model_that_keras_cannot_read_is_an_error(model: Path) -> None:
    model.unlink()
    model.write_bytes(b"no model")
    Card.model_validate_json(Card.path_of(model).read_bytes()).model_copy(update={"sha256": digest(model)}).write(model)
    with pytest.raises(StartError, match="not a readable Keras model"):
        Classifier(model)


def test_what_is_loaded_is_no_work_for_the_garbage_collector() -> None:
    gc.unfreeze()
    load_classifier(Settings(engine="litert"))
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(gc.get_objects())


def test_litert_is_the_engine_where_tensorflow_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().engine == "keras"
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert Settings().engine == "litert"
    with pytest.raises(StartError, match="TensorFlow is not installed"):
        Classifier(MODEL, "keras")
    monkeypatch.setenv("EMOTION_ENGINE", "keras")
    assert Settings().engine == "keras"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"angry"', '"anger"', "labels"),
        ("      96,", "      48,", "another input"),
        ('"labels"', '"names', "not a model card"),
    ],
)
def test_a_card_for_another_service_is_an_error(model: Path, old: str, new: str, message: str) -> None:
    card = Card.path_of(model)
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(StartError, match=message):
        read_card(model)


def test_a_service_without_its_model_does_not_start_and_says_why_in_one_line(tmp_path: Path) -> None:
    result = start(EMOTION_MODEL_PATH=str(tmp_path / "none.keras"))
    assert result.returncode != 0
    output = result.stdout + result.stderr
    (line,) = [line for line in output.splitlines() if "Cannot start" in line]
    assert line.endswith(f"the model file {tmp_path / 'none.keras'} is missing")
    assert "Traceback" not in output


def test_a_senseless_setting_is_refused_in_one_line() -> None:
    result = start(EMOTION_MAX_FILES="many")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Cannot start: EMOTION_MAX_FILES: ")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("EMOTION_PORT", "many", "EMOTION_PORT: Input should be a valid integer"),
        ("PORT", "many", "EMOTION_PORT: Input should be a valid integer"),
        ("EMOTION_HOST", "", "EMOTION_HOST: String should have at least 1 character"),
        ("EMOTION_API_KEYS", "secret", "EMOTION_API_KEYS: each must be a SHA-256 digest"),
        ("EMOTION_MAX_FILES", "65", "EMOTION_MAX_FILES is 65, more than EMOTION_MAX_IN_FLIGHT, 64"),
        ("EMOTION_PICTURE_THREADS", "0", "EMOTION_PICTURE_THREADS: Input should be greater than 0"),
    ],
)
def test_faults_of_the_environment_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert cannot("start", caught.value).startswith(f"Cannot start: {reason}")
    assert "\n" not in cannot("start", caught.value)


def test_faults_of_files_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError) as caught:
        tmp_path.mkdir()
    assert cannot("go on", caught.value) == f"Cannot go on: File exists: {tmp_path}"
    assert cannot("go on", OSError("no words")) == "Cannot go on: no words"


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "536870912\n"}, 512 * 2**20),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "400000000"}, 400_000_000),
        ("0::/../b\n", {"memory.max": "300000000"}, 300_000_000),
        ("4:memory:/docker/1\n1:cpu:/\n0::/\n", {"memory/memory.limit_in_bytes": "536870912"}, 512 * 2**20),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("1:name=systemd:/\n", {}, None),
        (None, {}, None),
    ],
)
def test_the_memory_limit_is_that_of_the_control_groups(
    tmp_path: Path, groups: str | None, files: dict[str, str], limit: int | None
) -> None:
    process = tmp_path / "cgroup"
    if groups is not None:
        process.write_text(groups)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory.limit(process, tmp_path / "fs") == limit


def test_pictures_are_smaller_where_memory_is_limited(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "limit", lambda: 512 * 2**20)
    limited = Settings(engine="litert", picture_threads=2)
    assert limited.max_pixels == 2**23
    assert Settings(picture_threads=4).max_pixels == 2**22
    assert Settings(picture_threads=2, max_pixels=50_000_000).max_pixels == 50_000_000
    with caplog.at_level("INFO", "uvicorn.error"), TestClient(create_app(limited)):
        pass
    assert "pictures of up to 8.39 megapixels" in caplog.text
    for plenty in (3 * 2**30, None):
        monkeypatch.setattr(memory, "limit", lambda plenty=plenty: plenty)
        assert Settings(picture_threads=2).max_pixels == MOST_PIXELS


def test_an_unknown_setting_is_refused_in_one_line() -> None:
    result = start(EMOTION_MAX_FILS="4")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Cannot start: ")
    assert "EMOTION_MAX_FILS" in line


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "lines"), [("3", 1), ("auto", 1), ("", 0), ("1", 0)])
def test_it_is_one_process_however_many_a_host_asks_for(wanted: str, lines: int, tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"EMOTION_ENGINE": "litert", "EMOTION_PORT": str(port), "WEB_CONCURRENCY": wanted}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=output)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)
    assert sum("WEB_CONCURRENCY" in line for line in log.read_text().splitlines()) == lines


@pytest.mark.slow
@pytest.mark.parametrize("command", [(), ("serve",)])
def test_the_command_line_comes_before_the_environment(command: tuple[str, ...]) -> None:
    port = free_port()
    words = [*command, "--port", str(port), "--host", "127.0.0.1"]
    environment = os.environ | {"EMOTION_ENGINE": "litert", "EMOTION_HOST": "none.invalid", "EMOTION_PORT": "1"}
    process = subprocess.Popen([sys.executable, "-m", "app", *words], cwd=ROOT, env=environment)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_words_that_mean_nothing_are_refused() -> None:
    for words in (("nonsense",), ("serve", "nonsense"), ("--port", "many"), ("--fast",)):
        result = start(*words)
        assert result.returncode == 2, words
        assert "error: " in result.stderr
        assert result.stdout == ""
    result = start("--port", "99999")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("Cannot start: EMOTION_PORT: ")


def test_the_version_is_told() -> None:
    result = start("--version")
    assert (result.returncode, result.stdout) == (0, f"expressions {__version__}\n")


@contextmanager
def running(*options: str, **settings: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A process that serves on the litert engine, ready, and its port; `options` are Python's."""
    port = free_port()
    environment = os.environ | {"EMOTION_ENGINE": "litert", "EMOTION_PORT": str(port)} | settings
    process = subprocess.Popen([sys.executable, *options, "-m", "app", "serve"], cwd=ROOT, env=environment)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_what_ends_it_ends_it_gracefully(name: str) -> None:
    handler = signal.signal(signal.Signals[name], signal.SIG_DFL)  # These tests may themselves ignore hangups.
    try:
        with running() as (_, process):
            process.send_signal(signal.Signals[name])
            assert process.wait(timeout=20) == 0
    finally:
        signal.signal(signal.Signals[name], handler)


@pytest.mark.slow
def test_a_service_that_ignores_hangups_goes_on() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # As `nohup` starts it.
    try:
        with running() as (port, process):
            process.send_signal(signal.SIGHUP)
            assert httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == 200
            assert process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, handler)


@pytest.mark.slow
def test_it_serves_without_docstrings(portrait: bytes) -> None:
    with running("-OO") as (port, _):
        assert httpx2.post(f"http://127.0.0.1:{port}/predict", content=portrait).json()["emotion"] == "happy"
    command = [sys.executable, "-OO", "-m", "app", "--help"]
    assert "None" not in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_two_colons_are_every_address_of_both_families() -> None:
    with running(EMOTION_HOST="::") as (port, _):
        for address in ("127.0.0.1", "[::1]"):
            assert httpx2.get(f"http://{address}:{port}/livez").status_code == 200


def test_help_names_the_commands() -> None:
    result = start("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout
        assert f"\n    expressions {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command: str) -> None:
    result = start(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: expressions {command} ")
    assert f"\n    expressions {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_card_is_printed_in_words() -> None:
    result = start("card")
    assert (result.returncode, result.stderr) == (0, "")
    card = read_card(MODEL)
    words = " ".join(result.stdout.split())
    main = card.evaluation["PublicTest"]
    low, high = (f"{100 * end:.1f} %" for end in main.accuracy_interval_95)
    assert words.startswith(
        f"{card.name} {card.version} PublicTest, {main.count} faces; right is what most of ten people chose: "
        f"{100 * main.accuracy:.1f} %"
    )
    assert f"(95 % interval {low} to {high})" in words
    for label, figures in main.labels.items():
        assert re.search(rf"{label} {100 * figures.precision:.1f} % .* {figures.count}\b", words)
    assert words.endswith(f"Not known: {NOT_KNOWN} Licence: {LICENCE} Use: {IN_WORDS}")
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_card_that_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    for settings in ({"EMOTION_MODEL_PATH": str(tmp_path / "none.keras")}, {"EMOTION_MAX_FILES": "many"}):
        result = start("card", **settings)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_bulk_jobs_may_be_absent() -> None:
    code = "import sys; sys.modules['jobs'] = None; from app.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "bulk", "pictures", "--out", "a.csv"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "not installed" in result.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"max_files": 5, "max_in_flight": 4},
        {"max_file_bytes": 200, "max_request_bytes": 100},
        {"max_request_bytes": 200, "max_held_bytes": 100, "max_file_bytes": 10},
        {"body_seconds": float("nan")},
        {"live_seconds": float("inf")},
    ],
)
def test_settings_that_make_no_sense_together_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


@pytest.mark.parametrize("threshold", ["certain_from", "plausible_from"])
@pytest.mark.parametrize("value", ["2", "-0.1", "NaN"])
def test_a_card_with_a_threshold_that_is_no_probability_is_an_error(model: Path, threshold: str, value: str) -> None:
    card = Card.path_of(model)
    card.write_text(re.sub(rf'"{threshold}": [0-9.]+', f'"{threshold}": {value}', card.read_text(), count=1))
    with pytest.raises(StartError, match="not a model card"):
        read_card(model)


@pytest.mark.parametrize("name", ["max_files", "max_pixels", "picture_threads"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: 0})


def test_the_port_has_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "7860")
    assert Settings().port == 7860
    monkeypatch.setenv("EMOTION_PORT", "9000")
    assert Settings().port == 9000


@pytest.mark.parametrize("name", ["cascade_path", "face_model_path"])
def test_a_damaged_detector_stops_the_start_with_one_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(b"damaged")
    result = start(**{f"EMOTION_{name.upper()}": str(file)})
    assert result.returncode == 1
    loading, line = [line for line in result.stderr.splitlines() if "TensorFlow Lite" not in line]
    assert loading == "Loading the model on the keras engine."
    assert line.startswith(f"Cannot start: {file} ")


def test_files_that_go_after_the_start_are_not_missed(tmp_path: Path, portrait: bytes) -> None:
    settings = Settings(engine="litert")
    copies = {}
    for name in ("cascade_path", "face_model_path"):
        copies[name] = tmp_path / name
        shutil.copy(getattr(settings, name), copies[name])
    with TestClient(create_app(settings.model_copy(update=copies))) as client:
        for file in copies.values():
            file.unlink()
        assert [client.post("/predict", content=portrait).status_code for _ in range(8)] == [200] * 8
        assert client.get("/readyz").status_code == 200
        assert client.get("/health").json()["cascade_loaded"] is True


def test_health_tells_when_faces_cannot_be_found() -> None:
    class Lost(FaceDetector):
        loaded = False

    settings = Settings(engine="litert")
    parts = load(settings)
    lost = Lost(HaarDetector(settings.cascade_path), None, 0)
    with TestClient(create_app(settings, parts._replace(detector=lost))) as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["cascade_loaded"], health.json()["model_loaded"]) == (
            503,
            False,
            True,
        )
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200


def test_every_picture_thread_has_found_a_face_before_the_first_request() -> None:
    class Seen(FaceDetector):
        threads: ClassVar[Counter[str]] = Counter()

        def find(self, *arguments: Any) -> list[FoundFace]:
            found = super().find(*arguments)
            self.threads[threading.current_thread().name] += len(found)
            return found

    settings = Settings(engine="litert", picture_threads=3, max_file_bytes=1000, max_pixels=1)
    haar, blazeface = HaarDetector(settings.cascade_path), BlazeFace(settings.face_model_path)
    with TestClient(create_app(settings, load(settings)._replace(detector=Seen(haar, blazeface, 0)))) as client:
        assert Seen.threads == {f"pictures_{number}": 1 for number in range(3)}
        assert 'expressions_faces_total{label="happy"} 0.0' in client.get("/metrics").text


@pytest.mark.slow
def test_it_starts_with_uvicorn_too() -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(("host", "name"), [("0.0.0.0", "localhost"), ("127.0.0.2", "127.0.0.2")])
def test_the_last_line_of_a_start_names_the_page_and_the_docs(host: str, name: str, tmp_path: Path) -> None:
    address, log = f"http://{name}:{(port := free_port())}", tmp_path / "log"
    command = [sys.executable, "-m", "app", "--host", host, "--port", str(port)]
    with log.open("w") as out:
        environment = {**os.environ, "EMOTION_ENGINE": "litert"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=out, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(address, process)
        last = log.read_text().splitlines()[-1]
        assert last.endswith(f"The page is at {address} and the docs at {address}/docs.")
        for place in re.findall(r"http://\S+[^.\s]", last):
            assert httpx2.get(place, headers={"Accept": "text/html"}).headers["content-type"].startswith("text/html")
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
