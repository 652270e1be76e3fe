#!/usr/bin/env bash
# kmirror beside MirrorMaker 2 on the same brokers, one after the other: builds, then `bench --help` tells the choices.
# bench/run.sh [workload…]; --list names them. Tables go to standard output, and with the JSON to bench/results.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p kmirror -p bench
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "$target/release/bench" --kmirror "$target/release/kmirror" --results bench/results "$@"
