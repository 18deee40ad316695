#!/usr/bin/env python3
"""Writes the known answers of discriminator_test.cpp, by PyTorch's Python side.

usage: make_discriminator.py FOLDER   (needs numpy and torch; data/discriminator.safetensors was made with numpy 2.4.6, torch 2.15.0)

w.NAME: weights of a discriminator of width 2; video, decoded: clips of 5 frames of 16 x 16; generator, discriminator: the
two losses, weight 0.05 and features 0.07; d.decoded: the gradient of the first in the decoded clip; d.NAME: of the second
in the weights.
"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_case import save  # noqa: E402

DIM, WEIGHT, FEATURES = 2, 0.05, 0.07
# inputs, outputs, kernel, stride
LAYERS = [
    (3, DIM, (3, 4, 4), (1, 2, 2)),
    (DIM, 2 * DIM, (3, 4, 4), (2, 2, 2)),
    (2 * DIM, 4 * DIM, (3, 4, 4), (2, 2, 2)),
    (4 * DIM, 8 * DIM, (3, 3, 3), (1, 1, 1)),
]


def judge(w, x):
    features = []
    for i, (_, _, _, stride) in enumerate(LAYERS):
        x = F.conv3d(x, w[f"{i}.weight"], w[f"{i}.bias"], stride=stride, padding=1)
        if i > 0:
            x = x / (x.pow(2).mean(1, keepdim=True) + 1e-6).sqrt() * w[f"{i}.norm"].view(1, -1, 1, 1, 1)
        x = F.leaky_relu(x, 0.2)
        features.append(x)
    return features, F.conv3d(x, w["last.weight"], w["last.bias"], padding=1)


def main(folder):
    random = np.random.default_rng(20261128)

    def normal(*shape):
        return torch.from_numpy(random.standard_normal(shape))

    w = {}
    for i, (inputs, outputs, kernel, _) in enumerate(LAYERS):
        w[f"{i}.weight"] = normal(outputs, inputs, *kernel) / (inputs * np.prod(kernel)) ** 0.5
        w[f"{i}.bias"] = 0.1 * normal(outputs)
        if i > 0:
            w[f"{i}.norm"] = 1 + 0.1 * normal(outputs)
    # Large, so that some verdicts are beyond the hinge's bend and others are not.
    w["last.weight"], w["last.bias"] = 3 * normal(1, 8 * DIM, 3, 3, 3) / (8 * DIM * 27) ** 0.5, 0.1 * normal(1)
    video = normal(2, 3, 5, 16, 16).clamp(-1, 1)
    decoded = (video + 0.3 * normal(2, 3, 5, 16, 16)).clamp(-1, 1)
    # The values that the file holds, computed with in double.
    w, video, decoded = {k: v.float().double() for k, v in w.items()}, video.float().double(), decoded.float().double()

    for value in [*w.values(), decoded]:
        value.requires_grad_()
    real, real_verdict = judge(w, video)
    fake, fake_verdict = judge(w, decoded)
    generator = -WEIGHT * fake_verdict.mean() + FEATURES * sum((a - b.detach()).abs().mean() for a, b in zip(fake, real)) / len(LAYERS)
    (d_decoded,) = torch.autograd.grad(generator, decoded, retain_graph=True)
    hinge = 0.5 * (F.relu(1 - real_verdict).mean() + F.relu(1 + fake_verdict).mean())
    d_weights = torch.autograd.grad(hinge, list(w.values()))

    out = {"w." + name: value for name, value in w.items()}
    out |= {"d." + name: value for name, value in zip(w, d_weights)}
    out |= {"video": video, "decoded": decoded, "d.decoded": d_decoded, "generator": generator[None], "discriminator": hinge[None]}
    save(pathlib.Path(folder) / "discriminator.safetensors", out)


if __name__ == "__main__":
    main(sys.argv[1])
