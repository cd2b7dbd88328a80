#!/bin/sh
# A migration that can be undone: ./migration.sh rows.csv; further options come from BULKSYNC_* variables.
# Whatever stops it, the same call goes on; nothing is undone unless you say so at the end.
set -eu
rows=$1

bulksync check "$rows"
bulksync fetch "$rows"                             # as it is now, into $rows.state.jsonl
bulksync run "$rows"
bulksync verify "$rows" "$rows.report.csv" --live  # exit 11 where the server holds something else

printf 'Undo all of it? Type undo: '
read -r answer
if [ "$answer" = undo ]; then
    bulksync run "$rows.state.jsonl"
fi
