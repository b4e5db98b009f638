#!/bin/sh
# The KV cache's options: policies give the text they should, mistakes are named, files come and go, a disk
# that is missing, full or shared is told from one that works.
. "$(dirname "$0")/common.inc"
need_model
mounted=
loop=
trap '[ -z "$mounted" ] || umount "$mounted"; [ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"' EXIT

dir=$work/kv
mkdir "$dir"
i=0
while [ $i -lt 150 ]; do
    echo "line $i of a prompt"
    i=$((i + 1))
done > "$work/prompt.txt"

# run CODE OPTIONS...: a prompt of some 2,000 tokens, 20 more
run()
{
    wanted=$1
    shift
    expect "$wanted" "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 20 --ctx 4096 --kv-dir "$dir" "$@"
}

no_files() { [ -z "$(ls -A "$dir")" ] || fail "files left: $(ls "$dir")"; }

same_text() { cmp -s "$work/out" "$work/full" || fail "another text than with everything in memory"; }

# ---- policies ----

run 0 --kv full
cp "$work/out" "$work/full"
err_has 'full, .* in memory'
run 0 --kv stream
same_text
err_has 'stream, .* on disk, .* read'
run 0 --kv kvswap --kv-reuse 4096 # all of it fits the reuse buffer
same_text
no_files
run 0
same_text
run 0 --kv auto --kv-budget 1/1
err_has 'full, '

for options in '' '--threads 1' '--io threads' '--kv-mass 0.9' '--kv-type q8_0' '--kv-check 2' '--kv-sigma 32' \
    '--io-rate 500M --io-latency 100us' '--kv-group 8 --kv-recent 64 --kv-quota 1G'; do
    # shellcheck disable=SC2086
    run 0 --kv kvswap --kv-select 64 $options
    err_has 'kvswap, .* in memory, .* on disk'
    [ -s "$work/out" ] || fail "no text"
    no_files
done
run 0 --kv kvswap --kv-select 64 --threads 1 --io threads
cp "$work/out" "$work/one"
run 0 --kv kvswap --kv-select 64 --threads 2
cmp -s "$work/out" "$work/one" || fail "threads or the kind of I/O change the text"

# ---- bench and eval ----

expect 0 "$ashlar" bench -m "$model" --kv kvswap --kv-select 64 --kv-dir "$dir" -d 600 -p 16 -n 4 -r 1
out_has 'kvswap'
expect 0 "$ashlar" bench -m "$model" --kv stream --kv-dir "$dir" -d 600 -p 0 -n 4 -r 1 -b 2 --json
out_has '"policy": *"stream"'
no_files

# ---- mistakes ----

# wrong CODE TEXT OPTIONS...
wrong()
{
    code=$1
    text=$2
    shift 2
    for command in 'run --raw -p x --ctx 4096' 'bench -p 4 -n 1 -r 1'; do
        # shellcheck disable=SC2086
        expect "$code" "$ashlar" $command -m "$model" "$@"
        out_is ''
        err_has "$text"
    done
}

wrong 2 'KV policy ful: not auto' --kv ful
wrong 2 "'many' is neither" --kv-budget many
wrong 2 "'1/0' is neither" --kv-budget 1/0
wrong 2 "'1/x' is neither" --kv-budget 1/x
wrong 2 "'0' is neither" --kv-budget 0
wrong 2 'KV groups of 5 tokens' --kv kvswap --kv-group 5
wrong 2 'kv-group' --kv-group 128
wrong 2 'kv-select' --kv-select -1
wrong 2 'KV type q3: not f16' --kv-type q3
wrong 2 'I/O kind floppy' --kv stream --io floppy
wrong 2 'not a time' --io-latency 5
wrong 2 'not a time' --io-latency 5min
wrong 2 'io-rate' --io-rate fast
wrong 2 'kv-mass' --kv-mass 2
wrong 4 'KV budget of 1000 B is too small' --kv kvswap --kv-budget 1000
wrong 4 'KV budget of 1000 B is too small' --kv stream --kv-budget 1000
wrong 4 'KV budget of 1000 B is too small' --kv full --kv-budget 1000

# the smallest budget that the hint names works
run 4 --kv kvswap --kv-budget 1000
err_has '^hint: the smallest that works is '
least=$(sed -n 's/.*(\([0-9]*\) bytes).*/\1/p' "$work/err")
run 0 --kv kvswap --kv-budget "$least"
run 4 --kv kvswap --kv-budget $((least - 1))

# ---- the folder ----

expect 1 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 2 --ctx 4096 --kv stream --kv-dir "$work/missing"
err_has "$work/missing/ashlar-.*: cannot create the KV file: No such file"
err_has '^hint: --kv-dir'
expect 1 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 2 --ctx 4096 --kv stream --kv-dir "$model"
err_has 'Not a directory'
if [ "$(id -u)" != 0 ]; then
    chmod 500 "$dir"
    run 1 --kv stream
    err_has 'Permission denied'
    chmod 700 "$dir"
fi
(
    TMPDIR=$work/missing
    export TMPDIR
    expect 1 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 2 --ctx 4096 --kv stream
    err_has "$work/missing/ashlar-"
    exit $failed
) || failed=1
run 4 --kv stream --kv-quota 100K
err_has 'disk quota of 102400 bytes is used up'
err_has '^hint: a higher --kv-quota'
no_files

# a disk that is full
mkdir "$work/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=256k tmpfs "$work/small" 2> "$work/mount.log"; then
    mounted=$work/small
    expect 4 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 20 --ctx 4096 --kv stream --kv-dir "$mounted"
    err_has "$mounted/ashlar-.*No space left on device"
    [ -z "$(ls -A "$mounted")" ] || fail "a file is left on the full disk"
    expect 0 "$ashlar" run -m "$model" --raw -p 'short enough' -n 20 --ctx 4096 --kv stream --kv-dir "$mounted"
    umount "$mounted" && mounted=
else
    echo "no tmpfs to fill: needs root"
fi

# a disk of larger sectors than groups are padded to: through the page cache, and said so
mkdir "$work/sectors"
if [ "$(id -u)" = 0 ] && command -v mkfs.ext4 > /dev/null && head -c 16M /dev/zero > "$work/disk" &&
    loop=$(losetup --sector-size 4096 --direct-io=on -f --show "$work/disk" 2> "$work/mount.log"); then
    if mkfs.ext4 -q "$loop" 2> "$work/mount.log" && mount "$loop" "$work/sectors" 2> "$work/mount.log"; then
        mounted=$work/sectors
        for type in f16 q8_0; do
            expect 0 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 20 --ctx 4096 --kv stream \
                --kv-type $type --kv-group 8 --kv-dir "$mounted"
        done
        err_has 'on disk, .* read (.* through the page cache, groups of 8)'
        umount "$mounted" && mounted=
    fi
    losetup -d "$loop" && loop=
else
    echo "no disk of large sectors: needs root and losetup"
fi

# ---- files of other processes ----

# started in the background; returns when a KV file exists
start()
{
    : > "$work/out"
    "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 100000 --ctx 120000 --kv stream --kv-dir "$dir" \
        --io-latency 1ms > "$work/out" 2> "$work/err" &
    pid=$!
    tries=0
    until [ -s "$work/out" ] || [ $tries -ge 400 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    [ "$(ls "$dir" | wc -l)" = "$1" ] || fail "$(ls "$dir" | wc -l) KV files, expected $1"
}

# interrupted or asked to end: the file is gone
for signal in INT TERM HUP; do
    start 1
    kill -$signal $pid
    wait $pid
    code=$?
    [ $code = 130 ] || fail "exit code $code after SIG$signal"
    no_files
done

# killed: the file stays, says "open", and is neither used nor touched by a later run
start 1
kill -KILL $pid
wait $pid 2> /dev/null
left=$(ls "$dir")
[ "$(stat -c %a "$dir/$left")" = 600 ] || fail "the file's mode is $(stat -c %a "$dir/$left")"
header=$(od -An -tu4 -N16 "$dir/$left" | tr -s ' ')
case $header in
*' 2 1') ;; # version 2, state open
*) fail "header of a killed process's file: $header" ;;
esac
cksum < "$dir/$left" > "$work/before"
run 0 --kv stream
same_text
[ "$(ls "$dir")" = "$left" ] || fail "files: $(ls "$dir")"
cksum < "$dir/$left" | cmp -s - "$work/before" || fail "a later run changed a dead one's file"
rm "$dir/$left"

# two at once in one folder
for n in 1 2; do
    "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 20 --ctx 4096 --kv stream --kv-dir "$dir" -q > "$work/both$n" &
    eval "pid$n=$!"
done
wait "$pid1" || fail "the first of two processes failed"
wait "$pid2" || fail "the second of two processes failed"
cmp -s "$work/both1" "$work/full" && cmp -s "$work/both2" "$work/full" || fail "two processes disturb each other"
no_files

exit $failed
