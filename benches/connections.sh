#!/usr/bin/env bash
# Measures downloads of one file over several connections. The server of the testkit limits each TCP
# connection, in most runs to 1 MB/s (a token bucket of 64 KiB). The numbers answer three questions. How
# much faster are several connections than one? How much time does a download over four connections lose if
# one of them delivers nothing or is very slow? How many bytes of 1 GiB are fetched again after a run was
# killed?
#
#   benches/connections.sh
#
# Takes about two minutes. Needs cargo, and 3 GiB in /dev/shm.
set -eu
cd "$(dirname "$0")/.."
cargo build --profile dist --quiet -p downhaul
cargo build --profile dist --quiet -p downhaul-testkit --example server
work=$(mktemp -d /dev/shm/downhaul-bench.XXXXXX)
port=18474
target/dist/examples/server $port 900 >/dev/null & server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
sleep 0.5
get() { # PATH OPTIONS...: seconds
  local url=http://127.0.0.1:$port/$1; shift
  rm -f "$work"/out*
  local start end
  start=$(date +%s.%N)
  target/dist/downhaul "$url" -o "$work/out" --log none -q "$@"
  end=$(date +%s.%N)
  awk -v a="$start" -v b="$end" 'BEGIN {printf "%.2f", b - a}'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
cap='rate=1000000'
one=$(get "capped/32000000/file?$cap" -x 1)
eight=$(get "capped/32000000/file?$cap" -x 8)
echo "32 MB at 1 MB/s a connection: -x 1 $one s, -x 8 $eight s: $(ratio "$one" "$eight") times as fast"
auto=$(get "capped/32000000/file?$cap")
echo "  with the default (auto): $auto s"
three=$(get "capped/32000000/file?$cap" -x 3)
silent=$(get "silent_connection/32000000/file?$cap" -x 4)
crawling=$(get "crawling_connection/32000000/file?$cap" -x 4)
echo "three good connections: $three s; with a fourth that delivers nothing: $silent s ($(ratio "$silent" "$three")); with one that is forty times slower: $crawling s ($(ratio "$crawling" "$three"))"
rm -f "$work"/out*
url="http://127.0.0.1:$port/capped/1073741824/file?rate=250000000"
target/dist/downhaul "$url" -o "$work/out" --log none -q -x 2 & run=$!
while [ "$(stat -c %b "$work/out.part" 2>/dev/null || echo 0)" -lt 1048576 ]; do sleep 0.02; done
kill -9 $run; wait $run 2>/dev/null || true
events=$(target/dist/downhaul "$url" -o "$work/out" --log none -x 2 --progress json)
there=$(grep -o '"kind":"resumed","from":[0-9]*,"bytes":[0-9]*' <<<"$events" | grep -o '[0-9]*$')
fetched=$(grep -o '"fetched":[0-9]*' <<<"$events" | grep -o '[0-9]*$')
awk -v there="$there" -v fetched="$fetched" 'BEGIN {size = 1073741824
  printf "1 GiB, killed with %.1f %% there: %.2f %% of the file fetched again\n", there / size * 100, (fetched + there - size) / size * 100}'
