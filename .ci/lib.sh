# Functions of .ci/run, .ci/extra and its steps, which source this file in the root of the checkout.

target=${CARGO_TARGET_DIR:-target}
target=$(mkdir -p "$target" && cd "$target" && pwd)

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

# need COMMAND PACKAGE: fails with the remedy where COMMAND is missing. Where CI is set it installs the PACKAGE instead: of
# Debian, or "NAME@VERSION" of crates.io, or "NAME==VERSION" of PyPI (into an environment below target/).
need() {
    local remedy apt=(apt-get) venv=$target/extra-venv
    PATH=$venv/bin:$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
    hash -r
    if command -v "$1" >/dev/null; then return; fi
    if [ "$(id -u)" != 0 ]; then apt=(sudo apt-get); fi
    case $2 in
    *==*) remedy=("$venv/bin/pip" install --quiet "$2") ;;
    *@*) remedy=(cargo install --quiet --locked "$2") ;;
    *) remedy=("${apt[@]}" install --yes --quiet --no-install-recommends "$2") ;;
    esac
    [ -n "${CI:-}" ] || fail "$1 is missing: ${remedy[*]}"
    case $2 in
    *==*) [ -x "$venv/bin/pip" ] || run python3 -m venv "$venv" ;;
    *@*) ;;
    *) run "${apt[@]}" update --quiet ;;
    esac
    run "${remedy[@]}"
    hash -r
    command -v "$1" >/dev/null || fail "$1 is still missing after: ${remedy[*]}"
}
