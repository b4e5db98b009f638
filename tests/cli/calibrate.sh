#!/bin/sh
# `ashlar calibrate`: the adapter is written, found beside the model, named in the report; a wrong one is refused.
. "$(dirname "$0")/common.inc"
need_model
head -c 5000 "$root/docs/design.md" > "$work/text"
base=${model%.gguf}

expect 2 "$ashlar" calibrate -m "$model" -o "$work/a.gguf"
err_has 'no text given'
expect 1 "$ashlar" calibrate -m "$model" -f "$work/nothing" -o "$work/a.gguf"
: > "$work/empty"
[ -e "$work/a.gguf" ] && fail "a failed calibration left a file"
expect 0 "$ashlar" calibrate -m "$model" -f "$work/text" -o "$work/a.gguf" --tokens 600 --ctx 256 -q
out_has 'a.gguf: rank [0-9]* of [0-9]*, fitted to 600 tokens; holds [0-9.]* % of the scores'
[ -s "$work/err" ] && fail "stderr is not empty"
if command -v jq > /dev/null; then
    expect 0 "$ashlar" calibrate -m "$model" -f "$work/text" -o "$work/a.gguf" --tokens 600 --ctx 256 -q --json
    jq -e '.tokens == 600 and .sequence == 256 and .rank <= .width and .energy_least <= .energy_mean' \
        "$work/out" > /dev/null || fail "JSON"
fi

# a run with kvswap takes the file that is named, or lies beside the model
swap="-f $work/text --raw -n 2 -c 6000 --kv kvswap --kv-select 64 --kv-dir $work --kv-check 1"
expect 0 "$ashlar" run -m "$model" $swap --kv-adapter "$work/a.gguf"
err_has "adapter $work/a.gguf"
err_has 'attention caught [0-9.]* % (by layer:'
expect 0 "$ashlar" run -m "$model" $swap
grep -q 'adapter' "$work/err" && fail "an adapter from nowhere"
mv "$work/a.gguf" "$base.adapter.gguf"
expect 0 "$ashlar" run -m "$model" $swap
err_has "adapter $base.adapter.gguf"
expect 0 "$ashlar" run -m "$model" $swap --kv-adapter none
grep -q "adapter " "$work/err" && fail "--kv-adapter none used one"
if command -v jq > /dev/null; then
    expect 0 "$ashlar" run -m "$model" $swap --json -q
    jq -e '(.kv.adapter | endswith(".adapter.gguf")) and (.kv.recall | length > 0) and
        ([.kv.recall[] | .steps > 0 and .mean > 0 and .mean <= 1 and .least <= .mean] | all)' \
        "$work/out" > /dev/null || fail "JSON"
fi

# the layers' ranks follow from the file, unless they are given
if command -v jq > /dev/null; then
    expect 0 "$ashlar" run -m "$model" $swap --kv-rank 24 --json -q
    jq -e '(.kv.ranks | length > 0) and (.kv.ranks | add <= 24 * length) and
        ([.kv.ranks[] | . == 0 or . >= 16] | all)' "$work/out" > /dev/null || fail "ranks from the file"
    expect 0 "$ashlar" run -m "$model" $swap --kv-ranks 24 --json -q
    jq -e '[.kv.ranks[] | . == 24] | all' "$work/out" > /dev/null || fail "--kv-ranks does not win"
    expect 0 "$ashlar" run -m "$model" $swap --kv-adapter none --kv-rank 24 --json -q
    jq -e '[.kv.ranks[] | . == 24] | all' "$work/out" > /dev/null || fail "ranks without a file"
fi

# another model's adapter, and a file that is none
if [ -x "$build/tools/mkmodel" ]; then
    "$build/tools/mkmodel" -q --preset tiny --layers 3 -o "$work/other.gguf" || fail "mkmodel"
    expect 3 "$ashlar" run -m "$work/other.gguf" $swap --kv-adapter "$base.adapter.gguf"
    err_has 'key ashlar.adapter.model_fingerprint: the adapter was made for another model'
fi
expect 3 "$ashlar" run -m "$model" $swap --kv-adapter "$model"
err_has 'key general.architecture: the file is not an adapter'
expect 1 "$ashlar" run -m "$model" $swap --kv-adapter "$work/nothing.gguf"

ls "$work"/ashlar-*.kv > /dev/null 2>&1 && fail "KV files were left"
exit $failed
