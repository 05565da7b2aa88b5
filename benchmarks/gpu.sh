#!/usr/bin/env bash
# All figures that need a GPU, with one command, in less than 10 minutes:
#
#     bash benchmarks/gpu.sh
#
# Run it from the repository root. It installs nothing: it takes `python3` (or $PYTHON) as it is,
# and says what it leaves out because a package is missing. Figures go to $OUT, else ./gpu-figures,
# as one JSON file and one log for each benchmark; each has its own time limit, and a benchmark that
# fails or runs out of time is reported and stops nothing. train_step writes its JSON after each
# stage, so what it had measured by then is kept. SKETCHJAX_DATA gives it real drawings, else it
# makes synthetic doodles. SKETCHJAX_BENCH_TINY=1 runs all of it at sizes that show only that it
# runs, on a CPU too. Exit code: 0, or 1 when a benchmark failed.
set -u
python=${PYTHON:-python3}
out=${OUT:-./gpu-figures}
tiny=${SKETCHJAX_BENCH_TINY:-}
[ "$tiny" = 0 ] && tiny=
if [ ! -f benchmarks/gpu.sh ]; then
    echo "run it from the repository root: bash benchmarks/gpu.sh" >&2
    exit 64
fi
mkdir -p "$out"
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
skipped=

has() { "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)"; }

# measure NAME SECONDS MODULE ARGUMENTS...: to NAME.json and NAME.log
measure() {
    local name=$1 limit=$2 code start=$SECONDS
    shift 2
    [ -n "$tiny" ] && limit=240
    echo "== $name (at most $limit s): python -m $*"
    timeout -k 10 "$limit" "$python" -m "$@" --json "$out/$name.json" 2>&1 | tee "$out/$name.log"
    code=${PIPESTATUS[0]}
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        echo "== $name: out of time after $limit s; what it printed was measured"
        failed=1
    elif [ "$code" != 0 ]; then
        echo "== $name: FAILED with exit code $code"
        failed=1
    else
        echo "== $name: done in $((SECONDS - start)) s"
    fi
}

for package in jax flax optax ml_collections orjson rich numpy numba grain array_record PIL; do
    if ! has "$package"; then
        echo "no $package: nothing here can run without it (pip install 'sketchjax[cuda]')" >&2
        exit 65
    fi
done
"$python" -c "import jax; print('jax', jax.__version__, jax.devices())" || exit 65
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.total --format=csv,noheader

peer=(--peer torch)
if ! has torch; then
    peer=()
    skipped="$skipped torch (no peer);"
fi

echo "== drawings"
if ! timeout -k 10 60 "$python" -c "
import sys
from pathlib import Path
from benchmarks.feed import data_folder
data_folder(Path(sys.argv[1]))" "$scratch"; then
    echo "== drawings: FAILED, nothing to measure with" >&2
    exit 65
fi
folder=(--folder "$scratch/data")

# The bfloat16 rows of the paper first: where time runs out, they are there.
batches=(1024 256 2048)
few=(--rounds 3)
step=(benchmarks.train_step "${folder[@]}" "${few[@]}" ${peer[@]+"${peer[@]}"})
if [ -n "$tiny" ]; then
    batches=(8)
    step+=(--eager)             # torch.compile takes a minute a stage on a CPU
    export OMP_NUM_THREADS=1    # torch's threads spin against a busy machine's others
fi
measure train_step_paper_bfloat16 190 "${step[@]}" --sizes paper --dtype bfloat16 \
    --stages joint cnn rnn full --batch "${batches[@]}"
measure train_step_paper_float32 90 "${step[@]}" --sizes paper --dtype float32 \
    --stages joint cnn rnn --batch "${batches[@]:0:2}"
measure train_step_sample_bfloat16 45 "${step[@]}" --sizes sample --dtype bfloat16 \
    --stages joint cnn rnn --batch "${batches[0]}"
measure train_step_sample_float32 45 "${step[@]}" --sizes sample --dtype float32 \
    --stages joint cnn rnn --batch "${batches[0]}"

if [ -f benchmarks/gru.py ]; then
    # `fused` packs here, `fused_padded` is what a GPU has by default.
    sizes=(--hidden 512 --points 128 --batch 1024 --rounds 3 --phases 4)
    [ -n "$tiny" ] && sizes=(--hidden 8 --points 24 --batch 8 --rounds 2 --phases 4)
    measure gru 60 benchmarks.gru "${sizes[@]}" --dtype bfloat16 --no-memory
else
    skipped="$skipped gru (no benchmarks/gru.py);"
fi

size=(--batch 1024)
[ -n "$tiny" ] && size=(--batch 8)
measure draw 30 benchmarks.draw "${folder[@]}" "${few[@]}" --sizes paper --dtype bfloat16 \
    "${size[@]}"
measure encode 40 benchmarks.encode "${folder[@]}" "${few[@]}" --sizes paper --dtype bfloat16 \
    "${size[@]}"

measure operations 40 benchmarks.operations "${folder[@]}" "${few[@]}" --sizes paper \
    --dtype bfloat16 "${size[@]}"

size=()
[ -n "$tiny" ] && size=(--queries 100 --gallery 1000 --classes 10 --sample 10)
if "$python" -m benchmarks.evaluate --help | grep -q -- --backend; then
    measure evaluate 45 benchmarks.evaluate --backend jax ${size[@]+"${size[@]}"}
else
    skipped="$skipped evaluate with jax (benchmarks/evaluate.py has no --backend);"
fi

echo "== all done after $SECONDS s; figures in $out"
[ -n "$skipped" ] && echo "== skipped:$skipped"
exit "$failed"
