# What test.sh and demo.sh need of the machine, and where they build. Sourced by both, not run.
# shellcheck shell=bash

# Where downloads and builds live, outside the clone: as the test kit looks for it.
kmirror_cache() {
    if [ -n "${KMIRROR_CACHE:-}" ]; then
        echo "$KMIRROR_CACHE"
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/kmirror"
    fi
}

# Says what is missing, each with the command that brings it, and fails if anything is.
check_prerequisites() {
    local missing=0 packages=()
    lacks() { # WHAT PACKAGE
        echo "missing: $1 (Debian: apt-get install -y $2)" >&2
        packages+=("$2")
        missing=1
    }
    [ "$(uname -s)" = Linux ] || { echo "missing: Linux; the test kit reads /proc and uses setpriv" >&2; missing=1; }
    has() { command -v "$1" >/dev/null 2>&1; }

    local version=""
    if has java; then
        version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    fi
    if [ -z "$version" ]; then
        lacks "Java 17 or later, which Kafka runs on" openjdk-17-jdk-headless
    elif [ "$version" -lt 17 ]; then
        lacks "Java 17 or later, java on the path is $version" openjdk-17-jdk-headless
    elif ! java --list-modules | grep '^jdk\.compiler@' >/dev/null; then
        lacks "Java's compiler, for a program of the tests" openjdk-17-jdk-headless
    fi
    has mvn || lacks "mvn, which fetches Kafka" maven
    has cc && has c++ && has make || lacks "cc, c++ and make, which build librdkafka for the tests" build-essential
    has curl || lacks "curl, which talks to the REST API" curl
    has git || lacks "git" git
    has setpriv && has flock || lacks "setpriv and flock, which keep processes from outliving a run" util-linux

    if ! has cargo; then
        echo "missing: cargo. Rust comes by rustup, which reads rust-toolchain.toml:" >&2
        echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env" >&2
        has curl || echo "  (needs curl)" >&2
        missing=1
    elif ! cargo --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
        echo "missing: the toolchain of rust-toolchain.toml with clippy and rustfmt: run rustup toolchain install" >&2
        missing=1
    fi
    if [ ${#packages[@]} -gt 1 ]; then
        echo "all at once: apt-get update && apt-get install -y ${packages[*]}" >&2
    fi
    return "$missing"
}

# Sets CARGO_TARGET_DIR to a directory outside the clone, so that clones share the dependencies they build, and makes sure
# that what is built there is this clone's. Holds a lock on it, as file descriptor 9, until the script ends.
use_target_dir() { # dev|release
    local default owner
    default=$(kmirror_cache)/target
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$default}
    mkdir -p "$CARGO_TARGET_DIR" || return 1
    CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd) || return 1

    # Another run would replace the programs that this one starts.
    exec 9>"$CARGO_TARGET_DIR/kmirror-$1.lock" || return 1
    if ! flock --nonblock 9; then
        echo "waiting for another run that uses $CARGO_TARGET_DIR"
        flock 9 || return 1
    fi
    # Cargo takes what another clone built for this one's if its files are newer than this one's sources, and would test
    # that. Into a directory of the user's own anybody may have built since.
    owner=$CARGO_TARGET_DIR/kmirror-$1.clone
    if [ "$CARGO_TARGET_DIR" != "$(cd "$default" 2>/dev/null && pwd)" ] || [ "$(cat "$owner" 2>/dev/null)" != "$PWD" ]; then
        rm -f "$owner"
        cargo clean --quiet --locked --profile "$1" -p kmirror -p replication-policy -p testkit -p wire || return 1
        echo "$PWD" >"$owner"
    fi
}
