#!/bin/sh
# Answers for Open vSwitch of a hypervisor whether it lives, to the question that each site asks its
# OVN every few seconds. ovn-controller learns of an ovs-vswitchd that hangs with the next flow, and
# of an ovsdb-server that hangs not at all. So here both are asked themselves, and the question's
# number is written beside ovn-controller's own answer; where one is silent, its name. Nothing is
# written into Open vSwitch, which would have ovn-controller compute all flows anew.
#
# usage: isthmus-answer-switch [OPTION OF ovsdb-client...]     (certificates, where SB wants them)
EVERY=${EVERY:-5} LIMIT=${LIMIT:-5}
chassis= remote= last= said=
# say SENTENCE: on stderr, once until there is something else to say.
say() { [ "$1" = "$said" ] || echo "isthmus-answer-switch: $1" >&2; said=$1; }
# learn: who this hypervisor is, and where SB is; what was known stays where nobody answers.
learn() {
  found=$(ovs-vsctl --timeout="$LIMIT" --if-exists get Open_vSwitch . \
    external_ids:system-id external_ids:ovn-remote 2>&1) || return 1
  chassis=$(printf '%s\n' "$found" | sed -n 1p)
  remote=$(printf '%s\n' "$found" | sed -n 2p | tr -d '"')
  case $chassis in '' | '"'*) ;; *) chassis="\"$chassis\"" ;; esac
}
lives() { ovs-appctl --timeout="$LIMIT" ${VSWITCHD:+-t "$VSWITCHD"} version >/dev/null 2>&1; }
# sb OPERATION OPTION...: in the southbound database; one row each, whatever the size of the cloud.
sb() {
  op=$1; shift
  answer=$(ovsdb-client -vPATTERN:console:%m -vconsole:warn --no-leader-only --timeout="$LIMIT" \
    "$@" transact "$remote" "[\"OVN_Southbound\",$op]" 2>&1) && case $answer in *'"error"'*) false ;; esac && return
  say "$remote does not do what is asked of it: $answer"
  return 1
}
asked() {
  sb '{"op":"select","table":"SB_Global","where":[],"columns":["nb_cfg"]}' "$@" || return 1
  number=$(printf '%s\n' "$answer" | sed -n 's/.*"nb_cfg": *\([0-9]*\).*/\1/p')
  [ -n "$number" ]
}
# write DELETED PAIRS OPTION...: these keys of ours, and no others; a key that is there stays.
write() {
  deleted=$1 pairs=$2; shift 2
  sb '{"op":"mutate","table":"Chassis_Private","where":[["name","==",'"$chassis"']],"mutations":[
    ["external_ids","delete",["set",['"$deleted"']]],
    ["external_ids","insert",["map",['"$pairs"']]]]}' "$@" || return 1
  case $answer in *'"count":1'*) ;; *) say "$remote has no Chassis_Private $chassis"; false ;; esac
}

for program in ovs-vsctl ovs-appctl ovsdb-client; do
  command -v "$program" >/dev/null || { say "$program is not installed"; exit 1; }
done
while sleep "$EVERY"; do
  if [ -z "$chassis" ] || [ -z "$remote" ]; then
    learn || { say "Open vSwitch does not answer: $found"; continue; }
    [ -n "$chassis" ] && [ -n "$remote" ] ||
      { say "Open vSwitch has no external_ids:system-id or ovn-remote"; continue; }
  fi
  # ovn-controller goes where ovn-remote says, too: this follows.
  asked "$@" && [ "$number" != "$last" ] || { learn; continue; }
  silent=
  learn || silent=ovsdb-server
  lives || silent=${silent:+$silent, }ovs-vswitchd
  if [ -n "$silent" ]; then
    # What was answered last stays; the number tells that this is said of now.
    write '"isthmus:switch-silent","isthmus:switch-asked"' '["isthmus:switch","0"],
      ["isthmus:switch-silent","'"$silent"'"],["isthmus:switch-asked","'"$number"'"]' "$@"
  else
    write '"isthmus:switch","isthmus:switch-silent","isthmus:switch-asked"' \
      '["isthmus:switch","'"$number"'"]' "$@" && last=$number said=
  fi
done
