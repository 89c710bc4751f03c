# Completion of evserve for bash. Made from its options by make manual.

_evserve() {
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
            ' top') command+=" $word" place=0 ;;
            ' --html' | ' --http' | ' --https' | ' --cert' | ' --key' | ' --state' | ' --client-ca' | ' --hsts' | ' --file-tls' | ' --files' | ' --file' | ' --dialect' | ' --ack' | ' --ack-udp' | ' --ack-reply' | ' --udp-rate' | ' --pace' | ' --on-duplicate' | ' --host' | ' --max-upload' | ' --max-library' | ' --keep-free' | ' --partial-max' | ' --partial-age' | ' --admin' | ' --mime' | ' --cache-control' | ' --header' | ' --max-connections' | ' --max-per-client' | ' --idle-timeout' | ' --file-idle-timeout' | ' --head-timeout' | ' --body-timeout' | ' --write-timeout' | ' --drain-timeout' | ' --log-level' | ' --log-file' | ' --access-log' | ' --access-format' | ' top --sort') value=$word given+="$word " ;;
            *' -'*) given+="$word " ;;
            *) ((place += 1)) ;;
        esac
    done
    if [[ $cur && -z ${cur//[:=]/} ]]; then
        joined=yes cur=
    fi
    if [[ $value ]]; then
        case "$command $value" in
            ' --dialect') COMPREPLY=($(compgen -W 'auto lines joined listed' -- "$cur")) ;;
            ' --access-format') COMPREPLY=($(compgen -W 'combined extended json' -- "$cur")) ;;
            ' --log-level') COMPREPLY=($(compgen -W 'off error warn info debug trace' -- "$cur")) ;;
            ' top --sort') COMPREPLY=($(compgen -W 'out in queued requests age inactive deadline id' -- "$cur")) ;;
            ' --on-duplicate') COMPREPLY=($(compgen -W 'refuse replace rename' -- "$cur")) ;;
            ' --cert' | ' --key' | ' --client-ca' | ' --log-file' | ' --access-log') compopt -o default ;;
            ' --html' | ' --state' | ' --files') compopt -o dirnames ;;
        esac
        return
    fi
    [[ ! $joined ]] || return
    case $command in
        '') once='--html --self-signed --state --client-ca --redirect-https --hsts --files --dialect --ack-reply --udp-rate --pace --read-only --on-duplicate --overwrite --allow-delete --fsync --max-upload --max-library --keep-free --partial-max --partial-age --list --no-compress --spa --pretty-urls --cors --max-connections --max-per-client --idle-timeout --file-idle-timeout --head-timeout --body-timeout --write-timeout --drain-timeout --trace --log-level --log-file --access-log --access-format -V --version -h --help' many='--http --https --cert --key --file-tls --file --ack --ack-udp --host --admin --mime --cache-control --header top' words='' ;;
        ' top') once='--once --sort -V --version -h --help' many='' words='' ;;
    esac
    case "$command $place" in
        ' top 0') [[ $cur == -* ]] || { return; } ;;
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

complete -F _evserve evserve
