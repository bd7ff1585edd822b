# shellcheck shell=bash
# Sourced by scripts that start something for a program and remove it after the program.

# Runs a program and exits with its status. Signals are passed on to it, and are not the end of the
# script, whose traps clean up when the program has ended.
run_child() {
    # In the background, since bash runs no trap while it waits for a program in the foreground. A
    # background program would ignore Ctrl-C and read nothing, unless told otherwise.
    (
        trap - EXIT INT TERM HUP QUIT
        exec "$@"
    ) <&0 &
    child=$!
    trap 'kill -INT "$child" 2>/dev/null || true' INT
    trap 'kill -TERM "$child" 2>/dev/null || true' TERM HUP
    while :; do
        status=0
        wait "$child" || status=$?
        # A signal ends the wait, too; only the end of the program ends the run.
        kill -0 "$child" 2>/dev/null || exit "$status"
    done
}
