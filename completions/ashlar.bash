# bash completion for ashlar, made by `ashlar help --completion`
_ashlar()
{
    local cur=${COMP_WORDS[COMP_CWORD]} commands="run bench eval calibrate tune inspect version help" words=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
        return
    fi
    case ${COMP_WORDS[1]} in
    run) words="-m --model -p --prompt -f --file -n --tokens -s --system --chat --no-chat --raw --no-raw --thinking --no-thinking --echo --no-echo -t --temp --top-k --top-p --min-p --repeat-penalty --repeat-last --seed --stop -c --ctx -b --batch --json --no-json -q --quiet --no-quiet -j --threads --isa --map --no-map --kv --kv-budget --kv-type --kv-dir --kv-quota --kv-group --kv-select --kv-reuse --kv-recent --kv-metadata --kv-sigma --kv-rank --kv-ranks --kv-scoring --kv-mass --kv-profile --kv-adapter --kv-check --io --io-rate --io-latency --help" ;;
    bench) words="-m --model -p --prompt-tokens -n --gen-tokens -d --depth --fill -b --batch --pass -r --runs --json --no-json -q --quiet --no-quiet -j --threads --isa --map --no-map --kv --kv-budget --kv-type --kv-dir --kv-quota --kv-group --kv-select --kv-reuse --kv-recent --kv-metadata --kv-sigma --kv-rank --kv-ranks --kv-scoring --kv-mass --kv-profile --kv-adapter --kv-check --io --io-rate --io-latency --help" ;;
    eval) words="-m --model -n --tokens --tasks -s --samples --questions --seed --misses --no-misses -b --batch --json --no-json -q --quiet --no-quiet -j --threads --isa --map --no-map --kv --kv-budget --kv-type --kv-dir --kv-quota --kv-group --kv-select --kv-reuse --kv-recent --kv-metadata --kv-sigma --kv-rank --kv-ranks --kv-scoring --kv-mass --kv-profile --kv-adapter --kv-check --io --io-rate --io-latency --help" ;;
    calibrate) words="-m --model -f --file -o --output -n --tokens -c --ctx -b --batch --json --no-json -q --quiet --no-quiet -j --threads --isa --map --no-map --kv --kv-budget --kv-type --kv-dir --kv-quota --kv-group --kv-select --kv-reuse --kv-recent --kv-metadata --kv-sigma --kv-rank --kv-ranks --kv-scoring --kv-mass --kv-profile --kv-adapter --kv-check --io --io-rate --io-latency --help" ;;
    tune) words="-m --model -o --output -c --ctx -b --batch --probe-seconds --hits --measure --no-measure --json --no-json -q --quiet --no-quiet -j --threads --isa --map --no-map --kv --kv-budget --kv-type --kv-dir --kv-quota --kv-group --kv-select --kv-reuse --kv-recent --kv-metadata --kv-sigma --kv-rank --kv-ranks --kv-scoring --kv-mass --kv-profile --kv-adapter --kv-check --io --io-rate --io-latency --help" ;;
    inspect) words="-c --ctx --json --no-json --help" ;;
    version) words="--help" ;;
    help) words="$commands --man --no-man --completion --no-completion --help" ;;
    esac
    if [[ $cur == -* || ${COMP_WORDS[1]} == help ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    else
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -o filenames -F _ashlar ashlar
