"""Pictures in JSON, as clients write them, and bodies that are made to cost."""

import base64
import json
import threading
import time

import pytest

from app.errors import InvalidRequest
from app.http.json_pictures import MAX_STRUCTURE_BYTES, SLICE_BYTES, pictures

PICTURE = bytes(range(256)) * 5 + b"\xfb\xff"
TEXT = base64.b64encode(PICTURE).decode()
LONG = bytes(range(256)) * (3 * SLICE_BYTES // 256) + b"ab"
LONG_TEXT = base64.b64encode(LONG).decode()


def read(body: str | bytes) -> list[bytes]:
    return pictures(bytearray(body.encode() if isinstance(body, str) else body))


@pytest.mark.parametrize(
    "body",
    [
        {"image": TEXT},
        {"file": TEXT},
        {"images": [TEXT]},
        {"files": [TEXT]},
        {"image": None, "file": TEXT, "files": ["-"]},
        {"images": TEXT},
        {"image": f"data:image/jpeg;base64,{TEXT}"},
        {"image": "\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)) + "\r\n"},
        {"image": TEXT.rstrip("=")},
        {"image": base64.urlsafe_b64encode(PICTURE).decode()},
        {"image": TEXT, "about": 'said "hi", and [{,', "more": {"a": [1, None, True, -1.5e3]}},
        {"\u00e4\\": "\u20ac\\\\", "image": TEXT, "": '\\"'},
    ],
)
def test_a_picture_is_read(body: dict[str, object]) -> None:
    assert TEXT.endswith("==")
    assert "+" in TEXT
    assert "/" in TEXT
    for written in (
        json.dumps(body),
        json.dumps(body, indent=4, ensure_ascii=False),
        json.dumps(body).replace("/", "\\/"),
    ):
        assert read(written) == [PICTURE]
    assert read("\ufeff" + json.dumps(body).replace("+", "\\u002b")) == [PICTURE]


@pytest.mark.parametrize("width", [5, 76, 4096])
def test_a_picture_of_many_slices_is_read_whatever_is_escaped(width: int) -> None:
    lines = [LONG_TEXT[start : start + width] for start in range(0, len(LONG_TEXT), width)]
    assert len("\\n".join(lines)) > SLICE_BYTES
    for ending in ("\\n", "\\u000d\\n", "\n", "\\t "):
        assert read('{"images": ["' + ending.join(lines) + '", "aGk"]}') == [LONG, b"hi"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"image": "', "not valid JSON"),
        ('{"image": "aGk" "aGk"}', "not valid JSON"),
        ('{"image": "aGk\\"}', "not valid JSON"),
        ('{"image": "aGk\\x"}', "not valid JSON"),
        (b'{"image": "\xff"}', "not valid JSON"),
        ('{"image": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 9000, "not valid JSON"),
        ("null", "Send JSON as"),
        ('["aGk"]', "Send JSON as"),
        ('{"picture": "aGk"}', "Send JSON as"),
        ('{"image": null}', "Send JSON as"),
        ('{"image": 1}', "Send JSON as"),
        ('{"images": []}', "Send JSON as"),
        ('{"images": ["aGk", ["aGk"]]}', "Send JSON as"),
        ('{"image": {"image": "aGk"}}', "Send JSON as"),
        ('{"image_url": "https://example.org/a.jpg"}', "fetches nothing"),
        ('{"image": "https:\\/\\/example.org/a.jpg"}', "fetches nothing"),
        ('{"image": "data:,x"}', "must hold base64"),
        ('{"image": "a"}', "not valid base64"),
        ('{"image": "aGk=aGk="}', "not valid base64"),
        ('{"image": "aGk=="}', "not valid base64"),
        ('{"image": "aGk=a"}', "not valid base64"),
        ('{"image": "no base64!"}', "not valid base64"),
        ('{"image": "\u00e4"}', "not valid"),
        ('{"image": "' + "A" * (SLICE_BYTES - 1) + "=" + 'AAAA"}', "not valid base64"),
    ],
)
def test_what_is_no_picture_in_json_is_refused_in_words(body: str | bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read(body)


MUCH = 26 * 2**20

HOSTILE = {
    "lists": b'{"images":[' + b"[]," * (MUCH // 3) + b"[]]}",
    "objects": b'{"images":[' + b"{}," * (MUCH // 3) + b"{}]}",
    "texts": b'{"images":[' + b'"",' * (MUCH // 3) + b'""]}',
    "depth": b"[" * MUCH,
    "digits": b"1" * MUCH,
    "spaces": b" " * MUCH,
    "quotation marks": b'{"image":"' + b'\\"' * (MUCH // 2) + b'"}',
    "backslashes": b'{"image":"' + b"\\\\" * (MUCH // 2) + b'"}',
    "escapes": b'{"image":"' + b"\\u0041" * (MUCH // 6) + b'!"}',
    "line ends": b'{"image":"' + b"\\n" * (MUCH // 2) + b'a"}',
    "a picture": b'{"image":"' + b"A" * MUCH + b'a"}',
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_that_is_made_to_cost_holds_up_no_other_thread(name: str) -> None:
    """What the interpreter's lock is held for at once is processor time of the reading thread between two switches."""
    body = bytearray(HOSTILE[name])
    failure: list[InvalidRequest] = []

    def work() -> None:
        with pytest.raises(InvalidRequest) as caught:
            pictures(body)
        failure.append(caught.value)

    reading = threading.Thread(target=work)
    longest, last = 0.0, time.process_time()
    reading.start()
    while reading.is_alive():
        time.sleep(0.001)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    assert failure
    assert longest < 0.05


def test_the_framing_of_pictures_has_a_bound() -> None:
    room = MAX_STRUCTURE_BYTES - len('{"":""}')
    assert read('{"image":"aGk"' + " " * room + "}") == [b"hi"]
    with pytest.raises(InvalidRequest, match="more than 16 KB besides its texts"):
        read('{"image":"aGk"' + " " * (room + 1) + "}")
