#!/usr/bin/env bash
# million.sh [CONNECTIONS]: hold a million connections, or CONNECTIONS, in one process for a minute.
#
# The static binary dials its own `serve` in a virtual machine without a limit on open files.
# vm/hold.sh checks the run; exit status 0: all checks passed. Emulation dials
# about a thousand a second and keeps two cores busy: a million take half an hour and 12 GB.
#
#   VM_MEM=12G VM_TIMEOUT=3600 HOLD_S=60 tests/million.sh 1000000
set -euo pipefail
cd "$(dirname "$0")/.."
connections=${1:-1000000} hold_s=${HOLD_S:-60}
target=x86_64-unknown-linux-musl

# Memory is measured from 10,000 on; 80 targets at 14,116 ports each are the most.
[[ $connections =~ ^[0-9]+$ && $connections -ge 20000 && $connections -le 1129280 ]] || {
  echo "million.sh: '$connections' is not a number from 20000 to 1129280" >&2
  exit 1
}

cargo build --quiet --release --locked --target $target
job=$(mktemp)
trap 'rm -f "$job"' EXIT
{
  echo "connections=$connections hold_s=$hold_s"
  cat tests/vm/hold.sh
} >"$job"
export VM_MEM=${VM_MEM:-12G} VM_TIMEOUT=${VM_TIMEOUT:-3600}
tests/vm/run "$job" target/$target/release/tcpgoon
