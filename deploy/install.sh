#!/bin/sh
# Installs, upgrades and removes metrics-agent: see --help and docs/deployment.md, "Installing".
#
# Each version gets a virtual environment of its own, PREFIX/versions/<n>, and the link PREFIX/current
# is moved to it by a rename once it is known to run. The command, a link through `current`, is
# there at every moment: Telegraf never again starts a child whose command was missing when it was
# due. The version before stays until the next upgrade, since a process may still run from it.
set -eu
umask 022

NAME=metrics-agent
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

usage() {
    cat <<EOF
Usage: install.sh [options] [SOURCE]
       install.sh --uninstall [--purge] [options]

SOURCE is what pip shall install: a wheel, a directory with a setup.py, or a name such as
"metrics-agent" or "metrics-agent==1.2.0" for pip's index. Not given: the checkout that this script
stands in. Running it again upgrades; configuration that is there is never changed.

  --service        systemd runs the agent (metrics-agent.service) instead of Telegraf
  --extras LIST    optional parts, separated by commas; "none" for none   (default: all)
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

needs_value() { [ "$2" -ge 2 ] || die "$1 needs a value, see --help"; }

while [ $# -gt 0 ]; do
    case $1 in
        --service) service=yes ;;
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
            source=$1
            ;;
    esac
    shift
done

[ "$purge" = no ] || [ "$action" = uninstall ] || die "--purge goes with --uninstall only"
group=${group:-$user}

if [ -n "$root" ]; then
    mkdir -p -- "$root" || die "--root: cannot make the directory $root"
    root=$(CDPATH='' cd -- "$root" && pwd)
    [ "$root" != / ] || root=
fi
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
    displace "$snippet" "$HERE/telegraf/$NAME.conf" "$HERE/telegraf/$NAME-socket.conf"
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
    rm -rf -- "$base"
    if [ "$purge" = yes ]; then
        rm -rf -- "$etc" "$state" "$root/var/log/$NAME" "$snippet.removed"
        say "uninstalled, configuration and state too"
    else
        say "uninstalled; kept are $etc and $state (--purge removes them)"
    fi
    say "an agent that Telegraf started runs on until: systemctl restart telegraf"
}

# -- installing ------------------------------------------------------------------------------------

check_source() {
    if [ -z "$source" ]; then
        source=$(dirname -- "$HERE")
        [ -f "$source/setup.py" ] || die "no SOURCE given, and $source is not a checkout"
    fi
    case $source in
        */* | *.whl | .)
            [ -e "$source" ] || die "SOURCE $source: no such file or directory"
            if [ -d "$source" ]; then
                [ -f "$source/setup.py" ] || die "SOURCE $source: a directory without a setup.py"
            fi
            source=$(CDPATH='' cd -- "$(dirname -- "$source")" && pwd)/$(basename -- "$source")
            ;;
    esac
}

check_machine() {
    command -v "$python" >/dev/null || die "--python $python: no such command"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$python is $("$python" --version 2>&1), expected 3.10 or newer (see --python)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments; on Debian: apt-get install python3-venv"
    if [ -z "$root" ]; then
        id -u "$user" >/dev/null 2>&1 || die "there is no user $user: install Telegraf first, or \
name another by --user (useradd --system --no-create-home --shell /usr/sbin/nologin NAME)"
        getent group "$group" >/dev/null || die "there is no group $group: install Telegraf first, \
or name another by --group"
    fi
    # Two agents with one configuration have the same client id: each would throw the other off the
    # broker for ever. So there is one snippet, of one kind.
    if [ -e "$snippet" ] && [ "$service" = yes ] && ! cmp -s "$HERE/telegraf/$NAME.conf" "$snippet" &&
        grep -q '^[[:space:]]*\[\[inputs\.execd\]\]' "$snippet"; then
        die "--service: $snippet starts an agent too, and it is not as we placed it: move it away"
    fi
}

# What is installed already, so that the same wheel again is no work.
fingerprint() {
    if [ -f "$source" ]; then
        say "$(sha256sum <"$source") extras=$extras python=$("$python" --version 2>&1)"
    fi
}

# Build the next version beside those that are there. Sets: new
build() {
    number=0
    for version in "$versions"/*; do
        version=${version##*/}
        case $version in
            *[!0-9]*) ;;
            *) [ "$version" -le "$number" ] || number=$version ;;
        esac
    done
    new=$versions/$((number + 1))
    mkdir -p -- "$versions"
    half_made=$new
    "$python" -m venv "$new" || die "the virtual environment $new could not be made"
    requirement=$source
    if [ -d "$source" ]; then
        # Built from a copy: what is left of an earlier build would be packed again, and what root
        # leaves in a checkout its owner cannot remove.
        requirement=$scratch/source
        mkdir -- "$requirement"
        tar -C "$source" --exclude=./build --exclude='./*.egg-info' --exclude=./.git \
            --exclude=./.venv --exclude=./.test --exclude=./_trial_temp --exclude=__pycache__ \
            -cf "$scratch/source.tar" . || die "$source cannot be read"
        tar -C "$requirement" --no-same-owner -xf "$scratch/source.tar"
    fi
    if [ "$extras" != none ]; then
        case $requirement in
            /*) requirement="${requirement}[$extras]" ;;
            *) requirement=$(say "$requirement" | sed "s/^[[:alnum:]._-]*/&[$extras]/") ;;
        esac
    fi
    "$new/bin/python" -m pip install --no-input --disable-pip-version-check --quiet \
        --no-warn-script-location "$requirement" || die "pip could not install $requirement; \
nothing has changed (optional parts whose wheels this machine lacks: --extras none)"
    # twistd would write this cache at its first start, as a user who may not write here.
    "$new/bin/python" -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
    # Before anything is switched: does it run, for the user who will run it?
    installed=$(as_user "$new/bin/$NAME" --version) || die "the new version does not run as user \
$user, nothing has changed; if it is the Python that this user may not read \
($("$new/bin/python" -c 'import sys; print(sys.base_prefix)')), name another by --python"
    say "$(fingerprint)" >"$new/.fingerprint"
}

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

# The sample becomes the configuration, with nothing enabled; one that is there is not touched.
place_config() {
    mkdir -p -- "$etc"
    own "root:$group" 0750 "$etc"
    [ ! -e "$config" ] || return 0
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

place_state() {
    [ ! -d "$state" ] || return 0
    mkdir -p -- "$state"
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
    say "next: enable modules in $config, then: systemctl restart telegraf"
}

place_for_systemd() {
    place "$HERE/systemd/telegraf.service.d/$NAME.conf" "$dropins/$NAME.conf"
    place "$HERE/systemd/telegraf.service.d/$NAME-socket.conf" "$dropins/$NAME-socket.conf"
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
    say "next: enable modules in $config, then: systemctl restart telegraf $NAME"
}

check_config() {
    if ! as_user "$command" check -c "$config" >"$scratch/check" 2>&1; then
        warn "$config has faults (or takes a secret from a variable that is not set here):"
        cat -- "$scratch/check" >&2
    fi
}

install() {
    check_source
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
    place_config
    place_state
    if [ "$service" = yes ]; then place_for_systemd; else place_for_telegraf; fi
    check_config
    say "a running agent stays what it was until it is started anew"
}

"$action"
