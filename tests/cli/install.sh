#!/bin/sh
# make install into an empty folder; a program that knows only the installed files builds and runs,
# with the shared and with the static library; uninstall leaves nothing behind.
. "$(dirname "$0")/common.inc"
command -v pkg-config > /dev/null || skip "no pkg-config"
command -v make > /dev/null || skip "no make"
nm -D "$build/libashlar.so" 2> /dev/null | grep -q -e __asan -e __ubsan -e __tsan &&
    skip "a sanitised library needs the sanitiser's run-time in every program"
CC=${CC:-cc}
dest=$work/root
usr=$dest/usr
unset MAKEFLAGS MAKELEVEL MFLAGS

expect 0 make -s -C "$root" O="$build" CC="$CC" DESTDIR="$dest" PREFIX=/usr install
for file in bin/ashlar lib/libashlar.a lib/libashlar.so lib/libashlar.so.0 include/ashlar.h \
    lib/pkgconfig/ashlar.pc share/man/man1/ashlar.1 share/bash-completion/completions/ashlar; do
    [ -s "$usr/$file" ] || fail "not installed: $file"
done
[ "$(ls "$usr/include")" = ashlar.h ] || fail "more headers than one"
grep -q @ "$usr/lib/pkgconfig/ashlar.pc" && fail "a gap is left in ashlar.pc"

# only ashlar_* may be seen from outside
nm -D --defined-only "$usr/lib/libashlar.so" | awk '$3 !~ /^ashlar_/ { print $3 }' > "$work/out"
[ -s "$work/out" ] && fail "the shared library shows other names"

PKG_CONFIG_PATH=$usr/lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$dest
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cp "$root/examples/generate.c" "$root/examples/batch.c" "$work"
cd "$work" || exit 1
static=$(pkg-config --static --libs ashlar | sed 's/-lashlar/-l:libashlar.a/')
for name in generate batch; do
    # shellcheck disable=SC2046,SC2086
    expect 0 $CC -std=c11 -Wall -Werror $name.c $(pkg-config --cflags --libs ashlar) -o $name-so
    # shellcheck disable=SC2046,SC2086
    expect 0 $CC -std=c11 -Wall -Werror $name.c $(pkg-config --cflags ashlar) $static -o $name-a
done
[ $failed = 0 ] || exit 1

if [ -f "$root/models/recall.gguf" ] || [ -x "$build/tools/mkmodel" ]; then
    need_model
    [ -f "$root/models/recall.gguf" ] && model=$root/models/recall.gguf
    expect 0 ./generate-a "$model" 'one two' 8
    cp out text
    expect 0 env LD_LIBRARY_PATH="$usr/lib" ./generate-so "$model" 'one two' 8
    cmp -s out text || fail "shared and static library disagree"
    expect 0 ./batch-a "$model" 'one' 'one two' 'three'
    [ "$(grep -c . out)" -ge 3 ] || fail "batch printed too little"
fi

expect 0 make -s -C "$root" O="$build" CC="$CC" DESTDIR="$dest" PREFIX=/usr uninstall
left=$(find "$dest" ! -type d)
[ -z "$left" ] || fail "uninstall left $left"

exit $failed
