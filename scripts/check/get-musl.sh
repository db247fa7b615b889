#!/bin/bash
# get-musl.sh ARCH: unpacks musl for another architecture into the cache, for scripts/check/load.mjs, without touching
# the apt configuration of this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=$1
cache="$HOME/.cache/nsjs-musl/$arch"
debs=$(mktemp -d)
trap 'rm -rf "$debs"' EXIT
chmod 755 "$debs"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
bash test/vm/get-debs.sh -a "$arch" "$suite" "$debs" musl musl-dev
mkdir -p "$cache"
for deb in "$debs"/*.deb; do dpkg -x "$deb" "$cache"; done
