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
from playwright.sync_api import Browser, FilePayload, Locator, Page, Request, Route, expect, sync_playwright
from websockets.sync.client import connect

from app import __version__
from app.emotions import LABELS
from app.main import create_app
from app.model.classifier import Classifier
from app.settings import Settings
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
    """Go to the page and wait until its example is answered."""
    page.goto(service)
    expect(page.locator(".example .faces > li")).to_have_count(1)


def copies(portrait: bytes, count: int) -> list[FilePayload]:
    names = [f"{number}.jpg" for number in range(count)]
    return [FilePayload(name=name, mimeType="image/jpeg", buffer=portrait) for name in names]


def many_faces(count: int) -> FilePayload:
    """A picture of as many heads, side by side."""
    astronaut, hopper = people()
    heads = [cv2.resize(head, (300, 300)) for head in (astronaut[:330, 60:390], hopper[30:430, 60:460])]
    rows = [np.hstack([heads[(row + column) % 2] for column in range(count // 2)]) for row in range(2)]
    return FilePayload(name="many.png", mimeType="image/png", buffer=encoded(np.vstack(rows)))


def figures(part: Locator) -> list[str]:
    """The percentages of a face's table."""
    return [text.replace("\xa0", " ") for text in part.locator("td:last-child").all_inner_texts()]


def rounded(face: dict[str, Any]) -> list[str]:
    return [f"{int(100 * face['probabilities'][label] + 0.5)} %" for label in LABELS]


def copied(page: Page, name: str) -> str:
    page.get_by_role("button", name=name).locator("visible=true").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def shown(page: Page) -> Locator:
    """The picture that is shown; there is one at most."""
    return page.locator("article:not([hidden])")


def test_page_opens_with_an_answered_example(page: Page, service: str, trouble: list[str]) -> None:
    requests: list[Request] = []
    page.on("requestfinished", lambda request: None if request.url.startswith("blob:") else requests.append(request))
    answer = httpx2.post(f"{service}/predict", files={"file": EXAMPLE.read_bytes()}, timeout=60).json()
    opened(page, service)

    expect(page.locator(".faces .label")).to_have_text(answer["emotion"])
    expect(shown(page).locator(".name")).to_contain_text("NASA")
    expect(shown(page).locator(".crop")).to_be_visible()
    expect(page.locator("#version")).to_have_text(__version__)
    assert sum(request.sizes()["responseBodySize"] for request in requests) < 150_000
    assert len(requests) == len({request.url for request in requests}), "something is asked for twice"
    assert page.evaluate("document.documentElement.scrollTop") == 0
    assert trouble == []


def test_page_shows_what_the_service_answers(
    page: Page, service: str, portrait: bytes, picture: FilePayload, trouble: list[str]
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    signs = {emotion["name"]: emotion["emoji"] for emotion in httpx2.get(f"{service}/emotions").json()["details"]}

    opened(page, service)
    choose(page, picture)

    expect(page.locator("article")).to_have_count(1)  # The example has given way.
    expect(page.get_by_alt_text("portrait.jpg").first).to_be_visible()
    faces = page.locator(".faces > li")
    expect(faces).to_have_count(1)
    heading = faces.get_by_role("heading")
    expect(heading).to_contain_text(answer["emotion"])
    expect(heading).to_contain_text(signs[answer["emotion"]])
    expect(heading).to_contain_text(f"{100 * answer['confidence']:.0f}")
    expect(faces.locator(".doubt")).to_have_text("")
    expect(faces.get_by_role("rowheader")).to_have_text(list(LABELS))
    assert figures(faces) == rounded(answer["faces"][0])
    expect(page.locator("article .status")).to_have_text("One face: happy.")
    expect(page.locator("article .stats")).to_have_text(
        re.compile(r"One face in \d+ ms \(decode \d+, detect \d+, classify \d+\)")
    )
    copy = json.loads(copied(page, "Copy JSON"))
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
    expect(page.get_by_alt_text("portrait.jpg").first).to_be_visible()
    page.set_viewport_size({"width": width, "height": 844})

    outline, image = page.locator("article .boxes rect"), shown(page).locator("figure img")
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
    def doubt(route: Route) -> None:
        answer = route.fetch().json()
        answer["faces"][0] |= {"certain": False, "plausible": ["happy", "sad", "neutral"], "detection": 0.52}
        route.fulfill(json=answer)

    page.route("**/predict", doubt)
    page.goto(service)
    choose(page, picture)

    face = page.locator("li.unsure.weak")
    expect(face.locator(".doubt")).to_have_text("Not sure: it may be sad or neutral. Weak detection: 52\xa0%.")
    expect(face.get_by_role("heading")).to_contain_text("happy?")
    expect(page.locator(".pills span")).to_contain_text("happy?")
    assert face.locator(".crop").evaluate("crop => getComputedStyle(crop).opacity") == "0.5"


@pytest.mark.parametrize("width", [390, 1440])
def test_page_shows_a_group(width: int, page: Page, service: str, trouble: list[str]) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(service)
    choose(page, many_faces(14))

    faces = page.locator(".faces > li")
    expect(faces).to_have_count(14)
    assert page.locator(".faces .number").all_text_contents() == [str(number + 1) for number in range(14)]
    expect(page.locator(".faces table:visible")).to_have_count(0)
    boxes = [one.bounding_box() for one in page.locator(".boxes rect").all()]
    pills = [one.bounding_box() for one in page.locator(".pills span").all()]
    for number, pill in enumerate(pills):
        assert not any(_meet(pill, box) for other, box in enumerate(boxes) if other != number), number
    faces.nth(3).hover()
    expect(page.locator(".boxes .lit")).to_have_count(1)
    expect(page.locator(".boxes rect").nth(3)).to_have_class(re.compile("lit"))
    page.locator(".boxes rect").nth(5).hover()
    expect(page.locator(".faces > .lit .number")).to_have_text("6")
    faces.nth(5).locator("summary").first.click()
    expect(faces.nth(5).get_by_role("rowheader")).to_have_text(list(LABELS))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert trouble == []


def _meet(one: Any, other: Any) -> bool:
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    return bool(min(across, down) > 1)


def test_page_takes_thirty_pictures(page: Page, service: str, portrait: bytes, trouble: list[str]) -> None:
    opened(page, service)
    choose(page, *copies(portrait, 30))

    thumbs = page.locator("#strip li")
    expect(thumbs).to_have_count(30)
    expect(page.locator("article .faces > li")).to_have_count(30)
    expect(shown(page)).to_have_attribute("aria-label", "0.jpg")
    expect(shown(page).locator(".name")).to_have_text("0.jpg")
    page.get_by_role("button", name="7.jpg", exact=True).click()
    expect(shown(page)).to_have_attribute("aria-label", "7.jpg")
    shown(page).get_by_role("button", name="Remove").click()
    expect(thumbs).to_have_count(29)
    expect(shown(page)).to_have_attribute("aria-label", "8.jpg")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("article")).to_have_count(0)
    expect(page.locator("#strip")).to_be_hidden()
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    page.get_by_role("button", name="Show the example").click()
    expect(page.locator(".example .faces > li")).to_have_count(1)
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
    expect(page.locator(".faces > li")).to_have_count(0)
    expect(page.locator(".boxes rect")).to_have_count(0)
    expect(page.get_by_role("button", name="Copy JSON")).to_be_hidden()
    # The browser itself reports every answer that is an error.
    assert [line for line in trouble if "status of 400" not in line] == []

    choose(page, picture)
    expect(page.locator(".faces > li")).to_have_count(1)


def test_page_waits_while_the_service_is_out_of_reach(page: Page, service: str, picture: FilePayload) -> None:
    opened(page, service)
    page.context.set_offline(True)
    choose(page, picture)
    expect(shown(page).locator(".status")).to_have_text(
        re.compile(r"^The service cannot be reached\. Next try in \d+\ss\.$")
    )
    page.context.set_offline(False)
    expect(page.locator(".faces > li")).to_have_count(1)


def test_page_waits_where_the_rate_is_limited(page: Page, classifier: Classifier, picture: FilePayload) -> None:
    with serving(create_app(Settings(max_requests_per_minute=20), parts(classifier))) as url:
        while httpx2.get(f"{url}/model").status_code == 200:
            pass
        page.goto(url)
        choose(page, picture)
        expect(shown(page).locator(".status")).to_have_text(
            re.compile(r"^The service has had too many requests from here\. Next try in \d+\ss\.$")
        )
        expect(page.locator("#key")).to_be_hidden()
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#camera .status")).to_contain_text("Next try in")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator("article .faces > li")).to_have_count(1)
        page.goto("about:blank")


def test_page_tries_a_refused_picture_again(page: Page, service: str, picture: FilePayload) -> None:
    opened(page, service)
    page.route("**/predict", lambda route: route.fulfill(status=500, json={"detail": "It broke.", "code": "x"}))
    choose(page, picture)
    expect(shown(page).locator(".status")).to_have_text("It broke.")
    page.unroute("**/predict")
    shown(page).get_by_role("button", name="Try again").click()
    expect(page.locator(".faces > li")).to_have_count(1)


def test_page_can_be_used_with_the_keyboard_alone(page: Page, service: str) -> None:
    opened(page, service)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
    shown(page).locator("summary").first.press("Enter")
    expect(shown(page).locator("table")).to_be_hidden()
    page.get_by_role("button", name="Remove", exact=True).press("Enter")
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
def test_page_takes_pictures_that_are(
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

    expect(page.locator("article:not(.example) .faces > li")).to_have_count(2)
    expect(page.locator("#strip .name")).to_have_text(["one.jpg", "two.jpg"])
    assert trouble == []


def test_page_explains_a_face(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    page.get_by_text("Why?").click()

    heat = page.locator("details img")
    expect(heat).to_be_visible()
    expect(heat).to_have_attribute("alt", re.compile("for happy"))
    page.get_by_label("What speaks for").select_option("sad")
    expect(heat).to_have_attribute("alt", re.compile("for sad"))
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 384
    assert trouble == []


def test_page_hands_out_the_drawn_picture_and_the_command(
    page: Page, service: str, picture: FilePayload, trouble: list[str]
) -> None:
    opened(page, service)
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


def test_page_asks_for_the_key(page: Page, classifier: Classifier, picture: FilePayload, trouble: list[str]) -> None:
    settings = Settings(api_keys=(hashlib.sha256(_KEY.encode()).hexdigest(),))
    with serving(create_app(settings, parts(classifier))) as url:
        page.goto(url)
        field = page.get_by_label("This service asks for an API key.")
        expect(field).to_be_focused()
        choose(page, picture)
        expect(shown(page).locator(".status")).to_have_text("Waiting for the API key.")
        field.fill("wrong")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
        field.fill(_KEY)
        field.press("Enter")
        expect(field).to_be_hidden()
        expect(page.locator("article .faces > li")).to_have_count(1)
        assert "X-API-Key: ..." in copied(page, "Copy curl")
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#camera .faces > li")).to_have_count(1)
        page.goto(f"{url}/card")
        expect(page.get_by_role("heading", name="Calibration")).to_be_visible()
    assert [line for line in trouble if "status of 401" not in line] == []


def test_the_answer_is_in_the_window_of_a_phone(browser: Browser, service: str, picture: FilePayload) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    opened(page, service)
    choose(page, picture)
    expect(page.locator("article:not(.example) .faces h2")).to_be_in_viewport(ratio=1)
    expect(shown(page).locator("figure img")).to_be_in_viewport(ratio=0.5)
    for target in page.locator("button:visible, summary:visible, select:visible, .button:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    heights = shown(page).locator(".faces th").evaluate_all("(labels) => labels.map((label) => label.offsetHeight)")
    assert len(heights) == len(LABELS)
    assert max(heights) == min(heights)  # No label is broken into two lines.
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("one_frame", [False, True])
def test_nothing_jumps(one_frame: bool, width: int, page: Page, service: str, portrait: bytes) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.add_init_script(
        """window.shifts = [];
        const name = ({ node }) => node?.id || node?.className || node?.nodeName;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifts.push([entry.value, entry.sources.map(name).join()]);
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    if one_frame:  # The example goes in the frame in which the first picture comes, as when decoding takes no time.
        page.add_init_script(
            """const remove = Element.prototype.remove;
            Element.prototype.remove = function () {
                if (!this.matches(".example")) return remove.call(this);
                const next = () => document.querySelector("article:not(.example, [hidden])") && remove.call(this);
                new MutationObserver(next).observe(document, { subtree: true, attributeFilter: ["hidden"] });
            };"""
        )
    opened(page, service)
    choose(page, *copies(portrait, 3))
    expect(page.locator("article .faces > li")).to_have_count(3)
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
    expect(page.locator("article .faces > li")).to_have_count(1)
    expect(shown(page)).to_have_count(0)
    choose(page, FilePayload(name="fast.jpg", mimeType="image/jpeg", buffer=portrait))
    expect(shown(page)).to_have_attribute("aria-label", "fast.jpg")
    page.evaluate("goOn()")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(shown(page)).to_have_attribute("aria-label", "fast.jpg")
    expect(page.locator("#strip li")).to_have_count(2)


def test_camera_is_answered_live(page: Page, service: str, trouble: list[str]) -> None:
    opened(page, service)
    expect(page.get_by_text("The camera's pictures go to this service")).to_be_visible()
    page.get_by_role("button", name="Use the camera").click()

    box = page.locator("#camera .boxes rect")
    expect(box).to_be_visible()
    places = set()
    for _ in range(20):
        if place := box.get_attribute("x", timeout=_PATIENCE_MS):
            places.add(place)
        page.wait_for_timeout(100)
    assert len(places) > 3, "the box does not follow the face"
    expect(page.locator("article")).to_have_count(0)
    expect(page.locator("#camera .faces > li")).to_have_count(1)
    expect(page.locator("#camera .label")).to_have_text("happy")
    expect(page.locator("#camera .stats")).to_have_text(re.compile(r"\d+ frames a second, \d+ ms from frame to answer"))
    expect(page.locator("#camera .status")).to_have_text(re.compile("^happy"))
    assert _painted(page.locator("#camera .chart canvas")) > 0

    page.get_by_role("button", name="Take a picture").click()
    expect(page.locator("article .label")).to_have_text("happy")
    expect(page.locator("article")).to_have_attribute("aria-label", re.compile(r"^camera-\d\d-\d\d-\d\d\.jpg$"))
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.id === 'camera'")
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("!document.fullscreenElement")
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


def test_camera_survives_a_restart_of_the_service(page: Page, classifier: Classifier) -> None:
    port = free_port()
    with serving(create_app(Settings(), parts(classifier)), port) as url:
        page.goto(url)
        page.get_by_role("button", name="Use the camera").click()
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
    expect(page.locator("#camera .status")).to_have_text(re.compile("^happy"))


def test_camera_waits_for_a_place(page: Page, classifier: Classifier) -> None:
    with serving(create_app(Settings(max_live=1), parts(classifier))) as url:
        with connect(f"{url.replace('http', 'ws', 1)}/live", close_timeout=2):
            page.goto(url)
            page.get_by_role("button", name="Use the camera").click()
            expect(page.locator("#camera .status")).to_contain_text("There is no room for another camera")
        expect(page.locator("#camera .faces > li")).to_have_count(1)
        page.goto("about:blank")


def test_camera_that_is_not_allowed_is_explained(browser: Browser, service: str) -> None:
    page = browser.new_page()
    page.add_init_script("""navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError"));""")
    page.goto(service)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#camera .status")).to_have_text("The camera was not allowed.")
    expect(page.locator("#camera video")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    page.close()


def test_card_shows_the_figures_of_the_model(page: Page, service: str, trouble: list[str]) -> None:
    figures = httpx2.get(f"{service}/model").json()["evaluation"]
    opened(page, service)
    page.get_by_role("link", name="How good the model is").click()

    rows = page.locator("#accuracy tbody tr")
    expect(rows).to_have_count(len(figures))
    for row, one in zip(rows.all(), figures.values(), strict=True):
        expect(row).to_contain_text(f"{one['data']} ({one['count']:,})")
        expect(row).to_contain_text(f"{100 * one['accuracy']:.1f}")
        expect(row).to_contain_text(f"{100 * one['accuracy_interval_95'][0]:.1f}")
    expect(page.locator("#labels th[scope=row]")).to_have_text(list(LABELS))
    recalls = [f"{100 * one['recall']:.1f}\xa0%" for one in figures["PublicTest"]["labels"].values()]
    expect(page.locator("#labels tbody td:nth-child(3)")).to_have_text(recalls)
    expect(page.locator("#calibration tbody tr")).to_have_count(len(figures["PublicTest"]["calibration"]))
    expect(page.get_by_text("FER-2013 has no demographic labels.")).to_be_visible()
    assert trouble == []


def _example(page: Page) -> None:
    page.get_by_text("Why?").click()
    expect(page.locator("details img")).to_be_visible()


def _group(page: Page) -> None:
    choose(page, many_faces(6), FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(page.locator("article:not(.example) .faces > li")).to_have_count(6)


def _refused(page: Page) -> None:
    choose(page, FilePayload(name="odd.png", mimeType="image/png", buffer=b"odd"))
    expect(page.locator("article .error")).to_be_visible()


def _live(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#camera .faces > li")).to_have_count(1)


def _card(page: Page) -> None:
    page.get_by_role("link", name="How good the model is").click()
    expect(page.get_by_role("heading", name="Calibration")).to_be_visible()


_STATES = [_example, _group, _refused, _live, _card]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", _STATES, ids=lambda state: state.__name__.strip("_"))
def test_page_is_accessible(state: Callable[[Page], None], scheme: Any, page: Page, service: str) -> None:
    page.emulate_media(color_scheme=scheme)
    opened(page, service)
    state(page)

    found = Axe().run(page).response["violations"]

    assert [(one["id"], one["help"], [node["html"] for node in one["nodes"]]) for one in found] == []


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
