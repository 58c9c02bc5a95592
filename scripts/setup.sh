# Shared by demo.sh and test.sh, which source it: what a machine needs, installed only where it is missing.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
DEPS=$ROOT/.deps
SETUP_LOG=$DEPS/setup.log
mkdir -p "$DEPS"

say() { printf '\n==> %s\n' "$*"; }

fail() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

# Runs a command with its output in the log; shows the end of it when the command fails.
logged() {
    printf '$ %s\n' "$*" >>"$SETUP_LOG"
    "$@" >>"$SETUP_LOG" 2>&1 </dev/null || {
        tail -n 20 "$SETUP_LOG" >&2
        fail "'$*' failed; the whole output is in $SETUP_LOG"
    }
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$*' needs root, and there is no sudo here; run it as root, then this script again"
    fi
}

# need_packages PACKAGE...: Debian packages; does nothing, and needs no root, when all are there.
need_packages() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "This is not a Debian system; install what these packages hold yourself: $*"
        return
    fi
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "Installing system packages: ${missing[*]}"
    logged as_root apt-get update
    logged as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# A Rust toolchain new enough for Cargo.toml, also where rustup has not been put on the search path yet.
need_rust() {
    local wanted have
    command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
    command -v cargo >/dev/null || fail "no Rust toolchain found; install one with rustup (https://rustup.rs) and run this again"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
        fail "rustc $have is too old; $wanted or later is needed (rustup update)"
}

# What a build needs: a C compiler, and on x86-64 the assembler, without which JPEG is several times slower.
need_build_tools() {
    need_packages build-essential nasm
    need_rust
}

need_venv() {
    [ -x "$DEPS/venv/bin/pip" ] && return
    need_packages python3-venv
    logged python3 -m venv --clear "$DEPS/venv"
}

# The PDFium library, out of a wheel whose checksum pip verifies.
need_pdfium() {
    local stamp=$DEPS/pdfium/from.txt
    cmp -s scripts/pdfium.txt "$stamp" && return
    need_venv
    say "Fetching the PDFium library"
    rm -rf "$DEPS/pdfium"
    logged "$DEPS/venv/bin/pip" download --no-deps --only-binary=:all: --require-hashes -r scripts/pdfium.txt -d "$DEPS/pdfium"
    logged "$DEPS/venv/bin/python" -m zipfile -e "$DEPS"/pdfium/pypdfium2-*.whl "$DEPS/pdfium/wheel"
    mv "$DEPS/pdfium/wheel/pypdfium2_raw/libpdfium.so" "$DEPS/pdfium/"
    # Licences travel with the library.
    mv "$DEPS"/pdfium/wheel/*.dist-info/licenses "$DEPS/pdfium/"
    rm -rf "$DEPS/pdfium/wheel" "$DEPS"/pdfium/*.whl
    cp scripts/pdfium.txt "$stamp"
}

# The Python readers that the tests compare with.
need_test_python() {
    local stamp=$DEPS/venv/from.txt
    need_venv
    cmp -s scripts/test-python.txt "$stamp" && return
    say "Installing the Python readers of the tests"
    logged "$DEPS/venv/bin/pip" install --only-binary=:all: --no-binary=pyvips -r scripts/test-python.txt
    cp scripts/test-python.txt "$stamp"
}
