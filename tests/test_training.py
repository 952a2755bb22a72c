"""The training pipeline, on small made-up faces: readers, surgery, teachers, resuming, export, figures."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import lfw_subset

from app.emotions import LABELS
from app.model.card import Card, read_card
from app.model.classifier import Classifier, pruned_network
from app.model.occlusion import blurred
from app.settings import Settings
from app.vision.detector import FaceDetector
from app.vision.preprocess import DETAIL_SIZE, INPUT_SIZE, enlarge, face_detail, model_input
from tests.helpers import ROOT, encoded, group
from training import augment, dataset, evaluate, explain, export, fast, network, photographs, robustness, smoke, train
from training.train import Flags, Training

pytestmark = pytest.mark.training

SMALL = Flags(widths="slim", steps=4, batch=4, rate=0.01, seed=3)


def made_up(count: int = 24) -> dataset.Rows:
    """Noise whose brightness tells the label, with votes for the crowd's first class."""
    random = np.random.default_rng(1)
    labels = np.arange(count) % len(LABELS)
    pixels = np.clip(random.normal(labels[:, None, None] * 30 + 30, 20, (count, 48, 48)), 0, 255).astype(np.uint8)
    votes = np.zeros((count, 10), np.uint8)
    votes[:, 0] = 9
    votes[:, 3] = 1
    return dataset.Rows(pixels, labels, votes)


@pytest.fixture
def half_resolution(tmp_path: Path) -> Path:
    """Random weights in the form of a network for half the resolution."""
    random = np.random.default_rng(5)
    arrays = {}
    channels = 3
    for block, _, convolution, _ in network.layer_names():
        width = network.FULL[block - 1]
        arrays[f"{convolution}/kernel"] = random.normal(0, np.sqrt(2 / 9 / channels), (3, 3, channels, width))
        for part, value in (("gamma", 1), ("beta", 0.1), ("mean", 0), ("variance", 1)):
            arrays[f"{convolution}/bn_{part}"] = np.full(width, value, np.float32)
        channels = width
    arrays["fer/kernel"] = random.normal(0, 0.1, (channels, 7))
    arrays["fer/bias"] = np.zeros(7)
    arrays["ferplus/kernel"] = random.normal(0, 0.1, (channels, 9))
    arrays["ferplus/bias"] = np.zeros(9)
    path = tmp_path / "half.npz"
    np.savez(path, **{name: array.astype(np.float16) for name, array in arrays.items()})  # type: ignore[arg-type]
    return path


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def test_kaggle_numbers_become_the_services_labels(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["emotion", "pixels", "Usage"])
        for number in range(7):
            writer.writerow([number, " ".join([str(number)] * 48 * 48), "Training" if number else "PublicTest"])
    rows = dataset.load(path, usage="Training")
    names = [LABELS[label] for label in rows.labels]
    assert names == ["disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert (rows.pixels[:, 0, 0] == range(1, 7)).all()
    assert rows.votes is None
    assert len(dataset.load(path)) == 7


def test_npz_files_carry_votes_and_are_concatenated(tmp_path: Path) -> None:
    rows = made_up(14)
    kaggle = np.array([dataset.KAGGLE_ORDER.index(LABELS[label]) for label in rows.labels], np.uint8)
    for name, part in (("a", slice(0, 7)), ("b", slice(7, 14))):
        assert rows.votes is not None
        np.savez(
            tmp_path / f"{name}.npz", pixels=rows.pixels[part], emotion=kaggle[part], ferplus_votes=rows.votes[part]
        )
    read = dataset.load(tmp_path / "a.npz", tmp_path / "b.npz")
    assert (read.labels == rows.labels).all()
    assert (read.pixels == rows.pixels).all()
    assert read.votes is not None
    assert (read.votes == rows.votes).all()


def test_folders_of_labels_are_read(tmp_path: Path) -> None:
    for label, shade in (("happy", 200), ("angry", 20)):
        (tmp_path / label).mkdir()
        Image.new("L", (48, 48), shade).save(tmp_path / label / "1.png")
    rows = dataset.load(tmp_path)
    assert [LABELS[label] for label in rows.labels] == ["angry", "happy"]
    assert rows.pixels[:, 0, 0].tolist() == [20, 200]


@pytest.mark.parametrize("name", ["none.txt", "empty"])
def test_a_source_without_faces_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"neither|no labelled face"):
        dataset.load(tmp_path / name)


def test_useless_rows_are_dropped_and_single_votes_do_not_count() -> None:
    rows = made_up(5)
    assert rows.votes is not None
    rows.pixels[1] = 0
    rows.votes[2, dataset.NOT_A_FACE] = 5
    kept = dataset.usable(rows)
    assert (kept.labels == rows.labels[[0, 3, 4]]).all()
    targets = dataset.vote_targets(kept)
    assert (targets[:, 0] == 1).all()
    assert (targets[:, 1:] == 0).all()


def test_augmentation_depends_on_seed_and_step_alone() -> None:
    first, again, other = augment.draw(1, 7, 4), augment.draw(1, 7, 4), augment.draw(1, 8, 4)
    assert all((first[name] == again[name]).all() for name in first)
    assert not (first["affine"] == other["affine"]).all()


def unchanged(luma: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """What `augment.draw` would draw for no change, beside the faces."""
    count = len(luma)
    return {
        "luma": luma,
        "affine": np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (count, 1)),
        "tone": np.tile(np.array([1, 0], np.float32), (count, 1)),
        "noise": np.zeros((count, DETAIL_SIZE, DETAIL_SIZE), np.float32),
        "erase": np.zeros((count, 5), np.float32),
    }


def test_augmentation_without_change_is_the_services_input() -> None:
    luma = dataset.luma(made_up(3))
    views = keras.ops.convert_to_numpy(augment.Augment()(unchanged(luma)))
    np.testing.assert_allclose(views, model_input(luma), atol=1e-6)


def test_augmentation_adds_to_the_pixels_that_a_face_had_before_it_was_enlarged() -> None:
    grain = np.full((1, DETAIL_SIZE, DETAIL_SIZE), 0.25, np.float32)
    grain[0, 20, 30] = 0.5
    black = np.zeros((1, INPUT_SIZE, INPUT_SIZE), np.uint8)
    views = augment.Augment()(unchanged(black) | {"noise": grain})
    seen = keras.ops.convert_to_numpy(network.Halve()(views))
    np.testing.assert_allclose(seen[0, 2:-2, 2:-2, 0], grain[0, 2:-2, 2:-2], atol=1e-5)


def test_a_half_resolution_network_keeps_its_features_one_block_later(half_resolution: Path) -> None:
    faces = model_input(dataset.luma(made_up(8)))
    slim = network.trainable_vgg16(network.SLIM)
    network.shift_in(slim, half_resolution, faces)
    stem = keras.Model(slim.input, slim.get_layer("block1_pool").output).predict(faces, verbose=0)
    middle = (stem[..., 0] + 1 - stem[..., 1]) / 2
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert np.abs(middle - made_up(8).pixels / 255)[inner].mean() < 0.01  # Enlarging is undone.
    np.testing.assert_allclose(stem[..., 2], 1, atol=1e-4)
    with np.load(half_resolution) as source:
        kernel = source["block2_conv1/kernel"].astype(np.float32)
    np.testing.assert_array_equal(slim.get_layer("block3_conv1").get_weights()[0], kernel)


def test_the_last_block_of_a_half_resolution_network_becomes_dense_layers(half_resolution: Path) -> None:
    faces = model_input(dataset.luma(smoke.drawn_faces(64)))
    teacher = network.half_resolution(half_resolution)
    with np.load(half_resolution) as source:
        kernel, bias = network._dense_2x2(source, "block5_conv1")
    pool, after = (teacher.get_layer(name).output for name in ("block4_relu3", "block5_relu1"))
    maps, wanted = keras.Model(teacher.input, [pool, after]).predict(faces, verbose=0)
    np.testing.assert_allclose(
        np.maximum(maps.reshape(64, -1) @ kernel + bias, 0), wanted.reshape(64, -1), rtol=1e-3, atol=1e-3
    )
    slim = network.trainable_vgg16(network.SLIM)
    network.shift_in(slim, half_resolution, faces)
    one, other = (built.predict(faces, verbose=0)["expression"] for built in (teacher, slim))
    assert np.corrcoef((one - one.mean(axis=0)).ravel(), (other - other.mean(axis=0)).ravel())[0, 1] > 0.8


def test_widening_folding_and_temperature_keep_the_answers() -> None:
    faces = model_input(dataset.luma(made_up(6)))
    slim = network.trainable_vgg16(network.SLIM)
    network.reestimate(slim, faces)
    full = network.trainable_vgg16(network.FULL)
    network.widen(slim, full)
    logits = slim.predict(faces, verbose=0)["expression"]
    np.testing.assert_allclose(full.predict(faces, verbose=0)["expression"], logits, atol=1e-4)
    served = network.fold(full, temperature=1.7).predict(faces, verbose=0)
    np.testing.assert_allclose(served, probabilities(logits / 1.7), atol=1e-4)


def test_rounded_kernels_are_the_same_in_bfloat16(tmp_path: Path) -> None:
    rows = made_up(28)
    faces = model_input(dataset.luma(rows))
    logits = []
    for kernels in train.KERNELS:
        flags = replace(SMALL, kernels=kernels)
        train.run(flags, rows, None, tmp_path / kernels)
        logits.append(network.load(tmp_path / kernels).predict(faces, verbose=0)["expression"])
    one, other = (each - each.mean(axis=0) for each in logits)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
    served = network.fold(network.load(tmp_path / "bfloat16"))
    for layer in served.layers:
        if layer.weights:
            kernel = layer.get_weights()[0]
            rounded = keras.ops.cast(keras.ops.cast(kernel, "bfloat16"), "float32")
            np.testing.assert_allclose(kernel, rounded, rtol=1e-6)
    np.testing.assert_allclose(served.predict(faces, verbose=0), probabilities(logits[1]), atol=1e-4)


def thresholds(certain_from: float, plausible_from: float) -> Card:
    return Card(
        name="made up",
        version="0",
        sha256="",
        temperature=1,
        gflop=1,
        gflop_needed=1,
        certain_from=certain_from,
        plausible_from=plausible_from,
        training=[],
        evaluation={},
    )


def test_half_resolution_weights_give_a_network_of_their_own(half_resolution: Path) -> None:
    faces = model_input(dataset.luma(made_up(3)))
    teacher = network.half_resolution(half_resolution)
    logits = teacher.predict(faces, verbose=0)["expression"]
    assert logits.shape == (3, 7)
    edge = faces.copy()
    edge[:, :3] = edge[:, -3:] = edge[:, :, :3] = edge[:, :, -3:] = 0.5
    np.testing.assert_array_equal(teacher.predict(edge, verbose=0)["expression"], logits)  # It sees the middle.


def test_a_slim_network_is_grown_from_a_run_at_half_the_resolution(half_resolution: Path, tmp_path: Path) -> None:
    faces = model_input(dataset.luma(smoke.drawn_faces(64)))
    half, slim = tmp_path / "half", tmp_path / "slim"
    flags = Flags(widths="half", start=str(half_resolution), steps=2, batch=8, rate=1e-9, freeze="norms")
    train.run(flags, smoke.drawn_faces(64), None, half)
    trained = network.half_resolution(half / network.HALF_FILE).predict(faces, verbose=0)
    for name, logits in network.half_resolution(half_resolution).predict(faces, verbose=0).items():
        np.testing.assert_allclose(trained[name], logits, atol=1e-3)
    train.run(Flags(widths="slim", start=str(half), freeze="norms", steps=0), smoke.drawn_faces(64), None, slim)
    grown = network.load(slim).predict(faces, verbose=0)["expression"]
    one, other = (logits - logits.mean(axis=0) for logits in (grown, trained["expression"]))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8


def test_teachers_are_averaged_and_their_opinion_is_the_target(half_resolution: Path, tmp_path: Path) -> None:
    train.run(SMALL, made_up(), None, tmp_path / "slim")
    teachers = f"{half_resolution},{tmp_path / 'slim'}"
    training = Training(Flags(widths="slim", batch=8, teachers=teachers, teacher_weight=1), made_up())
    faces, targets = training._batch()
    one = network.half_resolution(half_resolution).predict(faces, verbose=0)["expression"]
    other = network.load(tmp_path / "slim").predict(faces, verbose=0)["expression"]
    np.testing.assert_allclose(targets["expression"], (probabilities(one) + probabilities(other)) / 2, atol=1e-5)
    faces_again, without = Training(Flags(widths="slim", batch=8), made_up())._batch()
    np.testing.assert_array_equal(faces, faces_again)
    assert without["expression"].max() == pytest.approx(0.9 + 0.1 / 7)


def test_teachers_can_be_asked_once_about_the_unchanged_faces(half_resolution: Path, tmp_path: Path) -> None:
    flags = Flags(widths="slim", batch=8, teachers=str(half_resolution), teacher_views="unchanged", teacher_weight=1)
    training = Training(flags, made_up(8))
    _, targets = training._batch()
    faces = model_input(dataset.luma(made_up(8)))
    one, other = (
        probabilities(network.half_resolution(half_resolution).predict(views, verbose=0)["expression"])
        for views in (faces, faces[:, :, ::-1])
    )
    order = np.random.default_rng((flags.seed, 0)).permutation(8)
    np.testing.assert_allclose(targets["expression"], ((one + other) / 2)[order], atol=1e-5)
    training.save(tmp_path)
    half_resolution.unlink()  # A resumed run does not ask again.
    resumed = Training(replace(flags, teachers=""), made_up(8))
    resumed.resume(tmp_path)
    assert resumed.opinions is not None
    np.testing.assert_array_equal(resumed.opinions, training.opinions)


def test_several_networks_at_half_the_resolution_are_averaged(half_resolution: Path, tmp_path: Path) -> None:
    with np.load(half_resolution) as source:
        np.savez(tmp_path / "other.npz", **{name: 3 * source[name] for name in source.files})
    averaged = network.half_resolution((half_resolution, tmp_path / "other.npz"))
    one = network.half_resolution(half_resolution)
    for mean, weight in zip(averaged.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(mean, 2 * weight, rtol=1e-2)  # The first file is in float16.
    start = f"{half_resolution},{tmp_path / 'nowhere'}"
    with pytest.raises(ValueError, match="nowhere"):
        Training(Flags(widths="half", start=start), made_up(8))


def views(rows: dataset.Rows) -> torch.Tensor:
    """Unchanged faces, as `training.fast` sees them."""
    return torch.from_numpy(rows.pixels)[:, None] / 255


def test_a_network_trained_fast_is_one_at_half_the_resolution(tmp_path: Path) -> None:
    start, run = str(ROOT / "training" / "half_resolution.npz"), tmp_path / "fast"
    fast.run(fast.Flags(start=start, seconds=1e-3, batch=8, rate=0.02), made_up(), None, run)
    rows = made_up(8)
    with torch.no_grad():
        expression, votes = fast.load(str(run))(views(rows))
        before, _ = fast.load(start)(views(rows))
    assert float((expression - before).abs().max()) > 0.1
    half = network.half_weights(run)
    assert half is not None
    logits = network.half_resolution(half).predict(model_input(dataset.luma(rows)), verbose=0)
    for mine, other in ((expression, logits["expression"]), (votes, logits["votes"])):
        assert np.abs(mine.numpy() - other).mean() < 0.02 * np.abs(other).max()  # It computes in bfloat16.
    assert json.loads((run / "flags.json").read_text())["steps"] >= 1
    assert [stage["start"] for stage in export._stages(run)] == ["half_resolution.npz"]


def test_the_statistics_of_a_network_trained_fast_are_those_of_its_averaged_weights() -> None:
    faces, mirrored = fast.Faces(made_up()), views(made_up()).flip(3)
    trained = fast.load(str(ROOT / "training" / "half_resolution.npz"))
    fast.train(trained, faces, [], fast.Flags(seconds=1e-3, batch=8, rate=0.02))
    assert not trained.training
    both = torch.cat([views(made_up()), mirrored])
    with torch.no_grad():
        answers, _ = trained(both)
        of_the_batch, _ = trained.train()(both)
    assert float((answers - of_the_batch).abs().mean()) < 0.02 * float(answers.abs().max())


def test_a_network_trained_fast_learns_from_all_its_teachers(half_resolution: Path, tmp_path: Path) -> None:
    fast.run(fast.Flags(network="residual", seconds=1e-3, batch=8), made_up(), None, tmp_path / "residual")
    teachers = [fast.load(str(source)) for source in (half_resolution, tmp_path / "residual")]
    assert [type(teacher) for teacher in teachers] == [fast.Vgg16, fast.Residual]
    student = fast.load(str(ROOT / "training" / "half_resolution.npz"))
    view, labels, votes = fast.Faces(made_up()).view(torch.arange(8), mixed=1.0)
    with torch.no_grad():
        loss = fast.loss(student, view, labels, votes, teachers)
        mine, crowd = (logits.log_softmax(1) for logits in student(view))
        soft = (student(view)[0] / fast.TEMPERATURE).log_softmax(1)
        one, other = ((teacher(view)[0] / fast.TEMPERATURE).softmax(1) for teacher in teachers)
    taught = -(fast.TEMPERATURE**2) * ((one + other) / 2 * soft).sum(1).mean()
    from_labels, from_votes = -(labels * mine).sum(1).mean(), -(votes * crowd).sum(1).mean()
    assert float(loss) == pytest.approx(float(0.7 * taught + 0.3 * from_labels + 0.3 * from_votes), rel=1e-4)


def test_every_face_is_in_one_batch_of_an_epoch() -> None:
    batches = fast.Faces(made_up()).indices(8)
    for _ in range(2):
        epoch = torch.cat([next(batches) for _ in range(3)])
        assert sorted(epoch.tolist()) == list(range(24))


def test_faces_are_mixed_with_their_labels_and_votes() -> None:
    faces = fast.Faces(made_up())
    for mixed, classes in ((0.0, 1), (1.0, 2)):
        view, labels, votes = faces.view(torch.arange(8), mixed)
        assert view.shape == (8, 1, 48, 48)
        assert 0 <= view.min() < view.max() <= 1
        assert (labels > 0).sum(1).max() == classes
        np.testing.assert_allclose(labels.sum(1).numpy(), 1, rtol=1e-5)
        np.testing.assert_allclose(votes.sum(1).numpy(), 1, rtol=1e-5)


def test_a_card_names_every_run_once_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    sources = {one: "", two: f"{one}", both: f"{one},{two}"}
    for run, start in sources.items():
        run.mkdir()
        flags = Flags(start=start, teachers=start)
        (run / "flags.json").write_text(json.dumps(asdict(flags)))
    stages = export._stages(both)
    assert [(stage["run"], stage["start"], stage["teachers"]) for stage in stages] == [
        ("one", "", ""),
        ("two", "one", "one"),
        ("both", "one,two", "one,two"),
    ]


def test_every_backend_trains_the_same(tmp_path: Path) -> None:
    rows = smoke.drawn_faces(16)
    votes = made_up(16).votes
    assert votes is not None
    votes[::2] = 0  # Half of the rows have none.
    names = np.array([dataset.KAGGLE_ORDER.index(LABELS[label]) for label in rows.labels])
    np.savez(tmp_path / "faces.npz", pixels=rows.pixels, emotion=names, ferplus_votes=votes)
    start = ROOT / "training" / "half_resolution.npz"
    options = f"--widths half --start {start} --steps 4 --batch 8 --rate 0.001 --dropout 0 --average 0"
    changes = []
    for backend in ("tensorflow", "jax", "torch"):
        command = [sys.executable, "-m", "training.train", "--data", "faces.npz", "--out", backend, *options.split()]
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        with np.load(tmp_path / backend / network.HALF_FILE) as trained, np.load(start) as before:
            kernels = [name for name in before.files if name.endswith("/kernel")]
            changes.append({name: trained[name] - before[name].astype(np.float32) for name in kernels})
    first, *others = changes
    for other in others:
        for name, change in first.items():
            assert np.linalg.norm(other[name] - change) < 0.02 * np.linalg.norm(change), name


def test_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    unbroken = Training(SMALL, made_up())
    list(unbroken.train(4))
    stopped = Training(SMALL, made_up())
    list(stopped.train(2))
    stopped.save(tmp_path)
    resumed = Training(SMALL, made_up())
    resumed.resume(tmp_path)
    assert resumed.step == 2
    list(resumed.train(4))
    for one, other in zip(resumed.network.get_weights(), unbroken.network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(resumed.average, unbroken.average, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_freezing_leaves_features_untouched() -> None:
    training = Training(Flags(widths="slim", steps=2, batch=8, freeze="features"), made_up())
    before = training.network.get_layer("block3_conv2").get_weights()[0]
    head = training.network.get_layer("fc1").get_weights()[0]
    list(training.train(2))
    np.testing.assert_array_equal(training.network.get_layer("block3_conv2").get_weights()[0], before)
    assert not np.array_equal(training.network.get_layer("fc1").get_weights()[0], head)


def test_from_training_to_a_served_model(tmp_path: Path) -> None:
    rows = made_up(28)
    train.run(SMALL, rows, None, tmp_path / "slim")
    flags = Flags(widths="full", start=str(tmp_path / "slim"), freeze="norms", steps=1, batch=4)
    train.run(flags, rows, None, tmp_path / "full")
    out = tmp_path / "model" / "made_up.keras"
    card = export.export(tmp_path / "full", rows, rows.take(slice(0, 7)), out, "0.1")
    assert read_card(out) == card
    assert [stage["widths"] for stage in card.training] == ["slim", "full"]
    assert str(tmp_path) not in card.model_dump_json()
    assert card.evaluation["PublicTest without copies of training pictures"].count == 21
    faces = model_input(dataset.luma(rows))
    trained = network.load(tmp_path / "full").predict(faces, verbose=0)["expression"]
    answers = probabilities(trained / card.temperature)
    np.testing.assert_allclose(Classifier(out).predict(faces), answers, atol=1e-4)
    crowd = dataset.crowd_labels(rows)
    unseen = export.fit_plausible(answers[7:], crowd[7:])
    assert card.plausible_from == pytest.approx(unseen, abs=2e-4)
    assert export.fit_plausible(answers, crowd) != pytest.approx(unseen, abs=1e-3)
    assert card.temperature == export.fit_temperature(trained[7:], dataset.crowd_shares(rows)[7:])
    with pytest.raises(ValueError, match="copy"):
        export.export(tmp_path / "full", rows, rows, out, "0.1")


def answered(*labels: int) -> NDArray[np.float32]:
    """Answers with a confidence of 0.7."""
    return np.eye(7, dtype=np.float32)[list(labels)] * 0.65 + 0.05


def test_figures_by_the_labels_of_the_data() -> None:
    rows = dataset.Rows(np.zeros((4, 48, 48), np.uint8), np.array([0, 1, 2, 4]))
    one = evaluate.figures(
        "made up", "labels", answered(0, 1, 2, 3), rows, thresholds(certain_from=0.5, plausible_from=0.3)
    )
    (bar,) = one.calibration
    assert (bar.count, bar.accuracy) == (4, 0.75)
    assert (one.count, one.accuracy, one.certain_share, one.certain_accuracy) == (4, 0.75, 1, 0.75)
    assert one.expected_calibration_error == pytest.approx(0.05, abs=1e-4)
    assert one.confusion[4][3] == 1
    assert one.labels["neutral"].recall == 0
    assert one.labels["happy"].precision == 0
    assert one.labels["fear"].f1 == 1
    assert (one.plausible_coverage, one.plausible_size) == (0.75, 1)
    assert (one.divergence, one.clear_accuracy, one.labels_by_crowd, one.groups) == (None, None, None, {})


def test_the_crowd_is_right_where_there_are_votes() -> None:
    angry, happy, no_face, tied, sad = votes = np.zeros((5, 10), np.uint8)
    angry[dataset.VOTE_NAMES.index("anger")] = 8
    angry[dataset.VOTE_NAMES.index("contempt")] = 2
    happy[[dataset.VOTE_NAMES.index("happiness"), dataset.VOTE_NAMES.index("neutral")]] = 6, 4
    no_face[[dataset.NOT_A_FACE, dataset.VOTE_NAMES.index("fear")]] = 9, 1
    tied[[dataset.VOTE_NAMES.index("fear"), dataset.VOTE_NAMES.index("surprise")]] = 5
    sad[dataset.VOTE_NAMES.index("sadness")] = 10
    rows = dataset.Rows(np.zeros((5, 48, 48), np.uint8), np.array([0, 1, 2, 2, 2]), votes)
    answers = answered(0, 3, 2, 2, 0)
    card = thresholds(certain_from=0.5, plausible_from=0.3)
    by_crowd, by_labels = evaluate.evaluate(answers, rows, None, card, "made up").values()
    assert (by_crowd.truth, by_crowd.count, by_crowd.accuracy) == ("crowd", 3, 0.6667)
    assert (by_labels.truth, by_labels.count, by_labels.accuracy) == ("labels", 5, 0.6)
    assert by_labels.labels_by_crowd == 0.3333  # Only the angry face has the label that the crowd chose.
    assert (by_crowd.clear_count, by_crowd.clear_accuracy, by_crowd.clear_macro_recall) == (2, 0.5, 0.5)
    assert (by_crowd.labels["happy"].clear_count, by_crowd.labels["sad"].clear_recall) == (0, 0)
    (bar,) = by_crowd.calibration
    assert (bar.confidence, bar.accuracy) == (0.7, 0.5333)  # 10 of 10, 6 of 10 and none of the votes.
    of_votes = [np.log(1 / 0.7), 0.6 * np.log(0.6 / 0.7) + 0.4 * np.log(0.4 / 0.05)]
    of_votes += [0.5 * np.log(0.5 / 0.7) + 0.5 * np.log(0.5 / 0.05), np.log(1 / 0.05)]
    assert by_crowd.divergence == pytest.approx(np.mean(of_votes), abs=1e-4)  # The tie counts, the other picture not.


def test_rows_without_votes_are_judged_by_their_labels() -> None:
    rows = made_up(14)
    assert (dataset.judged(rows).labels == LABELS.index("neutral")).all()
    rows = replace(rows, votes=None)
    assert (dataset.judged(rows).labels == rows.labels).all()
    results = evaluate.evaluate(answered(*rows.labels), rows, None, thresholds(0.5, 0.3), "made up")
    assert [(name, one.truth) for name, one in results.items()] == [("made up", "labels")]
    with pytest.raises(ValueError, match="votes"):
        dataset.crowd_shares(rows)


def test_accuracy_is_measured_by_group(tmp_path: Path) -> None:
    for owner, shade in (("young", 200), ("old", 20)):
        for label in ("happy", "angry"):
            (tmp_path / owner / label).mkdir(parents=True)
            Image.new("L", (48, 48), shade).save(tmp_path / owner / label / "1.png")
    rows = dataset.load(tmp_path)
    assert rows.groups is not None
    assert list(zip(rows.groups.tolist(), rows.labels.tolist(), strict=True)) == [
        ("old", 0),
        ("old", 3),
        ("young", 0),
        ("young", 3),
    ]
    numbers = [dataset.KAGGLE_ORDER.index(LABELS[label]) for label in rows.labels]
    np.savez(tmp_path / "faces.npz", pixels=rows.pixels, emotion=numbers, group=rows.groups)
    read = dataset.load(tmp_path / "faces.npz")
    one = evaluate.figures("made up", "labels", answered(0, 3, 3, 3), read, thresholds(0.5, 0.3))
    assert {name: (group.count, group.accuracy) for name, group in one.groups.items()} == {
        "old": (2, 1.0),
        "young": (2, 0.5),
    }
    assert "group young: 0.5000 of 2 faces right" in evaluate.report(one)


def test_the_answer_moves_towards_the_votes(half_resolution: Path, tmp_path: Path) -> None:
    faces = model_input(dataset.luma(made_up(4)))
    before = network.half_resolution(half_resolution).predict(faces, verbose=0)
    flags = Flags(widths="half", start=str(half_resolution), steps=0, freeze="norms", crowd=0.75)
    train.run(flags, made_up(8), None, tmp_path)
    after = network.half_resolution(tmp_path / network.HALF_FILE).predict(faces, verbose=0)
    named = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    votes = before["votes"][:, [dataset.VOTE_NAMES.index(name) for name in named]]
    np.testing.assert_allclose(after["expression"], 0.25 * before["expression"] + 0.75 * votes, atol=1e-3)
    np.testing.assert_allclose(after["votes"], before["votes"], atol=1e-3)


def test_wilson_interval() -> None:
    assert evaluate.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Agresti and Coull 1998


def test_thresholds_do_what_they_promise() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(4000, 7)).astype(np.float32) * 2
    truth = probabilities(logits)
    labels = np.array([random.choice(7, p=row / row.sum()) for row in truth.astype(np.float64)])
    assert export.fit_temperature(logits * 2, np.eye(7)[labels]) == pytest.approx(2, rel=0.1)
    assert export.fit_temperature(logits * 2, truth.astype(np.float64)) == pytest.approx(2, rel=0.01)
    certain = truth.max(axis=1) >= export.fit_certain(truth, labels)
    assert (truth.argmax(axis=1) == labels)[certain].mean() >= 0.95
    sets = evaluate.plausible_sets(truth, export.fit_plausible(truth, labels))
    assert sets[np.arange(1, 4000, 2), labels[1::2]].mean() == pytest.approx(0.9, abs=0.02)


def test_the_temperature_can_be_taken_back() -> None:
    logits = np.random.default_rng(3).normal(size=(50, 7)).astype(np.float32) * 3
    served = probabilities(logits / np.float32(1.6))
    np.testing.assert_allclose(evaluate.tempered(served, 1 / 1.6), probabilities(logits), atol=1e-5)


@pytest.mark.parametrize("name", robustness.CORRUPTIONS)
def test_corruptions_are_seeded_and_change_the_face(name: str) -> None:
    pixels = smoke.drawn_faces(7).pixels
    once, again = (robustness.changed(pixels, robustness.CORRUPTIONS[name]) for _ in range(2))
    assert once.shape == pixels.shape
    assert (once == again).all()
    assert all((one != face).any() for one, face in zip(once, pixels, strict=True))


def test_other_forms_of_a_face_are_the_same_input() -> None:
    pixels = smoke.drawn_faces(7).pixels
    colour = robustness.changed(pixels, robustness.FORMS["colour"])
    assert np.abs(colour.astype(int) - pixels).max() <= 1
    upscaled = robustness.changed(pixels, robustness.FORMS["upscaled to 300 px"])
    assert np.abs(upscaled.astype(int) - pixels).mean() < 4  # Noise of standard deviation 8 is smoothed a little.


def test_photographs_are_cut_to_the_largest_face_and_misses_are_counted(
    astronaut: NDArray[np.uint8], detector: FaceDetector, tmp_path: Path
) -> None:
    for label, picture in (("happy", astronaut), ("sad", np.full((200, 200, 3), 90, np.uint8))):
        (tmp_path / label).mkdir()
        Image.fromarray(picture).save(tmp_path / label / "1.png")
    rows = dataset.load(tmp_path)
    assert ([LABELS[label] for label in rows.labels], rows.missed) == (["happy"], 1)
    np.testing.assert_array_equal(rows.pixels[0], face_detail(astronaut, detector.find(astronaut)[0].box))


def test_photographs_are_answered_end_to_end(
    astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8], tmp_path: Path
) -> None:
    def face(label: str, *box: int) -> dict[str, object]:
        return {"box": box, "haar_box": box, "pose": "frontal", "labels": [label] if label else []}

    truth = {
        "two.png": [face("happy", 171, 64, 104, 104), face("neutral", 707, 152, 225, 225)],
        "none.png": [face("neutral", 40, 40, 60, 60)],
        "unclear.png": [face("", 170, 64, 113, 113)],
    }
    pictures = {
        "two.png": group(astronaut, hopper),
        "none.png": np.full((200, 200, 3), 90, np.uint8),
        "unclear.png": astronaut,
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / name)
    described = {
        name: {"width": pictures[name].shape[1], "height": pictures[name].shape[0], "faces": faces, "ignore": []}
        for name, faces in truth.items()
    }
    (tmp_path / "truth.json").write_text(json.dumps(described))
    happy = lambda crops: answered(*[LABELS.index("happy")] * len(crops))  # noqa: E731
    measured = photographs.measure(happy, tmp_path)
    assert (measured.pictures, measured.count, measured.found, measured.right) == (3, 3, 2, 1)
    assert (measured.neutral, measured.neutral_as_happy) == (2, 1)
    assert "1 of 3 faces found and right (0.3333)" in evaluate.report_photographs(measured)


def test_the_smoke_run_and_the_evaluation_command_agree(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(*command: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=True
        ).stdout

    printed = run("training.smoke", "--out", str(tmp_path))
    assert printed.startswith(f"PublicTest: {smoke.HELD_OUT} faces by the crowd")
    with (tmp_path / "log.csv").open() as stream:
        assert [int(row["step"]) for row in csv.DictReader(stream)] == [smoke.FLAGS.steps // 2, smoke.FLAGS.steps]
    assert len(list(tmp_path.glob("events.out.tfevents*"))) == 2  # One for each start.
    model = tmp_path / "model.keras"
    card = read_card(model)
    assert card.evaluation["PublicTest"].accuracy > 0.5  # Guessing gives a seventh.
    rows = smoke.drawn_faces(smoke.HELD_OUT, seed=2)
    kaggle = np.array([dataset.KAGGLE_ORDER.index(LABELS[label]) for label in rows.labels], np.uint8)
    assert rows.votes is not None
    np.savez(tmp_path / "rows.npz", pixels=rows.pixels, emotion=kaggle, ferplus_votes=rows.votes)
    data = str(tmp_path / "rows.npz")
    again = run(
        "training.evaluate", "--model", str(model), "--data", data, "--json", "--plots", str(tmp_path / "plots")
    )
    measured = json.loads(again)
    assert measured["evaluation"] == {name: one.model_dump(mode="json") for name, one in card.evaluation.items()}
    assert card.robustness is not None
    assert measured["robustness"] == card.robustness.model_dump()
    for name in ("confusion", "calibration", "robustness"):
        with Image.open(tmp_path / "plots" / f"{name}.png") as plot:
            assert min(plot.size) > 400


@pytest.fixture(scope="module")
def faces() -> NDArray[np.float32]:
    """A sixth of the small real faces that scikit-image ships, of Labeled Faces in the Wild."""
    pixels = np.round(lfw_subset()[:100:6] * 255).astype(np.uint8)
    return model_input(np.stack([enlarge(face_detail(face)) for face in pixels]))


@pytest.mark.slow
def test_the_services_explanation_is_better_than_others(classifier: Classifier, faces: NDArray[np.float32]) -> None:
    plain = pruned_network(keras.models.load_model(Settings().model_path, compile=False))
    results = explain.compare(classifier, plain, faces)
    mine = results.pop("occlusion")
    assert not mine.blank.any()
    for other in results.values():
        assert mine.deletion.mean() < other.deletion.mean() - 0.02
        assert mine.insertion.mean() > other.insertion.mean() + 0.02


def test_the_hottest_pixels_are_taken_out_or_put_in_first(faces: NDArray[np.float32]) -> None:
    face, heat = faces[0], np.zeros((2, 2), np.float32)
    heat[0, 1] = 1
    copy = blurred(face)
    out, into = explain.mixtures(face, heat)
    for mixture, before, after in ((out, face, copy), (into, copy, face)):
        assert np.array_equal(mixture[0], before)
        assert np.array_equal(mixture[-1], after)
        changed = (mixture[2] != before).any(axis=2)
        assert changed[:48, 48:].sum() == pytest.approx(96 * 96 * 2 / explain.STEPS, abs=20)
        assert not changed[48:].any()
        assert not changed[:, :48].any()


def test_an_explanation_that_is_right_has_the_better_areas() -> None:
    class Bright(Classifier):
        """Reads the label off the brightness of the upper left quarter."""

        def __init__(self) -> None:
            pass

        def predict(self, crops: Sequence[NDArray[np.float32]] | NDArray[np.float32], /) -> NDArray[np.float32]:
            happy = np.asarray(crops)[:, :48, :48].mean(axis=(1, 2, 3))
            return np.stack([1 - happy, happy], axis=1).astype(np.float32)

    face = np.zeros((1, 96, 96, 3), np.float32)
    face[:, :48, :48] = 1
    heat = np.zeros((6, 6), np.float32)
    heat[:3, :3] = 1
    right = explain.measure(Bright(), face, lambda crop, label: heat)
    wrong = explain.measure(Bright(), face, lambda crop, label: -heat)
    assert right.deletion[0] < wrong.deletion[0] - 0.1
    assert right.insertion[0] > wrong.insertion[0] + 0.1
    assert not right.blank[0]
    assert wrong.blank[0]
    table = explain.report({"mine": right, "chance": wrong})
    assert f"| mine | {right.deletion[0]:.3f} | {right.insertion[0]:.3f} | 100% of the faces | 0 |" in table


def test_photographs_give_every_face_and_other_files_none(
    tmp_path: Path, portrait: bytes, astronaut: NDArray[np.uint8], hopper: NDArray[np.uint8]
) -> None:
    (tmp_path / "one.jpg").write_bytes(portrait)
    (tmp_path / "two.png").write_bytes(encoded(group(astronaut, hopper)))
    (tmp_path / "README").write_text("no picture")
    assert explain.photographed(tmp_path).shape == (3, 96, 96, 3)
