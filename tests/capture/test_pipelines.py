# SPDX-License-Identifier: Apache-2.0
"""A whole pipeline of diffusers from a folder, by the command: a tiny Wan with random weights, text encoder and all."""

import inspect
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")

from zoetrope.command.main import main as zoetrope
from zoetrope.sim.capture import random_models
from zoetrope.sim.capture.check import compare
from zoetrope.sim.input.captured import read

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with random_models.quiet():
        words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((c, -2.0) for c in "abcdefghijklmnop")]
        size = {"d_model": random_models.CONTEXT, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
        pipeline = diffusers.WanPipeline(
            tokenizer=transformers.T5Tokenizer(vocab=words, extra_ids=0),
            text_encoder=transformers.UMT5EncoderModel(transformers.UMT5Config(vocab_size=len(words), **size)),
            vae=diffusers.AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            transformer=random_models.build("WanTransformer3DModel"),
        )
        where = tmp_path_factory.mktemp("wan")
        pipeline.save_pretrained(where)
        return str(where)


@pytest.mark.parametrize("name", ["CogVideoX", "HunyuanVideo", "Wan", "Latte"])
def test_pipelines_take_what_the_command_gives_them(name):
    known = inspect.signature(getattr(diffusers, f"{name}Pipeline").__call__).parameters
    given = {"prompt", "height", "width", "guidance_scale", "num_inference_steps", "generator", "output_type"}
    assert given <= set(known) and {"num_frames", "video_length"} & set(known)


SIZE = ["--height", "64", "--width", "80", "--frames", "9", "--device", "cpu"]


def test_a_pipeline_is_run_and_its_heads_are_kept(folder, tmp_path, capsys):
    out = tmp_path / "heads.npz"
    given = [
        "capture",
        folder,
        "--prompt",
        "a bad cab",
        *SIZE,
        "--inference-steps",
        "5",
        "--steps",
        "1,2",
        "--layers",
        "all",
    ]
    assert zoetrope([*given, "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert "running 5 steps on cpu, up to step 2 ..." in told.err and "blocks.1.attn1" in told.out
    c = read(out)
    assert c.grid == (3, 4, 5) and c.steps == [1, 2] and c.samples == [0, 1] and c.kept_layers == [0, 1]
    assert c.dtype == "float32" and all(compare(c, number).holds for number in range(len(c.q)))


@pytest.mark.parametrize(
    "more, told",
    [
        (["--steps", "50"], "there is no step 50: the run has 50, from 0"),
        (["--layers", "2"], "there is no layer 2; this model has layers 0 to 1"),
        (["--height", "7", "--width", "7"], "the pipeline stopped: ValueError: "),
        (["--device", "abacus"], "cannot be loaded: RuntimeError: "),
    ],
)
def test_what_is_wrong_is_one_line(folder, tmp_path, capsys, more, told):
    with pytest.raises(SystemExit) as stopped:
        zoetrope(["capture", folder, "--prompt", "a", *SIZE, *more, "-o", str(tmp_path / "a.npz")])
    last = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and last.startswith("error: ") and told in last


def test_a_folder_that_is_damaged(folder, tmp_path, capsys):
    (tmp_path / "model_index.json").write_text('{"_class_name": "WanPipeline"')
    with pytest.raises(SystemExit):
        zoetrope(["capture", str(tmp_path), "--prompt", "a"])
    assert f"error: {tmp_path}: cannot be loaded: " in capsys.readouterr().err.splitlines()[-1]
