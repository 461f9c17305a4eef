# shellcheck shell=bash
# cache.sh: sourced by the other scripts; where things that are slow to make are kept.
# Everything in there can be deleted at any time and is made again when it is asked for.
CACHE=${BUCKETROUTE_CACHE:-$HOME/.cache/bucketroute}
BIN=$CACHE/bin
IMAGES=$CACHE/images
mkdir -p "$BIN" "$IMAGES"

die() { echo "${0##*/}: $*" >&2; exit 1; }

# is_current FILE KEY: FILE exists and was made from the inputs that KEY names.
is_current() { [ -s "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; }

# report NAME FILE: one line on what was made (seconds since SECONDS was last set, size, path).
report() { printf '%-8s built in %ss, %s MB: %s\n' "$1" "$SECONDS" "$(($(stat -c %s "$2") / 1000000))" "$2"; }
