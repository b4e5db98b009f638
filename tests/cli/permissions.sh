#!/usr/bin/env bash
# Files and folders that may not be read or written: the message names them, the exit code is 1, and
# what can be known before a model works is said before.
. "$(dirname "$0")/common.inc"
ashcc=$build/ashcc
[ -x "$ashcc" ] && [ -x "$build/tools/mkmodel" ] || skip "no ashcc or tools/mkmodel in $build"
need_ordinary_user "$work/own" || skip "root, and setpriv cannot make it an ordinary user here"
cd "$work/own" || exit 1
export TMPDIR="$PWD" HOME="$PWD" ASHLAR_SHARE="$root/share"
unset XDG_CACHE_HOME
$ordinary "$build/tools/mkmodel" --preset tiny -o tiny.gguf 2> "$work/err" || exit 1
$ordinary mkdir shut blind
head -c 5000 "$root/docs/design.md" | $ordinary tee text closed closed.i > "$work/out"
echo 'int main(void) { return 0; }' | $ordinary tee m.c closed.c > "$work/out"
$ordinary cp tiny.gguf closed.gguf
$ordinary chmod 000 closed closed.c closed.i closed.gguf blind
$ordinary chmod 555 shut

# denied BEGINNING COMMAND...: fails with a message that begins so
denied()
{
    says=$1
    shift
    expect 1 $ordinary "$@"
    err_has "$says.*Permission denied"
}

# ---- ashlar: models, prompts, texts, the folder of the KV cache, what it writes
for name in closed.gguf blind/x.gguf; do
    denied "^ashlar: $name:" "$ashlar" run -m $name -p x -n 1
    denied "^ashlar: $name:" "$ashlar" inspect $name
    denied "^ashlar: $name:" "$ashlar" bench -m $name
done
denied '^ashlar: closed:' "$ashlar" run -m tiny.gguf -f closed -n 1
denied '^ashlar: closed:' "$ashlar" run -m tiny.gguf -p x -n 1 --kv kvswap --kv-adapter closed
for dir in shut shut/deeper blind; do
    [ $dir = shut/deeper ] && why='No such file' || why='Permission denied'
    expect 1 $ordinary "$ashlar" run -m tiny.gguf --raw -f text -n 2 --ctx 6000 --kv stream --kv-dir $dir
    err_has "^ashlar: $dir/ashlar-.*: cannot create the KV file: $why"
    err_has '^hint: --kv-dir'
done
denied '^ashlar: closed:' "$ashlar" calibrate -m tiny.gguf -f closed -o adapter
denied '^ashlar: cannot write shut/adapter:' "$ashlar" calibrate -m tiny.gguf -f text -o shut/adapter
denied '^ashlar: shut/' "$ashlar" tune -m tiny.gguf --kv-dir shut -o profile
denied '^ashlar: cannot write shut/profile:' "$ashlar" tune -m tiny.gguf --kv-budget 2M -o shut/profile

# ---- ashcc: sources, what translators read
for name in closed.c closed.i blind/x.c; do
    denied "^ashcc: $name:" "$ashcc" -c $name -o x.o
    [ "$(wc -l < "$work/err")" = 1 ] || fail "more than one line"
done
denied '^ashcc: closed.gguf:' "$ashcc" --model closed.gguf -c m.c
denied '^ashcc: closed:' "$ashcc" --translator=replay:closed -c m.c
denied '^ashcc: closed:' "$ashcc" --model tiny.gguf --prompt closed -c m.c
denied '^ashcc: cannot run ./closed:' "$ashcc" --cc=./closed -c m.c

# ---- outputs: before the model is looked for
never="$ashcc --cache=off --model missing.gguf"
denied '^ashcc: cannot write shut/m.o:' $never -c m.c -o shut/m.o
denied '^ashcc: cannot write shut/m.s:' $never -S m.c -o shut/m.s
denied '^ashcc: cannot write shut/m:' $never m.c -o shut/m
denied '^ashcc: cannot write blind/m.o:' $never -c m.c -o blind/m.o
denied '^ashcc: cannot write shut/m.d:' $never -MD -MF shut/m.d -c m.c
denied '^ashcc: cannot write shut/r.json:' $never --report=shut/r.json -c m.c
denied '^ashcc: cannot make a folder in shut:' env TMPDIR=shut $never -c m.c
for words in '-c ../m.c' '-S ../m.c' ../m.c; do
    (cd shut && denied '^ashcc: cannot write \(m.o\|m.s\|a.out\):' $never $words; exit $failed) || failed=1
done
$ordinary touch old.o
$ordinary chmod 444 old.o
expect 0 $ordinary "$ashcc" --cache=off -c m.c -o old.o # replaced, as cc does
[ -s old.o ] || fail "the output was not replaced"

# ---- caches: one that was asked for has to be there, the usual one may be out of reach
denied '^ashcc: cannot make the folder of cache shut/c/' "$ashcc" --cache=shut/c -c m.c
$ordinary mkdir usual
expect 0 $ordinary env XDG_CACHE_HOME="$PWD/usual" "$ashcc" -c m.c
$ordinary chmod 000 usual/ashlar/fragments.db
expect 0 $ordinary env XDG_CACHE_HOME="$PWD/usual" "$ashcc" -c m.c
err_has 'warning: cannot open cache .*/fragments.db: Permission denied; going on without a cache'
denied '^ashcc: cannot open cache usual/ashlar/fragments.db:' "$ashcc" --cache=usual/ashlar -c m.c
expect 0 $ordinary env XDG_CACHE_HOME="$PWD/shut" "$ashcc" -c m.c
err_has 'warning: .*going on without a cache'

[ -z "$(find . -name '*.tmp' -o -name 'ashcc.*')" ] || fail "left: $(find . -name '*.tmp' -o -name 'ashcc.*')"
$ordinary chmod 755 shut blind
exit $failed
