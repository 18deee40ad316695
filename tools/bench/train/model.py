#!/usr/bin/env python3
"""The transformer of train/model/dit.h written with PyTorch, as an ML engineer would: what bench.py measures beside ours.

usage: model.py time VARIANT [--threads N] [--batch N] [--steps N] [--size small] [--device cuda] [--bf16]
                              VARIANT: eager, compile, ddp (RANK, WORLD_SIZE, MASTER_* as torchrun); --bf16: under autocast
       model.py case FILE [--batch N] [--steps N] [--seed N]

`time` prints one line of JSON: best and middle time of a training step (forward, backward, AdamW), CPU time, first loss.
`case` writes a safetensors file that train_step_bench and dit_test.cpp read: w.NAME, b<i>.{tok,noise,t,text}, loss (one a step), and
g.NAME, the gradients of the first. Its output layer starts away from zero, else all other gradients would be zero.
"""
import argparse
import json
import math
import os
import struct
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

DIM, LAYERS, HEADS, FFN, FREQ = 192, 6, 3, 768, 256
GRID, VALUES, TEXT_LEN, TEXT_DIM = (5, 8, 8), 16, 32, 192
TOKENS, HEAD = math.prod(GRID), DIM // HEADS
DEVICE = "cpu"


def be_small():
    """The shapes of configs/small.textproto in place of nano's."""
    global DIM, LAYERS, HEADS, FFN, GRID, VALUES, TEXT_LEN, TEXT_DIM, TOKENS, HEAD
    DIM, LAYERS, HEADS, FFN = 768, 16, 12, 3072
    GRID, VALUES, TEXT_LEN, TEXT_DIM = (13, 16, 16), 64, 128, 512
    TOKENS, HEAD = math.prod(GRID), DIM // HEADS


def flops(batch):
    """Of matrix products in a training step; backward costs twice the forward."""
    linear = lambda rows, into, out: 2 * rows * into * out
    block = linear(TOKENS, DIM, 3 * DIM) + 3 * linear(TOKENS, DIM, DIM) + linear(TEXT_LEN, DIM, 2 * DIM) + 2 * linear(TOKENS, DIM, FFN)
    block += 4 * TOKENS * (TOKENS + TEXT_LEN) * DIM
    ends = 2 * linear(TOKENS, VALUES, DIM) + linear(TEXT_LEN, TEXT_DIM, DIM) + linear(TEXT_LEN, DIM, DIM)
    ends += linear(1, FREQ, DIM) + linear(1, DIM, DIM) + linear(1, DIM, 6 * DIM)
    return 3 * batch * (LAYERS * block + ends)


def rotations():
    """cos and sin of every token's angles [S, HEAD / 2]: pairs for t first, then HEAD // 6 each for h and w."""
    side = HEAD // 6
    place = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) for n in GRID))
    angle = [place[:, axis, None] * 10000.0 ** (-torch.arange(n, dtype=torch.float64) / n) for axis, n in enumerate((HEAD // 2 - 2 * side, side, side))]
    angle = torch.cat(angle, 1)
    return angle.cos().float(), angle.sin().float()


def turn(x, cos, sin):  # [B, S, H, D]: neighbours are a pair
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, across):
        super().__init__()
        self.across = across
        if across:
            self.q, self.kv = nn.Linear(DIM, DIM), nn.Linear(DIM, 2 * DIM)
        else:
            self.qkv = nn.Linear(DIM, 3 * DIM)
        self.o = nn.Linear(DIM, DIM)
        self.nq, self.nk = nn.Parameter(torch.ones(HEAD)), nn.Parameter(torch.ones(HEAD))

    def forward(self, x, context=None, rope=None):
        q, k, v = (self.q(x), *self.kv(context).chunk(2, -1)) if self.across else self.qkv(x).chunk(3, -1)
        q, k, v = (y.unflatten(-1, (HEADS, HEAD)) for y in (q, k, v))
        q, k = F.rms_norm(q, (HEAD,), self.nq, 1e-6), F.rms_norm(k, (HEAD,), self.nk, 1e-6)
        if rope is not None:
            q, k = turn(q, *rope), turn(k, *rope)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.o(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.mod = nn.Parameter(torch.randn(6, DIM) / DIM**0.5)
        self.n1, self.n2 = (nn.LayerNorm(DIM, 1e-6, elementwise_affine=False) for _ in range(2))
        self.n3 = nn.LayerNorm(DIM, 1e-6)
        self.sa, self.ca = Attention(False), Attention(True)
        self.f1, self.f2 = nn.Linear(DIM, FFN), nn.Linear(FFN, DIM)

    def forward(self, x, time6, context, rope):
        scale1, shift1, gate1, scale2, shift2, gate2 = (time6 + self.mod).unsqueeze(2).unbind(1)
        x = x + gate1 * self.sa(self.n1(x) * (1 + scale1) + shift1, rope=rope)
        x = x + self.ca(self.n3(x), context)
        return x + gate2 * self.f2(F.gelu(self.f1(self.n2(x) * (1 + scale2) + shift2), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(VALUES, DIM)
        self.t1, self.t2, self.tp = nn.Linear(FREQ, DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, 6 * DIM)
        self.x1, self.x2 = nn.Linear(TEXT_DIM, DIM), nn.Linear(DIM, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.nf = nn.LayerNorm(DIM, 1e-6, elementwise_affine=False)
        self.modf = nn.Parameter(torch.randn(2, DIM) / DIM**0.5)
        self.out = nn.Linear(DIM, VALUES)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        cos, sin = rotations()
        self.register_buffer("cos", cos, False)
        self.register_buffer("sin", sin, False)

    def forward(self, tok, t, text):
        rates = torch.exp(torch.arange(FREQ // 2, device=t.device) * (-math.log(10000.0) / (FREQ // 2)))
        angle = 1000.0 * t[:, None] * rates
        time = self.t2(F.silu(self.t1(torch.cat((angle.cos(), angle.sin()), 1))))
        time6 = self.tp(F.silu(time)).unflatten(-1, (6, -1))
        context = self.x2(F.gelu(self.x1(text), approximate="tanh"))
        x = self.inp(tok)
        for block in self.blocks:
            x = block(x, time6, context, (self.cos, self.sin))
        scale, shift = (time[:, None] + self.modf).unsqueeze(2).unbind(1)
        return self.out(self.nf(x) * (1 + scale) + shift)


def loss_of(model, tok, noise, t, text):
    mix = t[:, None, None]
    return F.mse_loss(model((1 - mix) * tok + mix * noise, t, text), noise - tok)


def draw(batch, seed):
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g)
    t = torch.sigmoid(normal(batch))
    return normal(batch, TOKENS, VALUES), normal(batch, TOKENS, VALUES), t, normal(batch, TEXT_LEN, TEXT_DIM)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.95), 1e-8, 0.01, fused=True)


def measure(a):
    torch.set_num_threads(a.threads)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if a.variant == "ddp":
        torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    model = Transformer().to(DEVICE)
    optimiser = adamw(model)
    net = {"eager": lambda m: m, "compile": torch.compile, "ddp": lambda m: nn.parallel.DistributedDataParallel(m)}[a.variant](model)
    data = [[x.to(DEVICE) for x in draw(a.batch, 100 + world * i + rank)] for i in range(4)]
    autocast = torch.autocast(DEVICE, torch.bfloat16, enabled=a.bf16)
    wall, cpu, losses = [], [], []
    for i in range(a.steps + 2):  # the first two prepare
        start, cpu_start = time.perf_counter(), time.process_time()
        with autocast:
            loss = loss_of(net, *data[i % 4])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - cpu_start))
    wall, cpu = sorted(wall[2:]), sorted(cpu[2:])
    if rank == 0:
        print(json.dumps(dict(step_ms=round(wall[0], 2), median_ms=round(wall[len(wall) // 2], 2), flop=flops(a.batch), cpu_ms=round(cpu[0], 1), loss0=losses[0],
                              batch=a.batch * world, ranks=world, threads=a.threads)), flush=True)
    if a.variant == "ddp":
        torch.distributed.destroy_process_group()


def save(path, tensors):
    header, blobs, at = {}, [], 0
    for name, value in sorted(tensors.items()):
        raw = value.detach().float().contiguous().numpy().astype("<f4").tobytes()
        header[name] = dict(dtype="F32", shape=list(value.shape), data_offsets=[at, at + len(raw)])
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def case(a):
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    model = Transformer()
    nn.init.normal_(model.out.weight, std=0.05)
    tensors = {f"w.{name}": p.detach().clone() for name, p in model.named_parameters()}
    optimiser, losses = adamw(model), []
    for i in range(a.steps):
        batch = draw(a.batch, 100 + i)
        tensors |= {f"b{i}.{name}": value for name, value in zip(("tok", "noise", "t", "text"), batch)}
        loss = loss_of(model, *batch)
        loss.backward()
        if i == 0:
            tensors |= {f"g.{name}": p.grad.clone() for name, p in model.named_parameters()}
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
    save(a.file, tensors | dict(loss=torch.tensor(losses)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    t = commands.add_parser("time")
    t.add_argument("variant", choices=("eager", "compile", "ddp"))
    t.add_argument("--threads", type=int, default=1)
    t.add_argument("--size", choices=("nano", "small"), default="nano")
    t.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    t.add_argument("--bf16", action="store_true")
    c = commands.add_parser("case")
    c.add_argument("file")
    c.add_argument("--seed", type=int, default=0)
    for each in (t, c):
        each.add_argument("--batch", type=int, default=8)
        each.add_argument("--steps", type=int, default=8 if each is t else 1)
    a = p.parse_args()
    if a.command == "time":
        global DEVICE
        DEVICE = a.device
        if a.size == "small":
            be_small()
    measure(a) if a.command == "time" else case(a)


if __name__ == "__main__":
    sys.exit(main())
