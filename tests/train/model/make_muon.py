#!/usr/bin/env python3
"""Writes the known answers of muon_test.cpp, by PyTorch's own torch.optim.Muon.

usage: make_muon.py FOLDER        (needs numpy and torch; data/muon.safetensors was made with numpy 2.4.6, torch 2.15.0)

For each of three matrices NAME (tall, wide, square), three steps with momentum 0.95, learning rate 0.02, decay 0.1:
NAME.start; NAME.gradient<i>; NAME.end<i> and NAME.momentum<i> after step i. PyTorch iterates in bfloat16; here its code is
told that bfloat16 is float32, and NAME.bfloat16 is the end as it gives it by itself.
"""
import pathlib
import sys

import numpy as np
import torch
import torch.optim._muon as theirs

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_case import save  # noqa: E402

SHAPES = {"tall": (24, 8), "wide": (6, 20), "square": (12, 12)}
STEPS, RATE, DECAY, MOMENTUM = 3, 0.02, 0.1, 0.95


class InFloat32:
    """torch, but for one name."""

    bfloat16 = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def run(start, gradients):
    weight = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Muon([weight], lr=RATE, weight_decay=DECAY, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
        yield weight.detach().clone(), optimiser.state[weight]["momentum_buffer"].clone()


def main(folder):
    random = np.random.default_rng(20260102)
    out = {}
    for name, shape in SHAPES.items():
        start = torch.from_numpy(random.standard_normal(shape).astype("f4"))
        gradients = [torch.from_numpy(random.standard_normal(shape).astype("f4")) * 0.1 for _ in range(STEPS)]
        out[name + ".start"] = start
        theirs.torch = InFloat32()
        for i, (weight, momentum) in enumerate(run(start, gradients)):
            out[f"{name}.gradient{i}"] = gradients[i]
            out[f"{name}.end{i}"] = weight
            out[f"{name}.momentum{i}"] = momentum
        theirs.torch = torch
        *_, (out[name + ".bfloat16"], _) = run(start, gradients)
    save(pathlib.Path(folder) / "muon.safetensors", out)


if __name__ == "__main__":
    main(sys.argv[1])
