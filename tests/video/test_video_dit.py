# SPDX-License-Identifier: Apache-2.0
"""The video diffusion transformer in NumPy: what it computes, the weights that are shipped, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
import video_parts

from zoetrope.golden import reference, video_dit

RECORD = Path(__file__).with_name("torch.npz")
GRID = (2, 3, 4)


@pytest.fixture(scope="module")
def shipped():
    return video_dit.load()


@pytest.fixture
def small():
    return video_dit.VideoDiT(video_parts.weights())


def noise(model, grid=GRID, seed=0):
    return video_dit.noise(seed, int(np.prod(grid)), model.components)


def test_the_weights_that_are_shipped(shipped):
    assert video_dit.WEIGHTS.stat().st_size <= 8_000_000
    assert (shipped.layers, shipped.heads, shipped.dim) == (6, 4, 256)
    assert shipped.classes == ("carphone", "bikes", "bunny", "objects")


def test_it_is_what_pytorch_computes(shipped):
    """Outputs that the model of ``tools/train`` gave for the shipped weights, recorded by ``tools/train/record.py``."""
    with np.load(RECORD) as record:
        assert str(record["digest"]) == str(np.load(video_dit.WEIGHTS)["digest"]), "run tools/train/record.py"
        assert len(record["levels"]) >= 3
        for z, level, expected in zip(record["z"], record["levels"], record["clean"]):
            found = shipped.clean(z, level, record["labels"], tuple(record["grid"]))
            assert np.abs(found - expected).max() <= video_dit.ROUNDING * np.abs(expected).max()


def test_dense_attention_is_attention():
    rng = np.random.default_rng(1)
    q, k, v = rng.standard_normal((3, 2, 50, 64)).astype(np.float32)
    found = video_dit.dense(0, q, k, v)
    for head in range(2):
        ideal = reference.attention(*(x[head].astype(np.float64) for x in (q, k, v)))
        assert np.abs(found[head] - ideal).max() < 1e-5


def test_scores_depend_on_distances_alone(small):
    """Rotary position: tokens one frame, two rows and three columns on meet each other as the first ones do."""
    h = np.random.default_rng(2).standard_normal((1, 1, 128)).astype(np.float32)
    grid = (4, 5, 6)
    same = np.repeat(h, np.prod(grid), axis=1)
    q, k, _ = small.qkv(0, same, video_dit._turn(grid))
    place = np.arange(np.prod(grid)).reshape(grid)
    first = q[0, 0, place[0, 0, 0]] @ k[0, 0, place[1, 1, 1]]
    assert np.isclose(q[0, 0, place[1, 2, 3]] @ k[0, 0, place[2, 3, 4]], first, rtol=1e-4)
    assert not np.isclose(q[0, 0, place[1, 2, 3]] @ k[0, 0, place[2, 3, 5]], first, rtol=1e-4)


def test_q_and_k_are_normed(small):
    h = 100 * np.random.default_rng(3).standard_normal((1, 24, 128)).astype(np.float32)
    q, _, _ = small.qkv(0, h, video_dit._turn(GRID))
    assert np.abs(q).max() <= 8 * 1.5 * np.sqrt(2) + 1e-3  # 64 numbers of rms 1, gains of at most 1.5, turned


def test_labels_are_computed_side_by_side_as_alone(small):
    z = noise(small)
    both = small.clean(z, 0.4, [0, 2], GRID)
    for label, found in zip((0, 2), both):
        alone = small.clean(z, 0.4, [label], GRID)[0]
        assert np.abs(found - alone).max() <= 1e-5 * np.abs(alone).max()
    assert np.abs(both[0] - both[1]).max() > 0.01


def test_attention_is_asked_for_layer_by_layer(small):
    asked = []

    def attend(layer, q, k, v):
        asked.append((layer, q.shape, k.shape, v.shape))
        return video_dit.dense(layer, q, k, v)

    assert np.array_equal(small.clean(noise(small), 0.5, [0], GRID, attend), small.clean(noise(small), 0.5, [0], GRID))
    assert asked == [(layer, *[(2, 24, 64)] * 3) for layer in range(2)]


def test_pixels_and_back(shipped):
    """The components are orthogonal; a video that they span comes back as it was."""
    z = noise(shipped, (2, 10, 12)) * 0.01
    video = shipped.decode(z, (2, 10, 12))
    assert video.shape == (2, 80, 96, 3) and video.dtype == np.float32
    again = shipped.encode(video)
    inside = np.abs(shipped.decode(again, (2, 10, 12)) - video).max()
    assert inside < 1e-4 and np.abs(again - z).max() < 1e-3 * np.abs(z).max() + 1e-3


def test_levels():
    assert np.allclose(video_dit.levels(4), [1, 0.75, 0.5, 0.25, 0])
    shifted = video_dit.levels(4, 3)
    assert shifted[0] == 1 and shifted[-1] == 0 and (np.diff(shifted) < 0).all() and shifted[2] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inp.weight": None}, "array inp.weight of the weights is missing"),
        (
            {"blocks.1.o.weight": np.zeros((3, 3))},
            r"array blocks.1.o.weight of the weights has shape \(3, 3\), not \(128, 128\)",
        ),
        ({"table": np.full((2, 128), np.nan)}, "array table of the weights has elements that are not finite"),
        ({"codec.scale": np.zeros((8, 1))}, "array codec.scale of the weights has 2 dimensions, not 1"),
        ({"classes": None}, "array classes of the weights is missing"),
        ({"inp.weight": np.zeros((100, 8))}, "are no model: at least 1 block"),
    ],
)
def test_weights_that_do_not_fit(change, told):
    arrays = {name: part for name, part in (video_parts.weights() | change).items() if part is not None}
    with pytest.raises(ValueError, match=told):
        video_dit.VideoDiT(arrays)


def test_damaged_files(tmp_path):
    path = video_parts.save(tmp_path / "w.npz", video_parts.weights())
    assert video_dit.load(path).layers == 2
    data = bytearray(path.read_bytes())
    (tmp_path / "short.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", q=np.zeros(3))
    changed = video_parts.weights()
    np.savez(
        tmp_path / "changed.npz",
        **(changed | {"table": changed["table"] + 1}),
        digest=np.array(video_dit.digest(changed)),
    )
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.npz").write_bytes(data)
    for name in ("short", "empty", "other", "changed", "flipped", "none"):
        with pytest.raises(ValueError, match=rf"{name}\.npz"):
            video_dit.load(tmp_path / f"{name}.npz")


def test_the_model_of_pytorch_is_the_same():
    """With random weights, where PyTorch is installed."""
    torch = pytest.importorskip("torch")
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "train"))
    import model

    torch.manual_seed(0)
    trained = model.VideoDiT(4)
    with torch.no_grad():
        for part in trained.parameters():
            part.add_(torch.randn_like(part) * 0.05)
    arrays = {name: part.numpy() for name, part in trained.state_dict().items()}
    codec = {name: part for name, part in video_parts.weights(components=64).items() if name.startswith("codec")}
    ours = video_dit.VideoDiT(arrays | codec | {"classes": np.array(list("abcd"))})
    z = noise(ours)
    with torch.no_grad():
        theirs = trained(torch.tensor(np.stack([z, z])), torch.tensor([0.3, 0.3]), torch.tensor([1, 4]), GRID).numpy()
    assert np.abs(ours.clean(z, 0.3, [1, 4], GRID) - theirs).max() <= video_dit.ROUNDING * np.abs(theirs).max()
