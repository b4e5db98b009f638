#!/bin/sh
# bench --fill random: deep contexts without a prefill, and said so; where the time and the reads of a
# token go, for each policy and for several sequences.
. "$(dirname "$0")/common.inc"
command -v jq > /dev/null || skip "no jq to read JSON with"
need_model

expect 0 "$ashlar" bench -m "$model" --fill random -d 700 -p 0 -n 4 -r 1 --kv full
out_has '^fill .*random keys and values'
out_has '^decode  *700  *4  *1 '
out_has 'ms/token  *predict  *wait  *attend  *rest'
expect 0 "$ashlar" bench -m "$model" -d 64 -p 0 -n 4 -r 1
grep -q '^fill' "$work/out" && fail "a prefill is called random"

split='.runs | all(.per_token | .ms_per_token > 0 and .attention_ms > 0 and .rest_ms >= 0 and
    ((.predict_ms + .wait_ms + .attention_ms + .rest_ms) / .ms_per_token | . > 0.99 and . < 1.01))'

expect 0 "$ashlar" bench -m "$model" --fill random -d 700 -p 8 -n 4 -r 2 --kv full --json
jq -e "$split" "$work/out" > /dev/null || fail "full: the parts of a token's time do not add up"
jq -e '.fill == "random" and .kv.policy == "full" and
    (.runs | all(.per_token | .read_bytes == 0 and .hit_rate == null))' "$work/out" > /dev/null ||
    fail "full: a field is wrong"

expect 0 "$ashlar" bench -m "$model" --fill random -d 700 -p 8 -n 4 -r 2 --kv stream --json
jq -e "$split" "$work/out" > /dev/null || fail "stream: the parts do not add up"
jq -e '.kv.policy == "stream" and (.runs | map(.kind) == ["prefill", "decode"]) and
    .runs[1].per_token.read_bytes > 200000 and .runs[1].per_token.hit_rate == null' "$work/out" > /dev/null ||
    fail "stream: a field is wrong"

for batch in 1 4; do
    expect 0 "$ashlar" bench -m "$model" --fill random -d 200,700 -p 0 -n 8 -r 2 --batch $batch --json \
        --kv kvswap --kv-select 32 --kv-reuse 32
    jq -e "$split" "$work/out" > /dev/null || fail "kvswap: the parts do not add up"
    jq -e ".kv.policy == \"kvswap\" and (.runs | map(.batch) == [$batch, $batch]) and
        (.runs[1].per_token | .predict_ms > 0 and .read_bytes > 0 and .hit_rate > 0 and .hit_rate < 1) and
        .kv.resident_bytes > 0" "$work/out" > /dev/null || fail "kvswap: a field is wrong"
done

expect 2 "$ashlar" bench -m "$model" --fill half
err_has "option --fill: 'half' is neither prompt nor random"

exit $failed
