#!/bin/sh
# The health check of the container: asks the server that runs in it, wherever its arguments have put it. The flags that
# name its configuration and its data directory are taken from the server's own command line.
set -eu

words() {
    { tr '\0' '\n' < "$1/cmdline"; } 2>/dev/null
}

# The server is the first process, or the child of an init. SERVER_PID names it where there are others beside it.
if [ -n "${SERVER_PID:-}" ]; then
    set -- "/proc/$SERVER_PID"
else
    set -- /proc/1 /proc/[0-9]*
fi
for process in "$@"; do
    case "$(words "$process" | head -n 1)" in
        datacoord | */datacoord) ;;
        *) continue ;;
    esac
    words "$process" | grep -qx serve || continue
    set --
    flag=
    while IFS= read -r word; do
        case "$flag" in
            --data-dir | --config) set -- "$@" "$flag" "$word"; flag=; continue ;;
        esac
        case "$word" in
            --data-dir=* | --config=*) set -- "$@" "$word" ;;
            *) flag=$word ;;
        esac
    done <<WORDS
$(words "$process")
WORDS
    exec datacoord healthcheck "$@"
done
exec datacoord healthcheck
