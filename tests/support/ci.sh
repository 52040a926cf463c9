#!/bin/bash
# ci.sh MAKE: all checks that must pass, one after the other; a step whose tool is missing is
# skipped with a message.
set -u
make=$1
failed=()
step() { # target tool...
    local target=$1 tool
    shift
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "== $target: skipped, $tool is missing (make setup-dev)"; return; }
    done
    echo "== $target"
    "$make" "$target" || failed+=("$target")
}
step format-check clang-format
step layers
step tidy clang-tidy cppcheck
step all
step test
step asan
if [ ${#failed[@]} -gt 0 ]; then
    echo "ci: failed: ${failed[*]}"
    exit 1
fi
echo "ci: green"
