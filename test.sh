#!/usr/bin/env bash
# All checks of kmirror: ./test.sh --help
set -uo pipefail
cd "$(dirname "$0")" || exit 1
. .ci/prerequisites.sh

NEXTEST=0.9.140
DENY=0.20.2
KAFKA=4.1.1
OLD_KAFKA=3.9.1
OLDEST_KAFKA=2.8.2

usage() {
    cat <<END
usage: ./test.sh [--full]

Runs what a pipeline runs: formatting, clippy, licences and sources of dependencies, documentation, doctests, and all
unit and integration tests against two real Kafka $KAFKA clusters of three brokers each, which it starts and stops.
Then it checks that no process is left and that the work tree is as it was. The last line is

    N passed, N failed, N skipped

The exit code is 0 only if every step worked and tests were run.

  --full  also the long series (tests in modules called full), and once more against Kafka $OLD_KAFKA those tests that
          another version may change: over real brokers, without those of networks and brokers in trouble

Needs Java 17 (a JDK), Maven, a C compiler and Rust; it says what is missing and how to install it. Downloads, tools and builds
go to \$KMIRROR_CACHE (else \$XDG_CACHE_HOME/kmirror, else ~/.cache/kmirror), the build to \$CARGO_TARGET_DIR if that is
set. On two cores it takes about 25 minutes the first time, of which 10 build tools and dependencies, and 15 minutes
later; --full takes an hour or more. Logs of each step are kept below the cache; on failure their ends are shown.
END
}

full=false
for argument in "$@"; do
    case $argument in
    --full) full=true ;;
    --help | -h) usage && exit 0 ;;
    *) echo "test.sh: unknown argument $argument" >&2 && usage >&2 && exit 64 ;;
    esac
done

check_prerequisites || exit 1
cache=$(kmirror_cache)
mkdir -p "$cache" && cache=$(cd "$cache" && pwd) || exit 1
export CARGO_TERM_COLOR=never
# Of a failure its message is wanted here; who needs the calls behind it runs the test alone.
export RUST_BACKTRACE=0
export PATH=$cache/tools/bin:$PATH
mkdir -p "$cache/log" || exit 1
use_target_dir dev || exit 1

# Every process of this run carries this, so that what is left is found. (This shell's own environment, as /proc shows
# it, is the one it was started with.)
export KMIRROR_TEST_RUN=$$-${RANDOM}${RANDOM}
logs=$cache/log/$(date +%Y%m%d-%H%M%S)-$$
mkdir "$logs" || exit 1

left_processes() {
    local file
    # Nothing but grep may run meanwhile: whatever this script starts carries the mark.
    for file in $(env -u KMIRROR_TEST_RUN grep -lzsxF "KMIRROR_TEST_RUN=$KMIRROR_TEST_RUN" /proc/[0-9]*/environ); do
        file=${file#/proc/}
        echo "${file%/environ}"
    done
}

stop_left_processes() { # SIGNAL
    local pid
    for pid in $(left_processes); do
        kill "-$1" "$pid" 2>/dev/null
    done
}

interrupted() {
    trap '' INT TERM
    echo "test.sh: interrupted, stopping what runs" >&2
    stop_left_processes TERM
    local tries=0
    while [ -n "$(left_processes)" ] && [ $((tries += 1)) -lt 300 ]; do sleep 0.1; done
    stop_left_processes KILL
    exit 130
}
trap interrupted INT TERM

passed=0
failed=0
skipped=0
tests_ran=false
broken_steps=()
notes=()

# Runs a command as a step: a line, a log, and its end if it failed. Returns the command's code.
step() { # NAME COMMAND…
    local name=$1 log start code=0
    shift
    log=$logs/$name.log
    printf '%-28s' "$name"
    start=$SECONDS
    # In the background, so that a signal is heeded at once.
    "$@" >"$log" 2>&1 </dev/null 9>&- &
    wait $! || code=$?
    if [ $code -eq 0 ]; then
        printf 'ok %6d s\n' $((SECONDS - start))
    else
        printf 'FAILED after %d s, exit code %d; the end of %s:\n' $((SECONDS - start)) $code "$log"
        tail -n 60 "$log" | sed 's/^/    /'
        broken_steps+=("$name")
    fi
    return "$code"
}

skip() { # NAME WHY
    printf '%-28sSKIPPED: %s\n' "$1" "$2"
    notes+=("$1 was SKIPPED: $2")
}

install_tool() { # CRATE VERSION FEATURES…
    local crate=$1 version=$2
    shift 2
    # Unoptimised: they run for seconds and build for minutes. Away from the target directory, whose profile is another.
    CARGO_TARGET_DIR=$cache/tools/build cargo install --locked --debug --root "$cache/tools" --version "$version" "$@" "$crate" &&
        rm -rf "$cache/tools/build"
}

has_version() { # PROGRAM VERSION ARGUMENT…
    local program=$cache/tools/bin/$1 version=$2
    shift 2
    [ -x "$program" ] && "$program" "$@" 2>/dev/null | head -n 1 | grep -qF " $version"
}

state_of_tree() { git status --porcelain 2>/dev/null && git diff HEAD 2>/dev/null | cksum; }

shell_scripts() {
    local script code=0
    for script in test.sh demo.sh bench/run.sh wire/fuzz/run.sh .ci/run .ci/prerequisites.sh; do
        bash -n "$script" || code=1
    done
    if command -v shellcheck >/dev/null; then
        shellcheck -x -S warning test.sh demo.sh bench/run.sh wire/fuzz/run.sh .ci/run .ci/prerequisites.sh || code=1
    else
        echo "no shellcheck: only bash -n"
    fi
    return "$code"
}

# Adds up the summaries of a nextest log: what ran and did not pass has failed. Fails if there is none.
count_nextest() { # LOG JUNIT
    local summary run pass skip unable=0
    summary=$(grep -E '^ *Summary \[' "$1" | tail -n 1)
    run=$(sed -nE 's/.*\] +([0-9]+\/)?([0-9]+) tests? run:.*/\2/p' <<<"$summary")
    pass=$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$summary")
    skip=$(sed -nE 's/.* ([0-9]+) skipped.*/\1/p' <<<"$summary")
    [ -n "$run" ] || return 1
    # Tests that said they can't run here passed by not running.
    [ -f "$2" ] && unable=$(grep -cE '(^|>)SKIPPED: ' "$2")
    [ "$run" -gt 0 ] && tests_ran=true
    passed=$((passed + ${pass:-0} - unable))
    failed=$((failed + run - ${pass:-0}))
    skipped=$((skipped + ${skip:-0} + unable))
}

count_doctests() { # LOG
    local pass fail ignore
    while read -r pass fail ignore; do
        passed=$((passed + pass)) failed=$((failed + fail)) skipped=$((skipped + ignore))
    done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored;.*/\1 \2 \3/p' "$1")
}

run_tests() { # STEP PROFILE KAFKA
    # There, wherever the build goes.
    local junit=target/nextest/$2/junit.xml
    rm -f "$junit"
    step "$1" env "KMIRROR_KAFKA_VERSION=$3" "$CARGO_TARGET_DIR/debug/testkit-supervisor" --brokers 3 -- \
        cargo nextest run --locked --workspace --profile "$2" --no-tests fail --color never
    # A run that broke before its summary is a failure too, and no pass.
    count_nextest "$logs/$1.log" "$junit" || failed=$((failed + 1))
    grep -E '^ *(Summary|FAIL|TIMEOUT|SIG[A-Z]+|LEAK-FAIL|SLOW) *\[' "$logs/$1.log" | sort -u | sed 's/^ */    /'
}

began=$SECONDS
tree_before=$(state_of_tree)
echo "logs: $logs"

has_version cargo-nextest $NEXTEST nextest --version ||
    step install-nextest install_tool cargo-nextest $NEXTEST --no-default-features --features default-no-update
has_version cargo-deny $DENY --version || step install-deny install_tool cargo-deny $DENY

step scripts shell_scripts
step format cargo fmt --all --check
step clippy cargo clippy --locked --workspace --all-targets -- -D warnings
step licences-and-sources cargo deny --locked check bans licenses sources
timeout 60 cargo deny fetch db >"$logs/advisory-database.log" 2>&1 </dev/null 9>&- &
if wait $!; then
    step advisories cargo deny --locked check --disable-fetch advisories
else
    skip advisories "the advisory database can't be reached ($logs/advisory-database.log)"
fi
step documentation env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

# Some tests speak to old versions in every run.
if step build-tests cargo build --locked --workspace --all-targets &&
    step kafka-jars "$CARGO_TARGET_DIR/debug/testkit-tool" fetch-jars $KAFKA $OLD_KAFKA $OLDEST_KAFKA; then
    step doctests cargo test --locked --workspace --doc
    count_doctests "$logs/doctests.log"
    # Without them brokers start as well, with more work.
    "$CARGO_TARGET_DIR/debug/testkit-tool" archive-classes $KAFKA $OLD_KAFKA \
        >"$logs/class-archives.log" 2>&1 </dev/null 9>&- &
    wait $! || skip class-archives "they could not be made ($logs/class-archives.log)"
    if $full; then
        run_tests tests-full full $KAFKA
        # Once is enough of the long series and of trouble: they take most of the time.
        run_tests "tests-kafka-$OLD_KAFKA" old-kafka $OLD_KAFKA
    else
        run_tests tests default $KAFKA
    fi
else
    failed=$((failed + 1))
    notes+=("the tests could not be run")
fi

nothing_left() {
    local tries=0 pid
    while [ -n "$(left_processes)" ] && [ $((tries += 1)) -lt 100 ]; do sleep 0.1; done
    local left
    left=$(left_processes)
    [ -z "$left" ] && return 0
    echo "still running 10 s after the last test, and killed now:"
    for pid in $left; do
        echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
        kill -KILL "$pid" 2>/dev/null
    done
    return 1
}

tree_unchanged() {
    [ "$(state_of_tree)" = "$tree_before" ] && return 0
    echo "the run changed the work tree:"
    git status --porcelain
    return 1
}

step no-process-left nothing_left
step work-tree-unchanged tree_unchanged

echo
echo "$((SECONDS - began)) s; logs: $logs"
for note in ${notes[@]+"${notes[@]}"}; do
    echo "$note"
done
code=0
if [ ${#broken_steps[@]} -gt 0 ] || [ $failed -gt 0 ]; then
    echo "FAILED: ${broken_steps[*]:-tests}"
    code=1
elif ! $tests_ran; then
    echo "FAILED: no test was run"
    code=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit $code
