"""Faces keep their numbers from frame to frame."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.vision.geometry import Box
from app.vision.tracker import SMOOTHING, Tracker, look

LEFT, RIGHT = Box(100, 100, 80, 80), Box(400, 120, 90, 90)
HAPPY, SAD = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def moved(box: Box, x: int) -> Box:
    return box._replace(x=box.x + x)


def test_faces_that_move_a_little_keep_their_numbers_in_any_order() -> None:
    tracks = Tracker()
    assert [track.id for track in tracks.follow([(LEFT, HAPPY), (RIGHT, SAD)], 0)] == [1, 2]
    assert [track.id for track in tracks.follow([(moved(RIGHT, 20), SAD), (moved(LEFT, -20), HAPPY)], 0.1)] == [2, 1]


def test_two_faces_side_by_side_never_share_a_number() -> None:
    tracks = Tracker()
    near = moved(LEFT, 40)
    tracks.follow([(LEFT, HAPPY)], 0)
    assert [track.id for track in tracks.follow([(near, SAD), (moved(LEFT, 5), HAPPY)], 0.1)] == [2, 1]


@pytest.mark.parametrize(("x", "number"), [(42, 1), (45, 2)])
def test_a_box_is_the_same_face_from_an_overlap_of_three_tenths_on(x: int, number: int) -> None:
    """Boxes of 80 pixels, moved by 42 and 45, overlap by 0.31 and 0.28."""
    tracks = Tracker()
    tracks.follow([(LEFT, HAPPY)], 0)
    assert [track.id for track in tracks.follow([(moved(LEFT, x), HAPPY)], 0.1)] == [number]


def test_a_face_that_is_missed_for_a_moment_keeps_its_number_and_one_that_left_does_not() -> None:
    tracks = Tracker()
    tracks.follow([(LEFT, HAPPY)], 0)
    tracks.follow([], 0.5)
    assert [track.id for track in tracks.follow([(LEFT, HAPPY)], 0.9)] == [1]
    assert [track.id for track in tracks.follow([(LEFT, HAPPY)], 2.1)] == [2]


def test_a_face_somewhere_else_is_another_one() -> None:
    tracks = Tracker()
    tracks.follow([(LEFT, HAPPY)], 0)
    assert [track.id for track in tracks.follow([(RIGHT, HAPPY)], 0.1)] == [2]


def test_probabilities_follow_a_change_at_the_same_pace_for_any_frame_rate() -> None:
    slow, fast = Tracker(), Tracker()
    for tracks, frames in ((slow, 1), (fast, 10)):
        tracks.follow([(LEFT, HAPPY)], 0)
        for number in range(1, frames + 1):
            (track,) = tracks.follow([(LEFT, SAD)], SMOOTHING * number / frames)
        assert track.probabilities == pytest.approx([np.exp(-1), 1 - np.exp(-1)], abs=1e-6)


def looks(*seeds: int) -> list[NDArray[np.float32]]:
    """What faces look like whose crops are noise."""
    return [look(np.random.default_rng(seed).random((96, 96, 3), np.float32)) for seed in seeds]


def test_a_face_that_moved_far_in_a_long_gap_is_known_by_its_look() -> None:
    tracks = Tracker(gap=0.5)
    tracks.follow([(LEFT, HAPPY)], 0, looks(1))
    assert [track.id for track in tracks.follow([(moved(LEFT, 150), HAPPY)], 0.5, looks(1))] == [1]
    assert [track.id for track in tracks.follow([(LEFT, HAPPY)], 1, looks(2))] == [2]
    assert [track.id for track in tracks.follow([(moved(LEFT, 1000), HAPPY)], 1.5, looks(2))] == [3]


def test_people_who_changed_places_between_two_frames_are_known_by_their_looks() -> None:
    near = moved(LEFT, 120)
    tracks = Tracker(gap=0.5)
    tracks.follow([(LEFT, HAPPY), (near, SAD)], 0, looks(1, 2))
    assert [track.id for track in tracks.follow([(LEFT, SAD), (near, HAPPY)], 0.5, looks(2, 1))] == [2, 1]


def test_a_face_outlives_two_samples_that_miss_it_and_no_cut() -> None:
    tracks = Tracker(gap=2)
    tracks.follow([(LEFT, HAPPY)], 0, looks(1))
    for time in (2, 4):
        tracks.follow([], time)
    assert [track.id for track in tracks.follow([(LEFT, HAPPY)], 5, looks(1))] == [1]
    tracks.forget()
    assert [track.id for track in tracks.follow([(LEFT, HAPPY)], 7, looks(1))] == [2]


def test_without_smoothing_probabilities_are_those_of_the_frame() -> None:
    tracks = Tracker(smoothing=0)
    tracks.follow([(LEFT, HAPPY)], 0)
    (track,) = tracks.follow([(LEFT, SAD)], 0)
    assert (track.probabilities == SAD).all()


def test_overlap_is_intersection_over_union() -> None:
    assert LEFT.overlap(LEFT) == 1
    assert LEFT.overlap(RIGHT) == 0
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
