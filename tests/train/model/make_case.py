#!/usr/bin/env python3
"""Writes the known answers that the tests beside it compare with, by PyTorch's Python side and numpy.

usage: make_case.py FOLDER        (needs numpy and torch; data/ was made with numpy 2.4.6, torch 2.15.0)

dit.safetensors   w.NAME: initial weights of a tiny transformer; b<i>.{tok,noise,t,text}: batches; loss, norm: what
                  three steps of AdamW gave, gradients clipped; end.NAME: two of the weights afterwards; ema.NAME: their average
klt.safetensors   video, and mean, basis, deviation, latent: principal components by numpy.linalg.svd of the centred patches
"""
import json
import math
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DIM, LAYERS, HEADS, FFN, FREQ = 32, 2, 2, 48, 32
LATENT, PATCH, CHANNELS, TEXT_LEN, TEXT_DIM, BATCH, STEPS = (2, 4, 4), (1, 2, 2), 4, 6, 16, 3, 3
GRID = tuple(s // p for s, p in zip(LATENT, PATCH))
VALUES = CHANNELS * math.prod(PATCH)


def save(path, tensors):
    header, data = {}, b""
    for name, value in sorted(tensors.items()):
        raw = np.ascontiguousarray(value.detach().numpy() if isinstance(value, torch.Tensor) else value).astype("<f4")
        header[name] = {"dtype": "F32", "shape": list(raw.shape), "data_offsets": [len(data), len(data) + raw.nbytes]}
        data += raw.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def angles(head):
    side = head // 6
    rows = []
    for t in range(GRID[0]):
        for h in range(GRID[1]):
            for w in range(GRID[2]):
                rows.append([at * 10000.0 ** (-i / n) for at, n in ((t, head // 2 - 2 * side), (h, side), (w, side)) for i in range(n)])
    return torch.tensor(rows, dtype=torch.float64)


def rotate(x, angle):  # x [B, S, H, D]: neighbours turn together
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos().float()[:, None], angle.sin().float()[:, None]
    out = torch.empty_like(x)
    out[..., 0::2], out[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return out


def rms(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


def attention(q, k, v):  # [B, S, H, D], written out
    scores = torch.einsum("bshd,bthd->bhst", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("bhst,bthd->bshd", scores.softmax(-1), v).flatten(2)


class Attend(nn.Module):
    def __init__(self, cross):
        super().__init__()
        self.cross = cross
        if cross:
            self.q, self.kv = nn.Linear(DIM, DIM), nn.Linear(DIM, 2 * DIM)
        else:
            self.qkv = nn.Linear(DIM, 3 * DIM)
        self.o = nn.Linear(DIM, DIM)
        self.nq, self.nk = (nn.Parameter(1 + 0.1 * torch.randn(DIM // HEADS)) for _ in range(2))

    def forward(self, x, context):
        q, k, v = (self.q(x), *self.kv(context).chunk(2, -1)) if self.cross else self.qkv(x).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (HEADS, -1)) for t in (q, k, v))
        q, k = rms(q, self.nq), rms(k, self.nk)
        if not self.cross:
            q, k = rotate(q, angles(DIM // HEADS)), rotate(k, angles(DIM // HEADS))
        return self.o(attention(q, k, v))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.mod = nn.Parameter(torch.randn(6, DIM) / DIM**0.5)
        self.n3 = nn.LayerNorm(DIM, 1e-6)
        self.sa, self.ca = Attend(False), Attend(True)
        self.f1, self.f2 = nn.Linear(DIM, FFN), nn.Linear(FFN, DIM)

    def forward(self, x, time, context):
        s1, b1, g1, s2, b2, g2 = ((time + self.mod)[:, i:i + 1] for i in range(6))
        plain = lambda y: F.layer_norm(y, (DIM,), eps=1e-6)
        x = x + g1 * self.sa(plain(x) * (1 + s1) + b1, None)
        x = x + self.ca(self.n3(x), context)
        return x + g2 * self.f2(F.gelu(self.f1(plain(x) * (1 + s2) + b2), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(VALUES, DIM)
        self.t1, self.t2, self.tp = nn.Linear(FREQ, DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, 6 * DIM)
        self.x1, self.x2 = nn.Linear(TEXT_DIM, DIM), nn.Linear(DIM, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.modf = nn.Parameter(torch.randn(2, DIM) / DIM**0.5)
        self.out = nn.Linear(DIM, VALUES)

    def forward(self, tok, t, text):
        rates = torch.tensor([10000.0 ** (-i / (FREQ // 2)) for i in range(FREQ // 2)])
        a = 1000 * t[:, None] * rates
        e = self.t2(F.silu(self.t1(torch.cat([a.cos(), a.sin()], 1))))
        time = self.tp(F.silu(e)).unflatten(-1, (6, -1))
        context = self.x2(F.gelu(self.x1(text), approximate="tanh"))
        x = self.inp(tok)
        for block in self.blocks:
            x = block(x, time, context)
        s, b = ((e[:, None] + self.modf)[:, i:i + 1] for i in range(2))
        return self.out(F.layer_norm(x, (DIM,), eps=1e-6) * (1 + s) + b)


def dit_case(folder):
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = Transformer()
    case = {f"w.{name}": p.detach().clone() for name, p in model.named_parameters()}
    groups = [dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=0.01),
              dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, 1e-3, (0.9, 0.95), 1e-8)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses, norms = [], []
    for i in range(STEPS):
        tok, noise = torch.randn(2, BATCH, math.prod(GRID), VALUES)
        t, text = torch.rand(BATCH), torch.randn(BATCH, TEXT_LEN, TEXT_DIM)
        case |= {f"b{i}.tok": tok, f"b{i}.noise": noise, f"b{i}.t": t, f"b{i}.text": text}
        mix = t[:, None, None]
        loss = F.mse_loss(model((1 - mix) * tok + mix * noise, t, text), noise - tok)
        optimiser.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimiser.step()
        losses.append(loss.item())
        decay = min(0.999, (2 + i) / (11 + i))
        for name, p in model.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * p.detach()
    for name in ("blocks.1.sa.qkv.weight", "x1.bias"):
        case[f"end.{name}"] = dict(model.named_parameters())[name]
        case[f"ema.{name}"] = average[name]
    save(folder / "dit.safetensors", case | dict(loss=np.array(losses), norm=np.array(norms)))
    print("losses", losses, "norms", norms)


def klt_case(folder):
    rng = np.random.default_rng(3)
    video = np.clip(rng.normal(0, 0.4, (2, 3, 8, 16, 16)).astype("f4"), -1, 1)
    b, _, t, h, w = video.shape
    patches = video.reshape(b, 3, t // 4, 4, h // 8, 8, w // 8, 8).transpose(0, 2, 4, 6, 1, 3, 5, 7).reshape(-1, 768).astype("f8")
    mean = patches.mean(0)
    _, singular, rows = np.linalg.svd(patches - mean, full_matrices=False)
    basis = np.array([r * np.sign(r[np.abs(r).argmax()]) for r in rows[:5]])
    deviation = singular[:5] / math.sqrt(len(patches))
    latent = ((patches - mean) @ basis.T / deviation).reshape(b, t // 4, h // 8, w // 8, 5).transpose(0, 4, 1, 2, 3)
    save(folder / "klt.safetensors", dict(video=video, mean=mean, basis=basis, deviation=deviation, latent=latent))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    dit_case(out)
    klt_case(out)
