#!/bin/sh
# A CI job that needs no cluster and no second machine: a client, a node with ku and two pods in network namespaces; a web server in each pod;
# requests through a VIP. Fails when one of them fails or a pod gets none. Wants root, iproute2, curl and python3.
#
#   sudo examples/ci/namespaces.sh dist/ku
#
#   client 10.9.0.2 ───── 10.9.0.1 node (ku) 10.9.1.1 ───── 10.9.1.2 pod 1
#                                            10.9.2.1 ───── 10.9.2.2 pod 2
set -eu

ku=$(realpath "${1:?usage: namespaces.sh <path of ku>}")
requests=${REQUESTS:-40}
vip=10.96.0.10
stem=ku-ci-$$
work=$(mktemp -d)
started=

cleanup() {
  # Programs that were started here, then their namespaces, and with these every interface.
  for pid in $started; do kill "$pid" 2>/dev/null || true; done
  for pid in $started; do wait "$pid" 2>/dev/null || true; done
  for name in client node pod1 pod2; do ip netns del "$stem-$name" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

inside() { # <namespace> <command…>
  where=$1
  shift
  ip netns exec "$stem-$where" "$@"
}

connect() { # <namespace> <interface on the node> <subnet>
  ip -n "$stem-node" link add "$2" type veth peer name eth0 netns "$stem-$1"
  ip -n "$stem-node" addr add "$3.1/24" dev "$2"
  ip -n "$stem-node" link set "$2" up
  ip -n "$stem-$1" addr add "$3.2/24" dev eth0
  ip -n "$stem-$1" link set eth0 up
  ip -n "$stem-$1" route add default via "$3.1"
}

eventually() { # <command…>: again and again for ten seconds
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "waited in vain for: $*" >&2; return 1; }
    sleep 0.1
  done
}

for name in client node pod1 pod2; do
  ip netns add "$stem-$name"
  ip -n "$stem-$name" link set lo up
done
inside node sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
connect client uplink 10.9.0
connect pod1 pod1 10.9.1
connect pod2 pod2 10.9.2

for pod in pod1 pod2; do
  mkdir "$work/$pod"
  echo "$pod" > "$work/$pod/index.html"
  ip netns exec "$stem-$pod" python3 -m http.server --directory "$work/$pod" 8080 >/dev/null 2>&1 &
  started="$started $!"
done
eventually inside node curl -sf http://10.9.1.2:8080/
eventually inside node curl -sf http://10.9.2.2:8080/

export KU_SOCKET="$work/ku.sock"
ip netns exec "$stem-node" "$ku" run --interface uplink &
started="$started $!"
eventually "$ku" show
"$ku" exec --atomic - <<COMMANDS
set interface nat4 in pod1
set interface nat4 in pod2
vip $vip protocol tcp port 80 target_port 8080
pod $vip 10.9.1.2 10.9.2.2
COMMANDS

count=0
while [ "$count" -lt "$requests" ]; do
  inside client curl -sSf --max-time 5 "http://$vip/" >> "$work/answers"
  count=$((count + 1))
done
sort "$work/answers" | uniq -c
for pod in pod1 pod2; do
  grep -qx "$pod" "$work/answers" || { echo "$pod answered nothing" >&2; exit 1; }
done
"$ku" show vip verbose
