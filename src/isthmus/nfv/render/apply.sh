# The functions of `isthmus nfv apply`; what they are called with follows below.
set -u
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
umask 022
mkdir -p "$S" && chmod 700 "$S" || exit 3
G= stale=0
# Open vSwitch in a container: its commands run there.
find_layout
if [ -n "$X" ]; then
  W=$(mktemp -d) || exit 3; trap 'rm -rf "$W"' EXIT
  for w in ovs-vsctl ovs-appctl; do printf '#!/bin/sh\nexec %s %s "$@"\n' "$X" $w >"$W/$w"; done
  chmod 755 "$W"/*; PATH=$W:$PATH
fi

say() { printf '%s\n' "$*"; }
fail() { say "failed: $*"; exit 3; }
# One at a time: two would write one generation, and a run whose connection was lost goes on.
exec 9>"$S/lock" || fail "$S/lock cannot be written"
flock -w 300 9 || fail "another apply or rollback has been running on this host for five minutes"
# What changed files still ask for is kept on disk, so that a run that was cut short is made good
# by the next one: due EFFECT, has EFFECT, settled EFFECT.
has() { [ -e "$S/pending/$1" ]; }
due() { mkdir -p "$S/pending" && : >"$S/pending/$1"; }
settled() { rm -f "$S/pending/$1"; }

# keep PATH: remember what is there now, in this run's generation; `-` only opens one.
keep() {
  if [ -z "$G" ]; then
    n=1; while [ -e "$S/$n" ]; do n=$((n + 1)); done
    G=$S/$n; mkdir -p "$G/files" || fail "$G cannot be made"
    : >"$G/list"; : >"$G/ovs-undo.sh"; printf '%s' "$ARGS" >"$G/args"
  fi
  [ "$1" = - ] && return
  # Kept before in this run, as it was then: what is there now is ours.
  grep -qxF -e "had $1" -e "new $1" "$G/list" && return
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
  base64 -d >"$t" || fail "$1 cannot be prepared: is /tmp full?"
  if cmp -s "$t" "$1" && [ "$(stat -c %a "$1")" = "$2" ]; then
    say "same $1"; rm -f "$t"; return
  fi
  keep "$1"
  d=$(dirname "$1"); [ -d "$d" ] || { mkdir -p "$d" && chmod 755 "$d"; }
  due "$3"
  chmod "$2" "$t" && mv "$t" "$1" || fail "$1 cannot be written"
  say "changed $1"
}

# merge PATH MODE EFFECT: put options, in base64 on standard input, into a file that somebody else has
# written: what is set there of the same options goes, ours come last, between two lines of ours.
merge() {
  [ -f "$1" ] || fail "$1 is not there: has the deployment tool run?"
  o=$(mktemp) && t=$(mktemp) || fail "no temporary file"
  base64 -d >"$o" || fail "$1 cannot be prepared: is /tmp full?"
  awk -v mine="$o" -v old="$OLD" '
    function name(line, at) { at = match(line, /[=:]/); if (!at) return ""
      k = substr(line, 1, at - 1); gsub(/[ \t]/, "", k); return k }
    BEGIN { s = "DEFAULT"
      while ((getline line <mine) > 0) { text = text line "\n"
        if (line ~ /^\[/) { s = line; gsub(/^\[|\].*$/, "", s) }
        else if (line !~ /^[#; \t]/ && name(line)) drop[s "/" name(line)] = 1 }
      n = split(old, w, " "); for (i = 1; i <= n; i++) drop["DEFAULT/" w[i]] = 1; s = "DEFAULT" }
    /^# isthmus nfv: begin/ { ours = 1 }
    ours { if (/^# isthmus nfv: end/) ours = 0; next }
    /^\[/ { s = $0; gsub(/^\[[ \t]*|[ \t]*\].*$/, "", s); gone = 0; print; next }
    /^[ \t]+[^ \t]/ { if (!gone) print; next }
    /^[#;]/ || /^[ \t]*$/ { if (/^[ \t]*$/) gone = 0; print; next }
    { gone = ((s "/" name($0)) in drop); if (!gone) print }
    END { printf "# isthmus nfv: begin\n%s# isthmus nfv: end\n", text }' <"$1" >"$t" ||
    fail "$1 cannot be prepared: is /tmp full?"
  rm -f "$o"
  if cmp -s "$t" "$1"; then say "same $1"; rm -f "$t"; return; fi
  keep "$1"; due "$3"
  cat "$t" >"$1" || fail "$1 cannot be written"
  rm -f "$t"; say "changed $1"
}
# options KIND: a file of options where this host's layout has it.
options() { p=$(place "$1"); "${p%% *}" "${p#* }" 644 "$2"; }

# retire: take out options of old that nova-compute does not start with beside the planned ones.
retire() {
  for w in $(nova_files); do
    [ -f "$w" ] || continue
    t=$(mktemp) || fail "no temporary file"
    awk -v old="$OLD" '
      BEGIN { n = split(old, w, " "); for (i = 1; i <= n; i++) drop[w[i]] = 1; s = "DEFAULT" }
      /^\[/ { s = $0; gsub(/^\[[ \t]*|[ \t]*\].*$/, "", s) }
      # Lines that go on with an option go with it: they would belong to the one above.
      /^[ \t]+[^ \t]/ { print (gone ? "# isthmus nfv took this out: " : "") $0; next }
      /^[#;]/ { print; next }
      { k = $0; sub(/[ \t]*[=:].*/, "", k); gone = s == "DEFAULT" && /^[^ \t]/ && k in drop
        print (gone ? "# isthmus nfv took this out: " : "") $0 }' <"$w" >"$t" ||
      fail "$w cannot be prepared: is /tmp full?"
    if ! cmp -s "$t" "$w"; then
      keep "$w"; due nova
      cat "$t" >"$w" || fail "$w cannot be written"
      say "changed $w: options of old are taken out"
    fi
    rm -f "$t"
  done
}

# contain SLICE CPUS: a switch in a container of Kolla's begins on these CPUs alone, since what DPDK
# starts beside its PMDs stays on those that no PMD was told of. Kolla runs the command of this file.
contain() {
  [ -n "$V" ] || return 0
  systemctl is-active -q "$1" || due switch
  UNITS="$UNITS $1"
  c=/etc/kolla/$(echo "$V" | tr _ -)/config.json
  [ -f "$R$c" ] || return 0
  t=$(mktemp) || fail "no temporary file"
  sed -E 's#("command"[[:space:]]*:[[:space:]]*")(taskset (-c|--cpu-list) [0-9,-]+ )?#\1taskset -c '"$2"' #' "$R$c" >"$t" ||
    fail "$c cannot be prepared: is /tmp full?"
  if cmp -s "$t" "$R$c"; then say "same $c"; rm -f "$t"; return; fi
  keep "$R$c"; due switch
  cat "$t" >"$R$c" || fail "$c cannot be written"
  rm -f "$t"; say "changed $c: the switch begins on CPU $2"
}

# guard NIC...: take no port that the host itself is reached by.
guard() {
  now=$(carriers)
  for w in "$@"; do
    case "
$now" in *"
$w "*) fail "$w carries this host's $(echo "$now" | sed -n "s/^$w //p" | paste -sd, -): the plan \
would take it away; plan with carries_management: true where that is meant" ;; esac
  done
}

# match NODES: is this the host that the plan is for? Each node is ID:KIB:CPU,CPU... Where
# it is not nothing is written: pages for more memory than there is would leave none to boot with.
match() {
  d=$R/sys/devices/system
  other() { fail "$1: this plan is for another host; plan this one from its own inventory"; }
  for w in $1; do
    n=${w%%:*}; w=${w#*:}
    if [ -d "$d/node" ]; then
      m=$(awk '/MemTotal/ { print $4 }' "$d/node/node$n/meminfo" 2>/dev/null)
      [ -n "$m" ] || other "there is no NUMA node $n here"
      [ "${w%%:*}" -le "$m" ] || \
        other "node $n has $((m / 1024)) MiB, and $((${w%%:*} / 1024)) MiB of huge pages are planned"
    fi
    for c in $(echo "${w#*:}" | tr , ' '); do
      [ -e "$d/cpu/cpu$c" ] || other "there is no CPU $c here"
      # One that is off is on no node.
      set -- "$d/cpu/cpu$c"/node*
      [ ! -e "$1" ] || [ -e "$d/cpu/cpu$c/node$n" ] || other "CPU $c is not on NUMA node $n here"
    done
  done
}
devices() {
  for w in "$@"; do
    [ -e "$R/sys/bus/pci/devices/$w" ] || fail "no device is at $w here: this plan is for another \
host, or a card is gone; plan this one from its own inventory"
  done
}

# running: is the running kernel's line the planned one?
running() {
  line=" $(cat /proc/cmdline) "
  for a in $ARGS; do case $line in *" $a "*) ;; *) return 1 ;; esac; done
}

# restart UNIT...: restart the first that is set up here, a unit or a container, and see that it
# comes back and stays.
restart() {
  for u in "$@"; do
    if systemctl cat "$u" >/dev/null 2>&1; then
      case $(systemctl show -p UnitFileState --value "$u") in disabled | masked) continue ;; esac
      systemctl restart "$u" || fail "$u does not start: systemctl status $u says why"
    elif [ -n "$E" ] && echo "$N" | grep -q "^$u "; then
      # What watches the container outlives this script, and would keep its lock.
      "$E" restart "$u" >/dev/null 9>&- || fail "the container $u does not start"
    else continue; fi
    stays "$u" || fail "$u does not come back: $(why "$u")"
    say "restarted $u"; return
  done
}
# alive UNIT: its main process, empty where it has none.
alive() {
  if systemctl cat "$1" >/dev/null 2>&1; then
    systemctl is-active -q "$1" && systemctl show -p MainPID --value "$1"
  else "$E" inspect -f '{{if .State.Running}}{{.State.Pid}}{{end}}' "$1" 2>/dev/null; fi
}
# stays UNIT: it runs, as the same process, for as long as it takes to read its options and fail.
stays() {
  i=0 was=
  while [ $i -lt "$STAY" ]; do
    now=$(alive "$1"); [ -n "$now" ] && [ "$now" != 0 ] || return 1
    [ -z "$was" ] || [ "$now" = "$was" ] || return 1
    was=$now i=$((i + 1)); sleep 1
  done
}
# why UNIT: the last error that it has logged. Services log what they could not reach, or could not
# read: of that neither the password in an address nor what is set to a secret is told on.
why() {
  { journalctl -u "$1" -n 60 -o cat 2>/dev/null || "$E" logs --tail 60 "$1" 2>&1; } |
    grep -E 'ERROR|CRITICAL|Error|rror:' | tail -n 1 | veil | cut -c1-300
}
veil() {
  sed -E -e 's#://[^/@ ]*@#://***@#g' \
    -e "s/([A-Za-z_-]*([Pp]assword|[Pp]asswd|[Ss]ecret|[Tt]oken|[Kk]ey)[\"']?) *[=:] *[^ ,;]+/\1=***/g"
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
  has nova && { restart $(units nova); settled nova; }
  if has neutron; then
    restart $(units ovs_agent)
    restart $(units sriov_agent)
    settled neutron
  fi
  if ! running; then say "reboot the running kernel's line is not the planned one"; exit 0; fi
  for u in $UNITS; do
    if has units || has boot || ! systemctl is-active -q "$u"; then
      # A mount that is in use cannot be made anew, and need not be.
      # Nor may a slice end: the kernel would give whoever is beside it all CPUs.
      w=restart; case $u in *.mount | *.slice) w=start ;; esac
      systemctl $w "$u" || fail "$u does not start: systemctl status $u says why"
    fi
  done
  settled units; settled boot
}

# pages NODE:KIB:COUNT...: the pools are as large as planned. The kernel takes what it finds at boot, and
# says nothing where it finds less; a switch with DPDK aborts then, again and again.
pages() {
  for w in "$@"; do
    n=${w%%:*}; k=${w#*:}; k=${k%%:*}
    d=$R/sys/devices/system/node/node$n
    [ -d "$d" ] && d=$d/hugepages || d=$R/sys/kernel/mm/hugepages
    [ -d "$d/hugepages-${k}kB" ] ||
      fail "pages of $((k / 1024)) MiB are not known here: neither CPU nor kernel may have them; plan with others"
    h=$(cat "$d/hugepages-${k}kB/nr_hugepages") || fail "the huge pages of node $n cannot be read"
    [ "$h" -ge "${w##*:}" ] || fail "node $n has $h huge pages of $((k / 1024)) MiB, planned are ${w##*:}: \
the kernel found no room for more when it booted; plan with smaller pages (page_size) or more memory for the \
host (host.memory_mib)"
  done
}

# switch: Open vSwitch is there, and it is the one with DPDK where there are two.
switch() {
  command -v ovs-vsctl >/dev/null || fail "Open vSwitch is not installed"
  other=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
  { [ "$DPDK" = 1 ] && [ -x "$other" ] && [ -z "$X" ]; } || return
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
  [ "$stale" = 1 ] || has switch || return
  if [ -n "$X" ]; then restart "kolla-$V-container" "$V"; settled switch; return; fi
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
  on=$(ovs-vsctl --timeout=10 port-to-br "$1" 2>/dev/null)
  [ "$on" = "$2" ] && return
  if [ -n "$on" ]; then
    keep -; echo "ovs-vsctl --no-wait --may-exist add-port '$on' '$1'" >>"$G/ovs-undo.sh"
    ovs-vsctl --timeout=30 del-port "$1" || fail "$1 cannot be taken from $on"
  fi
  keep -; echo "ovs-vsctl --no-wait --if-exists del-port '$1'" >>"$G/ovs-undo.sh"
  say "changed port $1"
}
