#!/usr/bin/env bash
# Runs the tests that depend on processes several times in a row, as `make test` does.
# A test that fails only sometimes, or only on a busy machine, shows here.
#
#   tests/repeat.sh RUNS [--load] [-- PYTEST_ARGUMENTS]
#
#   RUNS               how often the tests are run
#   --load             keep two cores busy for the whole time
#   PYTEST_ARGUMENTS   choose other tests than those that are marked with `processes`
#
# Prints one line for each run. The exit status is 1 if a run failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -n '2,/^set/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
runs=$1
shift
load=no
if [ "${1:-}" = --load ]; then
    load=yes
    shift
fi
chosen=(-m processes)
if [ $# -gt 0 ]; then
    [ "$1" = -- ] && [ $# -gt 1 ] || usage
    shift
    chosen=("$@")
fi

busy=()
end_load() {
    if [ "${#busy[@]}" -gt 0 ]; then
        kill "${busy[@]}" 2> /dev/null || true
        wait "${busy[@]}" 2> /dev/null || true
    fi
}
trap end_load EXIT

if [ "$load" = yes ]; then
    for _ in 1 2; do
        # The loop also ends by itself when this script was killed.
        while kill -0 $$ 2> /dev/null; do :; done &
        busy+=($!)
    done
fi

count() { # the tests of one outcome in pytest's last line
    grep -oE "[0-9]+ $2" <<< "$1" | cut -d ' ' -f 1 || echo 0
}

folder=$(mktemp -d)
echo "The logs are in $folder"
failed_runs=()
for run in $(seq "$runs"); do
    log=$folder/run-$run.log
    files=$folder/run-$run
    began=$SECONDS
    status=0
    printf -v options '%q ' --basetemp="$files" "${chosen[@]}"
    PYTEST_ADDOPTS=$options make --no-print-directory test > "$log" 2>&1 || status=$?
    summary=$(grep -E ' in [0-9.]+s' "$log" | tail -n 1) || true
    echo "run $run: $(count "$summary" passed) passed, $(count "$summary" failed) failed," \
        "$(count "$summary" error) errors, $((SECONDS - began)) s"
    if [ "$status" = 0 ]; then
        rm -rf "$files"
    else
        failed_runs+=("$run")
        grep -E '^(FAILED|ERROR) ' "$log" | sed 's/^/    /' || tail -n 3 "$log"
    fi
done
echo "$runs runs: $((runs - ${#failed_runs[@]})) passed, ${#failed_runs[@]} failed${failed_runs[*]:+ (${failed_runs[*]})}, $SECONDS s"
[ "${#failed_runs[@]}" = 0 ]
