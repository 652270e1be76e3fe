#!/usr/bin/env bash
# kmirror at work between two real Kafka clusters: ./demo.sh --help
set -euo pipefail
cd "$(dirname "$0")"
. .ci/prerequisites.sh

# Topic, partitions, records, codec. The names are what the connector below asks for.
TOPICS="ExampleTopicOrders 6 200000 lz4
ExampleTopicPayments 3 100000 zstd
ExampleTopicCustomers 1 20000 none"
LIVE_RECORDS=30000

usage() {
    cat <<'END'
usage: ./demo.sh [--keep]

Builds kmirror, starts a source and a target Kafka cluster of one broker each and a kmirror worker between them,
produces 320,000 records of 500 bytes to three topics of the source, creates a MirrorSourceConnector over the worker's
REST API with curl, produces 30,000 more while it copies, and waits until everything has arrived. It ends with a table
of both sides, a comparison of all records, the connector's status and the worker's memory, and stops what it started.

The exit code is 0 only if the target holds the same records in the same order as the source, and the worker ended
cleanly.

  --keep  leave everything running behind the table, print the addresses, and stop on Ctrl-C

Uses free ports of the loopback interface and a temporary directory. Takes about half a minute; the first time some
minutes more, to build and to fetch Kafka. Needs Java 17 (a JDK), Maven, curl, a C compiler and Rust; it says what is missing.
END
}

# The outer half: builds, then starts the inner half under the test kit's supervisor, which runs the two clusters.
outer() {
    local keep=""
    for argument in "$@"; do
        case $argument in
        --keep) keep=--keep ;;
        --help | -h) usage && exit 0 ;;
        *) echo "demo.sh: unknown argument $argument" >&2 && usage >&2 && exit 64 ;;
        esac
    done
    check_prerequisites
    local log
    use_target_dir release
    DEMO_BEGAN=$(date +%s%N)
    export DEMO_BEGAN
    log=$(mktemp)
    step "building kmirror and the test kit (minutes, the first time)"
    if ! cargo build --locked --release --package kmirror --package testkit --bins >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
    step "fetching Kafka, unless it is in the cache"
    "$CARGO_TARGET_DIR/release/testkit-tool" fetch-jars "${KMIRROR_KAFKA_VERSION:-4.1.1}" >/dev/null
    step "starting a source and a target cluster"
    exec "$CARGO_TARGET_DIR/release/testkit-supervisor" --brokers 1 -- "$PWD/demo.sh" inside $keep
}

seconds() { # since the demo began
    local now
    now=$(($(date +%s%N) - DEMO_BEGAN))
    printf '%d.%d' $((now / 1000000000)) $((now / 100000000 % 10))
}

step() { printf '[%6s s] %s\n' "$(seconds)" "$*"; }

# The inner half: everything between the clusters. The supervisor stops them when this ends, however it ends.
inside() {
    local keep=${1:-}
    source=$KMIRROR_TEST_SOURCE
    target=$KMIRROR_TEST_TARGET
    tool=$CARGO_TARGET_DIR/release/testkit-tool
    work=$(mktemp -d)
    worker_pid=""
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    step "source $source, target $target"

    while read -r topic partitions records codec; do
        "$tool" create-topic "$source" "$topic" "$partitions"
        "$tool" produce "$source" "$topic" "$partitions" "$records" "$codec"
        step "produced $records records to $topic ($partitions partitions, $codec)"
    done <<<"$TOPICS"

    start_worker
    create_connector
    step "producing $LIVE_RECORDS records more meanwhile"
    "$tool" produce "$source" ExampleTopicOrders 6 "$LIVE_RECORDS" gzip &
    local producer_pid=$!
    copied_all "$producer_pid"
    wait "$producer_pid" || fail "the producer of live records failed"
    wait_for_positions
    local same=true
    table || same=false
    echo
    echo "GET /connectors/mm2-msc/status"
    curl -sS "$rest/connectors/mm2-msc/status"
    echo
    echo
    echo "worker memory: $(memory VmRSS) MiB now, $(memory VmHWM) MiB at most (resident)"
    $same || fail "source and target differ"

    if [ "$keep" = --keep ]; then
        echo
        echo "Left running until Ctrl-C, or: kill $PPID"
        echo "  source cluster  $source"
        echo "  target cluster  $target"
        echo "  REST            $rest/connectors"
        echo "  worker          pid $worker_pid, log $work/worker.log, properties $work/worker.properties"
        # Also ends when the worker does. As a background job, so that a signal is heeded at once.
        wait "$worker_pid" || fail "the worker ended by itself"
        worker_pid=""
        return
    fi
    stop_worker
}

fail() {
    step "FAILED: $*" >&2
    if [ -s "$work/worker.log" ]; then
        echo "the worker's last lines:" >&2
        tail -n 20 "$work/worker.log" >&2
    fi
    exit 1
}

clean_up() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    if [ -n "$worker_pid" ]; then
        kill -TERM "$worker_pid" 2>/dev/null || true
        wait "$worker_pid" || true
    fi
    rm -rf "$work"
    step "stopping the clusters"
    exit "$code"
}

start_worker() {
    cat >"$work/worker.properties" <<END
bootstrap.servers=$target
group.id=demo
config.storage.topic=connect-configs-demo
offset.storage.topic=connect-offsets-demo
status.storage.topic=connect-status-demo
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
key.converter=org.apache.kafka.connect.converters.ByteArrayConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:0
END
    # Port 0 means a free one; the log tells which. The worker dies with this script, even if that is killed, but does
    # not hear its Ctrl-C: it is asked to end once, by SIGTERM.
    setsid setpriv --pdeathsig KILL "$CARGO_TARGET_DIR/release/kmirror" worker "$work/worker.properties" 2>"$work/worker.log" &
    worker_pid=$!
    worker_started=$(date +%s%N)
    rest=""
    until [ -n "$rest" ]; do
        running_or_fail
        rest=$(sed -nE 's/.*REST is listening on (http[^ ]*).*/\1/p' "$work/worker.log" | head -n 1)
        sleep 0.02
    done
    wait_until 60 "the worker to be healthy" healthy
    step "kmirror is healthy at $rest, $((($(date +%s%N) - worker_started) / 1000000)) ms after its start"
}

healthy() { curl -sf -o /dev/null "$rest/health"; }

running_or_fail() { kill -0 "$worker_pid" 2>/dev/null || fail "the worker ended by itself"; }

wait_until() { # SECONDS WHAT COMMAND…
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        running_or_fail
        [ $SECONDS -lt $limit ] || fail "waited in vain for $what"
        sleep 0.1
    done
}

create_connector() {
    cat >"$work/mm2-msc.json" <<END
{
  "name": "mm2-msc",
  "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
  "replication.policy.class": "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
  "source.cluster.alias": "msksource",
  "target.cluster.alias": "mskdest",
  "source.cluster.bootstrap.servers": "$source",
  "target.cluster.bootstrap.servers": "$target",
  "topics": "^ExampleTopic[\\\\w]*",
  "tasks.max": "4",
  "replication.factor": "1"
}
END
    local code
    code=$(curl -sS -o "$work/answer" -w '%{http_code}' -X PUT -H "Content-Type: application/json" \
        --data "@$work/mm2-msc.json" "$rest/connectors/mm2-msc/config")
    [ "$code" = 201 ] || fail "PUT /connectors/mm2-msc/config answered $code: $(cat "$work/answer")"
    step "PUT /connectors/mm2-msc/config: 201"
    wait_until 60 "the connector and its tasks to run" running
    step "connector RUNNING with $(curl -s "$rest/connectors/mm2-msc/status" | grep -o '"id":' | wc -l) tasks"
}

running() {
    local status
    status=$(curl -sf "$rest/connectors/mm2-msc/status") || return 1
    grep -q '"tasks":\[{' <<<"$status" && ! grep -qE '"state":"(FAILED|UNASSIGNED|PAUSED)"' <<<"$status"
}

# High watermarks minus log starts of all partitions of a topic; 0 while it does not exist.
count() { # BOOTSTRAP TOPIC
    { "$tool" offsets "$1" "$2" 2>/dev/null || true; } | awk '{ n += $3 - $2 } END { print n + 0 }'
}

total() { # BOOTSTRAP PREFIX
    local sum=0 topic
    for topic in $(cut -d ' ' -f 1 <<<"$TOPICS"); do
        sum=$((sum + $(count "$1" "$2$topic")))
    done
    echo $sum
}

# Shows the copy's progress until the producer has ended and the target holds as many records as the source.
copied_all() { # PID
    local want have last="" limit=$((SECONDS + 120)) producing=true
    while :; do
        running_or_fail
        kill -0 "$1" 2>/dev/null || producing=false
        have=$(total "$target" msksource.)
        want=$(total "$source" "")
        if [ "$have of $want" != "$last" ]; then
            last="$have of $want"
            step "mirrored $last"
        fi
        if [ "$have" -ge "$want" ] && ! $producing; then break; fi
        [ $SECONDS -lt $limit ] || fail "only $have of $want records arrived: $(curl -s "$rest/connectors/mm2-msc/status")"
        sleep 0.3
    done
}

positions() { "$tool" latest "$target" connect-offsets-demo; }

# Partitions of a topic whose stored position, the last copied source offset, is the source's last one; and of how many.
stored() { # TOPIC
    local partition low high done=0 all=0
    while read -r partition low high; do
        all=$((all + 1))
        : "$low"
        if grep -qF "\"partition\":$partition,\"topic\":\"$1\"}]"$'\t'"{\"offset\":$((high - 1))}" "$work/positions"; then
            done=$((done + 1))
        fi
    done < <("$tool" offsets "$source" "$1")
    echo "$done of $all"
}

all_stored() {
    local topic partitions
    positions >"$work/positions"
    while read -r topic partitions _; do
        [ "$(stored "$topic")" = "$partitions of $partitions" ] || return 1
    done <<<"$TOPICS"
}

wait_for_positions() {
    wait_until 60 "the positions in connect-offsets-demo" all_stored
    step "positions of all partitions are stored in connect-offsets-demo"
}

# Fails if any topic differs.
table() {
    local topic partitions sent copied verdict good=0
    step "comparing every record of both clusters"
    echo
    printf '%-24s %10s %10s %10s %6s %12s  %s\n' topic partitions source mirrored lag "positions" "records"
    while read -r topic partitions _; do
        sent=$(count "$source" "$topic")
        copied=$(count "$target" "msksource.$topic")
        verdict=same
        if ! "$tool" compare "$source" "$topic" "$target" "msksource.$topic" >"$work/compared" 2>&1; then
            verdict="DIFFERENT: $(cat "$work/compared")"
            good=1
        fi
        printf '%-24s %10d %10d %10d %6d %12s  %s\n' "$topic" "$partitions" "$sent" "$copied" $((sent - copied)) \
            "$(stored "$topic")" "$verdict"
    done <<<"$TOPICS"
    echo
    echo "mirrored: topics msksource.* of the target; positions: partitions whose last source offset is stored;"
    echo "records: key, value, headers, timestamp and order of each, compared by librdkafka's consumer."
    echo
    echo "stored positions, as in connect-offsets-demo:"
    sed 's/^/  /' "$work/positions"
    return $good
}

memory() { awk -v key="$1:" '$1 == key { printf "%.1f", $2 / 1024 }' "/proc/$worker_pid/status"; }

stop_worker() {
    local code=0 start
    start=$(date +%s%N)
    kill -TERM "$worker_pid"
    wait "$worker_pid" || code=$?
    worker_pid=""
    [ $code -eq 0 ] || fail "the worker ended with exit code $code on SIGTERM"
    step "SIGTERM: the worker drained and ended with exit code 0 in $((($(date +%s%N) - start) / 1000000)) ms"
    step "source and target hold the same records"
}

if [ "${1:-}" = inside ]; then
    shift
    inside "$@"
else
    outer "$@"
fi
