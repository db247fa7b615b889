#!/bin/bash
# Prepare a guest of another architecture for run-in-vm.sh: a kernel as vm-setup.sh makes it, and beside it root.img, an
# ext4 with Debian's packages for that architecture and Node. Needs root; nothing is run and nothing is installed.
#   foreign-root.sh ARCH NODE-VERSION OUTDIR PACKAGE...    npm:NAME@VERSION is a package of npm, for /opt/node_modules
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=$1 node=$2 out=$3; shift 3
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
debs=() npms=("node-linux-$arch@$node")
for p in "$@"; do case $p in npm:*) npms+=("${p#npm:}");; *) debs+=("ALL:$p");; esac; done
mkdir -p "$(dirname "$out")"
w=$(mktemp -d "$out.XXXXXX"); trap 'rm -rf "$w"' EXIT; chmod 755 "$w"
"$here/get-debs.sh" -a "$arch" "$suite" "$w/debs" "${debs[@]}" > "$w/log"
"$here/get-debs.sh" -a "$arch" "$suite-backports" "$w/kernel" "META:linux-image-$arch" >> "$w/log"
# Debian's packages of this suite expect the merged /usr, which its installer creates first.
root=$w/root; for d in bin sbin lib; do mkdir -p "$root/usr/$d"; ln -s "usr/$d" "$root/$d"; done
for d in "$w"/debs/*.deb; do dpkg-deb --fsys-tarfile "$d" | tar -xp --keep-directory-symlink --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' -C "$root"; done
BUSYBOX=$root/bin/busybox "$here/vm-setup.sh" "$w/guest" "$w"/kernel/linux-image-*.deb >> "$w/log"
mv "$w/guest/modules" "$root/usr/lib/modules"
# What the packages' scripts would do.
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"; cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
grep '^root:' "$root/etc/passwd" | sed 's/:.*/:*:20000:0:99999:7:::/' > "$root/etc/shadow"; chmod 640 "$root/etc/shadow"
echo guest > "$root/etc/hostname"; tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
for d in proc sys dev run tmp root home opt mnt media srv; do mkdir -p "$root/$d"; done; chmod 1777 "$root/tmp"; chmod 700 "$root/root"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"; : > "$root/etc/resolv.conf"
printf 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\n' > "$root/etc/nsswitch.conf"
for link in awk:gawk which:which.debianutils; do [ ! -e "$root/usr/bin/${link#*:}" ] || ln -sf "${link#*:}" "$root/usr/bin/${link%%:*}"; done
for p in "${npms[@]}"; do
  d=$root/opt/node_modules/${p%@*}; mkdir -p "$d"
  tar -xz --no-same-owner -f "$w/$(cd "$w" && npm pack --silent "$p")" -C "$d" --strip-components=1
done
# npm's package of Node for one architecture has the same program as Node's own archive.
mkdir -p "$root/usr/local/bin"; mv "$root/opt/node_modules/node-linux-$arch/bin/node" "$root/usr/local/bin/node"; rm -r "$root/opt/node_modules/node-linux-$arch"
chmod 755 "$root/usr/local/bin/node"
truncate -s 3G "$w/guest/root.img"; mke2fs -q -t ext4 -m 0 -d "$root" "$w/guest/root.img"
rm -rf "$out"; mv "$w/guest" "$out"
