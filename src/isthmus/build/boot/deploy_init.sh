#!/bin/busybox sh
# The whole of the deploy ramdisk: asks the builder for its orders, streams an image to the disk,
# compares the checksum, makes the system this machine's, reports, and reboots. It never writes a
# disk that holds something, unless its orders say so. (wget has no -T here: it crashes Debian 12's
# static busybox 1.35.)
export PATH=/bin:/sbin:/usr/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
echo 4 >/proc/sys/kernel/printk

say() { echo "isthmus: $*"; }
encode() { echo "$*" | sed 's/[^A-Za-z0-9._:,/=-]/+/g' | cut -c1-400; }
tell() { kind=$1; shift; timeout 20 wget -q -O - --post-data "$*" "$url/api/report/$token/$kind"; }
# The builder may be away for a while; what was done must be heard.
insist() { until tell "$@"; do say "the builder does not answer; trying again"; sleep 3; done; }
fail() {
    say "FAILED: $*"
    insist failed "detail=$(encode "$*")"
    while :; do sleep 3600; done
}

url= token= bootif=
for word in $(cat /proc/cmdline); do
    case $word in
        isthmus.url=*) url=${word#*=} ;;
        isthmus.token=*) token=${word#*=} ;;
        BOOTIF=*) bootif=$(echo "${word#*=01-}" | tr - :) ;;
    esac
done

say "looking for devices"
for name in $(cat /etc/modules); do modprobe -q "$name"; done
# Some devices appear only behind others: twice.
for round in 1 2; do
    find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u |
        while read -r alias; do modprobe -q "$alias" 2>/dev/null; done
    sleep 1
done

port=
for try in $(seq 60); do
    for path in /sys/class/net/*; do
        [ "$(cat "$path/address")" = "$bootif" ] && port=${path##*/}
    done
    [ -n "$port" ] && break
    sleep 1
done
[ -n "$port" ] || say "no port has the MAC $bootif; trying all"
until [ -n "$(ip -4 route)" ]; do
    for path in ${port:-$(ls /sys/class/net)}; do
        ip link set "${path##*/}" up
        udhcpc -q -n -t 5 -T 2 -i "${path##*/}" -s /etc/udhcpc.sh && break
    done
done

until timeout 20 wget -q -O /orders "$url/api/orders/$token"; do
    say "no orders from $url; trying again"
    sleep 3
done
. /orders
hostname "$NODE"

memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
cpus=$(grep -c ^processor /proc/cpuinfo)
serial=$(encode "$(cat /sys/class/dmi/id/product_serial 2>/dev/null)")
model=$(encode "$(cat /sys/class/dmi/id/product_name 2>/dev/null)")
for try in $(seq 30); do [ -b "$DEVICE" ] && break; sleep 1; done
[ -b "$DEVICE" ] || fail "there is no disk $DEVICE; there is $(cd /sys/block && ls | tr '\n' ' ')"
bytes=$(($(cat "/sys/class/block/${DEVICE##*/}/size" 2>/dev/null || blockdev --getsz "$DEVICE") * 512))
insist inspected "memory_mib=$memory&cpus=$cpus&disk_bytes=$bytes&serial=$serial&model=$model"

[ "$bytes" -ge "$SIZE" ] || fail "the disk $DEVICE has $bytes bytes, and the image has $SIZE"
if [ "$WIPE" != yes ]; then
    used=$(dd if="$DEVICE" bs=1M count=1 2>/dev/null | tr -d '\000' | wc -c)
    [ "$used" = 0 ] || fail "the disk $DEVICE is not empty"
fi

case $COMPRESSION in
    none) unpack=cat ;;
    gzip) unpack="gunzip -c" ;;
    zstd) unpack="zstd -dc" ;;
esac
insist writing ""
mkfifo /tmp/sum
# A builder that stops for a while cuts the stream: then it begins anew, until the builder says that
# the time is over. What the server refuses is not asked for again.
while :; do
    say "writing $IMAGE to $DEVICE"
    sha256sum </tmp/sum >/tmp/sum.out &
    { wget -O - "$IMAGE" 2>/tmp/wget.err; echo $? >/tmp/wget.rc; } |
        { $unpack 2>/tmp/unpack.err; echo $? >/tmp/unpack.rc; } | tee /tmp/sum |
        { dd of="$DEVICE" bs=1M 2>/tmp/dd.err; echo $? >/tmp/dd.rc; cat >/dev/null; }
    wait
    sync
    [ "$(cat /tmp/wget.rc)" = 0 ] && break
    ! grep -q "server returned error" /tmp/wget.err ||
        fail "the image could not be fetched: $(tail -n1 /tmp/wget.err)"
    say "the stream was cut: $(tail -n1 /tmp/wget.err); starting over"
    sleep 3
done
[ "$(cat /tmp/unpack.rc)" = 0 ] || fail "the image could not be unpacked: $(tail -n1 /tmp/unpack.err)"
[ "$(cat /tmp/dd.rc)" = 0 ] || fail "the disk could not be written: $(grep -v records /tmp/dd.err | tail -n1)"
sum=$(cut -d' ' -f1 /tmp/sum.out)
[ "$sum" = "$SHA256" ] || fail "the checksum of the image is $sum, not $SHA256"

blockdev --rereadpt "$DEVICE" 2>/dev/null
sleep 1
found=
for part in "$DEVICE" "$DEVICE"?*; do
    [ -b "$part" ] || continue
    for kind in ext4 xfs btrfs; do
        mount -t $kind "$part" /mnt 2>/dev/null || continue
        # os-release may be an absolute link, which leads nowhere from here.
        if [ -e /mnt/usr/lib/os-release ] || [ -e /mnt/etc/os-release ]; then found=$part; break 2; fi
        umount /mnt
    done
done
[ -n "$found" ] || fail "no partition of the image holds a system"
mkdir -p /mnt/etc/isthmus
cp /bin/busybox /mnt/etc/isthmus/busybox
until timeout 20 wget -q -O /files.sh "$url/api/seed/$token/files.sh"; do sleep 3; done
ROOT=/mnt sh /files.sh || fail "the files of this machine could not be written to $found"
umount /mnt || fail "$found could not be unmounted"
sync
insist written "written_bytes=$SIZE"
say "written; booting from the disk"
reboot -f
