#!/bin/sh
# Loads the release build over the loopback with each installed load generator for a few seconds, and prints
# a table. Results are noisy: compare only figures of the same run.
set -eu
cd "$(dirname "$0")/.."

site=$(mktemp -d)
log=$site/log
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$site"' EXIT INT TERM
head -c 1024 /dev/zero | tr '\0' k >"$site/1k.txt"
head -c 102400 /dev/zero | tr '\0' k >"$site/100k.txt"

target/release/evserve --html "$site" --http 0 2>"$log" &
server=$!
until address=$(sed -n 's|.*listening http \(http://[^ ]*\)|\1|p' "$log") && [ -n "$address" ]; do
    kill -0 "$server"
    sleep 0.05
done

# Prints the CPU time of the server so far, in milliseconds (a clock tick is 10 ms).
cpu() { awk '{ print ($14 + $15) * 10 }' "/proc/$server/stat"; }

row() { # name, requests per second, requests, CPU milliseconds
    awk -v name="$1" -v rate="$2" -v count="$3" -v cpu="$4" \
        'BEGIN { printf "| %-30s | %10.0f | %10.2f |\n", name, rate, count ? cpu * 1000 / count : 0 }'
}

load_wrk() { # name, path, connections
    before=$(cpu)
    out=$(wrk -t1 -c"$3" -d3s "$address$2")
    count=$(echo "$out" | awk '/requests in/ { print $1 }')
    rate=$(echo "$out" | awk '/Requests\/sec/ { print $2 }')
    row "$1" "$rate" "$count" $(($(cpu) - before))
    echo "$out" | grep -E 'Socket errors|Non-2xx' || true
}

load_ab() { # name, count, arguments
    before=$(cpu)
    out=$(ab -q -n "$2" -c 64 $3 "${address}1k.txt")
    rate=$(echo "$out" | awk '/Requests per second/ { print $4 }')
    row "$1" "$rate" "$2" $(($(cpu) - before))
    echo "$out" | grep -E 'Failed requests: +[1-9]|Non-2xx' || true
}

printf '| %-30s | %10s | %10s |\n' scenario 'requests/s' 'CPU us/req'
printf '|--------------------------------|-----------:|-----------:|\n'
if command -v wrk >/dev/null; then
    load_wrk '1 KiB, 64 connections' 1k.txt 64
    load_wrk '1 KiB, 1000 connections' 1k.txt 1000
    load_wrk '100 KiB, 64 connections' 100k.txt 64
    load_wrk '404, 64 connections' nowhere 64
else
    echo 'wrk is not installed (apt-get install wrk)'
fi
if command -v ab >/dev/null; then
    load_ab '1 KiB, HTTP/1.0 keep-alive' 100000 -k
    load_ab '1 KiB, connection per request' 20000 ''
else
    echo 'ab is not installed (apt-get install apache2-utils)'
fi
