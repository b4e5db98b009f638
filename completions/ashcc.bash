# bash completion for ashcc, made by `ashcc --completion`
_ashcc()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words="--translator --model --threads --endpoint --api-model --api-key-env --prompt --temperature --max-tokens --timeout --retries --samples --repairs --jobs --granularity --coarser --no-coarser --verify --vectors --seed --cache --fallback --report --explain --no-explain --dump --check --differential --cache-stats --no-cache-stats --cache-export --cache-import --cc --quiet --no-quiet --man --no-man --completion --no-completion --help -c -S -E -o -x -v -### -I -isystem -iquote -idirafter -iprefix -iwithprefix -iwithprefixbefore -isysroot --sysroot= -B -specs= -D -U -include -imacros -nostdinc -undef -Wp, -Xpreprocessor -trigraphs -H -M -MM -MD -MMD -MF -MT -MQ -MP -MG -std= --std= -ansi -fsigned-char -funsigned-char -fgnu89-inline -ffreestanding -fhosted -fms-extensions -fdollars-in-identifiers -finput-charset= -fwrapv -fno-strict-overflow -fno-wrapv -fstrict-overflow -fPIC -fpic -fPIE -fpie -fno-PIC -fno-pic -m64 -g -g0 -ggdb -gdwarf -gz -W -w -pedantic -pedantic-errors -Wa, -Xassembler -l -L -shared -static -static-pie -static-libgcc -shared-libgcc -pie -no-pie -nopie -rdynamic -export-dynamic -s -r -nostdlib -nostartfiles -nodefaultlibs -nolibc -T -u -z -e -fuse-ld= -Wl, -Xlinker -pthread -pthreads --version -V -dumpmachine -dumpversion -dumpfullversion -dumpspecs -print- --print- -qversion --target-help --help="
    case $prev in
    --granularity) words="auto function block statement operation" ;;
    --verify) words="test assemble" ;;
    --fallback) words="error cc" ;;
    --dump) words="ast ir blocks pairs asm" ;;
    --translator) words="model http replay:" ;;
    *) [[ $cur == -* ]] || words= ;;
    esac
    if [[ $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    else
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -o filenames -F _ashcc ashcc
