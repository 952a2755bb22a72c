"""What a person sees in a browser: the demo page and Swagger UI, in a real Chromium against the running service."""

import re
import shutil
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect, sync_playwright

from app.emotions import LABELS
from tests.conftest import encoded

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def trouble() -> list[str]:
    """What the page of the test should not have done: errors in its console, requests to elsewhere."""
    return []


@pytest.fixture
def page(browser: Browser, service: str, trouble: list[str]) -> Iterator[Page]:
    """A blank page that writes down its trouble."""
    own = (f"{service}/", f"blob:{service}/", "data:")
    page = browser.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.on("request", lambda request: None if request.url.startswith(own) else trouble.append(request.url))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def picture(portrait: bytes) -> FilePayload:
    return FilePayload(name="portrait.jpg", mimeType="image/jpeg", buffer=portrait)


def test_demo_page_shows_what_the_service_answers(
    page: Page, service: str, portrait: bytes, picture: FilePayload, trouble: list[str]
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    signs = {emotion["name"]: emotion["emoji"] for emotion in httpx2.get(f"{service}/emotions").json()["details"]}

    page.goto(service)
    page.get_by_label("Choose a picture").set_input_files(picture)

    faces = page.locator("#faces > li")
    expect(faces).to_have_count(1)
    expect(faces.get_by_role("heading")).to_contain_text(answer["emotion"])
    expect(faces.get_by_role("heading")).to_contain_text(signs[answer["emotion"]])
    expect(faces.get_by_role("heading")).to_contain_text(f"{100 * answer['confidence']:.0f}")
    expect(faces.get_by_role("paragraph")).to_contain_text(answer["message"] if answer["certain"] else "Not sure: ")
    expect(faces.get_by_role("rowheader")).to_have_text(list(LABELS))
    expect(faces.locator(".bar")).to_have_count(len(LABELS))
    expect(page.get_by_role("status")).to_have_text(re.compile(r"One face in \d+ ms: .+\."))
    expect(page.locator("#boxes rect")).to_have_count(1)
    assert trouble == []


def test_demo_page_draws_the_box_around_the_face(
    page: Page, service: str, portrait: bytes, picture: FilePayload
) -> None:
    answer = httpx2.post(f"{service}/predict", files={"file": portrait}, timeout=60).json()
    page.goto(service)
    page.get_by_label("Choose a picture").set_input_files(picture)

    outline, image = page.locator("#boxes rect"), page.get_by_alt_text("The picture that was sent")
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
    page.get_by_label("Choose a picture").set_input_files(picture)

    expect(page.locator("#faces").get_by_role("paragraph")).to_have_text("Not sure: sad or neutral")


def test_demo_page_shows_why_a_picture_has_no_answer(page: Page, service: str, trouble: list[str]) -> None:
    grey = encoded(np.full((200, 200, 3), 128, np.uint8))
    answer = httpx2.post(f"{service}/predict", files={"file": grey}, timeout=60)
    assert answer.status_code == 400

    page.goto(service)
    page.get_by_label("Choose a picture").set_input_files(
        FilePayload(name="grey.png", mimeType="image/png", buffer=grey)
    )

    expect(page.get_by_role("status")).to_have_text(answer.json()["detail"])
    expect(page.locator("#faces > li")).to_have_count(0)
    expect(page.locator("#boxes rect")).to_have_count(0)
    # The browser itself reports every answer that is an error.
    assert [line for line in trouble if "status of 400" not in line] == []


def test_demo_page_is_reached_by_keyboard(page: Page, service: str) -> None:
    page.goto(service)

    page.keyboard.press("Tab")

    expect(page.get_by_label("Choose a picture")).to_be_focused()


@pytest.mark.parametrize(
    "event",
    [
        "new DragEvent('drop', { dataTransfer: files, bubbles: true })",
        "new ClipboardEvent('paste', { clipboardData: files, bubbles: true })",
    ],
    ids=["dropped", "pasted"],
)
def test_demo_page_takes_a_picture_that_is(event: str, page: Page, service: str, portrait: bytes) -> None:
    page.goto(service)

    page.evaluate(
        f"""bytes => {{
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "portrait.jpg", {{ type: "image/jpeg" }}));
            document.body.dispatchEvent({event});
        }}""",
        list(portrait),
    )

    expect(page.locator("#faces > li")).to_have_count(1)


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
    operation.get_by_role("button", name="Add string item").click()
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
    """A POST operation of Swagger UI, unfolded and ready to be filled in."""
    page.goto(f"{service}/docs")
    operation = page.locator(".opblock-post").filter(has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    return operation
