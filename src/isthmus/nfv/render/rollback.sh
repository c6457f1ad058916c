# `isthmus nfv rollback`: put back what the newest generation kept, and forget it.
set -u
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
say() { printf '%s\n' "$*"; }
fail() { say "failed: $*"; exit 3; }

find_layout
if [ -n "$X" ]; then
  W=$(mktemp -d) || exit 3; trap 'rm -rf "$W"' EXIT
  printf '#!/bin/sh\nexec %s ovs-vsctl "$@"\n' "$X" >"$W/ovs-vsctl"
  chmod 755 "$W"/*; PATH=$W:$PATH
fi

[ -d "$S" ] || { say "nothing was applied here"; exit 4; }
# One at a time: two would write one generation, and a run whose connection was lost goes on.
exec 9>"$S/lock" || fail "$S/lock cannot be written"
flock -w 300 9 || fail "another apply or rollback has been running on this host for five minutes"

n=1; while [ -e "$S/$n" ]; do n=$((n + 1)); done
n=$((n - 1)); G=$S/$n; grub=0
[ "$n" -ge 1 ] || { say "nothing was applied here, or all of it was taken back"; exit 4; }

while read -r what path; do
  case $what:$path in
    new:/etc/systemd/system/*) systemctl disable -q "$(basename "$path")" 2>/dev/null ;;
  esac
  case $what in
    had)
      # Whoever took the folder away, as a deployment tool does with a service, has taken it back.
      if [ -d "$(dirname "$path")" ]; then cp -p "$G/files$path" "$path" && say "restored $path"
      else say "left $path: its folder is gone"; fi
      case $path in /etc/kolla/*/config.json) say "restart its container: it runs as planned until then" ;; esac ;;
    new) rm -f "$path" && say "removed $path" ;;
  esac || fail "$path cannot be put back"
  case $path in /etc/default/grub.d/*) grub=1 ;; esac
done <"$G/list"
systemctl daemon-reload 2>/dev/null

if [ -s "$G/ovs-undo.sh" ]; then
  # Last done, first undone.
  sed -n '1!G;h;$p' "$G/ovs-undo.sh" >"$G/undo.sh"
  sh -e "$G/undo.sh" || fail "Open vSwitch did not take its old settings; see $G/undo.sh"
  say "restored Open vSwitch"
fi
if [ $grub = 1 ]; then
  if command -v update-grub >/dev/null; then update-grub >"$S/grub.log" 2>&1
  else grubby --update-kernel=ALL --remove-args="$(cat "$G/args")" >"$S/grub.log" 2>&1; fi || \
    fail "the boot loader was not updated: $(tail -n 1 "$S/grub.log")"
  say "reboot the kernel's line was taken back"
fi
rm -rf "$G" "$S/pending"
say done
