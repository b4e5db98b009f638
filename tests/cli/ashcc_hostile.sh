#!/bin/sh
# ashcc where things go wrong around it: outputs that cannot be written, full disks, caches that are damaged,
# signals. It says what happened in a line, ends with the documented code, and leaves nothing behind.
. "$(dirname "$0")/common.inc"

ashcc=$build/ashcc
teacher=$build/tools/teacher
[ -x "$ashcc" ] && [ -x "$teacher" ] || skip "no ashcc or tools/teacher in $build"
need_verifier
cd "$work" || exit 1
unset ASHCC_CC
export XDG_CACHE_HOME="$work/home" ASHLAR_SHARE="$root/share" TMPDIR="$work/tmp"
mkdir -p tmp folder

echo 'int half(int n) { return n / 2; }  int twice(int n) { return n > 9 ? n + n : 0; }' > half.c
"$ashcc" --cache=off --dump=blocks half.c > blocks.txt && "$teacher" blocks.txt > t.jsonl 2> log ||
    { cat log; exit 1; }
plain="$ashcc --cache=off --vectors=50 --translator=replay:t.jsonl"

nothing_left() # WHERE
{
    [ -z "$(find . -name '*.tmp')" ] || fail "drafts are left: $(find . -name '*.tmp')"
    [ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
}

# ---- outputs
for output in /dev/full missing/x.o folder; do
    expect 1 $plain -c half.c -o $output
    expect 1 $plain -S half.c -o $output
done
err_has 'cannot write folder: Is a directory'
[ -d folder ] && [ -c /dev/full ] || fail "an output that is no file was replaced"
expect 1 $plain -c half.c -o half.o --report=/dev/full
err_has 'cannot write /dev/full: No space left'
for words in --version --man --help "--dump=asm half.c" "--explain -c half.c" \
    "--differential 2 -c half.c"; do
    last="$plain $words > /dev/full"
    $plain $words > /dev/full 2> err
    [ $? = 1 ] || fail "a lost output is no failure"
    : > out
done
(ulimit -f 0; trap '' XFSZ; $plain -S half.c -o limited.s) > out 2> err && fail "more than the limit was written"
[ ! -e limited.s ] || fail "a part of an output is there"
echo '#include <stdlib.h>' | cat - half.c > large.c
last="preprocessed text that does not fit"
(ulimit -f 4; trap '' XFSZ; exec $plain -c large.c -o limited.o) > out 2> err
[ $? = 1 ] || fail "it does not end as a failure to write"
err_has 'cannot write .*/tmp/ashcc[^/]*/0.i: File too large'
nothing_left

# ---- inputs and words
expect 1 "$ashcc" --cache=off --translator=replay:missing -c half.c
expect 1 "$ashcc" --cache=off --translator=replay:folder -c half.c
expect 3 "$ashcc" --cache=off --model half.c -c half.c
expect 1 "$ashcc" --cc=missing-cc -c half.c
err_has 'cannot run missing-cc'
expect 1 "$ashcc" @missing
expect 2 "$ashcc" --jobs
expect 2 "$ashcc" --jobs=0 half.c
expect 2 "$ashcc" -c half.c -o
expect 1 env TMPDIR=/missing "$ashcc" -c half.c
expect 0 $plain --jobs=1 --threads=1 -c half.c
nothing_left

# ---- caches
expect 0 "$ashcc" --cache=kept --vectors=50 --translator=replay:t.jsonl -c half.c
for at in 0 20 100 2000 4096 5000 8192 9000 12288 16384; do
    rm -rf bent && cp -r kept bent
    printf '\377\377\377\377\377\377\377\377\377\377' |
        dd of=bent/fragments.db bs=1 seek=$at conv=notrunc 2> log
    last="a cache with ten bytes changed at $at"
    "$ashcc" --cache=bent --vectors=50 --translator=replay:t.jsonl -c half.c -o bent.o > out 2> err
    code=$?
    [ $code = 0 ] || [ $code = 3 ] || fail "exit code $code"
    [ $code = 0 ] || err_has 'it is damaged'
done
expect 1 "$ashcc" --cache=half.c -c half.c
err_has 'cannot open cache'
# A cache that is larger than the limit (16 or 32 KiB, as the shell counts) already: it can only fail to grow. (No
# references are built here, which would fail for the same reason.)
n=0 sum=n
while [ $n -lt 60 ]; do
    sum="$sum + s[$n]"
    echo "int many$n(int n, short *s) { return $sum; }"
    n=$((n + 1))
done > many.c
many="$ashcc --granularity=statement --verify=assemble"
$many --cache=off --dump=blocks many.c > blocks.txt && "$teacher" blocks.txt > many.jsonl 2> log ||
    { cat log; exit 1; }
expect 0 $many --cache=full --translator=replay:many.jsonl -c many.c
[ "$(stat -c %s full/fragments.db)" -gt 65536 ] || fail "the cache is too small for this test"
(ulimit -f 32; trap '' XFSZ; exec "$ashcc" --cache=full --verify=assemble --translator=replay:t.jsonl -S half.c -o f.s) \
    > out 2> err
code=$?
last="a cache that cannot grow"
[ $code = 0 ] || fail "exit code $code"
err_has 'warning: [a-z]*ing cache full/fragments.db: .*; going on without it'
[ -s f.s ] || fail "no output"
last="statistics that are lost"
"$ashcc" --cache=kept --cache-stats > /dev/full 2> err
[ $? = 1 ] || fail "a lost output is no failure"
nothing_left

# ---- killed: nothing is left, whichever step it was
empty_soon()
{
    for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -z "$(ls -A tmp)" ] && break
        sleep 0.3
    done
    nothing_left
}
kill_when() # COMMAND PATTERN: when the driver runs a child whose command line has it
{
    $1 > out 2> err &
    pid=$!
    for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        for child in $(cat /proc/$pid/task/$pid/children 2> log); do
            tr '\0' ' ' 2> log < "/proc/$child/cmdline" | grep -q -e "$2" && break 2
        done
        child=
        sleep 0.3
    done
    [ -n "$child" ] || fail "it never ran $2"
    sleep 0.5
    [ -n "$(ls -A tmp)" ] || fail "no folder while it runs"
    kill -9 $pid
    wait $pid 2> log
    empty_soon
}
cat > slow << 'EOF'
#!/bin/sh
case " $* " in *" $SLOW "*) sleep 2 ;; esac
exec cc "$@"
EOF
chmod +x slow
for SLOW in -E -c; do
    export SLOW
    last="kill -9 during cc $SLOW"
    kill_when "$plain --verify=assemble --cc=./slow -c half.c -o killed.o" "slow.* $SLOW "
    [ ! -e killed.o ] || fail "an output of a compilation that was killed"
done
last="kill -9 while a server is waited for"
kill_when "$ashcc --cache=off --endpoint http://127.0.0.1:1/v1 -c half.c -o killed.o" ashcc-unit
[ ! -e killed.o ] || fail "an output of a compilation that was killed"

exit $failed
