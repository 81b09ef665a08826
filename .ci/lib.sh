# Functions of .ci/run, .ci/extra and its steps, which source this file in the root of the checkout.

target=${CARGO_TARGET_DIR:-target}
target=$(mkdir -p "$target" && cd "$target" && pwd)
# What is installed of PyPI and of crates.io.
venv=$target/extra-venv
tools=$target/extra-tools

# What is built in release here is run, and not released: it need not be optimized as a whole, which takes a minute more.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

step() {
    printf '\n== %s (after %d s)\n' "$1" "$SECONDS"
}

run() {
    printf '+ %s\n' "$*"
    "$@"
}

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    exit 1
}

# Three times, since mirrors and registries fail for moments.
patiently() {
    local try
    for try in 1 2 3; do
        if run "$@"; then return; fi
        sleep $((try * 5))
    done
    return 1
}

# Builds $kad in release as .ci/run does, so that it is built once.
build_kad() {
    run cargo build --quiet --release --package kademlia-dynamic --bin kad
    kad=$target/release/kad
}

# started FILE PID: waits until the node PID has written its first line to FILE.
started() {
    until grep -q '}$' "$1"; do
        kill -0 "$2" 2>/dev/null || fail "the node has ended before it began"
        sleep 0.1
    done
}

# field NAME FILE: a text of the first line of a node.
field() {
    sed -E 's/.*"'"$1"'":"([^"]+)".*/\1/' "$2"
}

# debian COMMAND PACKAGE: fails with the remedy where COMMAND is missing. Where CI is set it installs the PACKAGE of Debian.
debian() {
    found "$1" && return
    [ -n "${CI:-}" ] || fail "$1 is missing: apt-get install $2"
    install_package "$2"
    found "$1" || fail "$1 is missing, and the package $2 of Debian could not be installed"
}

install_package() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
    if [ "$(id -u)" != 0 ]; then apt=(sudo "${apt[@]}"); fi
    # The lists of packages may be missing or old. Where they are not, an update is not worth its time.
    run "${apt[@]}" install --no-install-recommends "$1" && return
    patiently "${apt[@]}" update || true
    patiently "${apt[@]}" install --no-install-recommends "$1" || true
}

# crate COMMAND NAME@VERSION ARGS…: the same with a binary of crates.io, below target/. It is built without optimization: it
# runs once.
crate() {
    found "$1" && return
    [ -n "${CI:-}" ] || fail "$1 is missing: cargo install --locked ${*:2}"
    patiently cargo install --quiet --debug --locked --root "$tools" --target-dir "$tools/build" "${@:2}" || true
    found "$1" || fail "$1 is missing, and $2 of crates.io could not be installed"
}

# pypi COMMAND NAME==VERSION…: the same with packages of PyPI, in an environment below target/.
pypi() {
    found "$1" && return
    [ -n "${CI:-}" ] || fail "$1 is missing: python3 -m venv $venv && $venv/bin/pip install ${*:2}"
    debian python3 python3
    # Debian has what makes environments in a package of its own.
    [ -x "$venv/bin/pip" ] || run python3 -m venv "$venv" || install_package python3-venv
    [ -x "$venv/bin/pip" ] || run python3 -m venv --clear "$venv"
    patiently "$venv/bin/pip" install --quiet --disable-pip-version-check "${@:2}" || true
    found "$1" || fail "$1 is missing, and ${*:2} of PyPI could not be installed"
}

found() {
    PATH=$venv/bin:$tools/bin:$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
    hash -r
    command -v "$1" >/dev/null
}
