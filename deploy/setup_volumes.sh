#!/bin/sh
# Makes the folders, the secrets, their owners, modes and SELinux labels for deploy/compose.yaml.
# Run it again whenever you like: it changes only what is not as it should be.
set -eu
umask 077
export LC_ALL=C

usage() {
    cat <<'USAGE'
Usage: setup_volumes.sh [OPTIONS]

Makes below the home folder what deploy/compose.yaml mounts:
  library/   your documents     yours, readable by the container's group (2750)
  data/      what is stored     the container's own (0700)
  models/    the model files    the container's own (0755)
  secrets/   Redis' password, and the settings with it (0400, one for each container)

  --home DIR        the home folder (default: /srv/xoe-novai)
  --root DIR        put everything below DIR instead of / (to try it out, or to make an image)
  --uid N, --gid N  the ids of the app in its container (default: 10001, 10001)
  --redis-uid N, --redis-gid N
                    the ids of Redis in its container (default: 999, 999)
  --owner USER      who puts documents into library/ (default: whoever ran sudo, else you)
  --rootless        for rootless Podman: the ids are those inside its user namespace
                    (default: when you are not root and Podman is installed)
  --no-rootless     the ids are this computer's own
  --dry-run         say what would be done, and do nothing
  -h, --help        this text
USAGE
}

say() { printf '%s\n' "$*"; }
warn() { printf 'Note: %s\n' "$*" >&2; }
die() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

home=/srv/xoe-novai
root=''
uid=10001
gid=10001
redis_uid=999
redis_gid=999
owner=${SUDO_USER:-$(id -un 2>/dev/null || id -u)}
rootless=auto
dry_run=no
changes=0

while [ $# -gt 0 ]; do
    case $1 in
        --home | --root | --uid | --gid | --redis-uid | --redis-gid | --owner)
            [ $# -ge 2 ] || die "$1 needs a value (see --help)."
            case $1 in
                --home) home=$2 ;;
                --root)
                    root=$2
                    [ -n "$root" ] || die '--root is empty.'
                    ;;
                --uid) uid=$2 ;;
                --gid) gid=$2 ;;
                --redis-uid) redis_uid=$2 ;;
                --redis-gid) redis_gid=$2 ;;
                --owner) owner=$2 ;;
            esac
            shift 2
            ;;
        --rootless) rootless=yes && shift ;;
        --no-rootless) rootless=no && shift ;;
        --dry-run) dry_run=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        *) die "'$1' is not an option (see --help)." ;;
    esac
done

# --- What is refused --------------------------------------------------------------------------

for number in "$uid" "$gid" "$redis_uid" "$redis_gid"; do
    case $number in
        '' | *[!0-9]* | ??????????*) die "'$number' is not an id: a number is wanted." ;;
        0) die 'Nothing runs as root in the containers, so the id 0 is refused.' ;;
    esac
done

# An absolute path in plain spelling, so that what is compared below is what is used.
plain() {
    case $2 in
        /*) ;;
        *) die "$1 must be an absolute path, and '$2' is not." ;;
    esac
    case $2/ in
        *//* | */./* | */../*) die "$1 must not contain '//', '.' or '..': '$2'." ;;
    esac
    case $2 in
        *[!A-Za-z0-9._/@%+=:,-]*) die "$1 may have letters, digits and . _ - @ % + = : , only: '$2'." ;;
    esac
}

home=${home%/}
root=${root%/}
[ -z "$home" ] || plain --home "$home"
case ${home:-/} in
    / | /home | /home/* | /media | /mnt | /opt | /root | /srv | /tmp | /var | /var/lib | /var/tmp | \
        /bin | /bin/* | /boot | /boot/* | /dev | /dev/* | /etc | /etc/* | /lib | /lib/* | /lib64 | \
        /lib64/* | /proc | /proc/* | /run | /run/* | /sbin | /sbin/* | /sys | /sys/* | /usr | /usr/* | \
        /var/log | /var/log/* | /var/run | /var/run/*)
        case $home in
            /home/*/?*) ;; # a folder in somebody's home
            *) die "'${home:-/}' belongs to the system: name a folder of its own, as in /srv/xoe-novai." ;;
        esac
        ;;
esac
if [ -n "$root" ]; then
    plain --root "$root"
    [ -d "$root" ] || die "The folder '$root' (--root) does not exist."
fi
base=$root$home

# A link on the way would lead elsewhere than the path says. What is above --root is the caller's.
no_links() {
    walked=$root
    rest=${1#"$root"}
    rest=${rest#/}
    while [ -n "$rest" ]; do
        walked=$walked/${rest%%/*}
        case $rest in
            */*) rest=${rest#*/} ;;
            *) rest='' ;;
        esac
        [ ! -L "$walked" ] || die "'$walked' is a symbolic link; name the folder it leads to."
        if [ -e "$walked" ] && [ -n "$rest" ] && [ ! -d "$walked" ]; then
            die "'$walked' is there already and is no folder."
        fi
    done
}
for name in library data models secrets secrets/redis_password secrets/xoe.toml; do
    no_links "$base/$name"
done
for name in library data models secrets; do
    [ ! -e "$base/$name" ] || [ -d "$base/$name" ] ||
        die "'$base/$name' is there already and is no folder."
done
for name in redis_password xoe.toml; do
    [ ! -e "$base/secrets/$name" ] || [ -f "$base/secrets/$name" ] ||
        die "'$base/secrets/$name' is there already and is no file."
done

# --- Whose ids ----------------------------------------------------------------------------------

me=$(id -u)
if [ "$rootless" = auto ]; then
    rootless=no
    if [ "$me" != 0 ] && command -v podman >/dev/null 2>&1; then
        rootless=yes
    fi
fi
if [ "$rootless" = yes ]; then
    [ "$me" != 0 ] || die '--rootless is for a user that is not root: run it as the one that runs Podman.'
    command -v podman >/dev/null 2>&1 || die '--rootless needs podman, which is not installed.'
    library_owner=0 # you, seen from inside your user namespace
else
    library_owner=$(id -u "$owner" 2>/dev/null) || die "There is no user '$owner' (--owner)."
    if [ "$me" != 0 ] && [ "$uid $redis_uid" != "$me $me" ]; then
        die "Only root can give folders to the ids $uid and $redis_uid: use sudo. With rootless Podman \
use --rootless; to run the containers under your own id use --uid $me --redis-uid $me (and your group)."
    fi
fi

# In rootless Podman the ids mean something only inside its user namespace.
inside() {
    if [ "$rootless" = yes ]; then
        podman unshare "$@"
    else
        "$@"
    fi
}

# --- What is done -------------------------------------------------------------------------------

# run WHAT COMMAND…: says what, and does it.
run() {
    changes=$((changes + 1))
    what=$1
    shift
    if [ "$dry_run" = yes ]; then
        say "would: $what"
    else
        say "$what"
        "$@"
    fi
}

# What is there already may be out of our sight (its owner's own): then it is looked at inside.
there() { [ -e "$1" ] || inside test -e "$1"; }

# settle PATH OWNER:GROUP MODE
settle() {
    if ! there "$1"; then
        # Only on a dry run: it would have been made just now.
        say "would: give $1 to $2, mode $3"
        return
    fi
    # shellcheck disable=SC2016 # stat's own marks
    if [ "$(inside stat -c '%u:%g' "$1")" != "$2" ]; then
        run "$1: owner $2" inside chown "$2" "$1"
    fi
    if [ "$(inside stat -c '%a' "$1")" != "${3#0}" ]; then
        run "$1: mode $3" inside chmod "$3" "$1"
    fi
}

folder() {
    there "$1" || run "$1: made" mkdir "$1"
    settle "$1" "$2" "$3"
}

make_open() (umask 022 && mkdir -p "$1")

# The home folder and those above it are left as they are when they are there.
[ -d "$base" ] || run "$base: made" make_open "$base"
# secrets/ lies within reach of root (of you, with rootless Podman) and of nobody else.
if [ "$rootless" = yes ]; then top=0; else top=$me; fi
top_group=0
[ "$rootless" = yes ] || top_group=$(id -g)
folder "$base/library" "$library_owner:$gid" 2750
folder "$base/data" "$uid:$gid" 0700
folder "$base/models" "$uid:$gid" 0755
folder "$base/secrets" "$top:$top_group" 0700

# 256 bits, in digits that need no quoting anywhere.
new_password() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# Whole or not at all: a later run takes what is there for good.
write_password() { new_password >"$1.new" && mv "$1.new" "$1"; }

write_settings() {
    password=$(inside cat "$2")
    case $password in
        '' | *[!A-Za-z0-9]*)
            die "The password in $2 must be letters and digits: put in such a one, or remove the file."
            ;;
    esac
    {
        say '# The settings of the app in its container: every one that "xoe config" lists may stand here.'
        say "redis_url = \"redis://:$password@redis:6379/0\""
    } >"$1.new" && mv "$1.new" "$1"
}

secret=$base/secrets/redis_password
settings=$base/secrets/xoe.toml
there "$secret" || run "$secret: made, with a random password" write_password "$secret"
there "$settings" || run "$settings: made" write_settings "$settings" "$secret"
settle "$secret" "$redis_uid:$redis_gid" 0400
settle "$settings" "$uid:$gid" 0400

# Documents that were put there with a narrower mode cannot be read in the container.
if [ -d "$base/library" ]; then
    unreadable=$(inside find "$base/library" -mindepth 1 \
        ! \( -group "$gid" -perm -040 \) ! -perm -004 -print 2>/dev/null | head -n 3)
    [ -z "$unreadable" ] ||
        warn "the app cannot read these documents, and perhaps more (chmod -R g+rX): $unreadable"
fi

# --- SELinux ------------------------------------------------------------------------------------

# The engine labels what compose.yaml mounts with :z and :Z. The rules made here keep a relabelling
# of the whole file system from undoing that, and cover the secrets, which the engine mounts as they are.
if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then
    if [ "$me" = 0 ] && command -v semanage >/dev/null 2>&1 && command -v restorecon >/dev/null 2>&1; then
        pattern=$(printf '%s' "$base" | sed 's/[.+]/\\&/g')'(/.*)?'
        if semanage fcontext -l -C 2>/dev/null | grep -F -- "$pattern" | grep -q container_file_t; then
            say "SELinux: $base is known as container_file_t"
        else
            run "SELinux: $base becomes container_file_t" \
                semanage fcontext -a -t container_file_t "$pattern"
            # Without -F: categories that the engine gave to a private folder (:Z) stay.
            run "SELinux: labels below $base restored" restorecon -R "$base"
        fi
    elif [ "$dry_run" = yes ] && [ ! -e "$base/secrets" ]; then
        say "would: label $base/secrets as container_file_t"
    else
        case $(inside stat -c '%C' "$base/secrets" 2>/dev/null) in
            *:container_file_t:*) ;;
            *)
                run "SELinux: $base/secrets labelled container_file_t" \
                    inside chcon -R -t container_file_t "$base/secrets"
                warn 'a relabelling of the file system undoes this: run the script again after one.'
                ;;
        esac
    fi
fi

# --- What is next -------------------------------------------------------------------------------

if [ "$dry_run" = yes ]; then
    say "Nothing was changed; $changes changes would be made."
elif [ "$changes" = 0 ]; then
    say "All is as it should be below $base."
else
    say "Done: $changes changes below $base."
fi
