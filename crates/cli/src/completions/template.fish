# Prints how many values the option $argv[2] of the command $argv[1] takes.
function __fish_downhaul_takes
    switch $argv[1]
@COMMANDS@
    end
end

# Returns true if the words before the cursor begin with the command $argv[1]. With three arguments, the
# number of the argument at the cursor, not counting options, must also pass the comparison, such as -eq 1.
function __fish_downhaul_at
    set -l typed (commandline -opc)
    set -l command downhaul
    set -e typed[1]
    # The name of a command is before all options.
    while set -q typed[1]; and contains -- "$command $typed[1]" @SUBCOMMANDS@
        set command "$command $typed[1]"
        set -e typed[1]
    end
    test "$command" = "$argv[1]"
    or return 1
    set -q argv[2]
    or return 0
    set -l position 1
    set -l needed 0
    for word in $typed
        if test $needed -gt 0
            set needed (math $needed - 1)
        else if string match -q -- '-*' $word; and test $word != -
            set -l takes (__fish_downhaul_takes $command $word)
            set -q takes[1]; and set needed $takes
        else
            set position (math $position + 1)
        end
    end
    test $position $argv[2] $argv[3]
end

complete -c downhaul -f
