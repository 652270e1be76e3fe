#!/usr/bin/env bash
# Fuzzes what wire makes of bytes from outside: ./run.sh --help
set -uo pipefail
cd "$(dirname "$0")" || exit 1

usage() {
    cat <<END
usage: wire/fuzz/run.sh MINUTES [TARGET…]

Runs each target (all of them where none is named) for so many minutes, two at a time, at the lowest priority. Needs a
nightly Rust toolchain and cargo-fuzz (cargo install --locked cargo-fuzz).

A target begins with what earlier runs left in corpus/, with seeds/ and with cases/. What it finds goes to
artifacts/TARGET/: make it small (cargo +nightly fuzz tmin --fuzz-dir wire/fuzz TARGET FILE), mend what it shows, and keep
it in cases/TARGET/, under a name that tells what it is. The tests of wire (hostile::) run seeds and cases ever after.

The exit code is 0 only if nothing was found. Logs are in artifacts/.
END
}

case ${1:-} in
'' | --help | -h) usage && exit 0 ;;
*[!0-9]*) echo "run.sh: MINUTES is a number, not $1" >&2 && usage >&2 && exit 64 ;;
esac
seconds=$(($1 * 60))
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(batches records codecs responses rebuild)

cargo +nightly fuzz build --fuzz-dir . || exit 1
mkdir -p artifacts

# A malloc above the limit is a find: nothing here has to hold much. A window of zstd takes 128 MB.
fuzz() { # TARGET
    local folders=("corpus/$1" "seeds/$1")
    [ -d "cases/$1" ] && folders+=("cases/$1")
    mkdir -p "corpus/$1" "artifacts/$1"
    nice -n 19 cargo +nightly fuzz run --fuzz-dir . "$1" "${folders[@]}" -- "-max_total_time=$seconds" -max_len=16384 \
        -malloc_limit_mb=400 -rss_limit_mb=2048 -timeout=30 -print_final_stats=1 >"artifacts/$1.log" 2>&1
}

report() { # TARGET CODE
    if [ "$2" -eq 0 ]; then
        echo "$1: nothing found; $(grep -E '^(Done|stat::number_of_executed_units|stat::average_exec)' "artifacts/$1.log" | tr '\n' ' ')"
        grep -E 'cov: ' "artifacts/$1.log" | tail -n 1
    else
        echo "$1: FOUND something; the end of artifacts/$1.log:"
        tail -n 30 "artifacts/$1.log" | sed 's/^/    /'
        found=1
    fi
}

found=0
running=()
names=()
wait_for_first() {
    local code=0
    wait "${running[0]}" || code=$?
    report "${names[0]}" "$code"
    running=("${running[@]:1}")
    names=("${names[@]:1}")
}
for target in "${targets[@]}"; do
    [ ${#running[@]} -lt 2 ] || wait_for_first
    fuzz "$target" &
    running+=($!)
    names+=("$target")
done
while [ ${#running[@]} -gt 0 ]; do wait_for_first; done
exit $found
