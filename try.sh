#!/usr/bin/env bash
# From a fresh Debian 12 to a video model that proves what it was made from.
#
#   ./try.sh          install, build, fetch sample footage, curate, train, prove (about 20 minutes)
#   ./try.sh test     install, build and run every test
#   ./try.sh --cuda   the same with CUDA and NCCL, for a machine with an NVIDIA GPU (also: --cuda test)
#   ./try.sh --clean  remove what it made: build/, .deps/, .ccache/, try/ (system packages stay)
#
# Root or sudo is needed for the system packages only. Run again, it skips what is done.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")" || exit 1

torch_set=cpu
preset=dev
what=demo
for word in "$@"; do
  case "$word" in
    test) what="test" ;;
    --cuda) torch_set=cuda preset=cuda ;;
    --clean) what=clean ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) echo "try.sh: unknown word '$word'; ./try.sh --help lists them" >&2 && exit 2 ;;
  esac
done

if [ "$what" = clean ]; then
  rm -rf build/dev build/cuda .deps .ccache try
  echo "removed build/dev build/cuda .deps .ccache try; system packages stay"
  exit 0
fi

export CCACHE_DIR=${CCACHE_DIR:-$PWD/.ccache}
mkdir -p try
steps_log=$PWD/try/log.txt
began=$SECONDS
# shellcheck source=tools/steps.sh
. tools/steps.sh
# shellcheck source=tools/install.sh
. tools/install.sh

echo "Cleared, $what; follow it with: tail -f try/log.txt"
step "System packages" have_packages install_packages
if [ "$torch_set" = cuda ]; then
  PATH=$PATH:/usr/local/cuda/bin
  step "CUDA compiler" have_nvcc ask_for_nvcc
fi
step "LibTorch ($torch_set) and test programs" have_libtorch install_libtorch
step "Sample footage" have_footage fetch_footage

if [ "$torch_set" = cuda ]; then
  gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
  if [ "$gpus" -eq 0 ]; then
    echo "No GPU here: train computes on the CPU."
    export CUDA_VISIBLE_DEVICES=
  fi
fi

if [ "$what" = test ]; then
  step "Build ($preset)" never build
  ctest --preset "$preset" -j 2 2>&1 | tee -a "$steps_log"
  exit "${PIPESTATUS[0]}"
fi

if [ "$torch_set" = cuda ] && [ "$gpus" -gt 0 ]; then
  export CLEARED_RANKS=$gpus  # NCCL wants a GPU for each rank
fi
step "Build ($preset)" never build --target ledger curate train
tools/demo.sh "build/$preset/tools" try configs/nano.textproto || exit
tools/proof.sh "build/$preset/tools" try configs/nano.textproto || exit
printf '\nDone in %d min %d s.\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
cat docs/samples/what-next.txt
