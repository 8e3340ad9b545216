#!/usr/bin/env bash
# All that only a machine with an NVIDIA card can show, in one command:
#
#     bash benchmarks/gpu.sh [cuda12|cuda13] [options of nnx bench …]
#
# It installs into .venv, ends at once where the card cannot be used, runs every test on
# the card, and measures it: beside the rivals, what each training option costs, and,
# where NNX_DATA_DIR or the cache has MNIST, the seconds to 98 %. The results, the
# machine, its driver and all versions are left in benchmarks/results/gpu-<time>. The
# exit status is the first that was not 0.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

cuda=${1:-cuda12}
shift "$(($# > 0))"
results=benchmarks/results/gpu-$(date +%Y%m%d-%H%M%S)
status=0
step() {
    echo "== $1"
    shift
    "$@"
    local ended=$?
    if [ "$status" = 0 ]; then status=$ended; fi
    return "$ended"
}
machine() {
    { date && git rev-parse HEAD && nvidia-smi && .venv/bin/nnx info &&
        .venv/bin/pip freeze; } > "$results/machine.txt"
}
tests() { .venv/bin/pytest -n 0 -m gpu --sweep -ra 2>&1 | tee "$results/tests.txt"; }
parity() { .venv/bin/nnx parity --json > "$results/parity.json"; }
bench() { .venv/bin/nnx bench --backend cupy --rivals --out "$results" "$@"; }
options() { .venv/bin/nnx bench options --backend cupy --out "$results/options"; }
time_to() { .venv/bin/nnx bench time-to 0.98 --backend cupy --out "$results/time-to"; }
install() {
    python3 -m venv .venv && .venv/bin/pip install -q -e ".[test,rivals,$cuda]"
}

step 'the environment' install || exit "$status"
step 'the card' .venv/bin/nnx gradcheck --backend cupy || exit "$status"
mkdir -p "$results"
step 'the machine' machine
step 'the tests' tests
step 'parity' parity
step 'speed' bench "$@"
step 'the cost of options' options
if grep -q '"images": "mnist"' "$results/options/bench.json"; then
    step 'the time to 98 %' time_to
fi
echo "written: $results"
exit "$status"
