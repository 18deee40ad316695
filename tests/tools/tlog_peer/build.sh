#!/usr/bin/env bash
# Builds the Go half of the cross-check from Debian's packages alone: build.sh OUT
set -euo pipefail
mkdir -p "$(dirname "$1")"
out=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
GO111MODULE=off GOPATH=/usr/share/gocode GOPROXY=off GOCACHE="$(dirname "$out")/.go-cache" \
  CGO_ENABLED=0 go build -trimpath -o "$out" main.go
