# shellcheck shell=dash disable=SC3043,SC2154
# Run by ../million.sh in the guest, after a line that sets `connections` and `hold_s`: that number of
# connections in one process to one `serve`, held, measured and checked. For the shell of busybox. The
# exit status is 0 only if nothing failed.
set -eu

# Each pair of addresses gets less than half of the ephemeral ports: on this kernel connect() walks
# the taken ones beyond that.
targets=127.0.0.1-127.0.0.80:8080
# The smaller of two runs; memory of a connection is the slope between them.
few=10000
bytes_max=49
# Anything slower is a hang.
connections_per_s_min=400
failures=0

check() { # WHAT COMMAND...
  local what=$1
  shift
  if ! "$@"; then
    echo "FAILED: $what"
    failures=$((failures + 1))
  fi
}

die() {
  echo "FAILED: $*"
  tail -n 15 /tmp/*.out /tmp/*.err
  exit 1
}

# Prefixes each line of standard input with the uptime.
stamp() {
  local line uptime rest
  while read -r line; do
    read -r uptime rest </proc/uptime
    echo "$uptime $line"
  done
}

last_line() { tail -n 1 "$1" 2>/dev/null || true; }

has() { case $1 in *"$2"*) true ;; *) false ;; esac }

client_prints() { has "$(last_line /tmp/client.out)" "$1"; }

serve_prints() { has "$(last_line /tmp/serve.out)" "$1"; }

# Ended or gone; `wait` gets its exit status.
is_over() { ! grep -qs '^State:.[^Z]' "/proc/$1/status"; }

is_open() { client_prints "Established: $1," || is_over "$client"; }

wait_for() { # SECONDS COMMAND...
  local left=$1 total=$1
  shift
  until "$@"; do
    [ "$left" -gt 0 ] || return 1
    left=$((left - 1))
    sleep 1
    [ $(((total - left) % 60)) -ne 0 ] || last_line /tmp/client.out
  done
}

kib() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/$3"; }

# What is resident now or, where the kernel has noticed, was at most. The sum over the mappings is
# exact; the counters of `status` lag behind by some pages, which is much among ten thousand.
most_kib() {
  local now peak
  now=$(kib "$1" Rss smaps_rollup) peak=$(kib "$1" VmHWM status)
  echo $((now > peak ? now : peak))
}

resident() { # NAME PROCESS
  echo "$1: VmRSS $(kib "$2" VmRSS status) kB, RssAnon $(kib "$2" RssAnon status) kB," \
    "VmHWM $(kib "$2" VmHWM status) kB"
}

dial() { # CONNECTIONS SECONDS: begins a run and returns when all are open at both ends
  rm -f /tmp/client.pipe
  mkfifo /tmp/client.pipe
  stamp </tmp/client.pipe >/tmp/client.out &
  tcpgoon "$targets" -c "$1" -s 0 -t 120 -i 1 --hold "$2" -y --report full \
    >/tmp/client.pipe 2>/tmp/client.err &
  client=$!
  wait_for $((60 + $1 / connections_per_s_min)) is_open "$1" || die "the dials take too long"
  ! is_over "$client" || die "the client has ended"
  wait_for 10 serve_prints "Open: $1," || die "serve does not have the same number open as the client"
}

hang_up() { # CONNECTIONS: waits for the end of a run and leaves its exit code in `code`
  wait_for $((60 + $1 / connections_per_s_min)) is_over "$client" || die "the client does not end"
  code=0
  wait "$client" || code=$?
}

# Every statistics line of the client balances, and there was one a second while all were held. When
# the emulation stalls one can be late, but none is missing.
lines_hold() {
  awk -v connections="$connections" -v hold_s="$hold_s" '
    $2 == "Total:" {
      gsub(",", "")
      lines += 1
      if ($3 != connections || $3 != $5 + $7 + $9 + $11 + $13) { print "unbalanced: " $0; bad = 1 }
      held = $7 == connections && !over
      if (held && was_held && $1 - last > widest) widest = $1 - last
      if (held) held_lines += 1
      was_held = held; last = $1
    }
    $2 == "---" { over = 1 }
    END {
      printf "%d statistics lines, %d of them while all were held, at most %.2f s apart\n",
        lines, held_lines, widest
      exit bad || held_lines < hold_s || widest > 2
    }' /tmp/client.out
}

per_connection() { # KIB BEFORE, KIB AFTER: bytes to a tenth
  awk -v before="$1" -v after="$2" -v n=$((connections - few)) \
    'BEGIN { printf "%.1f", (after - before) * 1024 / n }'
}

at_most() { awk -v value="$1" -v most="$2" 'BEGIN { exit value > most }'; }

tcpgoon serve --bind 0.0.0.0 --port 8080 --interval 1 >/tmp/serve.out 2>/tmp/serve.err &
serve=$!
wait_for 30 grep -q '^Listening' /tmp/serve.out || die "serve does not listen"

dial "$few" 5
client_few=$(kib "$client" Rss smaps_rollup) serve_few=$(kib "$serve" Rss smaps_rollup)
hang_up "$few"
check "exit code $code of the run of $few" [ "$code" -eq 0 ]
wait_for 60 serve_prints 'Open: 0,' || die "serve keeps connections that are closed"

free_kib=$(kib . MemFree meminfo)
dial "$connections" "$hold_s"
echo "$connections connections are open"
resident client "$client"
resident serve "$serve"
client_bytes=$(per_connection "$client_few" "$(most_kib "$client")")
serve_bytes=$(per_connection "$serve_few" "$(most_kib "$serve")")
kernel_bytes=$(per_connection "$(kib . MemFree meminfo)" "$free_kib")
wait_for $((hold_s + 60)) grep -q 'run report' /tmp/client.out || die "there is no report"
wait_for 10 client_prints 'a time can be over by this' || true
sed 's/^[0-9.]* //; /tcp test statistics/,$!d' /tmp/client.out
hang_up "$connections"

check "exit code $code" [ "$code" -eq 0 ]
check "the statistics lines" lines_hold
check "the last line" grep -q "Total: $connections, Dialing: 0, Established: $connections, Closed: 0, \
Error: 0, NotInitiated: 0" /tmp/client.out
check "the report" grep -q "Established: $connections in all, $connections at most at once, \
$connections at the end, 0 closed by the peer" /tmp/client.out
check "serve's count" grep -q "Open: $connections, MostOpen: $connections," /tmp/serve.out
check "the client's memory" at_most "$client_bytes" "$bytes_max"
check "the memory of serve" at_most "$serve_bytes" "$bytes_max"
# A long close prints progress; nothing else may be on standard error.
other_than_closing() {
  grep -qv '^tcpgoon: closing: ' /tmp/client.err
}
check "standard error" eval '! other_than_closing'
check "standard error of serve" [ ! -s /tmp/serve.err ]

cat <<TABLE
connections held for $hold_s s       $connections
bytes a connection, client     $client_bytes (from $few to $connections; $bytes_max at most)
bytes a connection, serve      $serve_bytes (likewise)
bytes a connection, in total   $kernel_bytes (less free memory in the guest: both ends and the kernel)
exit code                      $code
checks that failed             $failures
TABLE
[ "$failures" -eq 0 ]
