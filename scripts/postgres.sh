#!/bin/sh
# A PostgreSQL server for tests, in a folder of its own: reached over a Unix socket in that folder
# and nothing else, run by an unprivileged user (PostgreSQL refuses root), gone afterwards.
#
#   postgres.sh run COMMAND...              with a server, whose place is in WEIR_POSTGRES
#   postgres.sh start FOLDER [NAME=VALUE]   makes and starts one there, with these settings; with
#                                           ssl=on it speaks TLS over TCP as `localhost`, which
#                                           root.crt vouches for, and other.crt does not
#   postgres.sh restart FOLDER              as after a crash: what was open is rolled back
#   postgres.sh stop FOLDER
#
# A folder is empty or does not exist before `start`. Debian's packages are installed where there
# is no server; their own cluster, if they make one, is neither used nor touched.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

bin() { # where the newest server is
    for found in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) /usr/local/pgsql/bin; do
        [ -x "$found/initdb" ] && echo "$found" && return 0
    done
    found=$(command -v initdb) && dirname "$found"
}

if ! bin=$(bin); then
    sh "$here/apt-install.sh" postgresql >&2
    bin=$(bin) || { echo "postgres: there is no initdb to be found" >&2; exit 1; }
fi

as_nobody() { # as a user that PostgreSQL takes
    if [ "$(id -u)" != 0 ]; then
        "$@"
    else
        user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        # Not in a folder that the user may not see.
        (cd / && setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@")
    fi
}

own() { # a folder that belongs to that user
    mkdir -p "$1"
    chmod 755 "$1"
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        chown "$user" "$1"
    fi
}

control() {
    as_nobody "$bin/pg_ctl" --silent --wait --timeout=60 -D "$1/data" "$2" -m immediate \
        --log="$1/log" >/dev/null 2>&1 || { tail -n 20 "$1/log" >&2; return 1; }
}

certificates() { # of two authorities, and of a server that the first one vouches for
    (
        cd "$1"
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        for name in root other; do
            openssl req -x509 $key -days 2 -subj "/CN=weir test $name" -keyout $name.key -out $name.crt
        done
        openssl req $key -subj /CN=localhost -keyout server.key -out server.csr
        echo 'subjectAltName=DNS:localhost' >server.ext
        openssl x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2 \
            -extfile server.ext -out server.crt
        chmod 600 server.key
        [ "$(id -u)" != 0 ] || chown "$user" server.key
    ) >"$1/certificates.log" 2>&1 || { cat "$1/certificates.log" >&2; return 1; }
}

start() {
    folder=$1 port=5432
    shift
    own "$folder"
    as_nobody "$bin/initdb" -D "$folder/data" --auth=trust --encoding=UTF8 --locale=C --no-sync \
        --username=weir >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; return 1; }
    # Members of `secret` need their password.
    {
        echo "local all +secret scram-sha-256"
        echo "local all all trust"
        echo "host all all 127.0.0.1/32 trust"
    } >"$folder/data/pg_hba.conf"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$folder'"
        echo "max_prepared_transactions = 100"
        echo "max_connections = 200"
        # The machine does not crash in these tests, only the server and the program do.
        echo "fsync = off"
        for setting in "$@"; do
            echo "${setting%%=*} = '${setting#*=}'"
            case $setting in
            port=*) port=${setting#*=} ;;
            ssl=on)
                certificates "$folder" >&2
                echo "ssl_cert_file = '$folder/server.crt'"
                echo "ssl_key_file = '$folder/server.key'"
                ;;
            esac
        done
    } >>"$folder/data/postgresql.conf"
    control "$folder" start
    as_nobody "$bin/psql" --quiet -h "$folder" -p "$port" -U weir -d postgres -c "CREATE ROLE secret"
}

case ${1:-} in
run)
    shift
    # Short: the path of a socket has at most 107 bytes.
    folder=$(mktemp -d /tmp/weir-pg-XXXXXX)
    end() {
        [ -f "$folder/data/postmaster.pid" ] && control "$folder" stop
        rm -rf "$folder"
    }
    trap end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start "$folder"
    WEIR_POSTGRES=$folder WEIR_POSTGRES_SCRIPT=$here/postgres.sh "$@"
    ;;
start | restart | stop)
    verb=$1 folder=$2
    shift 2
    case $verb in
    start) start "$folder" "$@" ;;
    *) control "$folder" "$verb" ;;
    esac
    ;;
*)
    sed -n '2,/^set -eu/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
