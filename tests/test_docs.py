"""The documents say what the service does: every route, setting and error code, and an example that runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from app import live_session
from app.answers.rows import COLUMNS
from app.emotions import LABELS
from app.errors import ServiceError
from app.http import json_pictures, multipart, pacing, server
from app.main import create_app
from app.model import backend
from app.model.card import LICENCE, Card, read_card
from app.model.classifier import Classifier
from app.model.use_policy import NOTICE, USE_POLICY
from app.routers import live
from app.schemas import Face
from app.settings import MOST_PIXELS, Settings
from app.vision import image_guard, video_decoder
from app.vision.geometry import Box
from app.vision.preprocess import enlarge, face_detail, model_input
from bench import capacity
from tests.helpers import ROOT
from training import page

README = (ROOT / "README.md").read_text()
API = (ROOT / "README_API.md").read_text()


def test_every_route_is_described() -> None:
    paths = {*create_app().openapi()["paths"], "/docs", "/openapi.json", "/live", "/demo", "/llms.txt"}
    for path in paths:
        assert f"`{path}`" in API or f" {path}`" in API, path


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_with_its_default(name: str) -> None:
    (line,) = [line for line in API.splitlines() if line.startswith(f"| `EMOTION_{name.upper()}` |")]
    field = Settings.model_fields[name]
    assert (field.description or "?").rstrip(".") in line
    if isinstance(field.default, int):
        assert f"| {field.default} |" in line


@pytest.mark.parametrize("error", ServiceError.__subclasses__(), ids=lambda error: error.code)
def test_every_error_code_is_described(error: type[ServiceError]) -> None:
    assert re.search(rf"^\| {error.status} \| `{error.code}` \|", API, re.MULTILINE)


def test_the_python_example_runs(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    program = compile(example.replace("http://localhost:8000", service), "README.md", "exec")
    lines: list[str] = []
    monkeypatch.chdir(ROOT)
    exec(program, {"print": lambda *words: lines.append(" ".join(map(str, words)))})  # noqa: S102
    assert len(lines) == 1
    assert lines[0].startswith("happy")
    nobody = tmp_path / "app" / "static" / "samples" / "astronaut.jpg"
    nobody.parent.mkdir(parents=True)
    shutil.copy(nobody.relative_to(tmp_path).with_name("cat.jpg"), nobody)
    monkeypatch.chdir(tmp_path)
    exec(program, {"print": lines.append})  # noqa: S102
    assert len(lines) == 1


def test_the_answer_that_is_shown_is_the_services() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    answer = json.loads((ROOT / "app" / "http" / "examples.json").read_text())["predict"]
    for line in shown.splitlines()[1:-2]:
        assert json.loads(f"{{{line.rstrip(',')}}}").items() <= answer.items()


def test_quoted_accuracies_are_the_cards() -> None:
    card: Card = read_card(Settings().model_path)
    figures = card.evaluation["PublicTest"]
    for number in (figures.accuracy, *figures.accuracy_interval_95, figures.clear_accuracy, figures.certain_accuracy):
        assert f"{100 * (number or 0):.1f} %" in README
    (section,) = re.findall(r"## How good it is\n(.*?)\n## ", README, re.DOTALL)
    quoted = {float(number) for number in re.findall(r"(\d+\.\d) %", section)}
    shares = {
        number
        for one in card.evaluation.values()
        for number in (one.accuracy, *one.accuracy_interval_95, one.certain_accuracy, one.certain_share,
                       one.plausible_coverage, one.clear_accuracy, one.clear_macro_recall, one.labels_by_crowd,
                       *(label.recall for label in one.labels.values()))
        if number is not None
    }  # fmt: skip
    if card.photographs:
        shares.add(card.photographs.right / card.photographs.count)
    assert quoted <= {round(100 * share, 1) for share in shares}


def test_the_licence_of_the_model_is_in_the_readme() -> None:
    (paragraph,) = [part for part in README.split("\n\n") if part.startswith("**The weights.**")]
    for part in ("FER-2013", "FER+", "counsel"):
        assert part in LICENCE
        assert part in paragraph


def test_the_model_works_as_a_file_alone(tmp_path: Path, astronaut: NDArray[np.uint8]) -> None:
    model = Settings().model_path
    (example,) = re.findall(r"```python\n(.*?)```", model.with_name("README.md").read_text(), re.DOTALL)
    (tmp_path / f"{model.stem}.tflite").symlink_to(model.with_suffix(".tflite"))
    detail = face_detail(astronaut, Box(170, 64, 113, 113))
    Image.fromarray(detail).save(tmp_path / "face.png")
    printed = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    probabilities = np.array(printed.strip(" []\n").split(), np.float64)
    expected = Classifier(model, engine="litert").predict(model_input(enlarge(detail))[np.newaxis])[0]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)


def test_the_models_page_says_what_its_card_says() -> None:
    path = Settings().model_path
    text = path.with_name("README.md").read_text()
    assert text == page.text(read_card(path))
    (index,) = yaml.safe_load(text.split("---")[1])["model-index"]  # As the Hugging Face Hub reads it.
    found = {
        one["dataset"]["name"]: {metric["type"]: metric["value"] for metric in one["metrics"]}
        for one in index["results"]
    }
    assert found == {
        name: {"accuracy": one.accuracy, "f1": one.macro_f1} for name, one in read_card(path).evaluation.items()
    }
    for plot in ("confusion", "calibration", "robustness"):
        with Image.open(path.with_name(f"{plot}.png")) as picture:
            picture.verify()


def test_the_fields_of_others_are_compared_with_those_of_a_face() -> None:
    (section,) = re.findall(r"## If you come from elsewhere\n(.*?)\n## ", API, re.DOTALL)
    pictures, videos = (
        [name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)]
        for table in section.split("Timelines of a video:")
    )
    assert pictures[-len(LABELS) :] == list(LABELS)
    assert set(pictures[: -len(LABELS)]) - {"faces", "no_face"} <= set(Face.model_fields)
    assert set(videos) <= {*COLUMNS}


def test_the_readme_has_the_defaults_of_the_limits() -> None:
    (paragraph,) = [part for part in README.split("\n\n") if part.startswith("Pictures are ")]
    default = {name: field.default for name, field in Settings.model_fields.items()}
    assert f"{default['max_file_bytes'] // 2**20} MB and {MOST_PIXELS // 10**6} megapixels" in paragraph
    assert f"{default['max_files']} to a batch. {default['max_in_flight']} are in flight" in paragraph


def test_deployers_find_the_notice_and_the_articles() -> None:
    (section,) = re.findall(r"## For deployers\n(.*?)\n## ", README, re.DOTALL)
    quoted = " ".join(line.removeprefix("> ") for line in section.splitlines() if line.startswith("> "))
    assert quoted == NOTICE
    for article in {USE_POLICY.notice.article, *(one.article for one in USE_POLICY.prohibited if one.article)}:
        assert f"Article {article}" in README
    for one in USE_POLICY.prohibited:
        assert re.search(rf"\b{one.use}\b", API)


def test_the_capacity_is_what_was_measured() -> None:
    assert capacity.table(json.loads(capacity.RESULTS.read_text())) in (ROOT / "deploy" / "README.md").read_text()


def test_the_limits_that_are_no_settings_are_the_codes() -> None:
    (section,) = re.findall(r"## Limits\n(.*?)\n## ", API, re.DOTALL)
    for limit, value in {
        "Parts of a multipart body": f"{multipart.MAX_PARTS:,}",
        "JSON besides its texts": f"{json_pictures.MAX_STRUCTURE_BYTES // 2**10} KiB",
        "Segments, chunks, blocks of a file": f"{image_guard.MAX_PARTS:,}",
        "Scans of a JPEG": str(image_guard.MAX_SCANS),
        "Tracks of a video": str(video_decoder.MAX_STREAMS),
        "Memory of a video's decoder, besides the file": f"{video_decoder.MAX_MEMORY // 2**30} GiB",
        "Bytes of a frame on `/live`": f"{live_session.MAX_FRAME_BYTES // 2**20} MiB",
        "Head of a request": f"{server.MAX_HEAD_BYTES // 2**10} KiB, {server.HEAD_SECONDS:g} seconds",
        "Fields of a head": str(server.MAX_HEADERS),
        "Pieces of a body, and of a message on `/live`": (
            f"{pacing.FREE_PIECES:,}, and one more for each {pacing.BYTES_PER_PIECE} bytes"
        ),
        "Connections": f"the descriptors that the process may have, less {server.RESERVED_FILES}",
        "A call of the model": f"{backend.HANG_SECONDS:g} seconds for at most {backend.MAX_BATCH} faces",
        "Frames of a connection": f"{live.MAX_FRAMES_PER_SECOND} a second; one is worked on, one is next",
    }.items():
        assert f"| {limit} | {value} |" in section
