# shellcheck shell=dash
# Run by ../ingress_drops.sh in the guest: the receive queue of this host holds two packets, and the
# verdict names that instead of the server.
set -eu

sysctl -qw net.core.netdev_max_backlog=1
# Through the queue of another processor, which is not always scheduled in time.
[ -d /sys/class/net ] || mount -t sysfs sysfs /sys
echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus

tcpgoon serve --bind 127.0.0.1 -p 8080 -i 0 >/tmp/serve.out &
server=$!
looks=0
until grep -q Listening /tmp/serve.out; do
  looks=$((looks + 1))
  [ "$looks" -lt 100 ] || exit 1
  usleep 100000
done
# Shorter than the SYN retransmission timeout: a lost SYN fails the dial.
code=0
tcpgoon 127.0.0.1:8080 -c 4000 -s 0 -t 0.9 -i 0 -y --report full >/tmp/client.out || code=$?
kill "$server"
sed -n '/^Total/p;/^Errors/p;/^--- verdict/,$p' /tmp/client.out
[ "$code" -eq 2 ]
sed -n '/^--- verdict/,$p' /tmp/client.out | grep -q '^  1\. ingress-drops  *this host  '
