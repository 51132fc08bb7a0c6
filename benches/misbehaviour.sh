#!/usr/bin/env bash
# Runs several downloaders against a server that misbehaves, and prints for each its exit status and
# whether the file has the right bytes.
#
#   benches/misbehaviour.sh
#
# Needs cargo and curl, and uses wget2, aria2c and axel where they are installed. Everything stays on
# 127.0.0.1 and in a temporary folder. A cell says `exact` (the right file and success), `corrupt, exit 0`
# or `no file, exit 0` (a wrong result that is reported as a success), `hangs (30 s)`, or the exit status of
# a reported failure. If the tool reports a failure although the file is right, the cell says `exact` before
# the exit status.
set -u
cd "$(dirname "$0")/.."
cargo build --profile dist --quiet -p downhaul
cargo build --profile dist --quiet -p downhaul-testkit --example server
work=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
target/dist/examples/server 0 600 >"$work/server" & server=$!
for _ in $(seq 50); do [ -s "$work/server" ] && break; sleep 0.1; done
base=$(head -n 1 "$work/server")
downhaul=$PWD/target/dist/downhaul

# The options that a user would give for a reliable download of one file. Only retries and waits are limited.
run() { # TOOL URL
  case $1 in
    downhaul) "$downhaul" "$2" -o f --log none -q --timeout 3 ;;
    curl) curl -sSfL --retry 3 --max-time 20 -o f "$2" ;;
    wget2) wget2 -q --tries=3 --timeout=3 -O f "$2" ;;
    aria2c) aria2c -q -x4 -k1M --max-tries=3 --timeout=3 --allow-overwrite=true -o f "$2" ;;
    axel) axel -q -n4 -T 3 -o f "$2" ;;
  esac
}

tools=(downhaul)
for tool in curl wget2 aria2c axel; do command -v $tool >/dev/null && tools+=($tool); done
printf '| the server |'; printf ' %s |' "${tools[@]}"; printf '\n|---|'; printf -- '---|%.0s' "${tools[@]}"; echo
while read -r sin says; do
  printf '| %s |' "$says"
  for tool in "${tools[@]}"; do
    dir=$work/$tool-${sin%%\?*}; mkdir -p "$dir"; cd "$dir" || exit 1
    url=${base}${sin%%\?*}/3000000/$tool; [ "$sin" = "${sin#*\?}" ] || url+="?${sin#*\?}"
    timeout 30 bash -c "$(declare -f run); downhaul=$downhaul; run $tool '$url'" >/dev/null 2>&1 </dev/null; status=$?
    # Only the file with the final name is compared. If the file changed on the server during the download,
    # each of the two versions is right, but a mixture of both is wrong.
    curl -s -o wanted "${base}well_behaved/3000000/$tool"
    curl -s -o wanted.changed "${base}well_behaved/3000000/changed"
    if [ ! -f f ]; then right=missing
    elif cmp -s f wanted; then right=exact
    elif [ "$sin" = changed_when_continued ] && cmp -s f wanted.changed; then right=exact
    else right=corrupt; fi
    # The server stated a digest that this file does not have, so it is wrong to accept the file.
    [ "$sin" = checksum_wrong ] && [ $right = exact ] && right=corrupt
    case $right-$status in
      exact-0) cell=exact ;;
      corrupt-0) cell="**corrupt, exit 0**" ;;
      missing-0) cell="**no file, exit 0**" ;;
      exact-*) cell="exact, exit $status" ;;
      *-124) cell="hangs (30 s)" ;;
      *) cell="exit $status" ;;
    esac
    printf ' %s |' "$cell"
    cd - >/dev/null || exit 1
  done
  echo
done <<'SINS'
well_behaved makes no mistake
truncated_body ends the body early, once
truncated_chunked_body ends a chunked body early, once
reset_in_mid_body resets the connection in the middle, once
changed_when_continued has another version of the file after an interruption
wrong_range_when_continued sends the wrong range after an interruption
body_longer_than_announced sends more than announced
busy_once?after=2 answers 503 with Retry-After: 2, once
fails_once?status=502 answers 502, once
expired_link redirects to a link that has expired, once
silence_in_mid_body_once stops sending in the middle of the file, once
checksum_wrong announces a SHA-256 (`X-Checksum-SHA256`) that the file does not have
SINS
