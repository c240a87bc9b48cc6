#!/usr/bin/env bash
# Brings the test servers up and down, on a workstation with Docker as on a bare
# machine without a registry. Where there is a working Docker that can pull
# debian:bookworm-slim, nothing of the machine is touched.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: integration/docker.sh COMMAND [SERVICE...]

  up      build what is missing, start the servers, wait until all are healthy
  build   build the images only
  wait    wait until all running servers are healthy
  status  one line a server
  trouble the log of every server that is not healthy
  down    stop and remove the servers (images stay)
  engine  only see to it that a Docker daemon answers
  base    only see to it that debian:bookworm-slim is there

Without SERVICE a command means all servers of docker-compose.yml;
COMPOSE_PROFILES=more adds those that are heavy, COMPOSE_PROFILES=mail the small
internet of mail, COMPOSE_PROFILES=more,mail both.
USAGE
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
base=debian:bookworm-slim

# All checkouts of the project share one zoo: the published ports are the same.
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-herald}

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() {
	say "$*"
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# install_packages installs Debian packages where we may, and says so where we may not.
install_packages() {
	have apt-get || die "$* missing, and no apt-get to install it with: install Docker by hand"
	[ "$(id -u)" = 0 ] || die "$* missing: install it, or run this as root"
	say "installing $*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

answers() { docker info >/dev/null 2>&1; }

start_daemon() {
	[ "$(id -u)" = 0 ] || die "no Docker daemon answers: start it, or run this as root"
	have dockerd || install_packages docker.io
	say "starting dockerd"
	local log=${TMPDIR:-/tmp}/dockerd.log
	# One that was killed leaves the files of its pid, which may be somebody else's by now.
	local file pid
	for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
		pid=$(cat "$file" 2>/dev/null) || continue
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		dockerd | containerd) grep -q '^State:.*zombie' "/proc/$pid/status" 2>/dev/null && rm -f "$file" ;;
		*) rm -f "$file" ;;
		esac
	done
	# It has to outlive this script and its terminal.
	setsid dockerd >"$log" 2>&1 </dev/null &
	for _ in $(seq 360); do # containers of a killed daemon take their time
		answers && return
		sleep 0.5
	done
	tail -n 20 "$log" >&2
	die "dockerd does not answer after 180 s; its log is $log"
}

engine() {
	have docker || install_packages docker.io
	answers || start_daemon
	docker compose version >/dev/null 2>&1 || have docker-compose || install_packages docker-compose
}

compose() {
	if docker compose version >/dev/null 2>&1; then
		docker compose --project-directory "$root" -f "$root/docker-compose.yml" "$@"
	else
		docker-compose --project-directory "$root" -f "$root/docker-compose.yml" "$@"
	fi
}

# apt_sources lists the machine's own source files of Debian bookworm; others
# (another release, a vendor's) would not help inside the base.
apt_sources() {
	local file
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		if [ -f "$file" ] && grep -q '^[^#]*bookworm' "$file" &&
			grep -q '^[^#]*/debian' "$file"; then
			printf '%s\n' "$file"
		fi
	done
}

# mirror is where the machine itself gets Debian from; empty means debootstrap's own default.
mirror() {
	local files
	mapfile -t files < <(apt_sources)
	[ "${#files[@]}" -gt 0 ] || return 0
	sed -n -E -e 's/^URIs:[[:space:]]+([^[:space:]]+).*/\1/p' \
		-e 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+bookworm[[:space:]].*/\2/p' \
		"${files[@]}" | grep -E '/debian/?$' | head -n 1
}

make_base() {
	[ "$(id -u)" = 0 ] || die "$base cannot be pulled, and only root can make one with debootstrap"
	have debootstrap || install_packages debootstrap
	local dir from files
	dir=$(mktemp -d)
	# shellcheck disable=SC2064 # the directory of now, not of then
	trap "rm -rf '$dir'" EXIT
	from=$(mirror || true)
	say "making $base with debootstrap"
	debootstrap --variant=minbase bookworm "$dir/tree" ${from:+"$from"} >"$dir/log" 2>&1 || {
		tail -n 20 "$dir/log" >&2
		die "debootstrap failed"
	}
	mapfile -t files < <(apt_sources)
	if [ "${#files[@]}" -gt 0 ]; then
		rm -f "$dir/tree/etc/apt/sources.list"
		for file in "${files[@]}"; do
			case $file in
			*/sources.list) cp "$file" "$dir/tree/etc/apt/sources.list" ;;
			*) cp "$file" "$dir/tree/etc/apt/sources.list.d/" ;;
			esac
		done
	fi
	rm -rf "$dir"/tree/var/cache/apt/archives/*.deb
	tar -C "$dir/tree" -c . | docker import - "$base" >/dev/null
}

base_image() {
	docker image inspect "$base" >/dev/null 2>&1 && return
	# Short: where a registry answers it does so at once; where none does, some
	# networks swallow the packets instead of refusing them.
	timeout 60 docker pull -q "$base" >/dev/null 2>&1 && return
	make_base
}

# quietly runs a command whose output is only of interest when it fails.
quietly() {
	local log
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		tail -n 60 "$log" >&2
		die "failed: $*; the whole log is $log"
	fi
	rm -f "$log"
}

build() {
	base_image
	say "building images"
	# The layer that all images share is built once, before any two could build it at a time.
	quietly docker build -t herald-zoo/base -f "$root/integration/images/base/Dockerfile" "$root/integration/images"
	quietly compose build --parallel "$@"
}

# containers prints "NAME STATE HEALTH" of every server of the zoo, stopped ones too.
containers() {
	local ids
	ids=$(docker ps -aq --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
	[ -n "$ids" ] || return 0
	# shellcheck disable=SC2086 # one word an id
	docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}unchecked{{end}}' $ids | sort
}

unhealthy() { containers | grep -v ' running healthy$' || true; }

wait_healthy() {
	local waiting=
	for _ in $(seq 180); do
		waiting=$(unhealthy)
		[ -n "$waiting" ] || return 0
		# Those do not get better.
		grep -Eq ' (exited|dead) | unhealthy$' <<<"$waiting" && break
		sleep 1
	done
	say "not healthy:"
	printf '%s\n' "$waiting" >&2
	return 1
}

trouble() {
	local name rest
	unhealthy | while read -r name rest; do
		printf '=== %s: %s\n' "$name" "$rest"
		compose logs --no-color --tail=40 "$name" || true
	done
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
up)
	engine
	build "$@"
	say "starting servers"
	quietly compose up -d "$@"
	wait_healthy
	;;
build)
	engine
	build "$@"
	;;
wait) wait_healthy ;;
status) containers ;;
trouble) trouble ;;
down) COMPOSE_PROFILES=more,mail,broken compose down --remove-orphans --volumes ;;
engine) engine ;;
base)
	engine
	base_image
	;;
-h | --help | help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
