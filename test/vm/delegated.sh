#!/bin/sh
# delegated.sh UID DIRECTORY COMMAND …: in the guest, runs a command as a user whose cgroup was given to that user with every
# controller (cgroups(7), delegation).
set -eu
user=$1 directory=$2
shift 2
cd /sys/fs/cgroup
mkdir -p delegated/own
for group in . delegated; do
  for controller in $(cat "$group/cgroup.controllers"); do echo "+$controller" >"$group/cgroup.subtree_control" || true; done
done
for path in . cgroup.procs cgroup.threads cgroup.subtree_control own own/cgroup.procs; do chown "$user:$user" "delegated/$path"; done
echo $$ >delegated/own/cgroup.procs
# systemd of a user runs where the machine was booted with systemd only.
mkdir -p /run/systemd/system
cd "$directory"
exec setpriv --reuid="$user" --regid="$user" --clear-groups env HOME=/tmp "$@"
