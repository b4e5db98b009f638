#!/bin/sh
# `ashlar tune`: tables, a profile that --kv-profile applies, and what is wrong is named.
. "$(dirname "$0")/common.inc"
need_model
tune="$ashlar tune -m $model -c 2000 --kv-dir $work --probe-seconds 0.1 -q"

expect 2 "$ashlar" tune
err_has 'no model given'
expect 4 $tune --kv-budget 4K
err_has 'KV budget of 4.0 KiB is too small for 2000 tokens'
err_has 'the smallest that works is'
expect 1 $tune --kv-dir "$work/nowhere"
err_has "$work/nowhere/ashlar-probe"

expect 0 $tune --kv-budget 64M -o "$work/profile"
out_has '^candidates, ms per step of 1 sequence at 2000 tokens, within 64.0 MiB$'
out_has 'chosen$'
out_has '^tok/s  *[0-9.]*  *[0-9.]*$'
[ -s "$work/err" ] && fail "stderr is not empty"
ls "$work"/ashlar-* > /dev/null 2>&1 && fail "a file was left in the folder"
expect 0 $tune --kv-budget 64M --kv-group 32 --kv-sigma 2 --batch 2 --no-measure
out_has '^  *F16  *32 .* chosen$'
out_has 'of 2 sequences'

if command -v jq > /dev/null; then
    jq -e '.format == "ashlar-kv-profile" and .kv.group_tokens >= 4 and .kv.budget_bytes == 67108864 and
        .predicted.step_s > 0 and .measured.step_s > 0 and (.device.bursts | length) == 20 and
        .predicted.resident_bytes <= .kv.budget_bytes' "$work/profile" > /dev/null || fail "the profile"
    group=$(jq .kv.group_tokens "$work/profile")
    run="$ashlar bench -m $model -p 0 -n 4 -d 1000 --fill random -r 1 -q --kv kvswap --kv-dir $work --json"
    expect 0 $run --kv-profile "$work/profile" --kv-budget 8M
    jq -e ".kv.policy != \"kvswap\" or .kv.group_tokens == $group" "$work/out" > /dev/null || fail "not applied"
    echo '{"format": "ashlar-kv-profile", "profile_version": 1, "kv": {"group_tokens": 32, "select_tokens": 64}}' \
        > "$work/small"
    expect 0 $run --kv-profile "$work/small"
    jq -e '.kv.group_tokens == 32 and .kv.select_tokens == 64' "$work/out" > /dev/null || fail "not applied"
    expect 0 $run --kv-profile "$work/small" --kv-group 8
    jq -e '.kv.group_tokens == 8 and .kv.select_tokens == 64' "$work/out" > /dev/null || fail "given must win"
fi

# another model's profile is refused; one without a fingerprint is taken
printf '{"format": "ashlar-kv-profile", "profile_version": 1, "model_fingerprint": "%s", "kv": {}}' \
    00000000deadbeef > "$work/other"
expect 3 "$ashlar" bench -m "$model" -p 4 -n 0 -r 1 --kv-profile "$work/other"
err_has 'the KV profile was made for another model (00000000deadbeef, this is [0-9a-f]*)'
err_has 'ashlar tune'
printf '{"format": "ashlar-kv-profile", "profile_version": 1, "model_fingerprint": 7, "kv": {}}' > "$work/bad"
expect 3 "$ashlar" bench -m "$model" --kv-profile "$work/bad"
err_has "$work/bad: model_fingerprint"

# profiles are files like any other
for text in '' '{' '[]' '{"format": "x"}' '{"format": "ashlar-kv-profile", "profile_version": 2, "kv": {}}'; do
    printf '%s' "$text" > "$work/bad"
    expect 3 "$ashlar" bench -m "$model" --kv-profile "$work/bad"
    err_has "$work/bad: "
done
for value in '"group_tokens": 65' '"sigma": -1' '"select_tokens": "400"' '"budget_bytes": 1.5' '"type": "q2_k"' '"metadata": "int2"'; do
    printf '{"format": "ashlar-kv-profile", "profile_version": 1, "kv": {%s}}' "$value" > "$work/bad"
    expect 3 "$ashlar" bench -m "$model" --kv-profile "$work/bad"
    err_has "$work/bad: kv\."
done
expect 1 "$ashlar" bench -m "$model" --kv-profile "$work/nothing"

exit $failed
