#!/bin/sh
# Configure from a session file and read what is there as JSON: with_ssh.sh SESSION SSH-OPTIONS… HOST
set -eu
session=$1
shift
ssh "$@" avi-shell -f - <"$session" >/dev/null # of a refused line it is told on standard error, with status 1
ssh "$@" "avi-shell --json -c 'show virtualservice'" | jq -c '[.data[] | {NAME: .name, TYPE: .type}]'
