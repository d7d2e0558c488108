# Start tools, all at once, and tell how each ended. For any POSIX shell that is with cat and sleep.
#
# Arguments: a marker that no tool can guess, the seconds that a tool may take, the bytes to keep of
# its output, and then for each tool the count of its words and the words.
# Prints for each tool: an empty line; marker, number, exit code, elf or script; the tool's path; the output.
# The exit code is "late" where the time was up; the path is empty where the image has no such tool.

marker=$1 limit=$2 keep=$3
shift 3
# Engines give every container a /dev/shm of its own, whatever the image has.
base=/dev/shm/$marker
if ! command -v cat >/dev/null || ! command -v sleep >/dev/null || ! true >"$base"; then
    exit 90
fi
bounded="cat"
if command -v tail >/dev/null; then
    bounded="tail -c $keep"
fi
# shellcheck disable=SC3045 # dash, bash and busybox have it
ulimit -c 0
set -f

# Sets path to what execvp would start, else to what bears the name.
find_tool() {
    path=
    case $1 in
    */*)
        if [ -e "$1" ] || [ -L "$1" ]; then path=$1; fi
        return
        ;;
    esac
    IFS=:
    for folder in $PATH; do
        file=$folder/$1
        if [ -f "$file" ] && [ -x "$file" ]; then
            path=$file
            break
        elif [ -z "$path" ] && { [ -e "$file" ] || [ -L "$file" ]; }; then
            path=$file
        fi
    done
    unset IFS
}

# Sets kind, and trouble where the kernel would refuse to start the path: then a shell must not try,
# as it takes anything for a script of its own.
look_at() {
    kind='' trouble='' first=''
    if [ ! -e "$path" ]; then
        trouble="$path is a link that leads nowhere" code=127
    elif [ ! -f "$path" ] || [ ! -x "$path" ]; then
        trouble="$path is not executable" code=126
    else
        IFS= read -r first <"$path"
        case $first in
        ?ELF*) kind=elf ;;
        '#!'*)
            kind=script
            # shellcheck disable=SC2086 # it is to be split
            set -- ${first#??}
            if [ ! -e "$1" ]; then trouble="$path needs $1, which is not there" code=127; fi
            ;;
        *) trouble="$path is neither a program nor a script that names its interpreter" code=126 ;;
        esac
    fi
}

# Starts what path names. Arguments: the tool's number, the count of its words, its words and those of
# the tools after it.
start() {
    number=$1 count=$2
    shift 2
    others=$(($# - count))
    while [ "$count" -gt 0 ]; do
        word=$1
        shift
        set -- "$@" "$word"
        count=$((count - 1))
    done
    shift "$((others + 1))"
    look_at
    echo "$kind" >"$base.$number.kind"
    {
        if [ -n "$trouble" ]; then
            echo "$trouble"
        else
            (
                trap - TERM
                export LD_BIND_NOW=1
                exec 2>&1
                exec "$path" "$@"
            )
            code=$?
        fi
        if [ -e "$base.late" ]; then code=late; fi
        echo "$code" >"$base.$number.code"
    } </dev/null 2>/dev/null | $bounded >"$base.$number.out"
}

# TERM ends the tools; who attends them ignores it, and so keeps their last words. KILL ends the rest.
number=0 attendants=
while [ $# -gt 0 ]; do
    number=$((number + 1))
    find_tool "$2"
    printf '%s\n' "$path" >"$base.$number.path"
    if [ -n "$path" ]; then
        (
            trap '' TERM
            start "$number" "$@"
        ) &
        attendants="$attendants $!"
    fi
    shift "$(($1 + 1))"
done
signal=TERM
trap 'true >"$base.late"; kill -"$signal" -1; signal=KILL' ALRM
(
    trap '' TERM
    sleep "$limit" && kill -ALRM "$$" && sleep 2 && kill -ALRM "$$"
) &
for attendant in $attendants; do
    # A wait ends early when ALRM comes.
    while kill -0 "$attendant" 2>/dev/null; do wait "$attendant"; done
done

count=$number number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    path='' kind='' code=''
    IFS= read -r path <"$base.$number.path"
    if [ -e "$base.$number.kind" ]; then read -r kind <"$base.$number.kind"; fi
    if [ -e "$base.late" ]; then code=late; fi
    if [ -e "$base.$number.code" ]; then read -r code <"$base.$number.code"; fi
    printf '\n%s %s %s %s\n%s\n' "$marker" "$number" "${code:--}" "${kind:--}" "$path"
    if [ -e "$base.$number.out" ]; then cat "$base.$number.out"; fi
done
