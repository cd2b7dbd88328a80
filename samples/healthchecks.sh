#!/bin/sh
# Sends the export, and tells healthchecks.io (or one of your own) when it begins and how it ended.
# For cron:  0 1 * * *  PING=https://hc-ping.com/YOUR-UUID /srv/feather/healthchecks.sh /srv/feather/export.csv
# 4 (rows failed), 6 (server away) and 10 (time is up) are tried again; whatever is left then is told as a failure, and
# so is all that needs a person (3, 5, 7, 12 and the others) at once. What bulksync said goes along.
set -u
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT

ping() {
    curl --fail --silent --show-error --max-time 10 --retry 3 --output /dev/null --data-binary "@$said" "$PING$1" || true
}

ping /start
for attempt in 1 2 3 4 5; do
    code=0
    bulksync run "$@" --quiet --max-duration 1h --lock-wait 10m 2>"$said" || code=$?
    case $code in
        4 | 6 | 10) sleep 300 ;;
        *) break ;;
    esac
done
ping "/$code"
cat "$said" >&2
exit "$code"
