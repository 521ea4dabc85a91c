#!/bin/sh
# Runs the gateway in a container, with the settings of unicast.env:
#
#     docker_run.sh host      on the host's network: fastest, and nothing stands between engines and gateway
#     docker_run.sh bridge    on Docker's bridge, with the ports published
#     docker_run.sh custom    on a network of its own, elrar-network, in which containers find it by its name
#
# IMAGE, NAME and DATA (where the state log lies on the host) may be set in the environment.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
image=${IMAGE:-elrar/state-gateway:latest}
name=${NAME:-elrar-state-gateway}
data=${DATA:-/tmp/elrar}

published="-p 9999:9999/udp -p 8080:8080"
case ${1-} in
host) network="--network host" ;;
bridge) network="--network bridge $published" ;;
custom)
	docker network inspect elrar-network >/dev/null 2>&1 || docker network create elrar-network
	network="--network elrar-network $published"
	;;
*)
	echo "usage: $0 host | bridge | custom" >&2
	exit 64
	;;
esac

mkdir -p "$data"
chmod 755 "$data"
# shellcheck disable=SC2086 # the options are to be split
exec docker run -d --name "$name" --restart unless-stopped $network \
	--env-file "$here/unicast.env" -v "$data:/data" "$image"
