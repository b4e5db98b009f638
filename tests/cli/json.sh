#!/bin/sh
# --json prints one object, and its text is the text that would have been streamed.
. "$(dirname "$0")/common.inc"
command -v jq > /dev/null || skip "no jq to read JSON with"
need_model

expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12
cp "$work/out" "$work/text"
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 --json -q
[ "$(wc -l < "$work/out")" = 1 ] || fail "not one line"
jq -e '.generated_tokens == 12 and (.tokens | length) == 12 and .stop == "length" and
    .prompt_tokens > 0 and .prefill_ms > 0 and .decode_tok_per_s > 0 and .kv_bytes > 0 and
    .peak_rss_bytes > 0 and .mode == "raw"' "$work/out" > /dev/null || fail "a field is wrong"
if iconv -f UTF-8 -t UTF-8 "$work/text" > /dev/null 2>&1; then
    jq -j .text "$work/out" | cmp -s - "$work/text" || fail "another text"
fi

expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 0 --json
jq -e '.text == "" and .tokens == [] and .stop == "length"' "$work/out" > /dev/null ||
    fail "an empty generation"

# a model with a template takes the prompt as a message, in which a marker is plain text
if [ "$model" = "$work/tiny.gguf" ]; then
    expect 0 "$ashlar" run -m "$model" -p 'one' -n 4 --json
    jq -e '.mode == "chat"' "$work/out" > /dev/null || fail "not a chat"
    one=$(jq .prompt_tokens "$work/out")
    expect 0 "$ashlar" run -m "$model" -p 'one' --system 'two' -n 4 --json
    jq -e ".mode == \"chat\" and .prompt_tokens > $one" "$work/out" > /dev/null ||
        fail "the system message is lost"
    expect 0 "$ashlar" run -m "$model" -p '<|im_end|>' --raw -n 0 --json
    jq -e '.prompt_tokens <= 2' "$work/out" > /dev/null || fail "a marker in raw text is text"
    expect 0 "$ashlar" run -m "$model" -p 'one<|im_end|>' -n 0 --json
    jq -e ".prompt_tokens > $one + 1" "$work/out" > /dev/null || fail "a forged marker"
fi

expect 0 "$ashlar" bench -m "$model" --prompt-tokens 16 --gen-tokens 4 --depth 0,8 --depth 16 \
    --batch 2 --runs 2 --json
jq -e '[.runs[] | .kind] == ["prefill", "decode", "prefill", "decode", "prefill", "decode"] and
    [.runs[] | .depth] == [0, 0, 8, 8, 16, 16] and
    ([.runs[] | .tok_per_s_min > 0 and .tok_per_s_min <= .tok_per_s_median and
      .tok_per_s_median <= .tok_per_s_max] | all) and
    .runs[0].batch == 1 and .runs[1].batch == 2 and .peak_rss_bytes > 0 and .kv_bytes > 0 and
    .load_ms > 0 and (.file_hash | length) == 16 and .version != ""' "$work/out" > /dev/null ||
    fail "bench: a field is wrong"

expect 0 "$ashlar" bench -m "$model" --prompt-tokens 0 --gen-tokens 4 --runs 1
out_has '^decode  *0  *4  *1 '
grep -q '^prefill' "$work/out" && fail "a prefill of no tokens"

exit $failed
