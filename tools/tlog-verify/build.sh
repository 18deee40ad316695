#!/usr/bin/env bash
# Builds the independent verifier from Debian's packages alone: tools/tlog-verify/build.sh OUT
set -euo pipefail
mkdir -p "$(dirname "$1")"
out=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
# GOPATH is where Debian puts Go sources; the cache lies beside the program, not in a home folder.
GO111MODULE=off GOPATH=/usr/share/gocode GOPROXY=off GOCACHE="$(dirname "$out")/.go-cache" \
  CGO_ENABLED=0 go build -trimpath -o "$out" main.go
