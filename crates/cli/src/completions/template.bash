# Sets `options` to the options of the command $1. If $2 is an option with a value, or the number of an
# argument that is not an option, this function sets `kind` to what is completed there. `words` has the words
# of the kind `words`, and `takes` is the number of values.
_downhaul_about() {
    kind='' words='' takes=1
    case "$1" in
@COMMANDS@
    esac
}

_downhaul() {
    local IFS=$' \t\n' line="${COMP_LINE:0:COMP_POINT}" rest='' word='' i=0 last=0
    local -a typed=()
    # Bash divides words at = and :, too. Parts without a space between them are joined here.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest="${line#"${line%%[![:space:]]*}"}"
        word="${COMP_WORDS[i]}"
        # The last word ends at the cursor.
        if ((i == COMP_CWORD)); then word="$rest"; fi
        if ((i > 0)) && [[ "$rest" == "$line" ]]; then
            typed[last]+="$word"
        else
            last=${#typed[@]}
            typed[last]="$word"
        fi
        line="${rest#"$word"}"
    done

    # The name of a command is before all options.
    local command=downhaul cur="${typed[last]}"
    for ((i = 1; i < last; i++)); do
        case "$command ${typed[i]}" in
        @SUBCOMMANDS@) command+=" ${typed[i]}" ;;
        *) break ;;
        esac
    done

    # Count the arguments that are not options, and the values that the last option still needs.
    local options kind words takes option='' needed=0 position=1
    for (( ; i < last; i++)); do
        if ((needed > 0)); then
            needed=$((needed - 1))
        elif [[ "${typed[i]}" == -?* ]]; then
            option="${typed[i]}"
            _downhaul_about "$command" "$option"
            if [[ -n "$kind" ]]; then needed=$takes; fi
        else
            position=$((position + 1))
        fi
    done

    COMPREPLY=()
    local prefix=''
    if ((needed > 0)); then
        _downhaul_about "$command" "$option"
    elif [[ "$cur" == --*=* ]]; then
        prefix="${cur%%=*}="
        _downhaul_about "$command" "${prefix%=}"
    else
        _downhaul_about "$command" "$position"
        if [[ "$cur" == -* || -z "$cur" && "$kind" != words && "$kind" != files ]]; then
            kind=words words="$options"
        fi
    fi
    case "$kind" in
    # The option `default` of `complete` completes files.
    files) return ;;
    folders) compopt -o dirnames +o default +o bashdefault 2>/dev/null ;;
    words) COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "${cur#"$prefix"}")) ;;
    esac
    compopt +o default 2>/dev/null
    # Bash replaces only the part after the last = or :.
    COMPREPLY=("${COMPREPLY[@]#"${cur%"$2"}"}")
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _downhaul -o nosort -o bashdefault -o default downhaul
else
    complete -F _downhaul -o bashdefault -o default downhaul
fi
