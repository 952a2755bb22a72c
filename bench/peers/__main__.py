"""The service beside what people would pick instead, on the same pictures and machine, one after the other.

    python -m bench.peers --photos DIR
    python -m bench.peers --data DIR/public_test.npz

The peers are packages of PyPI and npm that bring their weights. The first run installs them, each in an environment of
its own in a cache folder, 8 GB in all; it needs node and npm. Each answers the pictures in one process, one at a time,
after a warm-up; `answers.py` says how. `--photos` is a folder with a `truth.json` (`training/photographs.py`).
`--data` is FER-2013 as `training.dataset` reads it: crops, so that only the classifiers are compared, by the crowd's
choice if there are votes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
from tqdm import tqdm

from app.emotions import LABELS
from app.vision.geometry import Box
from training import dataset
from training.photographs import answered, judge, read_truth

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "expressions-peers"

FER = ("fer==25.10.3", "setuptools<81")  # fer imports `pkg_resources`.
FACE_API = {
    "@vladmandic/face-api": "1.7.15",
    "@tensorflow/tfjs": "4.22.0",
    "@tensorflow/tfjs-backend-wasm": "4.22.0",
    "sharp": "0.34.4",
}

WARM = 3
"""Pictures that are answered once more before any that counts."""

Answers = list[dict[str, Any]]


class Peer(NamedTuple):
    """One row of the table.

    Attributes:
        title: for people.
        package: `ours`, `fer` or `face_api`: what answers.
        variant: of the package: an engine or a detector.
        crops: title on crops; none for variants that differ in their detector alone.
    """

    title: str
    package: str
    variant: str
    crops: str = ""


PEERS = {
    "keras": Peer("This service, keras", "ours", "keras", "This service, keras"),
    "litert": Peer("This service, litert", "ours", "litert", "This service, litert"),
    "textbook": Peer("Tutorials' full-size Haar, our model", "ours", "textbook"),
    "fer-mtcnn": Peer("`fer`, MTCNN", "fer", "mtcnn", "`fer`"),
    "fer-haar": Peer("`fer`, Haar", "fer", "haar"),
    "face-api-ssd": Peer("`face-api`, SSD", "face_api", "ssd", "`face-api`"),
    "face-api-tiny": Peer("`face-api`, tiny", "face_api", "tiny"),
}


def fer_environment(folder: Path) -> Path:
    """A virtual environment with `fer`, made when it is not there yet.

    Returns:
        Its Python.
    """
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != "\n".join(FER):
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *FER], check=True)
        installed.write_text("\n".join(FER))
    return python


def face_api_environment(folder: Path) -> Path:
    """A folder with the packages of `face-api`, installed when they are not there yet."""
    wanted = json.dumps({"private": True, "dependencies": FACE_API})
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted)
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        installed.write_text(wanted)
    return folder


def ask(peer: Peer, files: Iterable[Path], crop: bool, cache: Path = CACHE) -> tuple[Answers, float | None]:
    """Have a peer answer pictures, in a process of its own.

    Returns:
        Its answers, and its peak memory in MB; None where there is no `/proc`.

    Raises:
        RuntimeError: it ended early.
    """
    command, folder = [sys.executable, "-m", "bench.peers.ours"], ROOT
    if peer.package == "fer":
        command = [str(fer_environment(cache / "fer")), "-W", "ignore", "-m", "bench.peers.fer"]
    elif peer.package == "face_api":
        command, folder = (
            ["node", str(ROOT / "bench" / "peers" / "face_api.mjs")],
            face_api_environment(cache / "face-api"),
        )
    files = list(files)
    answers = []
    with subprocess.Popen(
        [*command, peer.variant],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        for file in tqdm([*files[:WARM], *files], desc=peer.title, disable=None):
            with suppress(BrokenPipeError):  # It has ended; it gives no line.
                process.stdin.write(json.dumps({"file": str(file.resolve()), "crop": crop}) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{peer.title} ended early")
            answers.append(json.loads(line))
        return answers[-len(files) :], _peak_megabytes(process.pid)


def score(photos: Iterable[dict[str, Any]], answers: Answers) -> list[str]:
    """The figures of one peer on photographs, as the columns of `photographs`."""
    faces = found = false = labelled = seen = right = 0
    for photo, answer in zip(photos, answers, strict=True):
        labels = {Box(*map(round, face["box"])): face["label"] for face in answer["faces"]}
        false += len(judge(list(labels), photo).false)
        for accepted, label in answered(labels, photo):
            faces += 1
            found += label is not None
            if accepted:
                labelled += 1
                seen += label is not None
                right += label in accepted
    milliseconds = median(answer["milliseconds"] for answer in answers)
    return [
        _share(found, faces),
        f"{false / len(answers):.3f}",
        _share(right, seen),
        _share(right, labelled),
        f"{milliseconds:.0f}",
    ]


def photographs(folder: Path, peers: Iterable[Peer], cache: Path = CACHE) -> str:
    """A table of all peers on a folder of labelled photographs, in Markdown."""
    truth = read_truth(folder)
    rows = ["| | Found | False boxes a photograph | Right of the found | End to end | Median ms | Peak memory |"]
    for peer in peers:
        answers, peak = ask(peer, truth, crop=False, cache=cache)
        memory = "unknown" if peak is None else f"{peak:,.0f} MB"
        rows.append(f"| {' | '.join([peer.title, *score(truth.values(), answers), memory])} |")
    return "\n".join([rows[0], f"|{' --- |' * 7}", *rows[1:]])


def crops(source: Path, peers: Iterable[Peer], cache: Path = CACHE) -> str:
    """A table of the accuracies of all peers on faces that are already cut out, in Markdown."""
    rows = dataset.judged(dataset.load(source))
    lines = ["| | Accuracy |", "| --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.png") for number in range(len(rows))]
        for file, pixels in zip(files, rows.pixels, strict=True):
            cv2.imwrite(str(file), pixels)
        for peer in peers:
            answers, _ = ask(peer, files, crop=True, cache=cache)
            labels = [answer["faces"][0]["label"] for answer in answers]
            right = sum(label == LABELS[number] for label, number in zip(labels, rows.labels, strict=True))
            lines.append(f"| {peer.crops} | {_share(right, len(rows))} |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} % ({part}/{whole})"


def _peak_megabytes(pid: int) -> float | None:
    status = Path(f"/proc/{pid}/status")
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(peak[1]) * 1024 / 1e6 if peak else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs with a truth.json")
    parser.add_argument("--data", type=Path, metavar="FILE", help="labelled crops")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="of the environments: %(default)s")
    arguments = parser.parse_args()
    if not (arguments.photos or arguments.data):
        parser.error("give --photos, --data, or both")
    peers = [PEERS[name] for name in arguments.peers]
    if arguments.photos:
        print(photographs(arguments.photos, peers, arguments.cache))
    if arguments.data:
        print(crops(arguments.data, [peer for peer in peers if peer.crops], arguments.cache))


if __name__ == "__main__":
    main()
