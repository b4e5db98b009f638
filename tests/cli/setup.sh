#!/usr/bin/env bash
# tools/setup with a pretended apt, dpkg, sudo and user: what it installs, and what it says when it
# cannot. Nothing is installed here.
# shellcheck disable=SC2016,SC2317 # the quoted scripts expand later; checks are called by name
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/ashlar-setup.XXXXXX")
trap 'rm -rf "$work"' EXIT
fakes=$work/bin
failed=0

fake() { # NAME SCRIPT
    printf '#!/bin/bash\n%s\n' "$2" >"$fakes/$1"
    chmod +x "$fakes/$1"
}

# A machine with the packages given, and an apt that can install everything.
machine() {
    rm -rf "$fakes" "$work/calls" "$work/installed"
    mkdir "$fakes"
    : >"$work/calls"
    printf '%s\n' "$@" >"$work/installed"
    for tool in bash env cat grep sed mktemp rm tail make; do
        ln -s "$(command -v "$tool")" "$fakes/$tool"
    done
    fake dpkg 'grep -qx "$2" '"$work/installed"' && echo "Status: install ok installed"'
    fake apt-get 'echo "apt-get $*" >>'"$work/calls"'
        [ "$1" = install ] && shift 3 && printf "%s\n" "$@" >>'"$work/installed"'
        [ "$DEBIAN_FRONTEND" = noninteractive ]'
    fake id 'echo 0'
}

# setup WANTED_STATUS ARGUMENT
setup() {
    PATH=$fakes bash "$root/tools/setup" "$2" >"$work/said" 2>&1 </dev/null
    local status=$?
    [ $status = "$1" ] || fail "status $status, expected $1"
}

fail() {
    echo "failed: $title: $1"
    sed 's/^/  said: /' "$work/said"
    sed 's/^/  call: /' "$work/calls"
    failed=1
}
called() { grep -q -e "$1" "$work/calls" || fail "no call of $1"; }
not_called() { ! grep -q -e "$1" "$work/calls" || fail "a call of $1"; }
said() { grep -q -e "$1" "$work/said" || fail "did not say $1"; }

# The lists of packages, as the script has them.
build=() tests=() build_optional=() tests_optional=()
eval "$(sed -n '/^build=/,/^$/p' "$root/tools/setup")"
optional=("${build_optional[@]}" "${tests_optional[@]}")

title="nothing is missing"
machine "${build[@]}" "${tests[@]}" "${optional[@]}"
setup 0 tests
[ ! -s "$work/calls" ] || fail "apt was called"
[ ! -s "$work/said" ] || fail "it was not silent"

title="what is missing is installed, without an update"
machine "${build[@]}"
setup 0 tests
called "install -y --no-install-recommends ${tests[*]}\$"
called "install -y --no-install-recommends ${optional[*]}\$"
not_called update
setup 0 tests
[ "$(grep -c . "$work/calls")" = 2 ] || fail "the second run called apt again"

title="building needs no test packages"
machine build-essential
setup 0 build
called "install -y --no-install-recommends ${build[*]:1}\$"
not_called "${tests[0]}"
not_called "${tests_optional[0]}"

title="lists are updated when the package is not known"
machine "${build[@]}" "${optional[@]}"
fake apt-get 'echo "apt-get $*" >>'"$work/calls"'
    [ "$1" = update ] && touch '"$work/updated"' || [ -e '"$work/updated"' ]'
ln -s "$(command -v touch)" "$fakes/touch"
setup 0 tests
called '^apt-get update$'
[ "$(grep -c install "$work/calls")" = 2 ] || fail "not tried twice"

title="a failure names the packages"
machine pkg-config
fake apt-get 'echo "E: no such luck"; exit 100'
setup 1 build
said 'no such luck'
said "could not install ${build[0]} ${build[*]:2}"

title="optional packages may be absent"
machine "${build[@]}" "${tests[@]}"
fake apt-get 'exit 100'
setup 0 tests
said "note: without ${optional[*]} some parts are left out"

title="a user without sudo is told what to install"
machine "${build[@]}"
fake id 'echo 1000'
setup 1 tests
said 'neither root nor is there sudo'
said "apt-get install ${tests[*]}"
[ ! -s "$work/calls" ] || fail "apt was called"

title="a user with sudo is not asked without a terminal"
machine "${build[@]}"
fake id 'echo 1000'
fake sudo 'echo "sudo $*" >>'"$work/calls"'; [ "$1" = -n ] && shift; exec "$@"'
setup 0 build
setup 0 tests
called '^sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install'

title="another system is told what to install by hand"
machine
rm "$fakes/apt-get"
setup 1 tests
said 'no apt-get; please install by hand: cc pkg-config llvm-config libpcre2-8 jansson libxxhash .*cmocka'
fake cc ''
fake pkg-config 'exit 0'
fake llvm-config ""
setup 0 tests

exit $failed
