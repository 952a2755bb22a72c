"""What a person sees in a browser: the demo page and Swagger UI, in a real Chromium against the running service."""

import csv
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    Browser,
    FilePayload,
    Locator,
    Page,
    Request,
    Route,
    WebSocketRoute,
    expect,
    sync_playwright,
)
from websockets.sync.client import connect

from app import __version__
from app.bootstrap import load_detector
from app.emotions import EMOTIONS, LABELS
from app.main import create_app
from app.model.classifier import Classifier
from app.settings import Settings
from app.vision.percent import percent
from bench.live import swaying
from bench.pictures import people
from bench.server import free_port
from tests.helpers import ROOT, encoded, parts, serving

pytestmark = pytest.mark.browser

EXAMPLE = ROOT / "app/static/samples/astronaut.jpg"

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
_PATIENCE_MS = 30_000
_KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a camera in which a face sways."""
    video = tmp_path_factory.mktemp("camera") / "swaying.mjpeg"
    video.write_bytes(b"".join(cv2.imencode(".jpg", image)[1].tobytes() for image in swaying(60)))
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        flags = [*_FLAGS, f"--use-file-for-fake-video-capture={video}"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()


@pytest.fixture
def trouble() -> list[str]:
    """What the page of the test should not have done: errors in its console, requests to elsewhere."""
    return []


@pytest.fixture
def page(browser: Browser, trouble: list[str]) -> Iterator[Page]:
    """A blank page that writes down its trouble."""
    own = re.compile(r"(https?|wss?|blob:https?)://127\.0\.0\.1:\d+/|data:")
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write", "camera"])
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.on("request", lambda request: None if own.match(request.url) else trouble.append(request.url))
    page.on("websocket", lambda socket: None if own.match(socket.url) else trouble.append(socket.url))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def picture(portrait: bytes) -> FilePayload:
    return FilePayload(name="portrait.jpg", mimeType="image/jpeg", buffer=portrait)


def choose(page: Page, *pictures: FilePayload) -> None:
    page.get_by_label("Choose pictures").set_input_files(list(pictures))


def opened(page: Page, service: str) -> None:
    """Go to the page and wait until its first example is shown."""
    page.goto(service)
    expect(shown(page).locator(".face")).to_have_count(1)


def copies(portrait: bytes, count: int) -> list[FilePayload]:
    names = [f"{number}.jpg" for number in range(count)]
    return [FilePayload(name=name, mimeType="image/jpeg", buffer=portrait) for name in names]


def many_faces(count: int) -> FilePayload:
    """A picture of as many heads, side by side."""
    astronaut, hopper = people()
    heads = [cv2.resize(head, (300, 300)) for head in (astronaut[:330, 60:390], hopper[30:430, 60:460])]
    lines = 8 if count > 20 else 2
    heads = [cv2.resize(head, (600 // lines, 600 // lines)) for head in heads]
    rows = [np.hstack([heads[(row + column) % 2] for column in range(count // lines)]) for row in range(lines)]
    return FilePayload(name="many.png", mimeType="image/png", buffer=encoded(np.vstack(rows)))


def figures(part: Locator) -> list[str]:
    """The percentages of a face's table."""
    return [text.replace("\xa0", " ") for text in part.locator("td:last-child").all_inner_texts()]


def rounded(face: dict[str, Any]) -> list[str]:
    return [f"{int(100 * face['probabilities'][label] + 0.5)} %" for label in LABELS]


def copied(page: Page, kind: str) -> str:
    """What the panel of code hands out for one of its tabs."""
    panel = shown(page).locator(".code")
    if panel.get_attribute("open") is None:
        panel.locator("summary").click()
    panel.get_by_role("button", name=kind, exact=True).click()
    panel.get_by_role("button", name="Copy").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@cache
def swaying_video() -> FilePayload:
    """Four seconds of a face that sways."""
    frames = list(swaying(40))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "swaying.webm"
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 10, frames[0].shape[1::-1])
        for frame in frames:
            video.write(frame)
        video.release()
        return FilePayload(name=path.name, mimeType="video/webm", buffer=path.read_bytes())


def start_camera(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Start the camera").click()


def shown(page: Page) -> Locator:
    """The picture that is shown; there is one at most."""
    return page.locator("article:not([hidden])")


def own(page: Page) -> Locator:
    """The pictures that were chosen."""
    return page.locator("article:not(.sample)")


WORDS = {emotion.name: emotion.display_name for emotion in EMOTIONS}


def test_page_opens_with_answered_examples(page: Page, service: str, trouble: list[str]) -> None:
    requests: list[Request] = []
    page.on("requestfinished", lambda request: None if request.url.startswith("blob:") else requests.append(request))
    opened(page, service)

    expect(shown(page).locator(".face .label")).to_have_text("Happy")
    expect(shown(page).locator(".name")).to_contain_text("NASA")
    expect(page.locator("#version")).to_have_text(__version__)
    expect(page.locator("#strip .name")).to_have_count(6)
    page.wait_for_load_state("networkidle")
    paths = [request.url.removeprefix(service) for request in requests]
    assert len(paths) == len(set(paths)), "something is asked for twice"
    assert not [path for path in paths if not path.startswith("/static/") and path not in ("/", "/health")]
    pictures = [request for request in requests if request.url.endswith(".jpg")]
    assert sum(request.sizes()["responseBodySize"] for request in requests if request not in pictures) < 150_000
    assert sum(request.sizes()["responseBodySize"] for request in pictures) < 150_000
    assert page.evaluate("document.documentElement.scrollTop") == 0
    assert _painted(shown(page).locator(".face canvas")) > 100_000
    assert trouble == []


def test_every_example_can_be_shown_without_the_service(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    for path in ("predict", "emotions", "model", "explain"):
        page.route(f"**/{path}", lambda route: route.abort())
    for title, words in {
        "Worry": "1 face",
        "A crowd": "29 faces",
        "A tilted face": "1 face",
        "Ten averages": "10 faces",
        "Nobody": "No face",
    }.items():
        page.get_by_role("button", name=title).click()
        expect(shown(page).locator(".status")).to_contain_text(words)
        expect(shown(page).locator("figure img")).to_be_visible()
        expect(shown(page).locator(".name")).not_to_have_text("")
    assert trouble == []


def test_a_keyed_service_asks_for_no_key_before_it_is_needed(
    page: Page, classifier: Classifier, trouble: list[str]
) -> None:
    with serving(create_app(Settings(api_keys=(hashlib.sha256(_KEY.encode()).hexdigest(),)), parts(classifier))) as url:
        opened(page, url)
        page.get_by_role("button", name="A crowd").click()
        page.wait_for_load_state("networkidle")
        expect(page.locator("#key")).to_be_hidden()
        assert trouble == []
        page.goto("about:blank")


def test_a_link_to_the_page_and_its_icon_show_something(service: str) -> None:
    page = httpx2.get(service, headers={"Accept": "text/html"}).text
    for name in ("og:title", "og:description", "og:image", "description", "theme-color"):
        assert re.search(f'<meta (property|name)="{name}"[^>]* content="[^"]+"', page), name
    (address,) = re.findall('property="og:image" content="([^"]+)"', page)
    assert address.startswith(f"{service}/")
    assert httpx2.get(address).headers["Content-Type"] == "image/jpeg"
    icon = httpx2.get(f"{service}/favicon.ico")
    assert icon.headers["Content-Type"] in ("image/x-icon", "image/vnd.microsoft.icon")
    with Image.open(BytesIO(icon.content)) as picture:
        assert picture.format == "ICO"


def test_page_shows_what_the_service_answers(
    page: Page, service: str, portrait: bytes, picture: FilePayload, trouble: list[str]
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()

    opened(page, service)
    choose(page, picture)

    expect(shown(page)).to_have_attribute("aria-label", "portrait.jpg")
    expect(page.get_by_alt_text("portrait.jpg").first).to_be_visible()
    face = shown(page).locator(".face")
    expect(face).to_have_count(1)
    heading = face.get_by_role("heading")
    expect(heading).to_have_text(f"{WORDS[answer['emotion']]} {100 * answer['confidence']:.0f}\xa0%")
    assert face.locator(".mix span").count() == len(LABELS)
    expect(face.locator(".legend li")).to_have_text(["Happy"])
    expect(face.locator(".remark")).to_have_text("")
    expect(face.locator("table")).to_be_hidden()
    face.get_by_text("All seven").click()
    expect(face.get_by_role("rowheader")).to_have_text(list(WORDS.values()))
    assert figures(face) == rounded(answer["faces"][0])
    expect(shown(page).locator(".status")).to_have_text("1 face: Happy")
    expect(shown(page).locator(".count")).to_have_attribute(
        "title", re.compile(r"Answered in \d+ ms \(decode \d+, detect \d+, classify \d+\)")
    )
    copy = json.loads(copied(page, "JSON"))
    assert copy | {"timings_ms": None} == answer | {"timings_ms": None}
    assert trouble == []


def test_page_is_the_same_where_it_is_asked_for_by_name(service: str) -> None:
    page = httpx2.get(f"{service}/demo", headers={"Accept": "application/json"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text == httpx2.get(service, headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("width", [390, 1440])
def test_page_draws_the_box_around_the_face(
    width: int, page: Page, service: str, portrait: bytes, picture: FilePayload
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    opened(page, service)
    choose(page, picture)
    expect(shown(page)).to_have_attribute("aria-label", "portrait.jpg")
    page.set_viewport_size({"width": width, "height": 844})

    outline, image = shown(page).locator(".boxes rect"), shown(page).locator("figure img")
    expect(outline).to_be_visible()
    page.wait_for_timeout(200)
    drawn, seen = outline.bounding_box(), image.bounding_box()

    assert drawn is not None
    assert seen is not None
    scale = seen["width"] / answer["image"]["width"]
    box = answer["face_coordinates"]
    got = (drawn["x"] - seen["x"], drawn["y"] - seen["y"], drawn["width"], drawn["height"])
    want = [scale * box[name] for name in ("x", "y", "width", "height")]
    assert got == pytest.approx(want, abs=4)


def test_page_says_when_it_is_not_sure(page: Page, service: str, picture: FilePayload) -> None:
    probabilities = {name: {"sad": 0.52, "fear": 0.21}.get(name, 0.054) for name in LABELS}

    def doubt(route: Route) -> None:
        answer = route.fetch().json()
        answer["faces"][0] |= {"emotion": "sad", "confidence": 0.52, "probabilities": probabilities, "certain": False}
        answer["faces"][0] |= {"plausible": ["sad", "fear", "neutral"], "detection": 0.52}
        route.fulfill(json=answer)

    page.route("**/predict", doubt)
    opened(page, service)
    choose(page, picture)

    face = own(page).locator(".face.unsure.weak")
    expect(face.get_by_role("heading")).to_have_text("Sad or afraid? 52\xa0% / 21\xa0%")
    expect(face.locator(".remark")).to_have_text("Blurred or far away")
    expect(own(page).locator(".pills span")).to_contain_text("Sad")


_EVERY_FACE_IS_SEEN = """count => {
    const picture = document.querySelector("article:not(.sample)");
    const places = selector => [...picture.querySelectorAll(selector)]
        .filter(element => element.checkVisibility({ visibilityProperty: true }))
        .map(element => element.getBoundingClientRect());
    const shared = (first, second) =>
        Math.max(0, Math.min(first.right, second.right) - Math.max(first.left, second.left)) *
        Math.max(0, Math.min(first.bottom, second.bottom) - Math.max(first.top, second.top));
    const [boxes, labels] = [places(".boxes rect"), places(".pills span")];
    const hidden = box => labels.reduce((sum, label) => sum + shared(label, box), 0) / (box.width * box.height);
    return picture.querySelector("img").complete && boxes.length === count && boxes.every(box => hidden(box) <= 0.25);
}"""
"""Whether all faces have their boxes, and no label hides more than a quarter of one, once the picture has its size."""


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("count", [6, 14, 80])
def test_page_shows_a_group(count: int, width: int, page: Page, service: str, trouble: list[str]) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, service)
    choose(page, many_faces(count))

    tiles = own(page).locator(".tile")
    expect(tiles).to_have_count(count)
    assert own(page).locator(".tile .number").all_text_contents() == [str(number + 1) for number in range(count)]
    page.wait_for_function(_EVERY_FACE_IS_SEEN, arg=count)
    tiles.nth(3).hover()
    expect(own(page).locator(".boxes .lit")).to_have_count(1)
    expect(own(page).locator(".boxes rect").nth(3)).to_have_class(re.compile("lit"))
    expect(own(page).locator(".pills span").nth(3)).to_be_visible()
    own(page).locator(".boxes rect").nth(5).hover()
    expect(tiles.nth(5).get_by_role("button")).to_have_class(re.compile("lit"))
    own(page).locator(".boxes rect").nth(5).click()
    expect(tiles.nth(5).get_by_role("button")).to_have_attribute("aria-expanded", "true")
    expect(own(page).locator(".face .label")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert trouble == []


def test_a_crowd_is_summed_up_and_filtered(page: Page, service: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, service)
    choose(page, many_faces(80))
    expect(own(page).locator(".tile")).to_have_count(80)
    expect(own(page).locator(".total")).to_have_text("80 faces")
    buttons = own(page).locator(".filters button")
    numbers = [int(text.split()[-1]) for text in buttons.all_inner_texts()]
    assert sum(numbers) == 80
    wall = own(page).locator(".faces").bounding_box()
    assert wall is not None
    assert wall["height"] < 2 * 844
    buttons.last.click()
    expect(own(page).locator(".tile:visible")).to_have_count(numbers[-1])
    expect(own(page).locator(".boxes rect:not(.out)")).to_have_count(numbers[-1])
    buttons.last.click()
    expect(own(page).locator(".tile:visible")).to_have_count(80)


def test_page_takes_thirty_pictures(page: Page, service: str, portrait: bytes, trouble: list[str]) -> None:
    opened(page, service)
    choose(page, *copies(portrait, 30))

    thumbs = page.locator("#strip li:not(.sample)")
    expect(thumbs).to_have_count(30)
    expect(own(page).locator(".face")).to_have_count(30)
    expect(shown(page)).to_have_attribute("aria-label", "0.jpg")
    expect(shown(page).locator(".name")).to_have_text("0.jpg")
    expect(page.locator("#total p")).to_have_text("30 pictures, 30 faces")
    page.get_by_role("button", name="7.jpg", exact=True).click()
    expect(shown(page)).to_have_attribute("aria-label", "7.jpg")
    shown(page).get_by_role("button", name="Remove").click()
    expect(thumbs).to_have_count(29)
    expect(shown(page)).to_have_attribute("aria-label", "8.jpg")
    page.get_by_role("button", name="Remove all").click()
    expect(own(page)).to_have_count(0)
    expect(page.locator("#total p")).to_have_text("Examples, answered in advance.")
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    expect(shown(page)).to_have_attribute("aria-label", "astronaut.jpg")
    assert trouble == []


def test_page_hands_out_all_answers(page: Page, service: str, portrait: bytes) -> None:
    opened(page, service)
    odd = FilePayload(name='o"d,d.png', mimeType="image/png", buffer=b"odd")
    choose(page, *copies(portrait, 2), odd)
    expect(own(page).locator(".face")).to_have_count(2)
    expect(own(page).locator(".error")).to_have_count(1)

    with page.expect_download() as download:
        page.locator("#total").get_by_role("button", name="CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["0.jpg", "1.jpg"]
    assert [row["emotion"] for row in rows] == ["happy", "happy"]
    assert all(float(row["happy"]) == float(row["confidence"]) for row in rows)
    with page.expect_download() as download:
        page.locator("#total").get_by_role("button", name="JSON").click()
    results = json.loads(Path(download.value.path()).read_text())["results"]
    assert [one["filename"] for one in results] == ["0.jpg", "1.jpg", 'o"d,d.png']
    assert results[2]["error"]


def test_the_strip_stays_in_sight_on_a_phone(page: Page, service: str, portrait: bytes) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, service)
    choose(page, *copies(portrait, 3))
    expect(own(page).locator(".face")).to_have_count(3)
    for name in ("0.jpg", "1.jpg"):
        page.get_by_role("button", name=name, exact=True).click(timeout=2000)
        expect(shown(page)).to_have_attribute("aria-label", name)
        expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
        expect(shown(page).locator(".label").first).to_be_in_viewport(ratio=1)


def test_a_file_that_cannot_be_read_says_so_and_holds_up_no_other(
    page: Page, service: str, portrait: bytes, tmp_path: Path
) -> None:
    gone, there = tmp_path / "gone.jpg", tmp_path / "there.jpg"
    for path in (gone, there):
        path.write_bytes(portrait)
    opened(page, service)
    page.evaluate(
        """() => document.addEventListener("change", (event) => event.stopImmediatePropagation(),
        { capture: true, once: true })"""
    )
    page.get_by_label("Choose pictures").set_input_files([gone, there])
    gone.unlink()
    page.locator("#file").dispatch_event("change")
    expect(page.locator('article[aria-label="gone.jpg"] .error')).to_contain_text(
        "cannot be read", use_inner_text=False
    )
    expect(page.locator('article[aria-label="there.jpg"] .face')).to_have_count(1)
    expect(shown(page).get_by_role("button", name="Try again")).to_be_hidden()


def test_the_pictures_of_a_dropped_folder_are_taken(
    page: Page, service: str, portrait: bytes, tmp_path: Path, trouble: list[str]
) -> None:
    folder = tmp_path / "holiday"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.jpg", "b10.jpg", "b2.jpg", "inner/c.jpg"):
        (folder / name).write_bytes(portrait)
    (folder / "notes.txt").write_text("no picture")
    opened(page, service)
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    expect(page.locator("#strip li:not(.sample) .name")).to_have_text(["a.jpg", "b2.jpg", "b10.jpg", "c.jpg"])
    expect(own(page).locator(".face")).to_have_count(4)
    assert trouble == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encoded(np.full((200, 200, 3), 128, np.uint8)), "No face was found."),
        (b"\xff\xd8\xff\xe0 no picture", "The picture's header is corrupt."),
    ],
    ids=["no face", "corrupt"],
)
def test_page_shows_why_a_picture_has_no_answer(
    content: bytes, words: str, page: Page, service: str, picture: FilePayload, trouble: list[str]
) -> None:
    opened(page, service)
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=content))

    expect(shown(page).locator(".status")).to_contain_text(words)
    expect(own(page).locator(".faces > li")).to_have_count(0)
    expect(own(page).locator(".boxes rect")).to_have_count(0)
    expect(shown(page).locator(".code")).to_be_hidden()
    expect(shown(page).get_by_role("button", name="Try again")).to_be_hidden()
    # The browser itself reports every answer that is an error.
    assert [line for line in trouble if "status of 400" not in line] == []

    choose(page, picture)
    expect(own(page).locator(".face")).to_have_count(1)


def test_page_waits_while_the_service_is_out_of_reach(page: Page, service: str, picture: FilePayload) -> None:
    opened(page, service)
    page.context.set_offline(True)
    choose(page, picture)
    expect(shown(page).locator(".status")).to_have_text(
        re.compile(r"^The service cannot be reached\. Next try in \d+\ss\.$")
    )
    page.context.set_offline(False)
    expect(own(page).locator(".face")).to_have_count(1)


def test_page_waits_where_the_rate_is_limited(page: Page, classifier: Classifier, picture: FilePayload) -> None:
    with serving(create_app(Settings(max_requests_per_minute=20), parts(classifier))) as url:
        opened(page, url)
        while httpx2.get(f"{url}/model").status_code == 200:
            pass
        choose(page, picture)
        expect(shown(page).locator(".status")).to_have_text(
            re.compile(r"^The service has had too many requests from here\. Next try in \d+\ss\.$")
        )
        expect(page.locator("#key")).to_be_hidden()
        start_camera(page)
        expect(page.locator("#camera .status")).to_contain_text("Next try in")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(own(page).locator(".face")).to_have_count(1)
        page.goto("about:blank")


def test_page_tries_a_refused_picture_again(page: Page, service: str, picture: FilePayload) -> None:
    opened(page, service)
    page.route("**/predict", lambda route: route.fulfill(status=500, json={"detail": "It broke.", "code": "x"}))
    choose(page, picture)
    expect(shown(page).locator(".status")).to_have_text("It broke.")
    page.unroute("**/predict")
    shown(page).get_by_role("button", name="Try again").click()
    expect(own(page).locator(".face")).to_have_count(1)


def test_page_can_be_used_with_the_keyboard_alone(page: Page, service: str, picture: FilePayload) -> None:
    opened(page, service)
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()"))
    assert {"Demo", "How good", "API", "Use the camera", "A crowd", "Why?", "All seven", "From here to code"} <= {
        re.sub(r"^[\u2026\u2013!]", "", words) for words in reached
    }
    choose(page, picture)
    own(page).locator(".says summary").press("Enter")
    expect(own(page).locator("table")).to_be_visible()
    shown(page).get_by_role("button", name="Remove", exact=True).press("Enter")
    expect(own(page)).to_have_count(0)
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    page.get_by_role("button", name="Use the camera").press("Enter")
    expect(page.get_by_role("button", name="Start the camera")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#camera .boxes rect")).to_be_visible()
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.get_by_role("button", name="Use the camera")).to_be_focused()


@pytest.mark.parametrize(
    "event",
    [
        "new DragEvent('drop', { dataTransfer: files, bubbles: true })",
        "new ClipboardEvent('paste', { clipboardData: files, bubbles: true })",
    ],
    ids=["dropped", "pasted"],
)
def test_page_takes_pictures_that_are(
    event: str, page: Page, service: str, portrait: bytes, trouble: list[str]
) -> None:
    opened(page, service)

    page.evaluate(
        f"""bytes => {{
            const files = new DataTransfer();
            for (const name of ["one.jpg", "two.jpg"]) {{
                files.items.add(new File([new Uint8Array(bytes)], name, {{ type: "image/jpeg" }}));
            }}
            document.body.dispatchEvent({event});
        }}""",
        list(portrait),
    )

    expect(own(page).locator(".face")).to_have_count(2)
    expect(page.locator("#strip li:not(.sample) .name")).to_have_text(["one.jpg", "two.jpg"])
    assert trouble == []


def test_page_explains_a_face(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    face = shown(page).locator(".face")
    face.get_by_role("button", name="Why?").click()

    heat = face.locator(".heat")
    expect(heat).to_be_visible()
    expect(heat).to_have_attribute("alt", re.compile("for happy"))
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 384
    expect(face.locator(".sentence")).to_have_text(re.compile("^Mostly the mouth"))
    expect(face.get_by_role("button", name="Happy")).to_have_attribute("aria-pressed", "true")
    face.get_by_role("button", name="Sad").click()
    expect(heat).to_have_attribute("alt", re.compile("for sad"))
    face.get_by_role("button", name="Why?").click()
    expect(heat).to_be_hidden()
    expect(face.locator(".sentence")).to_have_text("")
    assert trouble == []


def test_page_hands_out_the_drawn_picture_and_code(
    page: Page, service: str, picture: FilePayload, trouble: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(page, service)
    choose(page, picture | {"name": 'it\'s "me".jpg'})
    expect(own(page).locator(".face")).to_have_count(1)

    with page.expect_download() as download:
        shown(page).get_by_role("button", name="Download with boxes").click()
    assert download.value.suggested_filename.endswith("-expressions.jpg")
    with Image.open(BytesIO(Path(download.value.path()).read_bytes())) as drawn:
        assert drawn.format == "JPEG"
        assert drawn.size == (512, 512)
    assert shlex.split(copied(page, "curl")) == ["curl", "-F", 'file=@"it\'s \\"me\\".jpg"', f"{service}/predict"]
    (tmp_path / 'it\'s "me".jpg').write_bytes(picture["buffer"])
    monkeypatch.chdir(tmp_path)
    lines: list[Any] = []
    exec(compile(copied(page, "Python"), "page", "exec"), {"print": lambda *words: lines.append(words)})  # noqa: S102
    assert lines[0][0] == "happy"
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    choose_again = 'document.querySelector("input[type=file]").files = window.kept'
    page.evaluate(
        f"""async bytes => {{
            const kept = new DataTransfer();
            kept.items.add(new File([new Uint8Array(bytes)], "a.jpg", {{ type: "image/jpeg" }}));
            window.kept = kept.files;
            {choose_again};
        }}""",
        list(picture["buffer"]),
    )
    page.evaluate(f"async () => {{ {copied(page, 'JavaScript')} }}")
    assert logged[0].startswith("happy")
    copied(page, "JSON")
    shown(page).locator(".face h2").hover()
    assert trouble == []


def test_the_lines_of_a_face_light_up(page: Page, service: str) -> None:
    opened(page, service)
    page.get_by_role("button", name="Ten averages").click()
    copied(page, "JSON")
    shown(page).locator(".tile").nth(4).hover()
    lit = json.loads(shown(page).locator("code .lit").inner_text().rstrip().rstrip(","))
    answers = json.loads((ROOT / "app/static/samples/samples.json").read_text())["pictures"]
    assert lit == next(one for one in answers if one["title"] == "Ten averages")["answer"]["faces"][4]


def test_page_asks_for_the_key(page: Page, classifier: Classifier, picture: FilePayload, trouble: list[str]) -> None:
    settings = Settings(api_keys=(hashlib.sha256(_KEY.encode()).hexdigest(),))
    with serving(create_app(settings, parts(classifier))) as url:
        opened(page, url)
        choose(page, picture)
        field = page.get_by_label("This service asks for an API key.")
        expect(field).to_be_focused()
        expect(shown(page).locator(".status")).to_have_text("Waiting for the API key.")
        field.fill("wrong")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
        field.fill(_KEY)
        field.press("Enter")
        expect(field).to_be_hidden()
        expect(page.get_by_label("Choose pictures")).to_be_focused()
        expect(own(page).locator(".face")).to_have_count(1)
        assert "X-API-Key: ..." in copied(page, "curl")
        start_camera(page)
        expect(page.locator("#camera .boxes rect")).to_have_count(1)
        page.goto(f"{url}/card")
        expect(page.locator("#calibration circle").first).to_be_visible()
    assert [line for line in trouble if "status of 401" not in line] == []


def test_the_answer_is_in_the_window_of_a_phone(browser: Browser, service: str, picture: FilePayload) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    opened(page, service)
    expect(shown(page).locator(".face h2")).to_be_in_viewport(ratio=1)
    choose(page, picture)
    expect(own(page).locator(".face h2")).to_be_in_viewport(ratio=1)
    expect(shown(page).locator("figure img")).to_be_in_viewport(ratio=0.5)
    shown(page).get_by_text("All seven").click()
    for target in page.locator("button:visible, summary:visible, .button:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    heights = shown(page).locator(".face th").evaluate_all("(labels) => labels.map((label) => label.offsetHeight)")
    assert len(heights) == len(LABELS)
    assert max(heights) == min(heights)  # No label is broken into two lines.
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_jumps(width: int, page: Page, service: str, portrait: bytes) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.add_init_script(
        """window.shifts = [];
        const name = ({ node }) => node?.id || node?.className || node?.nodeName;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifts.push([entry.value, entry.sources.map(name).join()]);
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    opened(page, service)
    choose(page, *copies(portrait, 3))
    expect(own(page).locator(".face")).to_have_count(3)
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(shown(page).locator(".error")).to_be_visible()
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) < 0.1, shifts


def test_the_last_choice_is_shown_also_when_an_earlier_one_takes_longer_to_decode(
    page: Page, service: str, portrait: bytes
) -> None:
    page.add_init_script(
        """const decode = HTMLImageElement.prototype.decode;
        HTMLImageElement.prototype.decode = async function () {
            if (this.alt === "slow.jpg") await new Promise((done) => (window.goOn = done));
            return decode.call(this);
        };"""
    )
    opened(page, service)
    choose(page, FilePayload(name="slow.jpg", mimeType="image/jpeg", buffer=portrait))
    expect(own(page).locator(".face")).to_have_count(1)
    expect(shown(page)).to_have_attribute("aria-label", "astronaut.jpg")
    choose(page, FilePayload(name="fast.jpg", mimeType="image/jpeg", buffer=portrait))
    expect(shown(page)).to_have_attribute("aria-label", "fast.jpg")
    page.evaluate("goOn()")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(shown(page)).to_have_attribute("aria-label", "fast.jpg")
    expect(page.locator("#strip li:not(.sample)")).to_have_count(2)


@pytest.mark.parametrize("width", [390, 1440])
def test_camera_is_answered_live(width: int, page: Page, service: str, trouble: list[str]) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, service)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_text("Tell everybody in view before you start")).to_be_visible()
    page.get_by_role("button", name="Start the camera").click()

    box = page.locator("#camera .boxes rect")
    expect(box).to_be_visible()
    places = set()
    for _ in range(20):
        if place := box.get_attribute("x", timeout=_PATIENCE_MS):
            places.add(place)
        page.wait_for_timeout(100)
    assert len(places) > 3, "the box does not follow the face"
    expect(page.locator("#camera .pills span")).to_have_text(re.compile("^Happy"))
    expect(page.locator("#camera .stats")).to_have_text(re.compile(r"\d+ frames a second, \d+ ms each"))
    expect(page.locator("#camera .status")).to_have_text(re.compile("^Happy"))
    assert _painted(page.locator("#camera .stream canvas")) > 0
    stop = page.get_by_role("button", name="Stop")
    for part in (page.locator("#camera figure"), page.locator("main")):
        assert (seen := part.bounding_box())
        assert seen["width"] >= width - 2 * 48
    expect(stop).to_be_in_viewport(ratio=1)

    page.get_by_role("button", name="Take a picture").click()
    expect(own(page).locator(".label")).to_have_text("Happy")
    expect(shown(page)).to_have_attribute("aria-label", re.compile(r"^camera-\d\d-\d\d-\d\d\.jpg$"))
    expect(stop).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.id === 'camera'")
    page.wait_for_timeout(300)
    video, screen = page.locator("#camera video").bounding_box(), page.evaluate("[innerWidth, innerHeight]")
    assert video is not None
    assert max(video["width"] / screen[0], video["height"] / screen[1]) > 0.8
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("!document.fullscreenElement")
    stop.click()
    expect(page.locator("#camera")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
    assert page.locator("#camera video").evaluate("video => video.srcObject") is None
    assert trouble == []


def test_a_picture_that_is_taken_is_mirrored_as_the_video_is(page: Page, service: str) -> None:
    opened(page, service)
    start_camera(page)
    expect(page.locator("#camera .boxes rect")).to_be_visible()
    expect(page.locator("#camera .screen")).to_have_class(re.compile("mirrored"))
    page.get_by_role("button", name="Take a picture").click()
    likeness = """image => image.decode().then(() => {
        const shrunk = (source, flip) => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 24 });
            const context = canvas.getContext("2d");
            if (flip) context.setTransform(-1, 0, 0, 1, 32, 0);
            context.drawImage(source, 0, 0, 32, 24);
            return context.getImageData(0, 0, 32, 24).data;
        };
        const [taken, video] = [image, document.querySelector("#camera video")];
        const apart = (flip) => shrunk(taken, flip).reduce((sum, one, at) => sum + Math.abs(one - other[at]), 0);
        const other = shrunk(video, false);
        return [apart(false), apart(true)];
    })"""
    plain, flipped = shown(page).locator("figure img").evaluate(likeness)
    for _ in range(5):  # The video may have moved on between the two.
        if flipped < plain:
            break
        page.get_by_role("button", name="Take a picture").click()
        plain, flipped = shown(page).locator("figure img").evaluate(likeness)
    assert flipped < plain


def test_a_face_that_left_is_one_line(page: Page, service: str) -> None:
    gone: list[bool] = []

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda text: socket.send(json.dumps(json.loads(text) | {"faces": []}) if gone else text))

    page.route_web_socket("**/live", relay)
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, service)
    start_camera(page)
    expect(page.locator("#camera .boxes rect")).to_be_visible()
    before = page.get_by_role("button", name="Stop").bounding_box()
    gone.append(True)
    expect(page.locator("#camera .left")).to_have_text(re.compile(r"^1 face left, \d+\ss ago\.$"))
    expect(page.locator("#camera .boxes rect")).to_have_count(0)
    assert page.get_by_role("button", name="Stop").bounding_box() == before
    expect(page.locator("#camera .status")).to_have_text("No face. Look into the camera, in good light.")


def test_the_seven_faces_are_collected_and_saved(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    start_camera(page)
    expect(page.locator("#camera .boxes rect")).to_be_visible()
    page.get_by_role("button", name="Seven faces").click()
    slots = page.locator(".game li")
    expect(slots.locator(".label")).to_have_text(list(WORDS.values()))
    expect(page.locator(".game .filled")).to_have_count(1)
    expect(page.locator(".game .filled .label")).to_have_text("Happy")
    words = page.locator(".game p[role=status]")
    expect(words).to_contain_text("1 of 7. Try angry: Lowered, drawn-together brows")
    recall = httpx2.get(f"{service}/model").json()["evaluation"]["PublicTest"]["labels"]["angry"]["recall"]
    assert ("The model is weak here" in words.inner_text()) == (recall < 0.65)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the strip").click()
    with Image.open(download.value.path()) as strip:
        assert strip.format == "PNG"
        assert strip.size == (192 + 2 * 12, 192 + 44 + 2 * 12)
    page.get_by_role("button", name="Seven faces").click()
    expect(slots.first).to_be_hidden()
    assert trouble == []


def test_a_video_is_played_and_answered(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    choose(page, swaying_video())
    expect(page.locator("#clip .boxes rect")).to_be_visible()
    expect(page.locator("#clip .pills span")).to_have_text(re.compile("^Happy"))
    page.wait_for_function("() => document.querySelector('#clip video').ended")
    expect(page.locator("#clip .status")).to_have_text(re.compile(r"\d+ frames answered"))
    assert _painted(page.locator("#clip .stream canvas")) > 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "swaying.csv"
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [float(row["seconds"]) for row in rows]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 4
    assert {row["emotion"] for row in rows} == {"happy"}
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#clip")).to_be_hidden()
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    assert trouble == []


def _painted(canvas: Locator) -> int:
    """How many pixels of a canvas are not empty."""
    count: int = canvas.evaluate(
        """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
            .data.filter((value, index) => index % 4 === 3 && value > 0).length"""
    )
    return count


def test_camera_survives_a_restart_of_the_service(page: Page, classifier: Classifier) -> None:
    port = free_port()
    with serving(create_app(Settings(), parts(classifier)), port) as url:
        page.goto(url)
        start_camera(page)
        expect(page.locator("#camera .boxes rect")).to_be_visible()
    expect(page.locator("#camera .status.error")).to_contain_text("Next try in")
    expect(page.locator("#camera .stats")).to_have_text("")
    expect(page.locator("#camera .boxes rect")).to_have_count(0)
    with serving(create_app(Settings(), parts(classifier)), port):
        expect(page.locator("#camera .boxes rect")).to_be_visible()
        expect(page.locator("#camera .status.error")).to_have_count(0)
        page.goto("about:blank")


def test_camera_rests_while_the_page_is_hidden(page: Page, service: str) -> None:
    page.goto(service)
    with page.expect_websocket() as first:
        start_camera(page)
    expect(page.locator("#camera .boxes rect")).to_have_count(1)

    turn = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with first.value.expect_event("close"):
        page.evaluate(turn, True)
    expect(page.locator("#camera .status")).to_have_text("Paused.")
    with page.expect_websocket():
        page.evaluate(turn, False)
    expect(page.locator("#camera .status")).to_have_text(re.compile("^Happy"))


def test_camera_waits_for_a_place(page: Page, classifier: Classifier) -> None:
    with serving(create_app(Settings(max_live=1), parts(classifier))) as url:
        with connect(f"{url.replace('http', 'ws', 1)}/live", close_timeout=2):
            page.goto(url)
            start_camera(page)
            expect(page.locator("#camera .status")).to_contain_text("There is no room for another camera")
        expect(page.locator("#camera .boxes rect")).to_have_count(1)
        page.goto("about:blank")


def test_camera_that_is_not_allowed_is_explained(browser: Browser, service: str) -> None:
    page = browser.new_page()
    page.add_init_script("""navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError"));""")
    page.goto(service)
    start_camera(page)
    expect(page.locator("#camera .status")).to_have_text("The camera was not allowed.")
    expect(page.locator("#camera video")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    page.close()


def shown_share(share: float) -> str:
    """A share as the page writes it, on one line."""
    return percent(share).replace(" ", "\xa0")


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_card_shows_the_figures_of_the_model(width: int, page: Page, service: str, trouble: list[str]) -> None:
    card = httpx2.get(f"{service}/model").json()
    figures, photographs = card["evaluation"], card["photographs"]
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, service)
    page.get_by_role("link", name="How good").click()

    rows = page.locator("#accuracy tbody tr")
    expect(rows).to_have_count(len(figures) + 1)
    *sets, last = rows.all()
    expect(last).to_contain_text(shown_share(photographs["right"] / photographs["count"]))
    for row, one in zip(sets, figures.values(), strict=True):
        expect(row).to_contain_text(f"{one['data']} ({one['count']:,})")
        expect(row).to_contain_text("by the crowd" if one["truth"] == "crowd" else one["data"])
        expect(row).to_contain_text(shown_share(one["accuracy"]))
        expect(row).to_contain_text(shown_share(one["accuracy_interval_95"][0]))
    expect(page.locator("#labels th[scope=row]")).to_have_text(list(WORDS.values()))
    recalls = [shown_share(one["recall"]) for one in figures["PublicTest"]["labels"].values()]
    expect(page.locator("#labels tbody td:nth-child(3)")).to_have_text(recalls)
    expect(page.locator("#certain")).to_contain_text(shown_share(figures["PublicTest"]["certain_accuracy"]))
    expect(page.locator("#calibration circle")).to_have_count(len(figures["PublicTest"]["calibration"]))
    counts = np.array(figures["PublicTest"]["confusion"])
    shares = (100 * counts / counts.sum(axis=1, keepdims=True)).ravel()
    assert [int(text) for text in page.locator("#confusion tbody td").all_inner_texts()] == pytest.approx(
        shares, abs=0.5
    )
    expect(page.locator("#not-known")).to_have_text(card["not_known"])
    expect(page.locator("#licence")).to_have_text(card["licence"])
    broken = """() => [...document.querySelectorAll("td, th")].flatMap((cell) => {
        const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        const found = [];
        for (let node = walk.nextNode(); node; node = walk.nextNode()) {
            for (const { 0: word, index } of node.data.matchAll(/[^ \\n-]+/g)) {
                const range = new Range();
                range.setStart(node, index);
                range.setEnd(node, index + word.length);
                if (range.getClientRects().length > 1) found.push(word);
            }
        }
        return found;
    })"""
    assert page.evaluate(broken) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert trouble == []


def _example(page: Page) -> None:
    shown(page).get_by_role("button", name="Why?").click()
    expect(shown(page).locator(".heat")).to_be_visible()


def _doubt(page: Page) -> None:
    page.get_by_role("button", name="A tilted face").click()
    shown(page).get_by_text("All seven").click()


def _crowd(page: Page) -> None:
    page.get_by_role("button", name="A crowd").click()
    shown(page).locator(".tile").nth(9).click()
    copied(page, "JSON")


def _group(page: Page) -> None:
    choose(page, many_faces(6), FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(own(page).locator(".tile")).to_have_count(6)


def _refused(page: Page) -> None:
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(shown(page).locator(".error")).to_be_visible()


def _nobody(page: Page) -> None:
    page.get_by_role("button", name="Nobody").click()


def _key(page: Page) -> None:
    page.route(
        "**/predict", lambda route: route.fulfill(status=401, json={"detail": "No key.", "code": "key_required"})
    )
    choose(page, many_faces(2))
    expect(page.get_by_label("This service asks for an API key.")).to_be_focused()


def _notice(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()


def _live(page: Page) -> None:
    start_camera(page)
    expect(page.locator("#camera .boxes rect")).to_have_count(1)


def _game(page: Page) -> None:
    _live(page)
    page.get_by_role("button", name="Seven faces").click()
    expect(page.locator(".game .filled")).to_have_count(1)


def _video(page: Page) -> None:
    choose(page, swaying_video())
    expect(page.locator("#clip .boxes rect")).to_be_visible()


def _card(page: Page) -> None:
    page.get_by_role("link", name="How good").click()
    expect(page.locator("#calibration circle").first).to_be_visible()


_STATES = [_example, _doubt, _crowd, _group, _refused, _nobody, _key, _notice, _live, _game, _video, _card]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", _STATES, ids=lambda state: state.__name__.strip("_"))
def test_page_is_accessible(state: Callable[[Page], None], scheme: Any, page: Page, service: str) -> None:
    page.emulate_media(color_scheme=scheme)
    opened(page, service)
    state(page)

    found = Axe().run(page).response["violations"]

    assert [(one["id"], one["help"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_a_wide_window_shows_an_answer_and_a_game_at_a_glance(page: Page, service: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    opened(page, service)
    expect(shown(page).locator("figure")).to_be_in_viewport(ratio=1)
    start_camera(page)
    expect(page.locator("#camera .stream")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Seven faces").click()
    expect(page.locator(".game li")).to_have_count(len(LABELS))
    for part in ("#camera figure", "#camera .stream", ".game li:last-child"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    figure, first = page.locator("#camera figure").bounding_box(), page.locator(".game li").first.bounding_box()
    assert figure
    assert first
    assert first["x"] > figure["x"] + figure["width"]


def test_pictures_that_wait_for_a_key_have_no_number_of_faces(page: Page, service: str) -> None:
    opened(page, service)
    _key(page)
    expect(page.locator("#total p")).to_have_text("1 picture")


_MOVING = """
    window.moving = 0;
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...how) {
        const animation = animate.apply(this, how);
        if (animation.effect.getTiming().duration) window.moving += 1;
        return animation;
    };
    for (const kind of ["transitionrun", "animationstart"]) addEventListener(kind, () => (window.moving += 1), true);
"""
"""Counts what moves on the page by itself, other than a video."""


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wishes_so(wish: Any, moves: bool, page: Page, service: str) -> None:
    page.emulate_media(reduced_motion=wish)
    page.add_init_script(_MOVING)
    opened(page, service)
    _crowd(page)
    shown(page).locator(".boxes rect").nth(5).click()
    expect(shown(page).locator(".tile").nth(5).get_by_role("button")).to_have_attribute("aria-expanded", "true")
    _live(page)

    assert bool(page.evaluate("window.moving")) == moves


@pytest.mark.parametrize("width", [320, 768, 1600])
@pytest.mark.parametrize("state", _STATES, ids=lambda state: state.__name__.strip("_"))
def test_page_fits_its_window(state: Callable[[Page], None], width: int, page: Page, service: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, service)
    state(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_swagger_ui_sends_a_picture(page: Page, service: str, picture: FilePayload, trouble: list[str]) -> None:
    operation = _tried_out(page, service, "/predict")
    operation.locator("input[type=file]").set_input_files(picture)

    operation.get_by_role("button", name="Execute").click()

    live = operation.locator(".live-responses-table")
    expect(live.locator(".response-col_status").last).to_contain_text("200")
    expect(live.locator(".response-col_description").last).to_contain_text('"emotion"')
    assert trouble == []


def test_swagger_ui_sends_a_batch(page: Page, service: str, picture: FilePayload, trouble: list[str]) -> None:
    operation = _tried_out(page, service, "/predict/batch")
    operation.get_by_role("button", name="Add a picture").click()
    inputs = operation.locator("input[type=file]")
    expect(inputs).to_have_count(2)
    for number in range(2):
        inputs.nth(number).set_input_files(picture)

    operation.get_by_role("button", name="Execute").click()

    live = operation.locator(".live-responses-table")
    expect(live.locator(".response-col_status").last).to_contain_text("200")
    expect(live.locator(".response-col_description").last).to_have_text(re.compile('"emotion".*"emotion"', re.DOTALL))
    assert trouble == []


def _tried_out(page: Page, service: str, path: str) -> Locator:
    """A POST operation of Swagger UI, unfolded, which is ready to be filled in."""
    page.goto(f"{service}/docs")
    operation = page.locator(".opblock-post").filter(has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary-control").click()
    return operation


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_description_can_be_read_in_any_light(page: Page, service: str, colours: Any, trouble: list[str]) -> None:
    page.emulate_media(color_scheme=colours)
    for path in ("docs", "redoc"):
        page.goto(f"{service}/{path}")
        expect(page.get_by_text("Answer one picture").locator("visible=true").first).to_be_visible()
    page.goto(f"{service}/docs")
    expect(page.locator("html")).to_have_class(re.compile("dark-mode") if colours == "dark" else re.compile("^$"))
    assert trouble == []


def test_the_page_of_another_origin_that_readme_api_shows(
    page: Page, classifier: Classifier, tmp_path: Path, picture: FilePayload, trouble: list[str]
) -> None:
    (html,) = re.findall(r"```html\n(.*?)```", (ROOT / "README_API.md").read_text(), re.DOTALL)
    text = FilePayload(name="text.jpg", mimeType="image/jpeg", buffer=b"text")
    (tmp_path / "favicon.ico").touch()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever).start()
        origin = f"http://127.0.0.1:{pages.server_port}"
        try:
            with serving(create_app(Settings(cors_origins=(origin,)), parts(classifier))) as url:
                (tmp_path / "index.html").write_text(html.replace("http://localhost:8000", url))
                page.goto(origin)
                for sent, answer in ((picture, "The face shows happiness."), (text, "The file is not a picture")):
                    page.get_by_label("Picture").set_input_files(sent)
                    expect(page.locator("pre")).to_contain_text(answer)
        finally:
            pages.shutdown()
    assert len(trouble) == 1
    assert "status of 400" in trouble[0]


class _FolderServer(ThreadingHTTPServer):
    """Serves a folder.

    Attributes:
        asked: the paths that were asked for.
        ready: set when the models may come.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.ready = threading.Event()
        super().__init__(("127.0.0.1", 0), partial(_FolderHandler, directory=str(folder)))
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self.server_port}/"

    def stop(self) -> None:
        self.ready.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _FolderHandler(SimpleHTTPRequestHandler):
    server: _FolderServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.startswith("/models/"):
            self.server.ready.wait(_PATIENCE_MS / 1000)
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def static_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spaces") / "static"
    subprocess.run([ROOT / "scripts" / "space", "--static", folder], check=True, timeout=120)
    return folder


@pytest.fixture
def space_server(static_space: Path) -> Iterator[_FolderServer]:
    server = _FolderServer(static_space)
    yield server
    server.stop()


def test_page_without_a_service_answers_offline_and_asks_for_its_own_files_alone(
    page: Page,
    space_server: _FolderServer,
    static_space: Path,
    astronaut: NDArray[np.uint8],
    trouble: list[str],
) -> None:
    progress, found = page.locator("#progress"), detected(astronaut)
    opened(page, space_server.address)  # The models have not come yet.
    expect(progress).to_have_text("Loading what answers: 0\xa0%.")
    space_server.ready.set()
    expect(progress).to_have_text("")

    choose(page, FilePayload(name="portrait.png", mimeType="image/png", buffer=encoded(astronaut)))
    expect(shown(page)).to_have_attribute("aria-label", "portrait.png")
    expect(shown(page).locator(".status")).to_have_text("1 face: Happy")
    answer = json.loads(copied(page, "JSON"))
    assert [face["face_coordinates"] for face in answer["faces"]] == found
    shown(page).get_by_role("button", name="Why?").click()
    expect(shown(page).locator(".heat")).to_be_visible()
    with page.expect_download() as download:
        shown(page).get_by_role("button", name="Download with boxes").click()
    with Image.open(download.value.path()) as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (512, 512))
        x, y = (found[0][name] for name in ("x", "y"))
        assert np.abs(np.array(drawn)[y, x + 50] - np.array([230, 167, 0])).max() < 60  # The colour of "happy".
    choose(page, FilePayload(name="text.png", mimeType="image/png", buffer=b"text"))
    expect(shown(page).locator(".status")).to_have_text("The file is not a picture that this browser can decode.")

    page.wait_for_function("navigator.serviceWorker.controller")
    files = {f"/{path.relative_to(static_space)}" for path in static_space.rglob("*")} | {"/"}
    assert set(space_server.asked) <= files
    space_server.stop()
    page.reload()
    choose(page, FilePayload(name="again.png", mimeType="image/png", buffer=encoded(astronaut)))
    expect(shown(page)).to_have_attribute("aria-label", "again.png")
    expect(shown(page).locator(".status")).to_have_text("1 face: Happy")
    page.get_by_role("link", name="How good").click()
    expect(page.locator("#figures")).to_be_visible()
    assert trouble == []


def test_page_without_a_service_follows_a_camera_and_a_video(
    page: Page, space_server: _FolderServer, trouble: list[str]
) -> None:
    space_server.ready.set()
    opened(page, space_server.address)
    start_camera(page)
    expect(page.locator("#camera .pills span")).to_have_text(re.compile("^Happy"))
    page.get_by_role("button", name="Stop").click()
    choose(page, swaying_video())
    expect(page.locator("#clip .pills span")).to_have_text(re.compile("^Happy"))
    assert trouble == []


def detected(pixels: NDArray[np.uint8]) -> list[dict[str, int]]:
    """The boxes that the service finds in a picture."""
    return [face.box._asdict() for face in load_detector(Settings()).find(pixels)]
