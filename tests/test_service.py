"""The running service over real HTTP: the contract, and what it does with requests that it cannot answer."""

import base64
import concurrent.futures
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.emotions import LABELS
from app.errors import ServiceError
from app.model.card import read_card
from app.settings import Settings
from tests.helpers import bilevel_bomb, check_problem, crowd, encoded, group, predict

FACE_FIELDS = {"emotion", "confidence", "probabilities", "message", "face_coordinates", "certain", "plausible"} | {
    "detection",
    "angle",
    "landmarks",
}


@pytest.fixture(scope="module")
def http(service: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service, timeout=30) as client:
        yield client


def test_a_portrait_is_answered_as_the_contract_says(http: httpx2.Client, portrait: bytes) -> None:
    body = predict(http, portrait)
    assert FACE_FIELDS | {"faces", "image", "model", "timings_ms"} == set(body)
    assert body["emotion"] == "happy"
    assert list(body["probabilities"]) == list(LABELS)
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert all(round(one, 4) == one for one in body["probabilities"].values())
    assert body["confidence"] == max(body["probabilities"].values()) == body["probabilities"]["happy"]
    assert body["image"] == {"width": 512, "height": 512}
    assert len(body["faces"]) == 1
    assert body["faces"][0] == {name: body[name] for name in FACE_FIELDS}
    assert body["plausible"][0] == "happy"
    card = read_card(Settings().model_path)
    assert body["model"] == {"name": card.name, "version": card.version}
    assert body["certain"] == (body["confidence"] >= card.certain_from)
    assert set(body["timings_ms"]) == {"decode", "detect", "classify", "total"}


def test_every_face_of_a_group_largest_first(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8], portrait: bytes
) -> None:
    body = predict(http, encoded(group(astronaut, hopper)))
    areas = [face["face_coordinates"]["width"] * face["face_coordinates"]["height"] for face in body["faces"]]
    assert len(areas) == 2
    assert areas == sorted(areas, reverse=True)
    assert body["face_coordinates"] == body["faces"][0]["face_coordinates"]
    assert body["faces"][1]["emotion"] == "happy"


@pytest.mark.slow
def test_the_same_bytes_get_the_same_answer(http: httpx2.Client, service: str) -> None:
    """Fifty times over four threads, whatever shares a batch."""
    data = encoded(crowd(32))

    def ask(_: int) -> dict[str, Any]:
        body: dict[str, Any] = httpx2.post(f"{service}/predict", content=data, timeout=60).json()
        assert body.pop("timings_ms")["total"] > 0
        return body

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(50)))
    assert len(answers[0]["faces"]) > 8
    assert [answer for answer in answers if answer != answers[0]] == []


@pytest.mark.slow
def test_the_expression_does_not_depend_on_the_form_of_the_picture(
    http: httpx2.Client, astronaut: NDArray[np.uint8]
) -> None:
    picture = Image.fromarray(astronaut)
    grey = picture.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [
        encoded(picture, "JPEG", quality=92),
        encoded(picture, "WEBP", quality=92),
        encoded(picture, "AVIF", quality=92),
        encoded(picture, "BMP"),
        encoded(picture, "GIF"),
        encoded(picture.convert("RGBA")),
        encoded(picture.convert("P", palette=Image.Palette.ADAPTIVE)),
        encoded(picture.convert("CMYK"), "JPEG", quality=92),
        encoded(grey),
        encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)),
        encoded(picture.rotate(90, expand=True), "JPEG", quality=92, exif=exif),
        encoded(picture.resize((1500, 1500))),
    ]
    reference = predict(http, encoded(picture))
    for form in forms:
        body = predict(http, form)
        assert body["emotion"] == reference["emotion"]
        assert body["confidence"] == pytest.approx(reference["confidence"], abs=0.1)


def test_faces_are_selected_by_the_query(
    http: httpx2.Client, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    data = encoded(group(astronaut, hopper))
    every = predict(http, data)["faces"]
    batch = http.post("/predict/batch", params={"limit": 1}, files=[("files", data)] * 2).json()["results"]
    assert [result["faces"] for result in batch] == [every[:1]] * 2
    blurred = encoded(np.dstack([crowd(32)] * 3))
    sure = predict(http, blurred)["faces"]
    doubtful = http.post("/predict", params={"min_detection": 0}, content=blurred).json()
    assert len(doubtful["faces"]) > len(sure)
    assert doubtful["emotion"] == sure[0]["emotion"]
    check_problem(http.post("/predict", params={"min_detection": 1}, content=data), 400, "no_face")
    drawn = [http.post("/predict/annotated", params=query, content=data).content for query in ({}, {"limit": 1})]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": "all"}, {"min_detection": 1.1}, {"min_detection": "nan"}])
def test_senseless_selections_are_refused(http: httpx2.Client, portrait: bytes, query: dict[str, Any]) -> None:
    check_problem(http.post("/predict", params=query, content=portrait), 422, "invalid_request")


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_stored_sideways_is_answered(
    http: httpx2.Client, astronaut: NDArray[np.uint8], portrait: bytes, turns: int
) -> None:
    upright = predict(http, portrait)
    body = predict(http, encoded(np.rot90(astronaut, -turns), "JPEG", quality=92))
    assert len(body["faces"]) == 1
    assert body["emotion"] == "happy"
    assert (body["angle"] - upright["angle"] - 90 * turns + 180) % 360 - 180 == pytest.approx(0, abs=20)
    assert set(body["landmarks"]) == {"right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear"}


def test_a_raw_body_is_a_picture_too(http: httpx2.Client, portrait: bytes) -> None:
    for headers in ({"Content-Type": "image/jpeg"}, {"Content-Type": "text/plain"}, {}):
        answer = http.post("/predict", content=portrait, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["emotion"] == "happy"


def test_a_batch_answers_in_order_and_a_bad_file_fails_alone(http: httpx2.Client, portrait: bytes) -> None:
    blank = encoded(np.zeros((200, 200, 3), np.uint8))
    sent = [("a.jpg", portrait), ("b.txt", b"text"), ("c.png", blank), ("a.jpg", portrait)]
    answer = http.post("/predict/batch", files=[("files", file) for file in sent])
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["filename"] for result in results] == [name for name, _ in sent]
    assert [result.get("code") for result in results] == [None, "invalid_image", "no_face", None]
    assert set(results[0]) == {"type", "filename", *predict(http, portrait)}
    assert set(results[1]) == {"type", "filename", "error", "code"}
    assert results[0]["faces"] == results[3]["faces"] == predict(http, portrait)["faces"]
    assert results[0]["image"] == {"width": 512, "height": 512}
    assert results[0]["faces"][0]["emotion"] == "happy"


def test_a_batch_has_a_largest_number_of_files(http: httpx2.Client) -> None:
    answer = http.post("/predict/batch", files=[("files", (f"{i}.jpg", b"x")) for i in range(17)])
    check_problem(answer, 413, "too_many_files")


def test_no_face_says_what_was_tried(http: httpx2.Client) -> None:
    blank = encoded(np.full((300, 400, 3), 200, np.uint8))
    body = check_problem(http.post("/predict", files={"file": blank}), 400, "no_face")
    assert "400 x 300" in body["detail"]
    assert "Tip:" in body["detail"]


HOSTILE: list[tuple[str, dict[str, Any], int, str]] = [
    ("1x1 pixel", {"files": {"file": encoded(np.zeros((1, 1, 3), np.uint8))}}, 400, "no_face"),
    ("empty file", {"files": {"file": ("a.jpg", b"")}}, 400, "invalid_image"),
    ("text", {"files": {"file": b"hello"}}, 400, "invalid_image"),
    ("html", {"files": {"file": b"<html></html>"}}, 400, "invalid_image"),
    ("svg", {"files": {"file": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}}, 415, "unsupported_format"),
    ("zip", {"files": {"file": b"PK\3\4" + bytes(99)}}, 400, "invalid_image"),
    ("a 13000x13000 one-bit PNG", {"files": {"file": bilevel_bomb()}}, 413, "too_many_pixels"),
    ("too large a file", {"files": {"file": bytes(21 * 2**20)}}, 413, "file_too_large"),
    ("too large a raw body", {"content": bytes(21 * 2**20)}, 413, "file_too_large"),
    ("other fields", {"files": {"picture": b"x", "mask": b"y"}}, 422, "invalid_request"),
    ("base64", {"content": b"/9j/4AAQSkZJRgABAQAAAQABAAD"}, 400, "invalid_image"),
    ("compressed", {"content": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_format"),
    (
        "mixed parts",
        {"content": b"x", "headers": {"Content-Type": "multipart/mixed; boundary=b"}},
        415,
        "unsupported_format",
    ),
    (
        "lines that end with LF",
        {
            "content": b'--b\nContent-Disposition: form-data; name="file"; filename="a"\n\nx\n--b--\n',
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
        400,
        "malformed_body",
    ),
    ("JSON of something else", {"json": {"picture": "x"}}, 422, "invalid_request"),
    ("JSON of an address", {"json": {"image": "https://example.org/a.jpg"}}, 422, "invalid_request"),
    ("JSON of addresses", {"json": {"url": "https://example.org/a.jpg"}}, 422, "invalid_request"),
    ("JSON without base64", {"json": {"image": "no base64!"}}, 422, "invalid_request"),
    ("JSON of a list", {"json": [1]}, 422, "invalid_request"),
    ("no JSON", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "invalid_request"),
    ("deep JSON", {"content": b"[" * 200_000, "headers": {"Content-Type": "application/json"}}, 422, "invalid_request"),
    ("JSON of no picture", {"json": {"image": "aGVsbG8="}}, 400, "invalid_image"),
    ("two files", {"files": [("file", b"x"), ("file", b"y")]}, 422, "invalid_request"),
    ("no body", {}, 422, "invalid_request"),
    ("no boundary", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "malformed_body"),
    (
        "no part",
        {"content": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        422,
        "invalid_request",
    ),
    (
        "a part without a name",
        {
            "content": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
        400,
        "malformed_body",
    ),
]


@pytest.mark.parametrize(("request_", "status", "code"), [case[1:] for case in HOSTILE], ids=[c[0] for c in HOSTILE])
def test_bad_input_gets_a_clear_error_and_harms_nobody(
    http: httpx2.Client, portrait: bytes, request_: dict[str, Any], status: int, code: str
) -> None:
    check_problem(http.post("/predict", **request_), status, code)
    assert predict(http, portrait)["emotion"] == "happy"


def test_a_truncated_portrait_is_refused(http: httpx2.Client, portrait: bytes) -> None:
    check_problem(http.post("/predict", files={"file": portrait[: len(portrait) // 2]}), 400, "invalid_image")


@pytest.mark.parametrize(
    "disposition",
    [
        'name="file"',
        'name="image"; filename="a.jpg"',
        'name="files[]"; filename="a.jpg"',
        "name=\"file\"; filename*=UTF-8''a.jpg",
        'name="photo"; filename=""',
    ],
)
def test_the_only_file_is_taken_whatever_its_field_is_called(
    http: httpx2.Client, portrait: bytes, disposition: str
) -> None:
    body = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + portrait + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = http.post("/predict", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    if "filename=" in disposition:
        (result,) = http.post("/predict/batch", content=body, headers=headers).json()["results"]
        assert result["emotion"] == "happy"


def test_pictures_are_taken_as_json(http: httpx2.Client, portrait: bytes) -> None:
    text = base64.b64encode(portrait).decode()
    reference = predict(http, portrait)["faces"]
    for one in (
        text,
        f"data:image/jpeg;base64,{text}",
        "\n".join(text[start : start + 76] for start in range(0, len(text), 76)),
    ):
        assert http.post("/predict", json={"image": one}).json()["faces"] == reference
    batch = http.post("/predict/batch", json={"images": [text, "aGVsbG8="]}).json()["results"]
    assert batch[0]["faces"] == reference
    assert batch[1]["code"] == "invalid_image"
    assert http.post("/explain", json={"image": text}).status_code == 200
    check_problem(http.post("/predict/batch", json={"images": [text] * 17}), 413, "too_many_files")
    check_problem(http.post("/predict", json={"image": "A" * 29_000_000}), 413, "file_too_large")


def test_files_of_a_field_with_indices_are_one_batch(http: httpx2.Client, portrait: bytes) -> None:
    files = [(f"files[{number}]", (f"{number}.jpg", portrait)) for number in range(3)]
    results = http.post("/predict/batch", files=files).json()["results"]
    assert [(result["filename"], result["emotion"]) for result in results] == [(f"{n}.jpg", "happy") for n in range(3)]
    assert http.post("/predict", files={"file[0]": portrait}).json()["emotion"] == "happy"


@pytest.mark.parametrize(
    ("path", "kind", "status", "words"),
    [
        ("/predict", "", 400, "The body is a form, but its Content-Type is missing. A form has the Content-Type multi"),
        ("/predict", "image/jpeg", 400, "The body is a form, but its Content-Type is image/jpeg."),
        ("/predict", "multipart/form-data boundary=b", 400, "A semicolon is missing in the Content-Type."),
        ("/predict/batch", "multipart/form-data boundary=b", 400, "A semicolon is missing in the Content-Type."),
        ("/predict/batch", "image/jpeg", 422, "A form has the Content-Type multipart/form-data; boundary=..."),
        ("/predict", "multipart/form-data", 400, "names its boundary"),
    ],
)
def test_a_form_of_another_type_is_refused_with_a_hint(
    http: httpx2.Client, portrait: bytes, path: str, kind: str, status: int, words: str
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + portrait + b"\r\n--b--\r\n"
    answer = http.post(path, content=body, headers={"Content-Type": kind} if kind else {})
    code = "malformed_body" if status == 400 else "invalid_request"
    assert words in check_problem(answer, status, code)["detail"]


@pytest.mark.parametrize(
    ("path", "query", "hint"),
    [
        ("/predict", "min_detecton=0.9", "min_detecton: There is no such parameter; there is min_detection."),
        ("/predict/batch", "limt=1", "limt: There is no such parameter; there is limit."),
        ("/predict/annotated", "limits=1", "limits: There is no such parameter; there is limit."),
        ("/explain", "lable=sad&limit=1", "lable: There is no such parameter; there is label."),
        ("/predict", "width=3", "width: There is no such parameter; there is limit, min_detection, no_face."),
    ],
)
def test_a_parameter_that_is_not_there_is_refused_with_the_nearest_name(
    http: httpx2.Client, portrait: bytes, path: str, query: str, hint: str
) -> None:
    body = check_problem(http.post(f"{path}?{query}", content=portrait), 422, "invalid_request")
    assert body["detail"] == hint
    assert [error["loc"] for error in body["errors"]] == [["query", query.partition("=")[0]]]


def test_no_face_is_an_answer_where_it_is_asked_for(http: httpx2.Client, portrait: bytes) -> None:
    blank = encoded(np.full((300, 400, 3), 200, np.uint8))
    answer = http.post("/predict", params={"no_face": "ok"}, content=blank)
    assert (answer.status_code, answer.json()) == (200, {"faces": []})
    check_problem(http.post("/predict", params={"no_face": "error"}, content=blank), 400, "no_face")
    check_problem(http.post("/predict", params={"no_face": "maybe"}, content=blank), 422, "invalid_request")
    check_problem(http.post("/predict", params={"no_face": "ok"}, content=b"none"), 400, "invalid_image")
    same = http.post("/predict", params={"no_face": "ok"}, content=portrait).json()
    assert same["faces"] == predict(http, portrait)["faces"]


def test_a_slash_at_the_end_changes_nothing(http: httpx2.Client, portrait: bytes) -> None:
    assert http.post("/predict/", content=portrait).json()["emotion"] == "happy"
    assert http.post("/predict/batch/", files=[("files", portrait)]).status_code == 200
    for path in ("/livez", "/emotions", "/docs", "/static/page.js"):
        assert http.get(f"{path}/").content == http.get(path).content
    for path in ("/nothing/", "/static/", "//"):
        assert http.get(path).status_code in (200, 404)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;q=0", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("text/html;q=0.9, application/json;q=0.5", "text/html"),
        ("*/*", "application/json"),
        ("text/*", "application/json"),
    ],
)
def test_who_prefers_the_page_gets_it(http: httpx2.Client, accept: str, kind: str) -> None:
    answer = http.get("/", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["vary"] == "Accept"


def test_a_refused_form_names_what_was_received(http: httpx2.Client) -> None:
    answer = http.post("/predict", files={"picture": b"x", "mask": b"y"})
    assert 'received: "picture", "mask"' in check_problem(answer, 422, "invalid_request")["detail"]


def test_a_part_without_a_content_type_is_a_picture(http: httpx2.Client, portrait: bytes) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n' + portrait + b"\r\n--b--\r\n"
    answer = http.post("/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.json()["emotion"] == "happy"


@pytest.mark.parametrize(
    "announced", ["Content-Length: 99999999999", "Content-Length: 21000000\r\nExpect: 100-continue"]
)
def test_a_body_that_is_only_announced_is_refused_at_once(service: str, announced: str) -> None:
    address = httpx2.URL(service)
    assert address.port is not None
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{announced}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_hangs_up_while_sending_harms_nobody(http: httpx2.Client, service: str, portrait: bytes) -> None:
    address = httpx2.URL(service)
    assert address.port is not None
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome")
    assert predict(http, portrait)["emotion"] == "happy"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/predict", 405)])
def test_unknown_paths_and_methods_are_problems_too(http: httpx2.Client, method: str, path: str, status: int) -> None:
    check_problem(http.request(method, path), status, {404: "not_found", 405: "method_not_allowed"}[status])


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/health", "/docs", "/demo", "/emotions", "/openapi.json"])
def test_head_is_answered_as_get_is_without_a_body(http: httpx2.Client, path: str) -> None:
    asked, answer = http.get(path), http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == asked.headers["content-type"]
    assert answer.headers["content-length"] == asked.headers["content-length"]


def test_head_of_what_is_posted_is_not_allowed(http: httpx2.Client) -> None:
    assert http.head("/predict").status_code == 405


def test_the_pages_files_are_compressed_and_kept(http: httpx2.Client) -> None:
    path = "/static/swagger-ui/swagger-ui-bundle.js"
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    with http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        sent = sum(map(len, packed.iter_raw()))
    assert sent < len(plain.content) / 2
    assert plain.headers["cache-control"] == "max-age=300"
    assert http.get(path, headers={"If-None-Match": plain.headers["etag"]}).status_code == 304
    assert http.get("/livez").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("charset", ["undefined", "punycode", "unicode_escape", "utf-7", "nonsense", "utf-16"])
@pytest.mark.parametrize("name", [b"a.jpg", rb"\ud800", b"+2AA-", b"\xff\xfe", b"\xc3\xa4.jpg"])
def test_names_are_utf_8_whatever_charset_is_claimed(http: httpx2.Client, charset: str, name: bytes) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n\r\nx\r\n--b--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = http.post("/predict/batch", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert result["code"] == "invalid_image"
    if name.isascii() and b"\\" not in name:
        assert result["filename"] == name.decode()


@pytest.mark.parametrize("boundary", ['b"', "b\\", "", "\u00e9"])
def test_senseless_boundaries_are_refused(http: httpx2.Client, boundary: str) -> None:
    headers = [(b"Content-Type", f"multipart/form-data; boundary={boundary}".encode())]
    check_problem(http.post("/predict", content=b"--b--", headers=headers), 400, "malformed_body")


def test_a_request_id_is_taken_over_if_it_is_harmless(http: httpx2.Client) -> None:
    assert http.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert http.get("/livez", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"] != "a b\tc"


@pytest.mark.slow
def test_livez_answers_while_predictions_are_in_flight(
    http: httpx2.Client, service: str, hopper: NDArray[np.uint8]
) -> None:
    photo = encoded(Image.fromarray(hopper).resize((1536, 1800)), "JPEG")
    answers = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(httpx2.post, f"{service}/predict", content=photo, timeout=60) for _ in range(24)]
        while not all(future.done() for future in running):
            assert http.get("/livez").status_code == 200
            answers += 1
            time.sleep(0.01)
    assert {future.result().status_code for future in running} == {200}
    assert answers > 10


@pytest.mark.slow
def test_large_pictures_are_answered_without_writing_to_disk(http: httpx2.Client, astronaut: NDArray[np.uint8]) -> None:
    # The service runs under a limit of 64 KB a file.
    large = np.asarray(Image.fromarray(astronaut).resize((2770, 2770)))
    noise = np.random.default_rng(0).integers(-12, 13, large.shape)
    data = encoded(np.clip(large + noise, 0, 255).astype(np.uint8), compress_level=1)
    assert 15_000_000 < len(data) < 20 * 2**20
    reference = predict(http, encoded(astronaut))
    assert predict(http, data)["emotion"] == reference["emotion"]
    answer = http.post("/predict/batch", files=[("files", data)] * 3)
    assert [result["faces"][0]["emotion"] for result in answer.json()["results"]] == [reference["emotion"]] * 3


def test_information(http: httpx2.Client) -> None:
    assert http.get("/livez").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready"}
    health = http.get("/health").json()
    assert (health["status"], health["model_loaded"], health["cascade_loaded"]) == ("healthy", True, True)
    root = http.get("/").json()
    assert http.get(root["docs"]).status_code == http.get(root["health"]).status_code == 200
    page = http.get("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")


def test_emotions_carry_the_measured_figures(http: httpx2.Client) -> None:
    body = http.get("/emotions").json()
    card = read_card(Settings().model_path)
    assert body["emotions"] == list(LABELS)
    assert set(body["emotion_messages"]) == set(LABELS)
    for detail, label in zip(body["details"], LABELS, strict=True):
        assert detail["name"] == label
        assert detail["message"] == body["emotion_messages"][label]
        figures = card.evaluation["PublicTest"].labels[label]
        assert (detail["precision"], detail["recall"]) == (figures.precision, figures.recall)
    assert http.get("/model").json() == json.loads(card.model_dump_json())


def test_the_card_says_how_answers_may_be_used(http: httpx2.Client) -> None:
    policy = http.get("/model").json()["use_policy"]
    assert (policy["meaning"], policy["stored"]) == ("expression_shown", "nothing")
    notice = policy["notice"]
    assert (notice["law"], notice["article"]) == ("Regulation (EU) 2024/1689", "50(3)")
    assert (notice["duty_of"], notice["applies_from"]) == ("deployer", "2026-08-02")
    assert notice["covers"] == ["live", "recordings", "bulk"]
    prohibited = {one["use"]: (one["article"], one["exceptions"]) for one in policy["prohibited"]}
    assert prohibited["workplace"] == prohibited["education"] == ("5(1)(f)", ["medical", "safety"])
    assert prohibited["policing"] == (None, [])


def test_a_refusal_names_the_parameter_and_what_is_wrong_with_it(http: httpx2.Client, portrait: bytes) -> None:
    answer = http.post("/predict", params={"limit": 0, "min_detection": 2}, content=portrait)
    detail = check_problem(answer, 422, "invalid_request")["detail"]
    assert detail.startswith("limit: Input should be greater than or equal to 1. min_detection: ")


@pytest.mark.parametrize(
    ("path", "sent", "words"),
    [
        ("/predict", {"files": {"file": bytes(20 * 2**20 + 1)}}, "larger than 20 MB"),
        ("/predict", {"content": bytes(20 * 2**20 + 1)}, "larger than 20 MB"),
        ("/predict", {"files": {"file": bilevel_bomb()}}, "13000 x 13000 pixels is larger than 50 megapixels"),
        ("/predict/batch", {"files": [("files", bytes(17 * 2**20))] * 4}, "larger than 64 MB"),
        ("/predict/batch", {"files": [("files", b"x")] * 17}, "17 pictures came at once; send at most 16"),
    ],
)
def test_sizes_are_told_in_units_for_people(http: httpx2.Client, path: str, sent: dict[str, Any], words: str) -> None:
    assert words in http.post(path, **sent).json()["detail"]


def test_agents_are_told_what_the_service_is(http: httpx2.Client) -> None:
    answer = http.get("/llms.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    title, _, summary, *rest = answer.text.splitlines()
    assert title.startswith("# ")
    assert summary.startswith("> ")
    assert all(label in summary for label in LABELS)
    links = [re.fullmatch(r"- \[.+\]\((.+)\): .+", line) for line in rest[rest.index("## API") :] if line[:1] == "-"]
    for link in links:
        assert link
        assert http.get(f"/{link[1]}").status_code == 200
    for path in re.findall(r"`(/[a-z/]+)`", answer.text):
        assert http.get(path).status_code == 405  # It is posted to.
    statuses = {error.code: str(error.status) for error in ServiceError.__subclasses__()}
    quoted = dict(re.findall(r"`([a-z_]+)` \((\d+)\)", answer.text))
    assert quoted.keys() == {"no_face", "overloaded", "too_many_requests", "key_required"}
    assert quoted.items() <= statuses.items()


def test_openapi_describes_uploads_as_files(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    one = paths["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    many = paths["/predict/batch"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert one["properties"]["file"]["format"] == "binary"
    assert many["properties"]["files"]["items"]["format"] == "binary"
    for operations in paths.values():
        for operation in operations.values():
            assert operation["description"]
