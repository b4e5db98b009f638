#!/bin/sh
# `ashlar inspect`: what a file holds, as text and as JSON; wrong files are named and exit with 3.
. "$(dirname "$0")/common.inc"
mkmodel=$build/tools/mkmodel
[ -x "$mkmodel" ] || skip "no tools/mkmodel"
model=$work/qwen.gguf
"$mkmodel" -q --arch qwen3 --type Q4_K --untied --rope-scaling yarn --layers 3 -o "$model" || exit 1

expect 0 "$ashlar" inspect "$model"
[ "$(head -n 1 "$work/out")" = "$model" ] || fail "the first line names the file"
out_has '^  architecture  qwen3$'
out_has '^  shape         3 layers, 256 wide, feed-forward 512, vocabulary 512$'
out_has '^  attention     4 heads of 64, 2 for keys and values$'
out_has 'scaling yarn by 4 from 512 tokens$'
out_has '^  tokenizer     BPE llama-bpe, 512 tokens, BOS 508, EOS 509$'
out_has '^  chat          chatml$'
out_has '^    Q4_K  *21 tensors '
out_has '^    Q6_K  *2 tensors '
out_has '^  memory .* for 2048 tokens: '

if command -v jq > /dev/null; then
    expect 0 "$ashlar" inspect --json --ctx 100 "$model"
    [ "$(wc -l < "$work/out")" = 1 ] || fail "not one line"
    jq -e '.architecture == "qwen3" and .shape.layers == 3 and .shape.tied == false and
        .rope.scaling == "yarn" and .tokenizer.kind == "BPE llama-bpe" and
        .chat_family == "chatml" and .memory.context == 100 and .gguf_version == 3 and
        ([.types[] | .bytes] | add) == .weights_bytes and
        ([.types[] | .values] | add) == .values and
        .memory.weights_bytes == .weights_bytes and
        .memory.total_bytes == .memory.weights_bytes + .memory.kv_bytes + .memory.activation_bytes
        ' "$work/out" > /dev/null || fail "a field is wrong"
    kv=$(jq .memory.kv_bytes "$work/out")
    expect 0 "$ashlar" inspect --json --ctx 100000 "$model"
    jq -e ".memory.kv_bytes > 500 * $kv" "$work/out" > /dev/null || fail "KV does not grow"
fi

# files that are cut, empty of sense or not there
size=$(wc -c < "$model")
head -c $((size - 1)) "$model" > "$work/cut.gguf"
expect 3 "$ashlar" inspect "$work/cut.gguf"
err_has 'cut.gguf: offset [0-9]*: tensor blk.2.ffn_down.weight: data .* runs past the end of the file'
[ -s "$work/out" ] && fail "stdout of a failure"
printf 'GGUF' > "$work/short.gguf"
expect 3 "$ashlar" inspect "$work/short.gguf"
err_has 'short.gguf: offset 4: the file ends in the middle of the version'
expect 3 "$ashlar" inspect "$0"
err_has 'offset 0: not a GGUF file'
expect 1 "$ashlar" inspect "$work/nothing.gguf"
err_has 'nothing.gguf: No such file'
expect 3 "$ashlar" inspect "$work"
expect 2 "$ashlar" inspect
expect 2 "$ashlar" inspect "$model" "$model"
expect 2 "$ashlar" inspect "$model" --ctx -1
expect 2 "$mkmodel" --type Q9_9 -o "$work/x.gguf"
expect 2 "$mkmodel" --preset huge -o "$work/x.gguf"
expect 2 "$mkmodel" --heads 3 --kv-heads 2 -o "$work/x.gguf"
expect 2 "$mkmodel"
[ -e "$work/x.gguf" ] && fail "a file of a failure"

# the same options give the same bytes; another seed does not
"$mkmodel" -q --type Q5_K --seed 7 -o "$work/a.gguf" || fail "mkmodel"
"$mkmodel" -q --type Q5_K --seed 7 -o "$work/b.gguf" || fail "mkmodel"
"$mkmodel" -q --type Q5_K --seed 8 -o "$work/c.gguf" || fail "mkmodel"
cmp -s "$work/a.gguf" "$work/b.gguf" || fail "the same seed, other bytes"
cmp -s "$work/a.gguf" "$work/c.gguf" && fail "another seed, the same bytes"

exit $failed
