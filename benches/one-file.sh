#!/usr/bin/env bash
# Downloads one file of 1 GiB from nginx on loopback into memory (tmpfs) with downhaul and with
# curl, and prints the wall time and the processor time of both.
#
#   benches/one-file.sh [RUNS]
#
# The runs of downhaul and curl alternate, and the results are medians. Needs cargo, nginx, curl,
# and 3 GiB in /dev/shm.
set -eu
cd "$(dirname "$0")/.."
runs=${1:-7}
cargo build --profile dist --quiet -p downhaul
work=$(mktemp -d /dev/shm/downhaul-bench.XXXXXX)
port=18473
trap 'kill $(cat "$work/pid") 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"; mkdir "$work/www"
head -c 1073741824 /dev/urandom >"$work/www/1g"
cat >"$work/nginx.conf" <<CONF
worker_processes 1; pid $work/pid; error_log $work/error.log;
events { worker_connections 64; }
http { access_log off; sendfile on; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5; server { listen 127.0.0.1:$port; root $work/www; } }
CONF
nginx -c "$work/nginx.conf"
url=http://127.0.0.1:$port/1g
TIMEFORMAT='%R %U %S'
measure() { # NAME COMMAND...: a line of wall, user and system seconds
  local name=$1; shift; rm -f "$work/out"
  { time "$@" >/dev/null 2>&1; } 2>>"$work/$name"
}
for _ in $(seq "$runs"); do
  measure curl curl -s -o "$work/out" "$url"
  measure downhaul target/dist/downhaul "$url" -o "$work/out" --log none -q
  cmp -s "$work/www/1g" "$work/out" || { echo "not exact"; exit 1; }
done
column() { awk -v c="$2" '{print c == 0 ? $2 + $3 : $c}' "$work/$1" | sort -n | awk '{a[NR] = $1} END {printf "%.2f", a[int((NR + 1) / 2)]}'; }
echo "1 GiB over plain HTTP on loopback, output on tmpfs, medians of $runs interleaved runs ($(nproc) cores)"
echo "| | wall | processor |"; echo "|---|---|---|"
for name in curl downhaul; do echo "| $name | $(column $name 1) s | $(column $name 0) s |"; done
curl --version | head -n 1 | cut -d' ' -f1-2; target/dist/downhaul --version; nginx -v 2>&1
