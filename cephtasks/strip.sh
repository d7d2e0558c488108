# Split programs and shared libraries into what runs and what only debuggers read, on all cores. For any
# system with the GNU tools.
#
# In the current folder, for each file: KEY.in, a link to it; in KEY.link a link with the name that the
# stripped file is to give for its debug file, where it has no build id. Makes KEY.debug, then KEY.
# Prints KEY for each file that is done, or KEY and the tool's words for one that cannot be.

# As Debian's dh_strip has them. What is linked has no symbol that --strip-unneeded would keep.
# shellcheck disable=SC2016 # it is expanded by the shell that splits
split='
key=$1
shift
for link in "$key.link"/* "$key.link"/.[!.]* "$key.link"/..?*; do
    if [ -L "$link" ]; then set -- --remove-section=.gnu_debuglink "--add-gnu-debuglink=$link"; fi
done
if trouble=$(
    objcopy --only-keep-debug --enable-deterministic-archives "$key.in" "$key.debug" 2>&1 &&
        objcopy --strip-unneeded --remove-section=.comment --remove-section=.note \
            --enable-deterministic-archives "$@" "$key.in" "$key.part" 2>&1 &&
        mv "$key.part" "$key" 2>&1
); then
    echo "$key"
else
    echo "$key" $trouble
    exit 255
fi
'
for input in *.in; do
    echo "${input%.in}"
done | xargs -P "$(nproc)" -I KEY sh -c "$split" split KEY
