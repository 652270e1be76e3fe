# What test.sh and demo.sh need of the machine. Sourced by both, not run.
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
        lacks "Java 17 or later, which Kafka runs on" openjdk-17-jre-headless
    elif [ "$version" -lt 17 ]; then
        lacks "Java 17 or later, java on the path is $version" openjdk-17-jre-headless
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
