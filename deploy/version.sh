# shellcheck shell=sh
# Builds a version of metrics-agent in an environment of its own: the part of install.sh that uses pip.

# What is installed already, so that the same wheel again is no work.
fingerprint() {
    if [ -f "$source" ]; then
        say "$(cat -- "$source" "$LOCK" | sha256sum) extras=$extras hashes=$hashes \
python=$("$python" -I --version 2>&1)"
    fi
}

# Print the entries of the lock that belong to the parts.
locked() { # PART...
    awk -v parts=" $* " '
        /^# for: / { wanted = 0; for (i = 3; i <= NF; i++) wanted += index(parts, " " $i " ") }
        wanted && !/^#/' "$LOCK" |
        if [ "$hashes" = yes ]; then cat; else sed -e '/^ *--hash=/d' -e 's/ *\\$//'; fi
}

# Run the pip of the new version, which removes itself in the end.
pip() {
    "$new/bin/python" -I -m pip --isolated --no-input --disable-pip-version-check --quiet "$@"
}

# Install what a file of requirements in the directory $work says.
pip_install() { # FILE
    set -- install --no-warn-script-location --requirement "$work/$1"
    [ "$hashes" = no ] || set -- "$@" --require-hashes --only-binary :all:
    [ -z "$wheelhouse" ] || set -- "$@" --no-index --find-links "$wheelhouse"
    pip "$@" || die "the packages could not be installed, pip's message is above; nothing has \
changed. If pip could not reach its index, check the network and /etc/pip.conf, or see --wheelhouse. \
If it found no distribution for this machine, see --no-hashes. If it says that a requirement lacks \
a version or a hash, this install.sh is of another version than $source"
}

# Build a wheel of the checkout. Sets: wheel
build_wheel() {
    # Built from a copy: what root leaves in a checkout its owner cannot remove.
    mkdir -- "$work/source"
    tar -C "$source" --exclude=./build --exclude='./*.egg-info' --exclude=./.git \
        --exclude=./.venv --exclude=./.test --exclude=./_trial_temp --exclude=__pycache__ \
        -cf "$work/source.tar" . || die "$source cannot be read"
    tar -C "$work/source" --no-same-owner -xf "$work/source.tar"
    locked build >"$work/build.txt"
    [ ! -s "$work/build.txt" ] || pip_install build.txt
    pip wheel --no-index --no-deps --no-build-isolation --wheel-dir "$work" "$work/source" ||
        die "no wheel could be built from $source, pip's message is above; nothing has changed"
    wheel=$(cd -- "$work" && echo metrics_agent-*.whl)
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
    half_made=$new
    # What pip unpacks goes to the disk that has to hold the result; /tmp may be small.
    work=$new/.build
    mkdir -p -- "$work/tmp"
    export TMPDIR="$work/tmp"
    "$python" -I -m venv "$new" || die "the virtual environment $new could not be made"
    if [ -d "$source" ]; then
        build_wheel
    else
        wheel=${source##*/}
        cp -- "$source" "$work/$wheel"
    fi
    # One call for all: so pip finds out whether the lock has all that this wheel needs.
    # shellcheck disable=SC2086 # the parts are words
    locked $parts >"$work/run.txt"
    hash=
    [ "$hashes" = no ] || hash=" --hash=sha256:$(sha256sum <"$work/$wheel" | cut -d ' ' -f 1)"
    say "./$wheel${extras:+[$extras]}$hash" >>"$work/run.txt"
    cd -- "$work"
    pip_install run.txt
    pip --quiet uninstall --yes pip setuptools
    cd /
    unset TMPDIR
    rm -rf -- "$work"
    # twistd would write this cache at its first start, as a user who may not write here.
    "$new/bin/python" -I -c \
        'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
    # Before anything is switched: does it run, for the user who will run it?
    installed=$(as_user "$new/bin/$NAME" --version) || die "the new version does not run as user \
$user, nothing has changed; if it is the Python that this user may not read \
($("$new/bin/python" -I -c 'import sys; print(sys.base_prefix)')), name another by --python"
    say "$(fingerprint)" >"$new/.fingerprint"
}
