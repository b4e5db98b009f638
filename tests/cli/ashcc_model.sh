#!/bin/sh
# ashcc with its default translator, the block model in models/: each program of examples/ashcc is compiled with
# an empty cache and nothing left to cc, and prints what it should.
. "$(dirname "$0")/common.inc"

ashcc=$build/ashcc
[ -x "$ashcc" ] || skip "no ashcc in $build"
[ -s "$root/models/mason.gguf" ] || skip "no models/mason.gguf"
cd "$work" || exit 1
export XDG_CACHE_HOME="$work/home"

for source in "$root"/examples/ashcc/*.c; do
    name=$(basename "$source" .c)
    expect 0 "$ashcc" --quiet --cache=off --model "$root/models/mason.gguf" --vectors=200 \
        --report="$name.json" -o "$name" "$source"
    expect 0 ./"$name"
    cmp -s "$work/out" "${source%.c}.expected" || fail "$name prints something else"
    grep -q '"rejected": *0' "$name.json" || fail "$name: a block was rejected"
    ! grep -q '"by_cc": *true' "$name.json" || fail "$name: cc compiled a function"
done
exit "$failed"
