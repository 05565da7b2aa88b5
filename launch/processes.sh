#!/usr/bin/env bash
# One run in several processes on this machine, a GPU each where there are any.
#
#   launch/processes.sh COUNT --config FILE --workdir DIR [FLAGS OF sketchjax.main]
#
# All of them train as one: each batch is spread over their devices, and process 0 writes. A signal
# is passed to all, and when one fails the others stop too; rerun the same command to resume.
# On several machines, start `python -m sketchjax.main` on each with the three flags below and the
# address of the first; the workdir and the data have to be on a disk that all of them share.
set -euo pipefail

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 64
fi
count=$1
shift
python=${PYTHON:-python}
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}

processes=()
for ((i = 0; i < count; i++)); do
    if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
        export CUDA_VISIBLE_DEVICES=$i
    fi
    "$python" -m sketchjax.main "$@" \
        --coordinator="localhost:$port" --processes="$count" --process="$i" &
    processes+=($!)
done
trap 'kill -TERM "${processes[@]}" 2>/dev/null || true' TERM INT

code=0
while [[ -n $(jobs -pr) ]]; do
    wait -n || true # one has ended, or a signal has come
    for process in "${processes[@]}"; do
        kill -0 "$process" 2>/dev/null && continue
        ended=0
        wait "$process" || ended=$?
        [[ $code -ne 0 ]] || code=$ended
        # The others would wait for a lost one forever; after 75 they are saving.
        [[ $ended -eq 0 || $ended -eq 75 ]] || kill -TERM "${processes[@]}" 2>/dev/null || true
    done
done
for process in "${processes[@]}"; do
    ended=0
    wait "$process" || ended=$?
    [[ $code -ne 0 ]] || code=$ended
done
exit "$code"
