"""The port in browser/ answers as the service does, in Node on the same pixels."""

import asyncio
import json
import re
import subprocess

import numpy as np
import pytest
from numpy.typing import NDArray

from app.bootstrap import load_detector, running
from app.settings import Settings
from app.vision.geometry import Box
from app.vision.tracker import Tracker
from bench import constants
from bench.browser import answers_in_node, compare, scenes
from bench.live import swaying
from deploy.static_space import BROWSER, BUILDS


def test_the_constants_are_those_of_the_service() -> None:
    assert json.loads(constants.FILE.read_text()) == json.loads(constants.text())


def test_the_port_has_no_constant_of_the_service_of_its_own() -> None:
    names = {name for section in constants.constants().values() if isinstance(section, dict) for name in section}
    for path in BROWSER.glob("*.js"):
        typed = set(re.findall(r"^const ([A-Z_]+) =", path.read_text(), re.MULTILINE))
        assert not typed & names, path.name


def test_the_packages_are_pinned_and_name_no_registry_but_the_public_one() -> None:
    wanted = json.loads((BROWSER / "package.json").read_text())["dependencies"]
    lock = (BROWSER / "package-lock.json").read_text()
    packages = {name: entry for name, entry in json.loads(lock)["packages"].items() if name}
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert set(re.findall(r"https?://([^/\"]+)", lock)) <= {"registry.npmjs.org"}


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS)
def test_the_answers_are_the_same(build: str) -> None:
    pictures = scenes()
    results = dict(zip(pictures, compare(list(pictures.values()), build), strict=True))
    assert {name: result for name, result in results.items() if not result.same} == {}
    assert sum(result.faces for result in results.values()) > 50
    assert results["nothing"].faces == 0


@pytest.mark.slow
def test_the_faces_of_the_frame_before_are_followed_alike() -> None:
    (first,) = list(swaying(1))
    second = np.roll(first, 6, axis=1)
    detector = load_detector(Settings())
    near = detector.find(first)
    (ours,) = detector.find(second, near)
    assert ours.confidence == near[0].confidence
    listed = [
        {
            "box": face.box._asdict(),
            "confidence": face.confidence,
            "roll": face.roll,
            "landmarks": [point._asdict() for point in face.landmarks],
        }
        for face in near
    ]
    ((theirs,),) = (answer["faces"] for answer in answers_in_node([second], near=listed))
    assert theirs["face_coordinates"] == ours.box._asdict()
    assert theirs["detection"] == pytest.approx(ours.confidence, abs=1e-4)
    nose = theirs["landmarks"]["nose"]
    assert (nose["x"], nose["y"]) == pytest.approx(ours.landmarks[2], abs=0.1)


@pytest.mark.slow
def test_the_same_parts_of_a_face_speak_for_a_label(astronaut: NDArray[np.uint8]) -> None:
    async def explained() -> NDArray[np.float32]:
        async with running(Settings(engine="litert")) as (analyzer, _):
            return (await analyzer.explain(astronaut, label="happy")).heat

    (theirs,) = answers_in_node([astronaut], label="happy")
    assert theirs["heat"] == pytest.approx(asyncio.run(explained()).ravel().tolist(), abs=0.1)


@pytest.mark.slow
def test_faces_keep_their_numbers_and_smooth_probabilities_alike() -> None:
    random = np.random.default_rng(0)
    frames = []
    places = random.integers(0, 300, (4, 2))
    for number in range(30):
        places += random.integers(-12, 13, (4, 2))
        chosen = [place for place in places if random.random() < 0.7]
        rows = random.dirichlet(np.ones(7), len(chosen)).astype(np.float32)
        frames.append(
            (number * 0.2, [(Box(int(x), int(y), 60, 60), row) for (x, y), row in zip(chosen, rows, strict=True)])
        )
    tracker = Tracker()
    ours = [[(track.id, track.probabilities.tolist()) for track in tracker.follow(faces, now)] for now, faces in frames]
    told = [
        [now, [{"box": box._asdict(), "probabilities": row.tolist()} for box, row in faces]] for now, faces in frames
    ]
    script = f"""
        import {{ Tracker }} from "{BROWSER / "tracker.js"}";
        const tracker = new Tracker();
        const answers = {json.dumps(told)}.map(([now, faces]) => {{
            for (const face of faces) face.probabilities = Float32Array.from(face.probabilities);
            return tracker.follow(faces, now).map(({{ id, probabilities }}) => [id, Array.from(probabilities)]);
        }});
        console.log(JSON.stringify(answers));
    """
    command = ["node", "--no-warnings", "--input-type=module", "-e", script]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [[number for number, _ in frame] for frame in theirs] == [[number for number, _ in frame] for frame in ours]
    for frame, other in zip(ours, theirs, strict=True):
        for (_, row), (_, same) in zip(frame, other, strict=True):
            assert same == pytest.approx(row, abs=1e-5)
