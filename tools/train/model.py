# SPDX-License-Identifier: Apache-2.0
"""The model in PyTorch, for training: ``zoetrope.golden.video_dit``, which says what each step computes."""

import math

import torch
import torch.nn.functional as F
from torch import nn

DIM, HEADS, LAYERS, HIDDEN, COMPONENTS = 256, 4, 6, 512, 64
AXES = (16, 24, 24)  # of the 64 dimensions of a head: for time, row, column
BASE = 100.0


def angles(frames, height, width):
    """Angles of the rotary position: (tokens, 32)."""
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (frames, height, width)), indexing="ij")
    parts = []
    for position, dims in zip(grid, AXES):
        frequencies = BASE ** (-torch.arange(dims // 2, dtype=torch.float32) / (dims // 2))
        parts.append(position.reshape(-1, 1) * frequencies)
    return torch.cat(parts, 1)


def rotate(x, angle):
    a, b = x.chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def time_features(sigma):
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(128, dtype=torch.float32) / 128)
    angle = 1000.0 * sigma[:, None] * frequencies
    return torch.cat([angle.cos(), angle.sin()], 1)


def norm(x):
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6)


def rms(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gain


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(DIM, DIM, bias=False) for _ in range(4))
        self.q_gain, self.k_gain = (nn.Parameter(torch.ones(DIM // HEADS)) for _ in range(2))
        self.up, self.down = nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)
        self.table = nn.Parameter(torch.zeros(6, DIM))

    def forward(self, x, modulation, angle):
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.table).unsqueeze(2).unbind(1)
        x = x + gate1 * self.attention(norm(x) * (1 + scale1) + shift1, angle)
        h = norm(x) * (1 + scale2) + shift2
        return x + gate2 * self.down(F.gelu(self.up(h), approximate="tanh"))

    def attention(self, h, angle):
        q, k, v = (part(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = rotate(rms(q, self.q_gain), angle), rotate(rms(k, self.k_gain), angle)
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class VideoDiT(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.inp, self.out = nn.Linear(COMPONENTS, DIM), nn.Linear(DIM, COMPONENTS)
        self.time1, self.time2 = nn.Linear(256, DIM), nn.Linear(DIM, DIM)
        self.label = nn.Embedding(classes + 1, DIM)  # the last one: no class
        self.modulate = nn.Linear(DIM, 6 * DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.table = nn.Parameter(torch.zeros(2, DIM))
        for block in self.blocks:
            for weight in (block.o.weight, block.down.weight):
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS))
            nn.init.zeros_(block.down.bias)
        nn.init.zeros_(self.modulate.bias)
        nn.init.normal_(self.modulate.weight, std=0.005)
        with torch.no_grad():
            self.modulate.bias.view(6, DIM)[[2, 5]] = 1.0  # gates begin open
        nn.init.normal_(self.label.weight, std=0.3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, z, sigma, label, grid):
        """The clean latent that ``z`` of noise level ``sigma`` is expected to be. (batch, tokens, components)."""
        angle = angles(*grid)
        c = self.time2(F.silu(self.time1(time_features(sigma)))) + self.label(label)
        modulation = self.modulate(F.silu(c)).unflatten(1, (6, DIM))
        x = self.inp(z)
        for block in self.blocks:
            x = block(x, modulation, angle)
        shift, scale = (c[:, None] + self.table).unsqueeze(2).unbind(1)
        return self.out(norm(x) * (1 + scale) + shift)
