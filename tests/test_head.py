"""``python -m sim.head``: what it prints and draws, on a few frames of the sample clip and on tensors without a grid."""

import numpy as np
import pytest

from golden.simcore import Geometry, Settings
from sim import clips, head


@pytest.fixture(scope="module")
def few():
    return head.measured(clips.from_clip(frames=17))


def test_what_is_measured(few):
    assert few.geometry == Geometry(5, 9, 11) and few.rows == 495
    assert list(few.results) == list(few.errors) == list(head.ABLATIONS)
    dense, rows, speculation, everything = (few.results[name].statistics for name in head.ABLATIONS)
    assert dense.share == rows.share == dense.skipped == speculation.skipped == 0
    assert rows.skipped == everything.skipped > 0.3 and everything.share > 0.3 and speculation.share > 0.3
    assert few.errors["FP16 only"] < few.errors["+ speculation"] < few.errors["all"] < 0.2
    kinds = head.machines(few.t)
    for machine in (None, kinds["split"], kinds["no tables"]):
        assert head.speed_up(few, "FP16 only", "FP16 only", machine) == 1
        assert head.speed_up(few, "FP16 only", "+ rows skipped", machine) > 1
        assert 1 < head.speed_up(few, "+ rows skipped", "all", machine) < 3
        assert head.speed_up(few, head.UNGROUPED, "all", machine) > 1
    assert head.speed_up(few, "+ rows skipped", "all", kinds["tables"]) < 1  # P V waits for the LUT buffer


def test_mosaic_has_every_token_once():
    for frames, height, width in ((1, 1, 1), (5, 2, 3), (7, 1, 9), (30, 9, 11)):
        kind = np.arange(frames * height * width)
        picture = head.mosaic(kind, Geometry(frames, height, width))
        np.testing.assert_array_equal(np.sort(picture[picture >= 0]), kind)
        np.testing.assert_array_equal(picture[:height, :width].ravel(), kind[: height * width])


def test_command(tmp_path, capsys):
    pictures = [tmp_path / name / "head.svg" for name in ("once", "again")]
    for out in pictures:
        head.main(["--frames", "3", "--out", str(out)])
        text = capsys.readouterr().out
        for part in (
            "297 tokens, 3 frames of 9 x 11",
            *head.ABLATIONS,
            head.UNGROUPED,
            "2.01",
            "1.45",
            "1.10",
            "a model",
        ):
            assert part in text
    assert pictures[0].read_text() == pictures[1].read_text() and pictures[0].read_text().startswith("<?xml")


def test_command_with_smaller_key_tiles(tmp_path, capsys):
    head.main(["--frames", "2", "--keys", "40", "--out", str(tmp_path / "head.svg")])
    assert "198 tokens, 2 frames of 9 x 11, key tiles of up to 40" in capsys.readouterr().out
    found = head.measured(clips.from_clip(frames=5), Settings(rows=head.ROWS, keys=40))
    assert found.geometry.frames == 2 and found.keys == 40
    np.testing.assert_array_equal(found.work["all"].tokens, [40, 40, 19] * 2)


def test_command_on_tensors_without_a_grid(tmp_path, capsys):
    rng = np.random.default_rng(5)
    tensors = {name: rng.standard_normal((2, 6, 5)).astype(np.float16) for name in "qkv"}
    np.savez(tmp_path / "head.npz", **tensors)
    head.main(["--tensors", str(tmp_path / "head.npz"), "--rows", "4", "--out", str(tmp_path / "head.png")])
    text = capsys.readouterr().out
    assert "2 frames of 1 x 6" in text and "grid unknown" in text
    assert (tmp_path / "head.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--frames", "0"], "--frames must be at least 1"),
        (["--out", "head.pdf"], "--out must end in .svg or .png"),
        (["--p", "2"], "p_p must be between 0 and 1"),
        (["--keys", "0"], "keys must be a whole number of at least 1, not 0"),
        (["--tau", "-1"], "tau must be at least 0"),
        (["--rows", "12"], "--rows: invalid choice: 12"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        head.main(arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_q_beyond_fp16_is_one_line(tmp_path, capsys):
    tensors = {name: np.ones((1, 2, 2), np.float16) for name in "qkv"}
    tensors["q"][0, 1, 1], tensors["k"][0, 0, 1] = 60000, 600
    np.savez(tmp_path / "wide.npz", **tensors)
    with pytest.raises(SystemExit):
        head.main(["--tensors", str(tmp_path / "wide.npz")])
    assert "wide.npz: q times K's scale is beyond FP16" in capsys.readouterr().err
