#compdef downhaul

_downhaul_first() {
    local ret=1
    _describe -t commands command subcommands && ret=0
    [[ $command == downhaul ]] && _urls && ret=0
    return ret
}

_downhaul() {
    local curcontext=$curcontext command=downhaul state line ret=1
    local -a subcommands
    local -A opt_args

    # The name of a command is before all options.
    while (( CURRENT > 2 )); do
        case "$command $words[2]" in
            (@SUBCOMMANDS@) command+=" $words[2]" ;;
            (*) break ;;
        esac
        shift words
        (( CURRENT-- ))
    done
    curcontext="${curcontext%:*:*}:${command// /-}:"

    case $command in
@COMMANDS@
    esac
    return ret
}

if [ "$funcstack[1]" = "_downhaul" ]; then
    _downhaul "$@"
else
    compdef _downhaul downhaul
fi
