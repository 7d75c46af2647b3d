# SPDX-License-Identifier: Apache-2.0
"""Capture and replay, with PyTorch and diffusers where they are installed: tiny random models of all four families."""

import types
import warnings

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")

import torch.nn.functional as functional

from zoetrope.command.main import main as zoetrope
from zoetrope.sim.capture import random_models
from zoetrope.sim.capture.check import compare
from zoetrope.sim.capture.families import FAMILIES
from zoetrope.sim.capture.hook import capturing
from zoetrope.sim.input.captured import CaptureError, read

pytestmark = pytest.mark.filterwarnings("ignore")

COG, HUNYUAN, WAN, LATTE = FAMILIES
KINDS = [(name, kind) for name, family in FAMILIES.items() for kind in family.kinds]
STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def quiet():
    torch.set_num_threads(1)
    with random_models.quiet():
        yield


@pytest.fixture
def model(request):
    return random_models.build(request.param)


def kept_of(subject, ran=STEPS, **wanted):
    with capturing(subject, **{"steps": None, "layers": None, "heads": None} | wanted) as kept:
        random_models.run(subject, ran)
    return kept.captured


def refused(subject, **wanted):
    with pytest.raises(CaptureError) as caught:
        kept_of(subject, **wanted)
    assert "\n" not in str(caught.value)
    assert functional.scaled_dot_product_attention is ORIGINAL
    return str(caught.value)


ORIGINAL = functional.scaled_dot_product_attention


# --- capture and replay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name, kind", KINDS)
def test_o_is_the_attention_of_what_was_captured(name, kind, dtype):
    c = kept_of(random_models.build(name, dtype=dtype), kind=kind, ran=2)
    samples = {COG: 2, HUNYUAN: 1, WAN: 2, LATTE: {"spatial": 6, "temporal": 40}.get(kind)}[name]
    assert len(c.q) == 2 * 2 * 2 * samples and c.samples == list(range(samples)) and c.dtype == dtype
    done = [compare(c, number) for number in range(len(c.q))]
    assert all(one.holds for one in done), max(one.share for one in done)
    assert max(one.error for one in done) < {"float32": 0.01, "float16": 0.005, "bfloat16": 0.03}[dtype]
    assert max(one.share for one in done) > 0.1
    sharp = np.exp(c.scale * np.einsum("td,sd->ts", *(x[0].astype(float) for x in (c.q, c.k))))
    assert (sharp / sharp.sum(1, keepdims=True)).max(1).mean() > 2 / len(sharp)  # a flat softmax would show nothing


@pytest.mark.parametrize(
    "name, kind, grid, text, side",
    [
        (COG, "full", (3, 4, 5), 7, "first"),
        (HUNYUAN, "full", (3, 4, 5), 7, "last"),
        (WAN, "full", (3, 4, 5), 0, "none"),
        (LATTE, "spatial", (1, 4, 5), 0, "none"),
        (LATTE, "temporal", (3, 1, 1), 0, "none"),
    ],
)
def test_every_entry_is_what_went_in_and_came_out_at_its_place(name, kind, grid, text, side, monkeypatch):
    """Beside the hook: a log of all calls of self-attention in their order, which is step, call, layer."""
    log = []

    def logging(query, key, value, *args, **more):
        o = ORIGINAL(query, key, value, *args, **more)
        log.append([x.clone() for x in (query, key, value, o)])
        return o

    monkeypatch.setattr(functional, "scaled_dot_product_attention", logging)
    c = kept_of(random_models.build(name), kind=kind)
    assert (c.grid, c.text, c.text_side, c.kind, c.model, c.dtype) == (grid, text, side, kind, name, "float32")
    tokens = text + np.prod(grid)
    padded = tokens + (random_models.PADDING if name == HUNYUAN else 0)
    own = [call for call in log if call[0].shape[2] == call[1].shape[2] == padded]
    rows, calls = len(own[0][0]), 2 if name == WAN else 1
    assert len(own) == STEPS * calls * 2 and len(c.q) == STEPS * 2 * 2 * rows * calls
    for number, (step, layer, head, sample) in enumerate(c.place.tolist()):
        half, row = divmod(sample, rows)
        call = own[(step * calls + half) * 2 + layer]
        for ours, theirs in zip((c.q, c.k, c.v, c.o), call):
            assert np.array_equal(ours[number], theirs[row, head, :tokens].half().numpy())


@pytest.mark.parametrize("name, first, last", [(COG, "blocks.0", "blocks.1"), (HUNYUAN, "transformer", "single")])
def test_layers_are_named_in_the_order_in_which_they_run(name, first, last):
    layers = kept_of(random_models.build(name), steps=(0,)).layers
    assert first in layers[0] and last in layers[1] and len(layers) == 2


@pytest.mark.parametrize("name, kind", KINDS)
def test_what_is_chosen_is_what_is_kept(name, kind):
    last = 0 if name == HUNYUAN else 1
    chosen = {"steps": [2, 0], "layers": 1, "heads": (1,), "samples": [last]}
    c, everything = (
        kept_of(random_models.build(name), kind=kind, **chosen),
        kept_of(random_models.build(name), kind=kind),
    )
    assert c.place.tolist() == [[0, 1, 1, last], [2, 1, 1, last]] and c.layers == everything.layers
    for step, one in zip((0, 2), c.q):
        assert np.array_equal(one, everything.entry(step, 1, 1, last)[0])


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_the_model_computes_what_it_computes(model):
    outputs = []
    note = model.register_forward_hook(lambda *call: outputs.append(call[-1][0].clone()))
    random_models.run(model, 2)
    alone = list(outputs)
    outputs.clear()
    kept_of(model)
    random_models.run(model, 2)
    watched, again = outputs[: -len(alone)], outputs[-len(alone) :]
    assert torch.equal(watched[0], alone[0]) and all(map(torch.equal, again, alone)) and len(alone) in (2, 4)
    note.remove()
    assert functional.scaled_dot_product_attention is ORIGINAL
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_it_stops_when_the_last_step_is_over(model):
    calls, behind = [], []
    model.register_forward_hook(lambda *call: calls.append(1))
    with capturing(model, steps=(0, 1), stop=True) as kept:
        random_models.run(model, 5)
        behind.append(1)
    assert kept.captured.steps == [0, 1] and len(calls) == 4 and not behind
    assert functional.scaled_dot_product_attention is ORIGINAL


def test_a_pipeline_with_two_transformers_counts_its_steps_over_both():
    both = types.SimpleNamespace(transformer=random_models.build(WAN), transformer_2=random_models.build(WAN, seed=1))
    with capturing(both, steps=None) as kept:
        random_models.run(both.transformer, 2)
        random_models.run(both.transformer_2, 3)
    assert kept.captured.steps == [0, 1, 2, 3, 4] and kept.captured.samples == [0, 1]
    alone = kept_of(both.transformer_2, layers=0, heads=0)
    assert np.array_equal(alone.entry(1)[0], kept.captured.entry(3)[0])


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_under_autocast_what_the_kernel_saw_is_kept(model):
    with torch.autocast("cpu", torch.bfloat16):
        c = kept_of(model)
    assert c.dtype == "bfloat16" and all(compare(c, number).holds for number in range(len(c.q)))


# --- what cannot be captured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted, told",
    [
        ({"layers": [0, 2]}, "there is no layer 2; this model has layers 0 to 1"),
        ({"heads": 2}, "there is no head 2; this model has heads 0 to 1"),
        ({"steps": [1, 3]}, "there is no step 3: the model ran 3 steps, from 0"),
        ({"samples": [0, 2]}, "there is no sample 2 in step 0; it has sample 0, 1"),
        ({"samples": [5], "steps": [1]}, "there is no sample 5 in step 1; it has sample 0, 1"),
        ({"kind": "spatial"}, "WanTransformer3DModel has no spatial attention; its kind is full"),
        ({"steps": []}, "steps must be whole numbers from 0, or None for all, not []"),
    ],
)
@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_what_does_not_exist_is_named_with_what_does(model, wanted, told):
    assert refused(model, **wanted) == told


def test_models_that_are_not_known():
    assert "the attention of Linear cannot be captured; that of CogVideoX" in refused(torch.nn.Linear(1, 1))
    assert "SimpleNamespace has no transformer" in refused(types.SimpleNamespace(unet=1, transformer=None))


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_a_block_in_which_nothing_runs(model):
    with pytest.raises(CaptureError, match="was not called in the block"):
        with capturing(model):
            pass
    with capturing(model) as kept:
        with pytest.raises(CaptureError, match="nothing was captured"):
            _ = kept.captured
        random_models.run(model, 1)


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_compiled_models(model):
    model.blocks[1]._compiled_call_impl = len
    assert refused(model) == "blocks.1 of this model is compiled, which hides its attention: capture before it is"
    assert "capture before torch.compile" in refused(type("OptimizedModule", (torch.nn.Linear,), {})(1, 1))


class Processor:
    """An attention processor that calls ``do(q, k, v)``, of (batch, heads, tokens, d), in place of PyTorch's function."""

    _attention_backend = None

    def __init__(self, do):
        self.do = do

    def __call__(self, attn, hidden_states, *args, **more):
        q, k, v = (f(hidden_states).unflatten(2, (2, -1)).transpose(1, 2) for f in (attn.to_q, attn.to_k, attn.to_v))
        return self.do(q, k, v).transpose(1, 2).flatten(2)


def by_hand(q, k, v):
    return (q @ k.transpose(-1, -2) / 4).softmax(-1) @ v


def grouped(q, k, v):
    return functional.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)


def cut(q, k, v):
    return functional.scaled_dot_product_attention(q[:, :, :7], k, v).repeat(1, 1, 9, 1)[:, :, :60]


def twice(q, k, v):
    return functional.scaled_dot_product_attention(q, k, functional.scaled_dot_product_attention(q, k, v))


def with_options(**options):
    def do(q, k, v):
        return functional.scaled_dot_product_attention(q, k, v, **{n: f(q) for n, f in options.items()})

    return do


@pytest.mark.parametrize(
    "do, told",
    [
        (by_hand, "blocks.1.attn1 ran without PyTorch's scaled_dot_product_attention (Processor bypasses it): call"),
        (grouped, "blocks.1.attn1 in step 0 is grouped-query attention, 2 heads of q on 1 of k: not supported"),
        (cut, "blocks.1.attn1 in step 0 has q, k, v of shapes (1, 2, 7, 16), (1, 2, 60, 16), (1, 2, 60, 16); self-"),
        (twice, "blocks.1.attn1 in step 0 calls scaled_dot_product_attention more than once"),
        (
            lambda q, k, v: with_options()(*(x[:, :, :30] for x in (q, k, v))).repeat(1, 1, 2, 1),
            "has 30 tokens in 1 row",
        ),
        (with_options(is_causal=lambda q: True), "blocks.1.attn1 in step 0 has a causal mask"),
        (with_options(dropout_p=lambda q: 0.1), "has dropout (call eval() of the model), with which o cannot be"),
        (
            with_options(attn_mask=lambda q: torch.eye(60, dtype=torch.bool)),
            "has a mask that differs from query to query",
        ),
        (
            with_options(attn_mask=lambda q: torch.arange(60.0)[None]),
            "blocks.1.attn1 in step 0 adds a bias to its scores",
        ),
        (with_options(attn_mask=lambda q: torch.arange(60)[None] < 50), "has a mask that switches video tokens off"),
        (lambda q, k, v: with_options()(q, k, v * 1e6), "v of blocks.1.attn1 in step 0 has "),
        (lambda q, k, v: with_options()(q, k, v * float("nan")), "values that are NaN or infinite"),
    ],
)
@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_attention_of_another_form_is_refused_by_name(model, do, told):
    model.blocks[1].attn1.processor = Processor(do)
    assert told in refused(model)


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_numbers_beyond_fp16_name_the_layer(model):
    model.blocks[1].attn1.processor = Processor(lambda q, k, v: with_options()(q * 1e6, k, v))
    assert "values beyond FP16's 65504 (largest " in refused(model)
    assert kept_of(model, layers=0).kept_layers == [0]  # the way out that is named


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_masks_that_leave_all_on_are_none(model):
    plain = kept_of(model, layers=1)
    for mask in (torch.ones(1, 60, dtype=torch.bool), torch.zeros(1, 1, 1, 60)):
        model.blocks[1].attn1.processor = Processor(with_options(attn_mask=lambda q, mask=mask: mask))
        assert all(compare(kept_of(model, layers=1), n).holds for n in range(4)) and plain.text == 0


@pytest.mark.parametrize("model", [WAN], indirect=True)
def test_another_backend_of_diffusers_is_named(model):
    for module in model.blocks:
        module.attn1.processor = Processor(by_hand)
        module.attn1.processor._attention_backend = "sage"
    assert "(backend sage bypasses it): call set_attention_backend" in refused(model)


@pytest.mark.parametrize("model", [LATTE], indirect=True)
def test_a_layer_that_does_not_run(model):
    run = model.forward
    model.forward = lambda *args, **more: run(*args, enable_temporal_attentions=False, **more)
    assert "temporal_transformer_blocks.0.attn1 did not run in step 0" in refused(model, kind="temporal")
    assert len(kept_of(model).q) == STEPS * 2 * 2 * 6


@pytest.mark.parametrize("model", [HUNYUAN], indirect=True)
def test_prompts_of_two_lengths_are_two_captures(model):
    def run():
        x, text = torch.randn(2, 4, 3, 8, 10), torch.randn(2, 11, 12)
        mask = torch.arange(11)[None] < torch.tensor([[9], [5]])
        with torch.no_grad():
            model(x, torch.tensor([9, 9]), text, mask, torch.ones(2, 8), torch.tensor([1.0, 1.0]))

    with pytest.raises(CaptureError, match="sample 1 has 5 text tokens, and what was kept before 9"):
        with capturing(model):
            run()
    for sample, text in ((0, 9), (1, 5)):
        with capturing(model, samples=sample) as kept:
            run()
        c = kept.captured
        assert c.text == text and c.q.shape[1] == 60 + text and compare(c, 0).holds and c.samples == [sample]


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", KINDS)
def test_the_command_captures_a_random_model_and_checks_it(name, kind, tmp_path, capsys):
    path = tmp_path / "new" / "heads.npz"
    given = ["capture", "--random", name, "--kind", kind, "--layers", "all", "--heads", "0,1", "-o", str(path)]
    assert zoetrope(given) == 0
    shown = capsys.readouterr().out
    assert name in shown and f"zoetrope capture --check {path}" in shown.replace("\n", "")
    assert read(path).steps == [2] and read(path).heads == [0, 1] and read(path).kept_layers == [0, 1]
    assert zoetrope(["capture", "--check", str(path)]) == 0 and "within rounding" in capsys.readouterr().out
    first = path.read_bytes()
    assert zoetrope(given) == 0 and path.read_bytes() == first  # of a seed


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--random", "FluxTransformer2DModel"], f"--random must be one of {', '.join(FAMILIES)}, not FluxTransf"),
        (
            ["--random", WAN, "--steps", "4"],
            "there is no step 4: the run has 4, from 0; --inference-steps says how many",
        ),
        (["--random", WAN, "--layers", "2"], "there is no layer 2; this model has layers 0 to 1"),
        (["--random", WAN, "--samples", "2"], "there is no sample 2 in step 2; it has sample 0, 1"),
        (["--random", WAN, "--kind", "temporal"], "WanTransformer3DModel has no temporal attention; its kind is full"),
        (
            ["nowhere", "--prompt", "x"],
            "nowhere: no such folder; a folder of a pipeline, or owner/model of the hub, is",
        ),
        (["a/b/c", "--prompt", "x"], "a/b/c: no such folder"),
        (
            ["folder", "--prompt", "x"],
            "folder: no model_index.json in this folder (a pipeline's save_pretrained writes",
        ),
        (
            ["file.bin", "--prompt", "x"],
            "file.bin: a file; a pipeline is a folder with a model_index.json, or owner/mo",
        ),
        (["folder/one", "--prompt", "x"], "folder/one: one model, no pipeline; name the folder above it"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "one").mkdir(parents=True)
    (tmp_path / "folder" / "one" / "config.json").write_text("{}")
    (tmp_path / "file.bin").write_text("")
    with pytest.raises(SystemExit) as stopped:
        zoetrope(["capture", *arguments])
    told = capsys.readouterr()
    assert stopped.value.code == 2 and not told.out and told.err.startswith(f"error: {line}"), told.err
    assert told.err.count("\n") == 1 and not (tmp_path / "build" / "heads.npz").exists()
