#!/bin/sh
# delegated.sh UID DIRECTORY COMMAND …: runs a command in the guest as a user, in a cgroup with every controller that is
# delegated to this user (cgroups(7)).
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
# This directory means that the machine was booted with systemd, which is a condition for a user's systemd.
mkdir -p /run/systemd/system
cd "$directory"
exec setpriv --reuid="$user" --regid="$user" --clear-groups env HOME=/tmp "$@"
