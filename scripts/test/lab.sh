#!/bin/sh
# Runs a command in the current network namespace, which must be new. Its loopback interface also gets addresses of the
# internet, so that tests reach only themselves. `unshare --net sh scripts/test/lab.sh COMMAND …`
set -e
[ "$(ip -o link | wc -l)" -eq 1 ] || { echo "lab.sh: not a new network namespace" >&2; exit 1; }
ip link set lo up
ip addr add 93.184.216.34/32 dev lo
ip addr add 93.184.216.35/32 dev lo
ip -6 addr add 2606:2800:220:1::34/128 dev lo
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
export NSJS_LAB=1
exec "$@"
