#!/bin/sh
# Answers for Open vSwitch of a hypervisor whether it lives, to the question that each site asks its
# OVN every few seconds. ovn-controller learns of an ovs-vswitchd that hangs with the next flow, and
# of an ovsdb-server that hangs not at all. So here both are asked themselves, and the question's
# number is written beside ovn-controller's own answer; where one is silent, its name. Nothing is
# written into Open vSwitch, which would have ovn-controller compute all flows anew.
#
# usage: isthmus-answer-switch [OPTION OF ovsdb-client...]     (certificates, where SB wants them)
EVERY=${EVERY:-5} LIMIT=${LIMIT:-5}
mine() { ovs-vsctl --timeout="$LIMIT" get Open_vSwitch . "external_ids:$1" 2>/dev/null; }
lives() { ovs-appctl --timeout="$LIMIT" ${VSWITCHD:+-t "$VSWITCHD"} version >/dev/null 2>&1; }
# sb OPERATION OPTION...: in the southbound database; one row each, whatever the size of the cloud.
sb() { op=$1; shift
  ovsdb-client --no-leader-only --timeout="$LIMIT" "$@" transact "$remote" \
    "[\"OVN_Southbound\",$op]" 2>/dev/null; }
asked() { sb '{"op":"select","table":"SB_Global","where":[],"columns":["nb_cfg"]}' "$@" |
  sed -n 's/.*"nb_cfg": *\([0-9]*\).*/\1/p'; }
# write KEYS PAIRS OPTION...: the pairs, in the place of those of the keys; a key that is there stays.
write() { keys=$1 pairs=$2; shift 2
  sb '{"op":"mutate","table":"Chassis_Private","where":[["name","==","'"$chassis"'"]],"mutations":[
    ["external_ids","delete",["set",['"$keys"']]],
    ["external_ids","insert",["map",['"$pairs"']]]]}' "$@"; }

chassis= remote= last=
while sleep "$EVERY"; do
  [ -n "$chassis" ] || chassis=$(mine system-id | tr -d '"')
  [ -n "$remote" ] || remote=$(mine ovn-remote | tr -d '"')
  [ -n "$chassis" ] && [ -n "$remote" ] || continue
  number=$(asked "$@")
  if [ -z "$number" ] || [ "$number" = "$last" ]; then
    moved=$(mine ovn-remote | tr -d '"') # ovn-controller follows it, too
    remote=${moved:-$remote}
    continue
  fi
  silent=
  mine system-id >/dev/null || silent=ovsdb-server
  lives || silent=${silent:+$silent, }ovs-vswitchd
  if [ -n "$silent" ]; then
    # Its last answer stays, or it would owe one only since now.
    write '"isthmus:switch-silent"' \
      '["isthmus:switch","0"],["isthmus:switch-silent","'"$silent"'"]' "$@"
  else
    write '"isthmus:switch","isthmus:switch-silent"' '["isthmus:switch","'"$number"'"]' "$@" &&
      last=$number
  fi
done >/dev/null
