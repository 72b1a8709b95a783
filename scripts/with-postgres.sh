#!/usr/bin/env bash
# with-postgres.sh CMD…: runs CMD with a throw-away PostgreSQL behind PGHOST (a socket in a folder that is
# deleted afterwards). Without the server's programs it only runs CMD, and says so.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
command -v initdb >/dev/null && bin=$(dirname "$(readlink -f "$(command -v initdb)")")
if [[ -z $bin ]] || ! command -v psql >/dev/null; then
    echo "with-postgres: no PostgreSQL here; apt-get install postgresql for the ladder's arbiter" >&2
    exec "$@"
fi

folder=$(mktemp -d)
chmod 711 "$folder"
# The server refuses to run as root.
as=()
if [[ $(id -u) -eq 0 ]]; then
    chown nobody "$folder"
    as=(runuser -u nobody --)
fi
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -U trine -A trust -E UTF8 --locale=C >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w start \
    -o "-k $folder -c listen_addresses='' -c fsync=off -c full_page_writes=off" >/dev/null
cd - >/dev/null
export PGHOST=$folder PGUSER=trine
"$@"
