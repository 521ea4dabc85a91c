#!/bin/sh
# Starts a gateway in unicast mode on this host: it checks what can be checked before, prints the settings, and becomes
# the gateway.
#
#     start_gateway_unicast.sh [ENV_FILE] [--FLAG=VALUE …]
#
# A flag (--udp-port=8888) wins over a variable of the environment, and that over the same one in ENV_FILE, whose lines
# are NAME=VALUE. The program is $STATE_GATEWAY, or state-gateway in the working directory, or that of PATH.
set -eu

stop() { # EXIT_CODE TEXT
	echo "start_gateway_unicast.sh: $2" >&2
	exit "$1"
}

# read_settings FILE: its variables, but for those that the environment has.
read_settings() {
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		'' | '#'*) ;;
		VLLM_STATE_GATEWAY_*=*) [ -n "$(printenv "${line%%=*}")" ] || export "${line?}" ;;
		*) stop 78 "$1 has a line that is no VLLM_STATE_GATEWAY_…=…: $line" ;;
		esac
	done <"$1"
}

case ${1-} in
'' | -*) ;;
*)
	[ -r "$1" ] || stop 66 "$1 cannot be read"
	read_settings "$1"
	shift
	;;
esac

# 1. The program.
if [ -z "${STATE_GATEWAY-}" ]; then
	if [ -x ./state-gateway ]; then
		STATE_GATEWAY=./state-gateway
	else
		STATE_GATEWAY=$(command -v state-gateway) ||
			stop 69 "there is no program; build it: CGO_ENABLED=0 go build ./cmd/state-gateway"
	fi
fi
"$STATE_GATEWAY" version || stop 69 "$STATE_GATEWAY does not run"

# 2. The settings. A bad value, or a name that is none, ends this here with the gateway's own words.
: "${VLLM_STATE_GATEWAY_NETWORK_MODE:=unicast}"
export VLLM_STATE_GATEWAY_NETWORK_MODE
settings=$("$STATE_GATEWAY" check-config "$@") || exit
printf '%s\n' "$settings"

# setting NAME: its value in force, as check-config shows it: NAME = VALUE  (source).
setting() { printf '%s\n' "$settings" | sed -n "s/^VLLM_STATE_GATEWAY_$1 = \(.*[^ ]\)  *([a-z]*)\$/\1/p"; }

[ "$(setting NETWORK_MODE)" = unicast ] || stop 78 "this starts unicast, and VLLM_STATE_GATEWAY_NETWORK_MODE=$(setting NETWORK_MODE)"

# 3. The state log. The gateway would run without it, and count its lines as dropped.
if [ "$(setting ENABLE_LOG)" = true ]; then
	directory=$(dirname "$(setting LOG_FILE)")
	if [ ! -d "$directory" ] || [ ! -w "$directory" ]; then
		stop 73 "the state log cannot be written into $directory; make the directory, or set VLLM_STATE_GATEWAY_LOG_FILE"
	fi
fi

# 4. The receive buffer. Without enough of it, bursts are dropped by the kernel.
limit=$(cat /proc/sys/net/core/rmem_max 2>/dev/null || echo unknown)
echo "net.core.rmem_max = $limit; RECEIVE_BUFFER = $(setting RECEIVE_BUFFER); see deploy/sysctl if the gateway warns of it"

exec "$STATE_GATEWAY" serve "$@"
