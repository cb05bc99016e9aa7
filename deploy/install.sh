#!/bin/sh
# Installs, upgrades and removes metrics-agent: see --help and docs/deployment.md, "Installing".
#
# Each version gets a virtual environment of its own, PREFIX/versions/<n>, and the link PREFIX/current
# is moved to it by a rename once it is known to run. The command, a link through `current`, is
# there at every moment: Telegraf never again starts a child whose command was missing when it was
# due. The version before stays until the next upgrade, since a process may still run from it.
set -eu
umask 022

# Nothing in the caller's environment decides what runs here, as root: not which programs are found,
# not where Python looks for modules, not which index pip asks. Only a proxy is taken from it. pip
# still reads /etc/pip.conf, which only root can write.
if [ "$(PATH=/usr/bin:/bin id -u)" -eq 0 ]; then
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    HOME=/root
fi
for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
    case $name in
        PATH | HOME | PWD) ;;
        http_proxy | https_proxy | all_proxy | no_proxy) ;;
        HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY) ;;
        *) unset "$name" ;;
    esac
done
export LC_ALL=C.UTF-8

NAME=metrics-agent
HERE=$(cd -- "$(dirname -- "$0")" && pwd)
LOCK=$HERE/requirements.lock

usage() {
    cat <<EOF
Usage: install.sh [options] [SOURCE]
       install.sh --uninstall [--purge] [options]

SOURCE is a wheel of metrics-agent or a checkout; without it, the checkout that this script is in.
The packages that it needs are installed in the versions of requirements.lock, which is beside this
script. Running it again upgrades; an existing configuration is never changed.

  --service        systemd runs the agent (metrics-agent.service) instead of Telegraf
  --extras LIST    optional parts, separated by commas: digest, http, speed, templates, tls;
                   or "all", or "none"                                    (default: all)
  --wheelhouse DIR take the packages from this directory of wheels and use no network
  --no-hashes      accept builds of those packages that are not in requirements.lock, and compile
                   what has no wheel: for machines such as a 32-bit Raspberry Pi
  --python EXE     the Python, 3.10 or newer, for the virtual environment (default: python3)
  --user USER      who runs the agent                                     (default: telegraf)
  --group GROUP    who may read the configuration                         (default: the user's name)
  --reinstall      also if just this wheel is installed already
  --root DIR       install below DIR: for trying it out, needs not be root, chowns nothing then
  --uninstall      remove all but configuration and state
  --purge          with --uninstall: those too
  --help           this text
EOF
}

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: warning: %s\n' "$*" >&2; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# -- options ---------------------------------------------------------------------------------------

action=install
service=no
extras=all
python=python3
user=telegraf
group=
reinstall=no
root=
purge=no
source=
wheelhouse=
hashes=yes

needs_value() { [ "$2" -ge 2 ] || die "$1 needs a value, see --help"; }
absolute() { case $1 in /*) say "$1" ;; *) say "$PWD/$1" ;; esac; }

while [ $# -gt 0 ]; do
    case $1 in
        --service) service=yes ;;
        --wheelhouse) needs_value "$1" $#; wheelhouse=$(absolute "$2"); shift ;;
        --no-hashes) hashes=no ;;
        --extras) needs_value "$1" $#; extras=$2; shift ;;
        --python) needs_value "$1" $#; python=$2; shift ;;
        --user) needs_value "$1" $#; user=$2; shift ;;
        --group) needs_value "$1" $#; group=$2; shift ;;
        --root) needs_value "$1" $#; root=$2; shift ;;
        --reinstall) reinstall=yes ;;
        --uninstall) action=uninstall ;;
        --purge) purge=yes ;;
        --help | -h) usage; exit 0 ;;
        -*) die "unknown option $1, see --help" ;;
        *)
            [ -z "$source" ] || die "one SOURCE only, got \"$source\" and \"$1\""
            source=$(absolute "$1")
            ;;
    esac
    shift
done

[ "$purge" = no ] || [ "$action" = uninstall ] || die "--purge goes with --uninstall only"
group=${group:-$user}
case $python in */*) python=$(absolute "$python") ;; esac

if [ -n "$root" ]; then
    mkdir -p -- "$root" || die "--root: cannot make the directory $root"
    root=$(cd -- "$root" && pwd)
    [ "$root" != / ] || root=
fi
# Python and pip look for modules in the current directory, which may belong to another user.
cd /
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "must run as root (or with --root DIR, to try it out)"

base=$root/opt/$NAME
versions=$base/versions
current=$base/current
command=$root/usr/local/bin/$NAME
etc=$root/etc/$NAME
config=$etc/$NAME.toml
state=$root/var/lib/$NAME
telegraf_d=$root/etc/telegraf/telegraf.d
snippet=$telegraf_d/$NAME.conf
units=$root/etc/systemd/system
unit=$units/$NAME.service
dropins=$units/telegraf.service.d

# What must not outlive this script: the answers of tools, and a version that is half made.
scratch=$(mktemp -d)
half_made=
clean_up() {
    rm -rf -- "$scratch"
    [ -z "$half_made" ] || rm -rf -- "$half_made"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# -- small tools -----------------------------------------------------------------------------------

# Run systemctl, if this is the machine that it would speak of.
systemd() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl "$@"
    fi
}

# Give a file or directory its owner, where we may.
own() { # OWNER:GROUP MODE PATH
    [ -n "$root" ] || chown -- "$1" "$3"
    chmod -- "$2" "$3"
}

# Run a command as the user who will run the agent, where we may.
as_user() {
    if [ -z "$root" ] && [ "$user" != root ]; then
        setpriv --reuid "$user" --regid "$group" --init-groups -- "$@"
    else
        "$@"
    fi
}

# Put a link in place by a rename: whoever looks finds the old one or the new one.
link() { # TARGET LINK
    if [ "$(readlink -- "$2" 2>/dev/null || :)" != "$1" ]; then
        rm -f -- "$2.new"
        ln -s -- "$1" "$2.new"
        mv -fT -- "$2.new" "$2"
    fi
}

# Put a file of ours in place by a rename; leave one alone that somebody has changed.
place() { # FILE TARGET [OTHER FILE OF OURS THAT IT MAY REPLACE]
    if [ -e "$2" ] && ! cmp -s -- "$1" "$2"; then
        if [ -z "${3:-}" ] || ! cmp -s -- "$3" "$2"; then
            warn "$2 is kept as it is: it differs from the one that belongs there, $1"
            return 0
        fi
    fi
    mkdir -p -- "$(dirname -- "$2")"
    if ! cmp -s -- "$1" "$2"; then
        cp -- "$1" "$2.new"
        chmod 0644 -- "$2.new"
        mv -fT -- "$2.new" "$2"
        say "placed $2"
    fi
}

# Remove a file of ours; one that somebody has changed is kept under a name that nobody reads.
displace() { # TARGET FILE...
    target=$1
    shift
    [ -e "$target" ] || return 0
    for file in "$@"; do
        if cmp -s -- "$file" "$target"; then
            rm -f -- "$target"
            say "removed $target"
            return 0
        fi
    done
    mv -fT -- "$target" "$target.removed"
    say "removed $target; it was not as we placed it, so it is kept as $target.removed"
}

# Whether a path, with its links followed, is below --root.
inside() { # PATH
    case $(readlink -m -- "$1") in
        "$(readlink -m -- "$root/" | sed 's|/$||')"/?*) ;;
        *) return 1 ;;
    esac
}

# Links in the system below --root may be absolute and so lead to this machine's own directories.
check_root() {
    set -- "$base" "$command" "$etc" "$state" "$root/var/log/$NAME" "$snippet" "$dropins/x"
    [ "$action" = uninstall ] || set -- "$@" "$versions" "$config"
    for place in "$@"; do
        place=${place%/*}
        inside "$place" ||
            die "$place leads to $(readlink -m -- "$place"), outside of --root $root; remove the link"
    done
}

# Whether a directory of ours, or the one that a link in its place leads to, has our name. One of
# another name may be a home directory or hold files of others. Sets: target
is_ours() { # DIRECTORY
    target=$(readlink -m -- "$1")
    [ "${target##*/}" = "$NAME" ]
}

# Report what is not removed. Sets: left
leave() { # PATH REASON
    warn "left $1: $2"
    left="${left:+$left, }$1"
}

# Report what should be removed and could not be. Sets: left, status
fail() { # PATH
    leave "$1" "not all of it could be removed"
    status=1
}

# Delete what is in a directory, except what is mounted there, which may be of the same file system;
# list that in $scratch/mounts. A newline in a name becomes "?", which as a pattern matches it.
empty() { # DIRECTORY
    directory=$1
    set --
    find "$directory/" -mindepth 1 -type d -exec mountpoint -q {} \; -prune -print0 |
        tr '\n\0' '?\n' >"$scratch/mounts"
    while IFS= read -r mount; do
        leave "$mount" "a file system is mounted there"
        pattern=$(say "$mount" | sed 's/[][*\\]/\\&/g')
        set -- "$@" ! -path "$pattern" ! -path "$pattern/*"
    done <"$scratch/mounts"
    find "$directory/" -mindepth 1 -xdev "$@" -type l -print0 -exec readlink -mz -- {} \; |
        tr '\n\0' '?\n' >"$scratch/links"
    while IFS= read -r inner && IFS= read -r led_to; do
        case $led_to in
            "$(readlink -m -- "$directory")"/*) ;;
            *) leave "$led_to" "the link $inner led there" ;;
        esac
    done <"$scratch/links"
    find "$directory/" -mindepth 1 -xdev "$@" \( ! -type d -o -empty \) -delete
}

# Remove a directory of ours with all that is in it. Where it is a link to one of our name, such as on
# another disk, that is emptied; it stays, since we have not made it. A link that leads out of --root
# speaks of the system below it, not of this one.
purge_directory() { # DIRECTORY
    reason=
    if ! is_ours "$1"; then
        reason="that is not named $NAME and may hold files of others"
    elif ! inside "$1"; then
        reason="that is outside of $root"
    fi
    [ -d "$1" ] || reason="there is no directory"
    if [ -n "$reason" ]; then
        [ ! -L "$1" ] || leave "$target" "the link $1 led there, but $reason"
        rm -f -- "$1" || fail "$1"
    elif ! empty "$1"; then
        fail "$1"
    elif [ -L "$1" ]; then
        say "emptied $target, to which $1 led"
        rm -f -- "$1" || fail "$1"
    elif [ -s "$scratch/mounts" ]; then
        : # Named already, and in use by what is mounted.
    elif mountpoint -q "$1"; then
        leave "$1" "it is empty now, but a mount point"
    else
        rmdir -- "$1" || fail "$1"
    fi
}

# Keep a second run of this script out.
lock() {
    mkdir -p -- "$base"
    exec 9>>"$base/.lock"
    if command -v flock >/dev/null; then
        flock -n 9 || die "another install.sh is at work (it holds $base/.lock)"
    fi
}

# -- removing --------------------------------------------------------------------------------------

uninstall() {
    # Telegraf does not start with a snippet whose command is missing, so that goes first.
    displace "$snippet" "$HERE/telegraf/$NAME.conf" "$HERE/telegraf/$NAME-socket.conf" \
        "$HERE/telegraf/$NAME-mqtt.conf"
    if [ -e "$unit" ]; then
        systemd disable --now "$NAME.service" || warn "$NAME.service could not be stopped"
        rm -f -- "$unit"
        say "removed $unit"
    fi
    displace "$dropins/$NAME.conf" "$HERE/systemd/telegraf.service.d/$NAME.conf"
    displace "$dropins/$NAME-socket.conf" "$HERE/systemd/telegraf.service.d/$NAME-socket.conf"
    rmdir -- "$dropins" 2>/dev/null || :
    systemd daemon-reload
    case $(readlink -- "$command" 2>/dev/null || :) in
        "$current"/*) rm -f -- "$command" ;;
    esac
    left=
    status=0
    rm -rf --one-file-system -- "$base" || fail "$base"
    if [ "$purge" = yes ]; then
        for directory in "$etc" "$state" "$root/var/log/$NAME"; do
            purge_directory "$directory"
        done
        rm -f -- "$snippet.removed"
        say "uninstalled, configuration and state too${left:+, but for: $left}"
    else
        say "uninstalled${left:+, but for: $left}; kept are $etc and $state (--purge removes them)"
    fi
    say "an agent that Telegraf started runs on until: systemctl restart telegraf"
    return "$status"
}

# -- installing ------------------------------------------------------------------------------------

check_user() {
    [ -z "$root" ] || return 0
    id -u "$user" >/dev/null 2>&1 || die "there is no user $user: install Telegraf first, or \
name another by --user (useradd --system --no-create-home --shell /usr/sbin/nologin NAME)"
    getent group "$group" >/dev/null || die "there is no group $group: install Telegraf first, \
or name another by --group"
}

check_source() {
    if [ -z "$source" ]; then
        source=$(dirname -- "$HERE")
        [ -f "$source/setup.py" ] || die "no SOURCE given, and $source is not a checkout"
    fi
    [ -e "$source" ] || die "SOURCE $source: no such file or directory; expected a wheel \
($NAME is on no package index) or a checkout"
    if [ -d "$source" ]; then
        [ -f "$source/setup.py" ] || die "SOURCE $source: a directory without a setup.py"
    else
        case ${source##*/} in
            *[!A-Za-z0-9._+-]*) wheel= ;;
            metrics_agent-*.whl) wheel=yes ;;
            *) wheel= ;;
        esac
        [ -n "$wheel" ] || die "SOURCE $source: not the name of a wheel of $NAME, expected \
metrics_agent-VERSION-py3-none-any.whl"
    fi
}

# Reject what is not a directory in place of ours, such as a link to a disk that is not mounted.
check_directories() {
    for directory in "$etc" "$state"; do
        if [ -d "$directory" ]; then
            continue
        elif [ -L "$directory" ]; then
            die "$directory: got a link to $(readlink -m -- "$directory"), expected a directory \
there: mount or make it, or remove the link"
        elif [ -e "$directory" ]; then
            die "$directory: got a file, expected a directory: move it away"
        fi
    done
}

# Which packages to take from where. Sets: parts, extras
check_packages() {
    [ -f "$LOCK" ] || die "$LOCK is missing: it belongs beside this script"
    known=$(sed -n 's/^# extras: //p' "$LOCK")
    parts=base
    if [ "$extras" = none ]; then
        extras=
    else
        for extra in $(say "$extras" | tr ',' ' '); do
            case " $known " in
                *" $extra "*) parts="$parts $extra" ;;
                *) die "--extras $extras: \"$extra\" is unknown, expected some of: \
$(say "$known" | sed 's/ /, /g'); or none" ;;
            esac
        done
    fi
    [ -z "$wheelhouse" ] || [ -d "$wheelhouse" ] || die "--wheelhouse $wheelhouse: not a directory"
}

check_machine() {
    command -v "$python" >/dev/null || die "--python $python: no such command"
    if ! "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        version=$("$python" -I --version 2>&1) || version="not a Python"
        die "$python is ${version:-not a Python}, expected 3.10 or newer (see --python)"
    fi
    "$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments; on Debian: apt-get install python3-venv"
    # Two agents with one configuration have the same client id: each would throw the other off the
    # broker for ever. So there is one snippet, of one kind.
    if [ -e "$snippet" ] && [ "$service" = yes ] && ! cmp -s "$HERE/telegraf/$NAME.conf" "$snippet" &&
        grep -q '^[[:space:]]*\[\[inputs\.execd\]\]' "$snippet"; then
        die "--service: $snippet starts an agent too, and it is not as we placed it: move it away"
    fi
}

# shellcheck source=deploy/version.sh
. "$HERE/version.sh"

# Make the new version the current one, and remove all but it and the one before.
switch() {
    before=$(readlink -- "$current" 2>/dev/null || :)
    half_made=
    link "$new" "$current"
    mkdir -p -- "$(dirname -- "$command")"
    if [ -e "$command" ] && [ ! -L "$command" ]; then
        ln -f -- "$command" "$command.replaced"
        warn "$command was another program, it is kept as $command.replaced"
    fi
    for version in "$versions"/*; do
        case $version in
            "$new" | "$before") ;;
            *) rm -rf -- "$version" ;;
        esac
    done
    say "installed $installed in $new"
}

# The sample becomes the configuration, with nothing enabled; an existing one is not touched.
# Sets: first
place_config() {
    mkdir -p -- "$etc"
    ! is_ours "$etc" || own "root:$group" 0750 "$etc"
    [ ! -e "$config" ] || return 0
    first=yes
    umask 077
    "$current/bin/metrics-agent" sample-config >"$config.new"
    if [ "$service" = yes ]; then
        sed -i 's|^#output = "stdout"|output = "unix:path=/run/telegraf/metrics-agent.sock"|' \
            "$config.new"
    fi
    umask 022
    own "root:$group" 0640 "$config.new"
    mv -fT -- "$config.new" "$config"
    say "placed $config: no module is enabled in it yet"
}

# A trial by hand, as root, leaves one that only root may use.
place_state() {
    if [ ! -d "$state" ]; then
        mkdir -p -- "$state"
    elif [ -n "$root" ] || [ "$user" = root ] || [ "$(stat -L -c %u -- "$state")" -ne 0 ]; then
        return 0
    elif is_ours "$state"; then
        # The slash: it may be a link to another disk.
        chown -R -- "$user:$group" "$state/"
        say "$state was owned by root, now by $user"
    else
        as_user test -w "$state/" ||
            warn "$state leads to $target, where $user cannot write; the owner of that is kept, since \
its name is not $NAME: link to a directory $target/$NAME instead, or let $user write there"
        return 0
    fi
    own "$user:$group" 0750 "$state"
}

place_for_telegraf() {
    if [ -e "$unit" ]; then
        systemd disable --now "$NAME.service" || warn "$NAME.service could not be stopped"
        rm -f -- "$unit"
        say "removed $unit: from now on Telegraf runs the agent"
    fi
    displace "$dropins/$NAME-socket.conf" "$HERE/systemd/telegraf.service.d/$NAME-socket.conf"
    place "$HERE/systemd/telegraf.service.d/$NAME.conf" "$dropins/$NAME.conf"
    place "$HERE/telegraf/$NAME.conf" "$snippet" "$HERE/telegraf/$NAME-socket.conf"
    systemd daemon-reload
}

place_for_systemd() {
    place "$HERE/systemd/telegraf.service.d/$NAME.conf" "$dropins/$NAME.conf"
    place "$HERE/systemd/telegraf.service.d/$NAME-socket.conf" "$dropins/$NAME-socket.conf"
    # With an output to a broker the snippet for that is there, by hand.
    cmp -s -- "$HERE/telegraf/$NAME-mqtt.conf" "$snippet" ||
        place "$HERE/telegraf/$NAME-socket.conf" "$snippet" "$HERE/telegraf/$NAME.conf"
    sed -e "s/^User=.*/User=$user/" -e "s/^Group=.*/Group=$group/" \
        "$HERE/systemd/$NAME.service" >"$scratch/$NAME.service"
    # Changes of yours are in drop-ins, so the unit itself is always ours, and of this version.
    cmp -s -- "$scratch/$NAME.service" "$unit" || rm -f -- "$unit"
    place "$scratch/$NAME.service" "$unit"
    systemd daemon-reload
    systemd enable "$NAME.service"
    grep -q '^[[:space:]]*output[[:space:]]*=' "$config" ||
        warn "$config has no output, so metrics would go to the journal: set output = \
\"unix:path=/run/telegraf/metrics-agent.sock\""
}

check_config() {
    if ! as_user "$command" check -c "$config" >"$scratch/check" 2>&1; then
        warn "$config has faults (or takes a secret from a variable that is not set here):"
        cat -- "$scratch/check" >&2
    fi
}

# Say what is left to do, in the order in which to do it.
say_next() {
    restart="systemctl restart telegraf"
    [ "$service" = no ] || restart="$restart $NAME"
    if [ "$first" = yes ]; then
        say "next:"
        say "  1. enable modules in $config"
        say "  2. sudo -u $user $NAME check -c $config"
        say "  3. $restart"
    else
        say "an agent that is running keeps its version until: $restart"
    fi
}

install() {
    check_user
    check_source
    check_directories
    check_packages
    check_machine
    lock
    print=$(fingerprint)
    if [ "$reinstall" = no ] && [ -n "$print" ] && [ -x "$current/bin/$NAME" ] &&
        [ "$(cat -- "$current/.fingerprint" 2>/dev/null || :)" = "$print" ]; then
        say "this very wheel is installed already"
        link "$current/bin/$NAME" "$command"
    else
        build
        switch
        link "$current/bin/$NAME" "$command"
    fi
    first=no
    place_config
    place_state
    if [ "$service" = yes ]; then place_for_systemd; else place_for_telegraf; fi
    check_config
    say_next
}

[ -z "$root" ] || check_root
"$action"
