"""What a person sees in a browser: the demo page and Swagger UI, in a real Chromium against the running service."""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect, sync_playwright
from websockets.sync.client import connect

from app.emotions import LABELS
from app.main import create_app
from app.model.classifier import Classifier
from app.settings import Settings
from bench.live import swaying
from tests.helpers import encoded, parts, serving

pytestmark = pytest.mark.browser

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


def figures(part: Locator) -> list[str]:
    """The percentages of a face's card."""
    return [text.replace("\xa0", " ") for text in part.locator("td:last-child").all_inner_texts()]


def rounded(face: dict[str, Any]) -> list[str]:
    return [f"{int(100 * face['probabilities'][label] + 0.5)} %" for label in LABELS]


def copied(page: Page, name: str) -> str:
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_demo_page_shows_what_the_service_answers(
    page: Page, service: str, portrait: bytes, picture: FilePayload, trouble: list[str]
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    signs = {emotion["name"]: emotion["emoji"] for emotion in httpx2.get(f"{service}/emotions").json()["details"]}

    page.goto(service)
    choose(page, picture)

    faces = page.locator(".faces > li")
    expect(faces).to_have_count(1)
    heading = faces.get_by_role("heading")
    expect(heading).to_contain_text(answer["emotion"])
    expect(heading).to_contain_text(signs[answer["emotion"]])
    expect(heading).to_contain_text(f"{100 * answer['confidence']:.0f}")
    expect(faces.locator(".sentence")).to_have_text(answer["message"])
    expect(faces.get_by_role("rowheader")).to_have_text(list(LABELS))
    assert figures(faces) == rounded(answer["faces"][0])
    expect(page.locator("article .status").first).to_have_text("One face: happy.")
    expect(page.locator("article .stats")).to_have_text(re.compile(r"\d+ ms: decode \d+, detect \d+, classify \d+"))
    shown = json.loads(copied(page, "Copy JSON"))
    assert shown | {"timings_ms": None} == answer | {"timings_ms": None}
    assert trouble == []


def test_demo_page_is_the_same_where_it_is_asked_for_by_name(service: str) -> None:
    page = httpx2.get(f"{service}/demo", headers={"Accept": "application/json"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text == httpx2.get(service, headers={"Accept": "text/html"}).text


def test_demo_page_draws_the_box_around_the_face(
    page: Page, service: str, portrait: bytes, picture: FilePayload
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    page.goto(service)
    choose(page, picture)

    outline, image = page.locator("article .boxes rect").last, page.get_by_alt_text("portrait.jpg")
    expect(outline).to_be_visible()
    expect(image).to_be_visible()
    drawn, shown = outline.bounding_box(), image.bounding_box()

    assert drawn is not None
    assert shown is not None
    scale = shown["width"] / answer["image"]["width"]
    box = answer["face_coordinates"]
    got = (drawn["x"] - shown["x"], drawn["y"] - shown["y"], drawn["width"], drawn["height"])
    want = [scale * box[name] for name in ("x", "y", "width", "height")]
    assert got == pytest.approx(want, abs=4)


def test_demo_page_says_when_it_is_not_sure(page: Page, service: str, picture: FilePayload) -> None:
    def doubt(route: Route) -> None:
        answer = route.fetch().json()
        answer["faces"][0] |= {"certain": False, "plausible": ["sad", "neutral"]}
        route.fulfill(json=answer)

    page.route("**/predict", doubt)
    page.goto(service)
    choose(page, picture)

    expect(page.locator(".sentence")).to_have_text("Not sure between sad and neutral.")
    expect(page.locator(".boxes text")).to_contain_text("happy?")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encoded(np.full((200, 200, 3), 128, np.uint8)), "No face was found."),
        (b"\xff\xd8\xff\xe0 no picture", "The picture's header is corrupt."),
    ],
    ids=["no face", "corrupt"],
)
def test_demo_page_shows_why_a_picture_has_no_answer(
    content: bytes, words: str, page: Page, service: str, picture: FilePayload, trouble: list[str]
) -> None:
    page.goto(service)
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=content))

    expect(page.locator("article .status")).to_contain_text(words)
    expect(page.locator(".faces > li")).to_have_count(0)
    expect(page.locator(".boxes rect")).to_have_count(0)
    expect(page.get_by_role("button", name="Copy JSON")).to_be_hidden()
    # The browser itself reports every answer that is an error.
    assert [line for line in trouble if "status of 400" not in line] == []

    choose(page, picture)
    expect(page.locator(".faces > li")).to_have_count(1)


def test_demo_page_can_be_used_with_the_keyboard_alone(page: Page, service: str, picture: FilePayload) -> None:
    page.goto(service)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="A laughing woman")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".faces > li")).to_have_count(1)
    page.get_by_role("button", name="Remove").press("Enter")
    expect(page.locator("article")).to_have_count(0)
    expect(page.get_by_label("Choose pictures")).to_be_focused()


@pytest.mark.parametrize(
    "event",
    [
        "new DragEvent('drop', { dataTransfer: files, bubbles: true })",
        "new ClipboardEvent('paste', { clipboardData: files, bubbles: true })",
    ],
    ids=["dropped", "pasted"],
)
def test_demo_page_takes_pictures_that_are(
    event: str, page: Page, service: str, portrait: bytes, trouble: list[str]
) -> None:
    page.goto(service)

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

    expect(page.locator(".faces > li")).to_have_count(2)
    assert [article.get_attribute("aria-label") for article in page.locator("article").all()] == ["two.jpg", "one.jpg"]
    assert trouble == []


@pytest.mark.parametrize(
    ("sample", "shown"),
    [
        ("A laughing woman", ["happy"]),
        ("An angry woman", ["angry"]),
        ("A surprised woman", ["surprise"]),
        ("Three people", ["happy", "angry", "surprise"]),
        ("A house", []),
    ],
)
def test_demo_page_has_samples_that_show_what_they_say(sample: str, shown: list[str], page: Page, service: str) -> None:
    page.goto(service)
    page.get_by_role("button", name=sample).click()

    status = page.locator("article .status").first
    expect(status).to_have_text(re.compile("found|face"))
    expect(status).not_to_contain_text("Looking")
    assert page.locator(".faces .label").all_inner_texts() == shown
    numbers = [str(number + 1) for number in range(len(shown))] if len(shown) > 1 else [""] * len(shown)
    assert page.locator(".faces .number").all_text_contents() == numbers
    expect(page.locator(".boxes text")).to_have_count(len(shown))


def test_demo_page_explains_a_face(page: Page, service: str, picture: FilePayload, trouble: list[str]) -> None:
    page.goto(service)
    choose(page, picture)
    page.get_by_text("Why?").click()

    heat = page.locator("details img")
    expect(heat).to_be_visible()
    expect(heat).to_have_attribute("alt", re.compile("for happy"))
    page.get_by_label("What speaks for").select_option("sad")
    expect(heat).to_have_attribute("alt", re.compile("for sad"))
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 384
    assert trouble == []


def test_demo_page_hands_out_the_drawn_picture_and_the_command(
    page: Page, service: str, picture: FilePayload, trouble: list[str]
) -> None:
    page.goto(service)
    choose(page, picture | {"name": 'it\'s "me".jpg'})
    expect(page.locator(".faces > li")).to_have_count(1)

    with page.expect_download() as download:
        page.get_by_role("button", name="Download with boxes").click()
    assert download.value.suggested_filename.endswith("-expressions.jpg")
    with Image.open(BytesIO(Path(download.value.path()).read_bytes())) as drawn:
        assert drawn.format == "JPEG"
        assert drawn.size == (512, 512)
    command = shlex.split(copied(page, "Copy curl"))
    assert command == ["curl", "-F", 'file=@"it\'s \\"me\\".jpg"', f"{service}/predict"]
    assert trouble == []


def test_demo_page_asks_for_the_key(
    page: Page, classifier: Classifier, picture: FilePayload, trouble: list[str]
) -> None:
    settings = Settings(api_keys=(hashlib.sha256(_KEY.encode()).hexdigest(),))
    with serving(create_app(settings, parts(classifier))) as url:
        page.goto(url)
        field = page.get_by_label("This service asks for an API key.")
        expect(field).to_be_focused()
        choose(page, picture)
        expect(page.locator("article .status")).to_contain_text("asks for an API key")
        field.fill("wrong")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Send a valid key in the X-API-Key header.")
        field.fill(_KEY)
        field.press("Enter")
        expect(field).to_be_hidden()
        choose(page, picture)
        expect(page.locator(".faces > li")).to_have_count(1)
        assert "X-API-Key: ..." in copied(page, "Copy curl")
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#camera .faces > li")).to_have_count(1)
        page.goto("about:blank")
    assert [line for line in trouble if "status of 401" not in line] == []


def test_camera_is_answered_live(page: Page, service: str, trouble: list[str]) -> None:
    page.goto(service)
    page.get_by_role("button", name="Use the camera").click()

    box = page.locator("#camera .boxes rect").last
    expect(box).to_be_visible()
    places = set()
    for _ in range(20):
        if place := box.get_attribute("x", timeout=_PATIENCE_MS):
            places.add(place)
        page.wait_for_timeout(100)
    assert len(places) > 3, "the box does not follow the face"
    expect(page.locator("#camera .faces > li")).to_have_count(1)
    expect(page.locator("#camera .label")).to_have_text("happy")
    expect(page.locator("#camera .stats")).to_have_text(re.compile(r"\d+ frames a second, \d+ ms from frame to answer"))
    expect(page.locator("#camera .status")).to_have_text(re.compile("shows|Not sure"))
    assert _painted(page.locator("#camera canvas")) > 0

    page.get_by_role("button", name="Stop the camera").click()
    expect(page.locator("#camera")).to_be_hidden()
    assert page.locator("video").evaluate("video => video.srcObject") is None
    assert trouble == []


def _painted(canvas: Locator) -> int:
    """How many pixels of a canvas are not empty."""
    count: int = canvas.evaluate(
        """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
            .data.filter((value, index) => index % 4 === 3 && value > 0).length"""
    )
    return count


def test_camera_rests_while_the_page_is_hidden(page: Page, service: str) -> None:
    page.goto(service)
    with page.expect_websocket() as first:
        page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#camera .faces > li")).to_have_count(1)

    turn = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with first.value.expect_event("close"):
        page.evaluate(turn, True)
    expect(page.locator("#camera .status")).to_have_text("Paused.")
    with page.expect_websocket():
        page.evaluate(turn, False)
    expect(page.locator("#camera .status")).to_have_text(re.compile("shows|Not sure"))


def test_camera_waits_for_a_place(page: Page, classifier: Classifier) -> None:
    with serving(create_app(Settings(max_live=1), parts(classifier))) as url:
        with connect(f"{url.replace('http', 'ws', 1)}/live", close_timeout=2):
            page.goto(url)
            page.get_by_role("button", name="Use the camera").click()
            expect(page.locator("#camera .status")).to_contain_text("has no room for another camera")
        expect(page.locator("#camera .faces > li")).to_have_count(1)
        page.goto("about:blank")


def test_camera_that_is_not_allowed_is_explained(browser: Browser, service: str) -> None:
    page = browser.new_page()
    page.add_init_script("""navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError"));""")
    page.goto(service)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#camera .status")).to_have_text("The camera was not allowed.")
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    page.close()


def _empty(page: Page) -> None:
    expect(page.get_by_label("Choose pictures")).to_be_visible()


def _answered(page: Page) -> None:
    page.get_by_role("button", name="Three people").click()
    page.get_by_text("Why?").first.click()
    expect(page.locator("details img").first).to_be_visible()


def _refused(page: Page) -> None:
    page.get_by_role("button", name="A house").click()
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(page.locator(".actions:visible")).to_have_count(2)


def _live(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#camera .faces > li")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", [_empty, _answered, _refused, _live], ids=lambda state: state.__name__.strip("_"))
def test_demo_page_is_accessible(state: Callable[[Page], None], scheme: Any, page: Page, service: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(service)
    state(page)

    found = Axe().run(page).response["violations"]

    assert [(one["id"], one["help"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("width", [320, 1600])
def test_demo_page_fits_its_window(width: int, page: Page, service: str, picture: FilePayload) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(service)
    _answered(page)

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
