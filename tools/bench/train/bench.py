#!/usr/bin/env python3
"""A training step of the nano transformer: ours beside PyTorch's, same shapes, same FLOPs, in the same run.

usage: bench.py --bench build/dev/tests/train/model/train_step_bench --python VENV/bin/python [--only REGEX] [--repeat 3] [--json] [--wrap CMD] [--gpu]
example: tools/bench/train/bench.py --bench build/dev/tests/train/model/train_step_bench --python ~/torch/bin/python --only 't1'

Needs a Python with the torch of tools/python/cuda.txt: the wheel's CPU-only set does not import. Each measurement is a process of its own (two
for two ranks); ours and theirs take turns, --repeat times, and the best step of all is kept, so that what else the machine does meets both.
Ours does more in a step: it clips gradients and keeps an average of the weights. --wrap goes before every measured command.
--gpu measures on one GPU instead, nano and small, float32 and bfloat16 (theirs under autocast), with the build of the cuda preset.
Exit code 0: measured; 1: a loss of ours differs from Python's; 74: a program failed.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
BATCH = 8
# name, (ranks, kind and options of ours), (ranks, kind and options of theirs), what the ratio of step times should be at least
PAIRS = [
    ("t1 eager", (1, "ours", ["--threads", "1"]), (1, "eager", ["--threads", "1"]), 1.25),
    ("t2 eager", (1, "ours", ["--threads", "2"]), (1, "eager", ["--threads", "2"]), 1.25),
    ("t1 compile", (1, "ours", ["--threads", "1"]), (1, "compile", ["--threads", "1"]), 1.0),
    ("t2 compile", (1, "ours", ["--threads", "2"]), (1, "compile", ["--threads", "2"]), 1.0),
    ("ranks2 ddp", (2, "ours", ["--micro-batches", "4"]), (2, "ddp", []), 1.2),
    ("ranks2 reducer", (2, "ours", ["--micro-batches", "4"]), (2, "ours", ["--reducer"]), None),
    ("ranks2 independent", (2, "ours", ["--micro-batches", "4"]), (0, "ours", ["--micro-batches", "2"]), 0.9),
    ("t1 micro-batches 4", (1, "ours", ["--micro-batches", "4"]), (1, "ours", ["--micro-batches", "1"]), None),
]

GPU_PAIRS = [
    (f"{size} {precision} {kind}", (1, "ours", ["--batch", batch] + (["--small"] if size == "small" else []) + bf16),
     (1, kind, ["--batch", batch, "--size", size, "--device", "cuda"] + bf16), None)
    for size, batch in (("nano", "8"), ("small", "4")) for precision, bf16 in (("float32", []), ("bfloat16", ["--bf16"])) for kind in ("eager", "compile")]


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measure(a, case, ranks, kind, options, steps):
    """Step time in ms. `ranks` 0: two processes that know nothing of each other."""
    if kind == "ours":
        command = [a.bench, "--batch", str(BATCH), "--steps", str(steps + 2), *options]
        if ranks == 1 and "--small" not in options:
            command += ["--case", case]
    else:
        command = [a.python, str(HERE / "model.py"), "time", kind, "--batch", str(BATCH), "--steps", str(steps), *options]
    shell = " ".join(command)
    if ranks != 1:
        port = free_port()
        rank = "RANK={} WORLD_SIZE=" + f"{ranks} MASTER_ADDR=127.0.0.1 MASTER_PORT={port} " if ranks else ""  # 0: they know nothing of each other
        each = [f"{rank.format(r)}OMP_NUM_THREADS=1 {shell}" for r in range(2)]
        shell = f"{each[1]} > /dev/null & other=$!; {each[0]}; code=$?; wait $other && exit $code"
    done = subprocess.run([*a.wrap.split(), "bash", "-c", shell], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, OMP_WAIT_POLICY="passive"))
    if done.returncode != 0:
        raise Failed(f"{shell}: exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def losses_agree(a, case):
    """The first loss of each side from the same weights and batch: the two models are one."""
    sys.path.insert(0, str(HERE))
    ours = measure(a, case, 1, "ours", [], 0)["loss0"]
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import torch, model; print(0)"
    if subprocess.run([a.python, "-c", code], stdout=subprocess.DEVNULL).returncode != 0:
        raise Failed(f"{a.python} has no torch that can be imported")
    raw = pathlib.Path(case).read_bytes()
    header_size = int.from_bytes(raw[:8], "little")
    at = json.loads(raw[8:8 + header_size])["loss"]["data_offsets"]
    import struct
    theirs = struct.unpack("<f", raw[8 + header_size + at[0]:][:4])[0]
    print(f"first loss of the same weights and batch: ours {ours:.7f}, Python {theirs:.7f}")
    return abs(ours - theirs) <= 1e-5 * abs(theirs)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bench", required=True)
    p.add_argument("--python", required=True)
    p.add_argument("--only", default="")
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--json", action="store_true")
    p.add_argument("--wrap", default="")
    p.add_argument("--gpu", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = os.path.join(folder, "case.safetensors")
        if subprocess.run([a.python, str(HERE / "model.py"), "case", case, "--batch", str(BATCH), "--steps", "4"]).returncode != 0:
            print(f"bench.py: {a.python} {HERE / 'model.py'} failed: does it have torch?", file=sys.stderr)
            return 74
        try:
            if not losses_agree(a, case):
                print("bench.py: the losses differ, so the models do: nothing was measured", file=sys.stderr)
                return 1
            rows = []
            for name, ours, theirs, goal in GPU_PAIRS if a.gpu else PAIRS:
                if not re.search(a.only, name):
                    continue
                best = [None, None]
                for _ in range(a.repeat):
                    for side, (ranks, kind, options) in enumerate((ours, theirs)):
                        got = measure(a, case, ranks, kind, options, a.steps)
                        if best[side] is None or got["step_ms"] < best[side]["step_ms"]:
                            best[side] = got
                ratio = best[1]["step_ms"] / best[0]["step_ms"]
                rows.append(dict(pair=name, ours_ms=best[0]["step_ms"], other_ms=best[1]["step_ms"], ratio=round(ratio, 3), goal=goal))
                met = "" if goal is None else f"  goal {goal:.2f} {'met' if ratio >= goal else 'NOT met'}"
                rate = f"  ours {best[1]['flop'] / best[0]['step_ms'] / 1e9:.0f} TFLOP/s" if a.gpu else ""
                print(f"{name:22} ours {best[0]['step_ms']:7.2f} ms   other {best[1]['step_ms']:7.2f} ms   {ratio:5.2f} times as fast{met}{rate}", flush=True)
            if a.json:
                print(json.dumps(rows))
        except Failed as failure:
            print(f"bench.py: {failure}", file=sys.stderr)
            return 74
    return 0


if __name__ == "__main__":
    sys.exit(main())
