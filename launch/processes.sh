#!/usr/bin/env bash
# One run in several processes on this machine, a GPU each where there are any.
#
#   launch/processes.sh COUNT --config FILE --workdir DIR [FLAGS OF sketchjax.main]
#
# All of them train as one: each batch is spread over their devices, and process 0 writes. A signal,
# Ctrl-C among them, is passed to all, which save and end with 75; a second one ends them at once.
# When one fails all end with its exit code. Either way, rerun the same command to resume.
# The GPUs are the first COUNT of CUDA_VISIBLE_DEVICES, or of the machine. PYTHON names the
# interpreter; by default .venv/bin/python in this repository, otherwise python.
# On several machines, start `python -m sketchjax.main` on each with the three flags below and the
# address of the first; the workdir and the data have to be on a disk that all of them share.
set -euo pipefail

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 64
fi
count=$1
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-}
if [[ -z $python ]]; then
    python=python
    [[ ! -x $root/.venv/bin/python ]] || python=$root/.venv/bin/python
fi
gpus=()
if [[ ${JAX_PLATFORMS:-} != cpu ]] && listed=$(nvidia-smi -L 2>/dev/null); then
    all=$(sed -n 's/^GPU \([0-9]*\).*/\1/p' <<<"$listed" | paste -sd,)
    IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-$all}"
    if ((${#gpus[@]} > 0 && ${#gpus[@]} < count)); then
        echo "processes.sh: $count processes, and there are ${#gpus[@]} GPUs (${gpus[*]}); give COUNT" \
            "at most ${#gpus[@]}, or JAX_PLATFORMS=cpu" >&2
        exit 64
    fi
fi
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}

# Each child runs in its own process group, so that a Ctrl-C reaches it once, through us.
set -m
processes=() signals=0
trap '((++signals)); kill -TERM "${processes[@]}" 2>/dev/null || true' TERM INT HUP
for ((i = 0; i < count; i++)); do
    if ((${#gpus[@]})); then
        export CUDA_VISIBLE_DEVICES=${gpus[i]}
    fi
    "$python" -m sketchjax.main "$@" \
        --coordinator="localhost:$port" --processes="$count" --process="$i" &
    processes+=($!)
done
((signals == 0)) || kill -TERM "${processes[@]}" 2>/dev/null || true # those started since

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
