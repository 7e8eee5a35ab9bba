#!/usr/bin/env bash
# ingress_drops.sh: a host that drops packets that arrive, and the verdict on it.
#
# The receive queue belongs to the whole machine, so it is shortened in a virtual machine. Half a
# minute. Exit status 0: lost dials are attributed to this host.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-musl
cargo build --quiet --release --locked --target $target
VM_MEM=${VM_MEM:-1G} VM_TIMEOUT=${VM_TIMEOUT:-300} \
  tests/vm/run tests/vm/flooded.sh target/$target/release/tcpgoon
