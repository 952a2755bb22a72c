"""From a picture to labelled faces, with a model that does what it is told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from app.analyzer import Analysis, Analyzer
from app.bootstrap import load_detector
from app.emotions import EMOTIONS, LABELS, doubtful_message
from app.errors import InvalidImage, NoFace, Overloaded, ServiceError, TooManyPixels
from app.model.backend import MAX_BATCH
from app.model.occlusion import GRID
from app.observer import Observer
from app.schemas import Prediction
from app.settings import Settings
from app.vision.decoder import Limits, PixelPicture
from app.vision.detector import SEARCH_SIDE
from app.vision.faces import Selection, find_faces
from app.vision.preprocess import enlarge, face_detail
from tests.helpers import Moody, crowd, encoded, group, parts

pytestmark = pytest.mark.anyio


class Recorder(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_picture(self, format: str, prediction: Prediction) -> None:
        self.told.append((format, len(prediction.faces)))

    def on_batch(self, faces: int) -> None:
        self.told.append(faces)

    def on_refusal(self, error: ServiceError) -> None:
        self.told.append(error.code)


@asynccontextmanager
async def analyzing(observer: Observer | None = None, max_pixels: int = 10**7) -> AsyncIterator[Analyzer]:
    detector, backend = parts(Moody())
    await backend.start(observer.on_batch if observer else None)
    with ThreadPoolExecutor(2) as pool:
        yield Analyzer(detector, backend, pool, Limits(10**7, max_pixels), observer)
    await backend.stop()


@pytest.mark.parametrize(
    ("probabilities", "plausible"),
    [
        ([0.02, 0.02, 0.02, 0.88, 0.02, 0.02, 0.02], ["happy"]),
        ([0.42, 0.02, 0.02, 0.46, 0.02, 0.04, 0.02], ["happy", "angry"]),
        ([0.14, 0.14, 0.14, 0.16, 0.14, 0.14, 0.14], None),
    ],
)
async def test_labels_are_plausible_from_the_threshold_of_the_card(
    portrait: bytes, probabilities: list[float], plausible: list[str] | None
) -> None:
    async with analyzing() as analyzer:
        before = (await analyzer.analyze(portrait)).prediction.faces[0]
        face = analyzer.relabel(before, np.array(probabilities, np.float32))
    kept = ("face_coordinates", "detection", "angle", "landmarks")
    assert {name: dict(face)[name] for name in kept} == {name: dict(before)[name] for name in kept}
    threshold = Moody().card.plausible_from
    expected = [LABELS[index] for index in np.argsort(-np.array(probabilities), kind="stable")]
    likely = [name for name in expected if probabilities[LABELS.index(name)] >= threshold]
    assert face.plausible == (likely or expected[:1])
    if plausible is not None:
        assert face.plausible == plausible
    assert face.probabilities == dict(zip(LABELS, probabilities, strict=True))
    assert (face.emotion, face.confidence) == (expected[0], max(probabilities))
    assert face.certain == (face.confidence >= Moody().card.certain_from)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"sad": 0.9}, "The face shows sadness."),
        ({"neutral": 0.9}, "The face shows no marked expression."),
        ({"sad": 0.5}, "The face may show sadness."),
        ({"sad": 0.5, "fear": 0.4}, "The face may show sadness or fear."),
        ({"neutral": 0.45, "sad": 0.4}, "The face may show no marked expression or sadness."),
    ],
)
async def test_the_message_says_what_is_certain_and_what_is_not(
    portrait: bytes, shares: dict[str, float], message: str
) -> None:
    probabilities = np.full(len(LABELS), (1 - sum(shares.values())) / (len(LABELS) - len(shares)), np.float32)
    for label, share in shares.items():
        probabilities[LABELS.index(label)] = share
    async with analyzing() as analyzer:
        face = (await analyzer.analyze(portrait)).prediction.faces[0]
        assert analyzer.relabel(face, probabilities).message == message


def test_a_message_names_all_that_is_plausible() -> None:
    words = doubtful_message([EMOTIONS[LABELS.index(name)] for name in ("sad", "neutral", "angry")])
    assert words == "The face may show sadness, no marked expression or anger."


async def test_exactly_the_threshold_is_plausible_and_certain(portrait: bytes) -> None:
    card = Moody().card
    least, rest = round(card.plausible_from, 4), 1 - round(card.plausible_from, 4)
    async with analyzing() as analyzer:
        at = np.array([rest, least, 0, 0, 0, 0, 0], np.float32)
        below = np.array([rest, least - 0.002, 0.002, 0, 0, 0, 0], np.float32)
        face = (await analyzer.analyze(portrait)).prediction.faces[0]
        assert "disgust" in analyzer.relabel(face, at).plausible
        assert "disgust" not in analyzer.relabel(face, below).plausible


async def test_no_answer_is_certain_for_a_face_that_is_not(portrait: bytes) -> None:
    async with analyzing() as analyzer:
        face = (await analyzer.analyze(portrait)).prediction.faces[0]
        sure = np.array([1, 0, 0, 0, 0, 0, 0], np.float32)
        certain = [
            analyzer.relabel(face.model_copy(update={"detection": share}), sure).certain for share in (0.8999, 0.9)
        ]
    assert certain == [False, True]


async def test_the_tip_names_the_smallest_face() -> None:
    grey = np.full((300, 400, 3), 128, np.uint8)
    for settings, share in ((Settings(smallest_face=0.04), "4 %"), (Settings(detector="haar"), "10 %")):
        with pytest.raises(NoFace, match=f"at least {share} of the shorter side"):
            find_faces(grey, load_detector(settings), Limits(0, grey.size))


async def test_pixels_are_answered_as_their_file_is(astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]) -> None:
    pixels = group(astronaut, hopper)
    async with analyzing() as analyzer:
        of_file = (await analyzer.analyze(encoded(pixels))).prediction
        of_pixels = (await analyzer.analyze(pixels)).prediction
        _, drawing = await analyzer.annotate(pixels, "PNG")
    assert len(of_file.faces) == 2
    assert of_pixels.faces == of_file.faces
    assert of_pixels.image == of_file.image
    assert drawing.startswith(b"\x89PNG")


async def test_the_largest_faces_that_are_sure_enough_are_answered() -> None:
    pixels = np.dstack([crowd(32)] * 3)
    async with analyzing() as analyzer:
        every = (await analyzer.analyze(pixels)).prediction.faces
        (largest,) = (await analyzer.analyze(pixels, Selection(limit=1))).prediction.faces
        doubtful = (await analyzer.analyze(pixels, Selection(min_detection=0))).prediction
        with pytest.raises(NoFace):
            await analyzer.analyze(pixels, Selection(min_detection=1))
    assert largest == every[0]
    assert min(face.detection for face in doubtful.faces) < 0.5
    assert [face for face in doubtful.faces if face.detection >= 0.5] == every
    assert doubtful.face_coordinates == every[0].face_coordinates


async def test_a_face_that_is_sure_is_at_the_top_though_a_doubtful_one_is_larger(astronaut: NDArray[np.uint8]) -> None:
    head = astronaut[:300, 90:390]
    large = np.repeat(np.repeat(head, 2, 0), 2, 1)
    large[200:330] = 20  # Its eyes are covered.
    pixels = np.full((600, 1000, 3), 128, np.uint8)
    pixels[:, :600], pixels[150:450, 650:950] = large, head
    async with analyzing() as analyzer:
        answer = (await analyzer.analyze(pixels, Selection(min_detection=0))).prediction
        (alone,) = (await analyzer.analyze(pixels)).prediction.faces
    assert answer.faces[0].detection < 0.5 < alone.detection
    assert answer.faces[0].face_coordinates.width > 1.5 * alone.face_coordinates.width
    assert {name: dict(answer)[name] for name in dict(alone)} == dict(alone)


async def test_a_picture_of_more_faces_than_may_wait_is_answered(
    astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    model = Moody()
    detector, backend = parts(model, max_queued=1)
    await backend.start()
    with ThreadPoolExecutor(1) as pool:
        analyzer = Analyzer(detector, backend, pool, Limits(10**7, 10**7))
        assert len((await analyzer.analyze(group(astronaut, hopper))).prediction.faces) == 2
    await backend.stop()
    assert [len(batch) for batch in model.seen] == [1, 1]


async def test_a_small_face_is_cut_out_of_a_finer_copy(astronaut: NDArray[np.uint8]) -> None:
    canvas = np.full((1800, 1800, 3), 90, np.uint8)
    canvas[600:1112, 600:1112] = astronaut
    picture, detector = PixelPicture(canvas, Limits(10**7, 10**7)), parts().detector
    found = find_faces(canvas, detector, Limits(10**7, 10**7))
    (box,) = (face.box for face in found.faces)
    exact, coarse = (
        enlarge(face_detail(pixels, box, (1800, 1800))) / 255 for pixels in (canvas, picture.rgb(SEARCH_SIDE))
    )
    crop = found.crops[0][..., 0]
    assert np.abs(crop - exact).mean() < 0.6 * np.abs(coarse - exact).mean()


async def test_two_boxes_of_one_face_contradict_each_other(astronaut: NDArray[np.uint8]) -> None:
    detector = parts().detector
    (face,) = detector.find(astronaut)
    shifted = face.box._replace(x=face.box.x + face.box.width // 10)
    twice = [face, face._replace(box=shifted, confidence=face.confidence / 2)]
    (followed,) = detector.find(astronaut, twice)
    assert followed.confidence == face.confidence


async def test_pixels_have_the_limits_of_files(astronaut: NDArray[np.uint8]) -> None:
    async with analyzing(max_pixels=1000) as analyzer:
        with pytest.raises(TooManyPixels):
            await analyzer.analyze(astronaut)


async def test_an_attempt_returns_what_analysis_raises_and_tells_the_observer(portrait: bytes) -> None:
    observer = Recorder()
    async with analyzing(observer) as analyzer:
        assert isinstance(await analyzer.attempt(portrait), Analysis)
        assert isinstance(await analyzer.attempt(b"text"), InvalidImage)
        assert isinstance(await analyzer.attempt(encoded(np.zeros((99, 99, 3), np.uint8))), NoFace)
    assert observer.told == [1, ("JPEG", 1), "invalid_image", "no_face"]


async def test_an_attempt_is_refused_by_what_it_runs_within(portrait: bytes) -> None:
    class Full:
        def __enter__(self) -> None:
            raise Overloaded("full")

        def __exit__(self, *_: object) -> None: ...

    observer = Recorder()
    async with analyzing(observer) as analyzer:
        assert isinstance(await analyzer.attempt(portrait, within=Full()), Overloaded)
    assert observer.told == ["overloaded"]


class Held(Moody):
    """Keeps the first batch until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.free = threading.Event(), threading.Event()

    def predict(self, crops: Sequence[NDArray[np.float32]] | NDArray[np.float32], /) -> NDArray[np.float32]:
        self.busy.set()
        assert self.free.wait(10)
        return super().predict(crops)


async def test_others_come_in_between_the_parts_of_an_explanation(portrait: bytes) -> None:
    model = Held()
    detector, backend = parts(model)
    await backend.start()
    with ThreadPoolExecutor(1) as pool:
        analyzer = Analyzer(detector, backend, pool, Limits(10**7, 10**7))
        explaining = asyncio.create_task(analyzer.explain(portrait))
        assert await asyncio.to_thread(model.busy.wait, 10)
        other = asyncio.create_task(backend.classify([np.full((96, 96, 3), 2, np.float32)]))
        await asyncio.sleep(0)
        model.free.set()
        await asyncio.gather(explaining, other)
    await backend.stop()
    crops = np.concatenate(model.seen)
    assert np.flatnonzero(crops.min(axis=(1, 2, 3)) == 2).tolist() == [MAX_BATCH]
    assert len(crops) == 1 + GRID * GRID + 1


async def test_others_come_in_between_the_faces_of_a_crowd() -> None:
    model = Held()
    _, backend = parts(model)
    await backend.start()
    crowd, other = (np.full((96, 96, 3), value, np.float32) for value in (1, 2))
    many = asyncio.create_task(backend.classify([crowd] * 40))
    assert await asyncio.to_thread(model.busy.wait, 10)
    single = asyncio.create_task(backend.classify([other]))
    await asyncio.sleep(0)
    model.free.set()
    assert [len(answers) for answers in await asyncio.gather(many, single)] == [40, 1]
    await backend.stop()
    assert np.flatnonzero(np.concatenate(model.seen).max(axis=(1, 2, 3)) == 2).tolist() == [MAX_BATCH]
