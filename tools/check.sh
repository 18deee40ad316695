#!/usr/bin/env bash
# Before every commit: format, shell, layout, the data build, its tests, clang-tidy on what changed.
#
#   tools/check.sh           against the last commit's upstream or, without one, the commit before
#   tools/check.sh REVISION  clang-tidy on what changed since REVISION
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
since=${1:-$(git rev-parse --verify -q '@{upstream}' || git rev-parse --verify -q HEAD~1 || git rev-parse HEAD)}

for tool in clang-format-14 clang-tidy-14 shellcheck; do
  command -v "$tool" >/dev/null || {
    echo "check.sh: $tool is missing; apt-get install $(sed '/^#/d' tools/packages-check.txt | paste -sd' ')" >&2
    exit 1
  }
done

code() { git ls-files --cached --others --exclude-standard -- '*.h' '*.cpp' '*.cu'; }
scripts() {
  git ls-files --cached --others --exclude-standard -- '*.sh' .ci
}

echo "== format"
code | xargs clang-format-14 --dry-run -Werror
echo "== shell and Go"
scripts | xargs shellcheck -x
test -z "$(gofmt -l tools tests)"
echo "== build"
cmake --preset data >/dev/null
cmake --build --preset data
echo "== tests"
ctest --preset data -j 2
echo "== clang-tidy since $(git rev-parse --short "$since")"
# Files are compiled several to a unit; clang-tidy wants to know how each is compiled alone, with the
# generated headers of the build above.
cmake --preset data -B build/tidy -DCLEARED_UNITY=OFF >/dev/null
sed -i 's#/build/tidy#/build/data#g' build/tidy/compile_commands.json
git diff --name-only --diff-filter=d "$since" -- '*.cpp' | while read -r file; do
  if grep -q "\"file\": \".*/$file\"" build/tidy/compile_commands.json; then echo "$file"; fi
done | xargs -r -P 2 -n 4 clang-tidy-14 -p build/tidy --quiet --warnings-as-errors='*'
echo "all checks passed"
