#!/usr/bin/env bash
# All that only a machine with an NVIDIA card can show, in one command:
#
#     bash benchmarks/gpu.sh [-o FOLDER] [-s SECONDS] [STEP …]
#
# It needs no network and no virtual environment. python3 must have CuPy and, to measure
# rivals, PyTorch and JAX. Other packages that nnx needs are installed from .gpu, which
#
#     bash benchmarks/gpu.sh pack
#
# fills with them and MNIST (12 MB), in an environment with nnx and a network. Without
# .gpu nothing is installed, and python3 must have nnx with its extra [test].
#
# Results are left in FOLDER (by default benchmarks/results/gpu-TIME), in at most eight
# files; log.txt has all that was printed. By default all steps run. Each has its own time
# limit, SECONDS limits all together, and a step that fails does not stop the others. The
# exit status is that of the first that failed. BENCH may hold options that choose what nnx
# bench measures, such as --workload wide. TORCHDYNAMO_DISABLE=1 leaves out compiled
# PyTorch, which compiles for a minute or more per workload.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

# The tests, eight at a time, compile most kernels that the check then finds in CuPy's
# cache: alone, the check would compile its fifty kernels for longer than its limit.
steps=(machine tests check sanitize ceilings phases bench-128 bench-1024 time-to)
declare -A limits=([machine]=60 [check]=90 [tests]=170 [sanitize]=120 [ceilings]=60 [phases]=110
    [bench-128]=210 [bench-1024]=210 [time-to]=130)
# Packages that nnx and its tests need, and that come with neither PyTorch nor JAX.
packages=(array-api-compat array-api-strict hatchling pathspec platformdirs pooch
    starlette tomli-w trove-classifiers uvicorn)

machine() {
    date && nvidia-smi && python3 -m nnx info &&
        python3 -m pip freeze | grep -iE '^(cupy|jax|numba|numpy|nvidia|torch|triton)'
}
check() {
    python3 -m nnx gradcheck --backend cupy --json &&
        python3 -m nnx parity --backend cupy
}
# Warnings are not errors: a new version of a library may deprecate something. -v prints
# each test as it ends, because the limit may end the tests before the summary.
tests() {
    local workers=$(($(nproc) < 8 ? $(nproc) : 8))
    python3 -m pytest -m gpu --sweep -n "$workers" -v -ra -W default --durations 10
}
# Without CuPy's memory pool, so that no array lies right beside another one.
unpooled='import cupy; cupy.cuda.set_allocator(None); from nnx.__main__ import main
main()'
# A network whose last layer is computed by tiles, and one with all else.
sanitize() {
    local tool train=(train --backend cupy --dataset digits --epochs 1 --batch-size 600
        --quiet --no-plots)
    for tool in memcheck racecheck; do
        sanitized "${train[@]}" --hidden '' --out "$scratch/$tool" &&
            sanitized "${train[@]}" --hidden 24,17 --optimizer adam --batch-norm \
                --dropout 0.2 --clip-norm 1 --out "$scratch/$tool-2" || return
    done
}
sanitized() {
    compute-sanitizer --tool "$tool" --error-exitcode 9 python3 -c "$unpooled" "$@"
}
ceilings() { python3 -m nnx bench gpu --out "$out/ceilings"; }
phases() { python3 benchmarks/phases.py --out "$out/phases.json"; }
bench-128() { bench 128; }
bench-1024() { bench 1024; }
# If the limit ends it, the workloads measured before are kept.
bench() {
    python3 -m nnx bench --backend cupy --rivals --batch-size "$1" --rounds 3 \
        ${BENCH:---workload classic --workload deep --workload wide} --out "$out/bench-$1"
}
# One round: each trains for ten or more epochs, and plain steps take seconds per epoch.
time-to() {
    python3 -m nnx bench time-to 0.98 --backend cupy --rounds 1 --out "$out/time-to"
}

pack() {
    mkdir -p .gpu/mnist && rm -f .gpu/*.whl || return
    python3 -m pip download -q --no-deps --only-binary=:all: -d .gpu "${packages[@]}" &&
        cp "${NNX_DATA_DIR:-$(python3 -m nnx data fetch mnist | cut -d' ' -f2-)}"/*.gz \
            .gpu/mnist && du -sh .gpu
}
# Install the working tree, with its command and its backends' entry points.
install() {
    local pip=(python3 -m pip install -q --no-index --no-deps --target "$site")
    "${pip[@]}" .gpu/*.whl && "${pip[@]}" --no-build-isolation --upgrade .
}

run() {  # run a step, within its limit and what is left of SECONDS
    local left=$((seconds - SECONDS)) begun=$SECONDS ended
    local limit=$((left < limits[$1] ? left : limits[$1]))
    echo "== $1"
    if ((limit < 5)); then
        ended=124
    else
        timeout -k 10 "$limit" bash -c '"$0"' "$1"
        ended=$?
    fi
    if [ "$status" = 0 ]; then status=$ended; fi
    table+="$(printf '%-12s %6s %6s' "$1" "$ended" $((SECONDS - begun)))"$'\n'
}
main() {
    local step status=0 table=''
    if [ -d .gpu ]; then install || return; fi
    for step in "$@"; do run "$step"; done
    printf '%-12s %6s %6s\n%s' step status seconds "$table"
    echo "written: $out"
    return "$status"
}

if [ "${1:-}" = pack ]; then pack; exit; fi
out=benchmarks/results/gpu-$(date +%Y%m%d-%H%M%S) seconds=100000
while getopts o:s: option; do
    case $option in
        o) out=$OPTARG ;;
        s) seconds=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
for step in "$@"; do
    if [ -z "${limits[$step]:-}" ]; then
        echo "gpu.sh: no step is called $step; there are ${steps[*]}" >&2
        exit 2
    fi
done
mkdir -p "$out" && out=$(realpath "$out") && scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
site=$scratch/site
export out scratch unpooled PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
if [ -d .gpu/mnist ]; then export NNX_DATA_DIR=$PWD/.gpu/mnist; fi
export -f "${steps[@]}" bench sanitized
main "${@:-${steps[@]}}" 2>&1 | tee "$out/log.txt"
