# The functions of `isthmus nfv apply`; what they are called with follows below.
set -u
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
umask 022
mkdir -p "$S" && chmod 700 "$S" || exit 3
G= stale=0

say() { printf '%s\n' "$*"; }
fail() { say "failed: $*"; exit 3; }
# What changed files still ask for is kept on disk, so that a run that was cut short is made good
# by the next one: has EFFECT, settled EFFECT.
has() { [ -e "$S/pending/$1" ]; }
settled() { rm -f "$S/pending/$1"; }

# keep PATH: remember what is there now, in this run's generation; `-` only opens one.
keep() {
  if [ -z "$G" ]; then
    n=1; while [ -e "$S/$n" ]; do n=$((n + 1)); done
    G=$S/$n; mkdir -p "$G/files" || fail "$G cannot be made"
    : >"$G/list"; : >"$G/ovs-undo.sh"; printf '%s' "$ARGS" >"$G/args"
  fi
  [ "$1" = - ] && return
  if [ -e "$1" ]; then
    mkdir -p "$G/files$(dirname "$1")"
    cp -p "$1" "$G/files$1" || fail "$1 cannot be kept"
    echo "had $1" >>"$G/list"
  else
    echo "new $1" >>"$G/list"
  fi
}

# put PATH MODE EFFECT: write a file, its content in base64 on standard input.
put() {
  t=$(mktemp) || fail "no temporary file"
  base64 -d >"$t"
  if cmp -s "$t" "$1" && [ "$(stat -c %a "$1")" = "$2" ]; then
    say "same $1"; rm -f "$t"; return
  fi
  keep "$1"
  d=$(dirname "$1"); [ -d "$d" ] || { mkdir -p "$d" && chmod 755 "$d"; }
  mkdir -p "$S/pending" && : >"$S/pending/$3"
  chmod "$2" "$t" && mv "$t" "$1" || fail "$1 cannot be written"
  say "changed $1"
}

# running: is the running kernel's line the planned one?
running() {
  line=" $(cat /proc/cmdline) "
  for a in $ARGS; do case $line in *" $a "*) ;; *) return 1 ;; esac; done
}

# restart UNIT...: restart the first that runs.
restart() {
  for u in "$@"; do
    systemctl is-active -q "$u" 2>/dev/null || continue
    systemctl restart "$u" && say "restarted $u"; return
  done
}

boot_loader() {
  if command -v update-grub >/dev/null; then update-grub >"$S/grub.log" 2>&1
  elif command -v grubby >/dev/null; then
    grubby --update-kernel=ALL --args="$ARGS" >"$S/grub.log" 2>&1
  else fail "neither update-grub nor grubby is here to change the kernel line"; fi || \
    fail "the boot loader was not updated: $(tail -n 1 "$S/grub.log")"
  say "changed kernel line"
}

# settle: make the changed files count; ends the script where only a reboot can.
settle() {
  if has units; then
    systemctl daemon-reload
    for u in $UNITS; do systemctl enable -q "$u" || fail "$u cannot be enabled"; done
  fi
  has grub && boot_loader && settled grub
  if has tuned && command -v tuned-adm >/dev/null; then
    tuned-adm profile "$PROFILE" && say "changed tuned profile" && settled tuned
  fi
  has nova && { restart nova-compute openstack-nova-compute; settled nova; }
  if has neutron; then
    restart neutron-openvswitch-agent
    restart neutron-sriov-agent neutron-sriov-nic-agent
    settled neutron
  fi
  if ! running; then say "reboot the running kernel's line is not the planned one"; exit 0; fi
  for u in $UNITS; do
    if has units || has boot || ! systemctl is-active -q "$u"; then
      systemctl restart "$u" || fail "$u does not start: systemctl status $u says why"
    fi
  done
  settled units; settled boot
}

# switch: Open vSwitch is there, and it is the one with DPDK where there are two.
switch() {
  command -v ovs-vsctl >/dev/null || fail "Open vSwitch is not installed"
  other=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
  { [ "$DPDK" = 1 ] && [ -x "$other" ]; } || return
  was=$(readlink -f "$(command -v ovs-vswitchd)")
  [ "$was" = "$other" ] && return
  keep -
  echo "update-alternatives --set ovs-vswitchd '$was'" >>"$G/ovs-undo.sh"
  update-alternatives --set ovs-vswitchd "$other" >/dev/null || fail "no ovs-vswitchd with DPDK"
  say "changed ovs-vswitchd to the one with DPDK"; stale=1
}

# key COLUMN KEY VALUE: set one value of Open_vSwitch's row; empty takes it away.
key() {
  old=$(ovs-vsctl --timeout=10 --if-exists get Open_vSwitch . "$1:$2" 2>/dev/null)
  plain=${old#\"}; plain=${plain%\"}
  [ "$plain" = "$3" ] && return
  keep -
  if [ -n "$old" ]; then
    printf "ovs-vsctl --no-wait set Open_vSwitch . '%s:%s=%s'\n" "$1" "$2" "$old"
  else
    printf "ovs-vsctl --no-wait remove Open_vSwitch . '%s' '%s'\n" "$1" "$2"
  fi >>"$G/ovs-undo.sh"
  if [ -n "$3" ]; then ovs-vsctl --no-wait set Open_vSwitch . "$1:$2=\"$3\""
  else ovs-vsctl --no-wait remove Open_vSwitch . "$1" "$2"; fi || fail "$1:$2 cannot be set"
  say "changed $1:$2"
  case $START in *" $2 "*) stale=1 ;; esac
}

# vswitchd: restart the daemon where it runs on settings that it reads only at its start.
vswitchd() {
  [ "$stale" = 1 ] || return
  for u in ovs-vswitchd openvswitch-switch openvswitch; do
    systemctl cat "$u" >/dev/null 2>&1 || continue
    systemctl restart "$u" && { say "restarted $u"; return; }
  done
  fail "Open vSwitch could not be restarted"
}

# bridge NAME, port NAME: remember what is about to be new.
bridge() {
  ovs-vsctl --timeout=10 br-exists "$1" && return
  keep -; echo "ovs-vsctl --no-wait --if-exists del-br '$1'" >>"$G/ovs-undo.sh"
  say "changed bridge $1"
}
port() {
  ovs-vsctl --timeout=10 port-to-br "$1" >/dev/null 2>&1 && return
  keep -; echo "ovs-vsctl --no-wait --if-exists del-port '$1'" >>"$G/ovs-undo.sh"
  say "changed port $1"
}
