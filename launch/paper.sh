#!/usr/bin/env bash
# SketchMate at full scale on one machine: download, convert, train, report.
#
#   launch/paper.sh --folder FOLDER [--bits 64] [--recipe ours|paper] ...
#
# Each step resumes where it stopped, and finished work is not repeated: whatever ended the script,
# rerun the same command.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: launch/paper.sh [OPTIONS] [-- FLAGS OF sketchjax.main]

Options. Each can also be given by the environment variable next to it:
  --folder DIR       FOLDER     where everything goes (default: runs/paper): drawings/, data/ and
                                a workdir for each code size and recipe, such as 64-ours/
  --bits N           BITS       length of the codes (default: 64)
  --recipe NAME      RECIPE     ours or paper (default: ours); see configs/sketchmate.py
  --devices LIST     DEVICES    GPUs to use, such as 0,1 (default: all)
  --categories NAMES CATEGORIES some of the 345, separated by commas (default: all)
  --per-category N   COUNTS     sketches of each category for train,validation,gallery,query
                                (default: 9000,1000,1000,100, the paper's)
  --from URL         FROM       a mirror of Google's bucket to download from (default: the bucket)
  --config FILE      CONFIG     another config, which takes BITS or BITS,paper as its argument
  --steps LIST       STEPS      of download,convert,train,report (default: all four)
  --restarts N       RESTARTS   how often to restart the training when a signal that this
                                script did not get has stopped it (default: 3)
  --dry-run                     print the commands and do nothing
  --help

PYTHON names the interpreter; by default .venv/bin/python in this repository, otherwise python3.

All categories need about 35 GB of disk (an estimate: 50 million drawings of 450 bytes, and another
140 bytes each once converted), 8 GB of memory and a GPU. To install for it:
  .venv/bin/pip install -e '.[cuda]'

Exit codes: 0 done; 64 bad option or config; 65 bad data or no network; 66 no valid checkpoint;
70 a loss was not finite; 75 stopped by a signal, or the workdir is in use: rerun the same command to
resume.
TEXT
}

fail() {
    printf 'paper.sh: %s\n' "$*" >&2
    exit 64
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${FOLDER:-runs/paper}
bits=${BITS:-64}
recipe=${RECIPE:-ours}
devices=${DEVICES:-}
categories=${CATEGORIES:-}
counts=${COUNTS:-9000,1000,1000,100}
from=${FROM:-}
config=${CONFIG:-$root/configs/sketchmate.py}
steps=${STEPS:-download,convert,train,report}
restarts=${RESTARTS:-3}
dry_run=
extra=()

while (($#)); do
    case $1 in
        --help | -h) usage; exit 0 ;;
        --dry-run) dry_run=yes; shift; continue ;;
        --) shift; extra=("$@"); break ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case $1 in
        --folder | --bits | --recipe | --devices | --categories | --from | --config | --steps | \
            --restarts)
            variable=${1#--}
            ;;
        --per-category) variable=counts ;;
        *) fail "there is no option $1; see --help" ;;
    esac
    [[ -n ${2:-} ]] || fail "$1 needs a value; see --help"
    printf -v "$variable" %s "$2"
    shift 2
done

[[ $bits =~ ^[0-9]+$ ]] || fail "--bits $bits is not a number; take 16, 24, 32 or 64"
[[ $recipe == ours || $recipe == paper ]] || fail "--recipe $recipe: choose ours or paper"
[[ $restarts =~ ^[0-9]+$ ]] || fail "--restarts $restarts is not a number"
[[ $counts =~ ^[0-9]+,[0-9]+,[0-9]+,[0-9]+$ ]] ||
    fail "--per-category $counts: give four counts, for train,validation,gallery,query"
IFS=, read -r train validation gallery query <<<"$counts"
IFS=, read -ra chosen <<<"$steps"
for step in "${chosen[@]}"; do
    [[ $step =~ ^(download|convert|train|report)$ ]] ||
        fail "--steps names '$step'; the steps are download,convert,train,report"
done
[[ -f $config ]] || fail "there is no config $config"
[[ $folder == /* ]] || folder=$PWD/$folder
workdir=$folder/$bits-$recipe
argument=$bits
[[ $recipe == ours ]] || argument+=,$recipe
some=()
[[ -z $categories ]] || some=(--categories "$categories")
python=${PYTHON:-}
if [[ -z $python ]]; then
    python=python3
    [[ ! -x $root/.venv/bin/python ]] || python=$root/.venv/bin/python
fi
if [[ -n $devices ]]; then
    export CUDA_VISIBLE_DEVICES=$devices
fi

# The child runs in its own process group, so that a Ctrl-C reaches it once, through us: a second
# signal would make the training stop at once, without saving.
set -m
child=
signals=0
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

pass_on() {
    signals=$((signals + 1))
    [[ -z $child ]] || kill -s "$1" "$child" 2>/dev/null || true
}

# Print a command and, unless this is a dry run, run it. Returns its exit code, and ends with 75
# when a signal stopped this script meanwhile.
run() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
    [[ -z $dry_run ]] || return 0
    local code before
    "$@" &
    child=$!
    while :; do # a signal ends `wait` before the child has ended
        before=$signals
        code=0
        wait "$child" || code=$?
        ((signals != before)) || break
    done
    child=
    if ((signals && code)); then
        echo 'paper.sh: stopped; rerun the same command to resume' >&2
        exit 75
    fi
    return "$code"
}

wanted() {
    [[ ,$steps, == *,$1,* ]] || return 1
    printf '\n== %s\n' "$1"
}

# Run a step; its failure ends the script with its exit code.
must() {
    local step=$1 code=0
    shift
    run "$@" || code=$?
    ((code == 0)) && return
    echo "paper.sh: the step $step ended with exit code $code; what it finished is kept" >&2
    exit "$code"
}

if [[ -z $dry_run ]]; then
    "$python" -c 'import jax, sketchjax.cli' 2>/dev/null || fail "$python has no sketchjax; install it" \
        "(.venv/bin/pip install -e '.[cuda]'), or name its interpreter: PYTHON=... $0"
    mkdir -p "$folder" || fail "cannot make the folder $folder"
fi

if wanted download; then
    mirror=()
    [[ -z $from ]] || mirror=(--from "$from")
    must download "$python" -m sketchjax.cli download "$folder/drawings" "${some[@]}" \
        "${mirror[@]}"
fi

if wanted convert; then
    must convert "$python" -m sketchjax.cli convert "$folder/drawings" "$folder/data" \
        --train "$train" --validation "$validation" --gallery "$gallery" --query "$query" \
        "${some[@]}"
fi

if wanted train; then
    training=("$python" -m sketchjax.main --config "$config:$argument" --workdir "$workdir"
        "--config.data.dir=$folder/data" "${extra[@]}")
    for ((attempt = 0; ; attempt++)); do
        code=0
        run "${training[@]}" || code=$?
        ((code == 75 && attempt < restarts)) || break
        echo "paper.sh: the training was stopped; restart $((attempt + 1)) of $restarts" >&2
    done
    if ((code)); then
        echo "paper.sh: the step train ended with exit code $code; its last checkpoint is kept" >&2
        exit "$code"
    fi
fi

# The training ends by writing the report; this regenerates it from the files that the run left, for
# instance after an update of sketchjax.
if wanted report; then
    must report "$python" -m sketchjax.cli report "$workdir"
fi
