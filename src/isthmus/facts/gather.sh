# The functions that gather the facts of a host; what they are called with follows below.
# Each writes one record a line: F PATH TEXT, F64 PATH BASE64, L PATH TARGET, C64 KEY STATUS BASE64,
# U PATH where it may not be read.
# What people keep secrets in is never written whole: `ini`, `line`, `domain` and `rows` write what
# is on their list of allowed names and nothing else.
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin

# u PATH: that it is there and may not be read, or that its folder may not be looked into.
u() { if [ -e "$1" ]; then [ -r "$1" ] || printf 'U %s\n' "${1#"$R"}"
  elif [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; then printf 'U %s\n' "${1#"$R"}"; fi; }
# One line a file where it is one line of plain text, else base64: dumps stay readable.
# The shell reads short files itself: a process for each is most of the time on large hosts.
f() { [ -f "$1" ] && [ -r "$1" ] || { u "$1"; return 0; }; c= d= m=
  { IFS= read -r c && { IFS= read -r d || [ -n "$d" ]; } && m=1; } 2>/dev/null <"$1"
  [ -n "$c$m" ] || { c=$(cat "$1" 2>/dev/null) || return 0; }
  if [ -n "$m" ]; then printf 'F64 %s ' "${1#"$R"}"; base64 <"$1" | tr -d "\n"; echo
  else printf 'F %s %s\n' "${1#"$R"}" "$c"; fi; }
l() { [ -L "$1" ] || return 0; t=$(readlink -f "$1"); printf 'L %s %s\n' "${1#"$R"}" "${t#"$R"}"; }
# 64 KIND NAME: its standard input in base64.
b() { printf '%s ' "$@"; base64 | tr -d '\n'; echo; }
# c KEY COMMAND: what a command says, and how it ends.
c() { k=$1; shift; o=$( (eval "$*") 2>&1 </dev/null); s=$?; printf '%s\n' "$o" | b C64 "$k" "$s"; }

# ini PATH: a file of oslo.config's, the options in $INI only; lines that go on belong to theirs.
ini() { [ -f "$1" ] && [ -r "$1" ] || { u "$1"; return 0; }
  awk -v allowed="$INI" '
    BEGIN { n = split(allowed, a, " "); for (i = 1; i <= n; i++) ok[a[i]] = 1; s = "DEFAULT" }
    /^[ \t\r]*$/ { keep = 0; next }
    /^[#;]/ { next }
    /^\[/ { s = $0; sub(/^\[[ \t]*/, "", s); sub(/[ \t]*\].*$/, "", s); keep = 0
      if (s !~ /^[A-Za-z0-9_.-]+$/) s = "?"; else print "[" s "]"; next }
    # A line that goes on has the form of what may go on there: somebody may have indented an option,
    # or a comment, which oslo.config reads as part of the one above.
    function goes_on(k, t) { gsub(/^[ \t]+|[ \t\r]+$/, "", t)
      if (t ~ /^[0-9^,; \t-]+$/) return 1
      if (k ~ /^(device_spec|(pci_)?passthrough_whitelist|(pci_)?alias)$/) {
        gsub(/[][]/, "\"", t); return t ~ /^["{},]/ && t !~ /[^"{},:A-Za-z0-9_.*$|; \t-]/ }
      if (k ~ /^(physnets|bridge_mappings|physical_device_mappings|exclude_devices)$/)
        return t ~ /^[A-Za-z0-9_.,:;-]+$/ && tolower(t) !~ /pass|secret|token|key|cred/
      return 0 }
    /^[ \t]/ { if (keep && goes_on(k, $0)) print; else keep = 0; next }
    { keep = 0; at = match($0, /[=:]/); if (!at) next
      k = substr($0, 1, at - 1); gsub(/[ \t]/, "", k); group = s
      if (group ~ /^neutron_physnet_/) group = "neutron_physnet_*"
      if ((group "/" k) in ok) { keep = 1; print } }' <"$1" | b F64 "${1#"$R"}"; }

# line PATH: the words of a kernel line that are named in $WORDS, wherever a file has them.
line() { [ -f "$1" ] && [ -r "$1" ] || { u "$1"; return 0; }
  awk -v allowed="$WORDS" '
    BEGIN { n = split(allowed, a, " "); for (i = 1; i <= n; i++) ok[a[i]] = 1 }
    /^[ \t]*#/ { next }
    { gsub(/["\047]/, " "); sub(/^[A-Z_]+=/, "& "); out = ""
      for (i = 1; i <= NF; i++) { k = $i; sub(/=.*/, "", k)
        if (k in ok && $i ~ /^[A-Za-z0-9_.,:=+\/-]+$/) out = out (out ? " " : "") $i }
      if (out) print out }' <"$1" | b F64 "${1#"$R"}"; }

# domain PATH: libvirt's record of an instance, the elements in $ELEMENTS with the attributes there.
domain() { [ -f "$1" ] && [ -r "$1" ] || { u "$1"; return 0; }
  tr '\n' ' ' <"$1" | awk -v allowed="$ELEMENTS" '
    BEGIN { RS = "<"; n = split(allowed, a, " ")
      for (i = 1; i <= n; i++) { at = index(a[i], "@"); e = substr(a[i], 1, at - 1)
        names[e] = substr(a[i], at + 1); ok[e] = 1 } depth = 0 }
    skip { if (index($0, skip)) skip = ""; next }
    /^!--/ { if (!index($0, "-->")) skip = "-->"; next }
    /^!\[/ { if (!index($0, "]]>")) skip = "]]>"; next }
    NR == 1 || /^[!?]/ { next }
    { end = index($0, ">"); if (!end) next
      tag = substr($0, 1, end - 1); text = substr($0, end + 1); close_it = 0
      if (tag ~ /^\//) { if (depth && keep[depth]) printf "</%s>", last[depth]
        if (depth) depth--; next }
      if (tag ~ /\/$/) { close_it = 1; tag = substr(tag, 1, length(tag) - 1) }
      name = tag; sub(/[ \t].*/, "", name); here = depth ? path[depth] "/" name : name
      if (here == "domain") here = "domstatus/domain"
      out = ""
      if (here in ok) { m = split(names[here], w, ",")
        for (j = 1; j <= m; j++) if (w[j] != "text" && match(tag, "[ \t]" w[j] "=[\047\"][^\047\"]*[\047\"]")) {
          v = substr(tag, RSTART + length(w[j]) + 3, RLENGTH - length(w[j]) - 4)
          if (v ~ /^[A-Za-z0-9_.,:^\/ -]*$/) out = out " " w[j] "=\047" v "\047" }
        printf "<%s%s%s>", name, out, close_it ? "/" : ""
        if (names[here] ~ /(^|,)text(,|$)/ && text ~ /^[A-Za-z0-9_.: -]*$/) printf "%s", text }
      if (!close_it) { depth++; path[depth] = here; last[depth] = name; keep[depth] = here in ok } }
    ' | b F64 "${1#"$R"}"; }

# rows: of the JSON that ovs-vsctl writes, no pair of a map whose key is not in $KEYS.
rows() { awk -v allowed="$KEYS" '
    BEGIN { n = split(allowed, a, " "); for (i = 1; i <= n; i++) ok[a[i]] = 1
      pair = "\\[\"([^\"\\\\]|\\\\.)*\",[ ]*\"([^\"\\\\]|\\\\.)*\"\\]" }
    { rest = $0; out = ""
      while (match(rest, pair)) { p = substr(rest, RSTART, RLENGTH); k = substr(p, 3)
        k = substr(k, 1, index(k, "\"") - 1)
        out = out substr(rest, 1, RSTART - 1) ((k in ok) ? p : "[\"\",\"\"]")
        rest = substr(rest, RSTART + RLENGTH) }
      print out rest }'; }
# r KEY COMMAND: the rows that a command of Open vSwitch gives.
r() { k=$1; shift; o=$( (eval "$*") 2>&1 </dev/null); s=$?
  if [ $s = 0 ]; then printf '%s\n' "$o" | rows | b C64 "$k" 0
  else printf '%s\n' "$o" | b C64 "$k" "$s"; fi; }

# find_layout: where this host keeps Nova and Open vSwitch: L is the layout, E the container engine,
# X what runs a command of Open vSwitch. L may be told before.
find_layout() {
  E= N= X=
  # An engine that has never had a container need not be asked: it takes its time to say so.
  for e in podman docker; do
    command -v "$e" >/dev/null 2>&1 || continue
    case $e in
      podman) set -- /var/lib/containers/storage/*-containers/containers.json ;;
      docker) set -- /var/lib/docker/containers/* ;;
    esac
    [ -e "$1" ] || [ -d "$R/etc/kolla" ] || [ -d "$R/var/lib/config-data" ] || continue
    n=$(timeout 60 "$e" ps -a --format '{{.Names}} {{.State}}' 2>/dev/null) && [ -n "$n" ] || continue
    E=$e N=$n; break
  done
  if [ -z "$L" ]; then
    L=plain
    if [ -d "$R/etc/kolla/nova-compute" ]; then L=kolla
    elif [ -d "$R/var/lib/config-data/puppet-generated/nova_libvirt" ]; then L=tripleo
    elif [ -d "$R/var/lib/openstack/config/nova" ]; then L=rhoso; fi
  fi
  case "$N" in
    *ovsdpdk_vswitchd*) V=ovsdpdk_vswitchd ;;  # Kolla's, where enable_ovs_dpdk is set
    *openvswitch_vswitchd*) V=openvswitch_vswitchd ;;
    *) V= ;;
  esac
  [ -z "$V" ] || X="$E exec -u 0 $V"
}
# of_kernel PID-FOLDER: 1 for a kernel thread (PF_KTHREAD in its flags), else 0: another user's
# program may not be seen, which is no proof. Fails for what has ended and waits for its parent.
of_kernel() {
  { IFS= read -r w <"$1/stat"; } 2>/dev/null || return 1
  set -- ${w##*) }; [ "$1" != Z ] && [ -n "${7:-}" ] || return 1
  echo $((($7 >> 21) & 1))
}
# Threads that are pinned, or ought to be: instances, the switch, and whatever runs on their CPUs.
# pid, tid, 1 for a kernel thread, allowed CPUs, name of the process, name of the thread.
threads() {
  # Where /proc hides what others run (hidepid), the table would hold the collector alone.
  [ -r /proc/1/status ] || { echo "/proc/1/status: Permission denied"; return 1; }
  printf '%s\n' /proc/[0-9]*/task/[0-9]*/status | xargs grep -sH '^Cpus_allowed_list:' |
  while IFS=':	' read -r s key allowed; do
    t=${s%/status}; p=${t%/task/*}
    { IFS= read -r name <"$t/comm" && IFS= read -r owner <"$p/comm"; } 2>/dev/null || continue
    kernel=0; [ -e "$p/exe" ] || kernel=$(of_kernel "$p") || continue
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "${p#/proc/}" "${t##*/}" "$kernel" "$allowed" "$owner" "$name"
  done
}
# functions: of each port with virtual functions: name, number, spoof check, trust; and its switch.
functions() {
  for d in /sys/class/net/*/device/sriov_numvfs; do
    [ "$(cat "$d" 2>/dev/null || echo 0)" != 0 ] || continue
    i=${d#/sys/class/net/}; i=${i%%/*}; a=$(basename "$(readlink -f "/sys/class/net/$i/device")")
    ip link show dev "$i" 2>/dev/null | awk -v i="$i" '$1 == "vf" {
      s = match($0, /spoof checking (on|off)/) ? substr($0, RSTART + 15, RLENGTH - 15) : "?"
      t = match($0, /trust (on|off)/) ? substr($0, RSTART + 6, RLENGTH - 6) : "?"
      print "vf", i, $2 + 0, s, t }'
    m=$(devlink dev eswitch show "pci/$a" 2>/dev/null | sed -n 's/.*mode \([a-z]*\).*/\1/p')
    o=$(ethtool -k "$i" 2>/dev/null | sed -n 's/^hw-tc-offload: \([a-z]*\).*/\1/p')
    echo "switch $i ${m:-?} ${o:-?}"
  done
  return 0
}
# below IF: the ports under an interface: members of a bond, what a bridge or a VLAN is made of.
below() {
  [ -e "/sys/class/net/$1/device" ] && echo "$1"
  for w in /sys/class/net/"$1"/lower_*; do [ -e "$w" ] && below "${w##*/lower_}"; done
}
# carriers: ports that the host itself cannot do without, and for what.
carriers() {
  for i in $(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u); do
    for p in $(below "$i"); do echo "$p default route"; done
  done
  a=$(echo "${SSH_CONNECTION:-}" | cut -d' ' -f3); [ -n "$a" ] || return 0
  for i in $(ip -o addr show 2>/dev/null | awk -v a="$a" '{ split($4, w, "/"); if (w[1] == a) print $2 }'); do
    for p in $(below "$i"); do echo "$p ssh session"; done
  done
  return 0
}
