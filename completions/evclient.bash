# Completion of evclient for bash. Made from its options by make manual.

_evclient() {
    local cur=${COMP_WORDS[COMP_CWORD]} command= value= given=' ' place=0 joined= word once many words
    COMPREPLY=()
    # bash makes words of = and : and of what they join.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ -z ${word//[:=]/} ]]; then
            joined=yes
            continue
        fi
        if [[ $joined || $value ]]; then
            joined= value=
            continue
        fi
        case "$command $word" in
            ' --dialect' | ' --to' | ' --as' | ' --ca') value=$word given+="$word " ;;
            *' -'*) given+="$word " ;;
            *) ((place += 1)) ;;
        esac
    done
    if [[ $cur && -z ${cur//[:=]/} ]]; then
        joined=yes cur=
    fi
    if [[ $value ]]; then
        case "$command $value" in
            ' --dialect') COMPREPLY=($(compgen -W 'lines joined listed' -- "$cur")) ;;
            ' --to' | ' --ca') compopt -o default ;;
        esac
        return
    fi
    [[ ! $joined ]] || return
    case $command in
        '') once='--dialect --to --as --udp --tls --ca --insecure -V --version -h --help' many='' words='' ;;
    esac
    case "$command $place" in
        ' 0') [[ $cur == -* ]] || { return; } ;;
        ' '*) [[ $cur == -* ]] || { compopt -o default; return; } ;;
    esac
    if [[ ! $words || $cur == -* ]]; then
        words=$many
        # A second one would be refused.
        for word in $once; do
            [[ $given == *" $word "* ]] || words+=" $word"
        done
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -F _evclient evclient
