#!/bin/bash
# testbed.sh - N real Linux NFSv4.1 clients (User Mode Linux guests) on one real
#              NFS server, on one machine, no KVM, nothing installed system-wide.
#
# usage:  testbed.sh [options] -- 'shell command'        (must be root)
#   -n N        number of client guests                           (default 2)
#   -s KIND     server: ganesha (nfs-ganesha/VFS on the host) or
#               knfsd (Linux kernel nfsd in one more UML guest, ext4)  (ganesha)
#   -o OPTS     extra mount options, e.g. 'actimeo=1' or 'lookupcache=none'
#   -t SECS     hard limit for the whole run after package fetch  (default 300)
#   -m MB       memory per guest                                  (default 256)
#   -d DIR      state directory, not under /tmp, /root, /run, /mnt (default: <project>/.build/nfs)
#   -g SECS     the server's lease and grace period              (default 15 and 20)
#   -e DIR      exported directory (ganesha)     (default: DIR/export, emptied
#               at each start unless -k; must be on ext4/xfs/btrfs, not overlay)
#   -k          keep what is in the export from the run before
#   -F          only fetch the packages into DIR, see whether a guest boots here, and end
#   -H CMD      host-side hook, run in the test network namespace while the guests
#               run: fault injection.  Functions: crash N (guest N loses power),
#               pause N / unpause N, cut N / heal N (network), server_stop (kill -9)
#               / server_start (with a real grace period); $RUN, $GPID1..N.
#               Wait for a guest by a file it makes in its $OUT: $RUN/g<i>/NAME
#   -q          do not print the guests' output
#   -r RTT_MS   add that many ms of round trip between guests and server, and between
#               guests (tc netem, inside each guest)
#
# In each guest the command runs as root under bash with
#   /            the host's root file system, READ-ONLY (hostfs): all binaries, libraries
#   /mnt/efs     the NFS export, mounted with EFS's recommended options
#   $OUT         (/mnt/out) writable folder on the host, DIR/run/g<i>/, for results
#   /tmp,/run,/root,/mnt,/dev/shm   private tmpfs (the host's /tmp: read-only at /mnt/host_tmp)
#   GUEST=1..N  NGUESTS  SERVER=10.77.0.1  MY_IP=10.77.0.1<i>  (guests reach each other)
#   efsmount DIR [OPTS]  = a further mount of the same export with OPTS (nosharecache)
#   latency MS           = makes that the round trip: delays packets to the server and this machine by MS,
#                          those to the first five guests, which do the same, by half of it; 0: no more
#   HOME=/tmp  hostname=g<i>
# Output: DIR/run/g<i>/{stdout,stderr,rc,console}; exit status 0 when all rc are 0,
#   else the first non-zero one (124 time-out, 137 guest killed); 1, and one line that says why,
#   when the guests do not come up with the export mounted; 3, and such a line, when this machine
#   cannot run it at all.
#
# One run at a time per -d DIR (several runs with different DIRs are fine; a
#   symbolic link DIR2/root -> DIR/root shares the unpacked packages).
# example: testbed.sh -n 2 -- 'echo hi > /mnt/efs/f$GUEST; sleep 1; ls -l /mnt/efs'
set -u
{   # (one block, so that bash has read all of it before it starts)
SELF=$(readlink -f "$0"); HERE=$(dirname "$SELF"); ARGS=("$@")
N=2 SRV=ganesha OPTS= LIMIT=300 MEM=256 D=$HERE/../../.build/nfs EXPORT= KEEP=0 HOOK= QUIET=0 RTT=0 FETCH=0
LEASE=15 GRACE=20
while getopts n:s:o:t:m:d:e:kFH:qr:g:h f; do case $f in
  n) N=$OPTARG;; s) SRV=$OPTARG;; o) OPTS=$OPTARG;; t) LIMIT=$OPTARG;; m) MEM=$OPTARG;;
  d) D=$OPTARG;; e) EXPORT=$OPTARG;; k) KEEP=1;; H) HOOK=$OPTARG;; q) QUIET=1;; r) RTT=$OPTARG;;
  g) LEASE=$OPTARG GRACE=$OPTARG;; F) FETCH=1;;
  *) sed -n '2,42p' "$SELF"; exit 2;; esac; done
case $SRV in ganesha|knfsd) ;; *) echo "testbed: there is no server $SRV, only ganesha and knfsd" >&2; exit 2;; esac
shift $((OPTIND-1)); [ $# -ge 1 ] || [ $FETCH = 1 ] || { sed -n '2,42p' "$SELF"; exit 2; }
CMD="$*"; mkdir -p "$D"; D=$(readlink -f "$D"); EXPORT=${EXPORT:-$D/export}; ROOT=$D/root; RUN=$D/run
SERVER=10.77.0.1

no() { echo "testbed: $*" >&2; exit 3; }   # what this machine cannot do
case $D/ in /tmp/*|/root/*|/run/*|/mnt/*|/dev/*) no "the state directory cannot be $D: each guest has its own $(cut -d/ -f1,2 <<<"$D")";; esac

# ---- 1. packages: fetched with apt-get download, unpacked (not installed) -------------
fetch() {
  [ -e "$ROOT/.ok" ] && return
  echo "testbed: fetching packages" >&2
  apt-get update -qq || return
  rm -rf "$D/debs" "$ROOT"; mkdir -p "$D/debs" "$ROOT"; chmod 777 "$D/debs"
  local want="user-mode-linux nfs-ganesha nfs-ganesha-vfs nfs-common nfs-kernel-server kmod iproute2 e2fsprogs"
  # what is missing on this machine, dependencies included, and always the four we run from here
  local missing below l
  missing=$(apt-get -s --no-install-recommends install $want) || return
  below=$(apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances,pre-depends} \
            nfs-ganesha nfs-ganesha-vfs nfs-common kmod) || return
  l=$( { awk '/^Inst/{print $2}' <<<"$missing"
         printf '%s\n' user-mode-linux nfs-ganesha nfs-ganesha-vfs nfs-common nfs-kernel-server kmod
         grep -E '^lib(nfsidmap|wrap|ntirpc|urcu|wbclient|kmod|tirpc|event|devmapper|keyutils|zstd)' <<<"$below" ; } | sort -u)
  (cd "$D/debs" && apt-get -qq download $l >download.log 2>&1 || { cat download.log >&2; exit 1; }
   for p in *.deb; do dpkg -x "$p" "$ROOT" || exit 1; done) || return
  local v; v=$(ls "$ROOT/usr/lib/uml/modules") || return
  mkdir -p "$ROOT/mod/lib/modules"; ln -sfn "$ROOT/usr/lib/uml/modules/$v" "$ROOT/mod/lib/modules/$v"
  ln -sfn "$ROOT/bin/kmod" "$ROOT/mod/modprobe"
  : >"$ROOT/.ok"
}
# On processors with AVX-512 user-mode Linux needs what uml_xstate.c does; elsewhere it does nothing.
shim() {
  [ "$D/uml_xstate.so" -nt "$HERE/uml_xstate.c" ] && return
  local cc; cc=$(command -v cc || command -v gcc || command -v clang) || return
  "$cc" -shared -fPIC -O2 -o "$D/uml_xstate.so" "$HERE/uml_xstate.c" -ldl
}
preload() { [ ! -e "$D/uml_xstate.so" ] || echo "$D/uml_xstate.so"; }
# Whether a kernel boots here at all, up to its first process.
boots() {
  rm -rf "$D/boots"; mkdir -p "$D/boots"
  printf '#!/bin/sh\nmount -t proc proc /proc\necho it boots\necho o >/proc/sysrq-trigger\nsleep 9\n' >"$D/boots/init"
  chmod +x "$D/boots/init"
  TMPDIR=$D/boots LD_PRELOAD=$(preload) timeout -s KILL 30 "$ROOT/usr/bin/linux.uml" mem=128M root=/dev/root \
    rootfstype=hostfs rootflags=/ ro init="$D/boots/init" quiet con=null con0=null,fd:1 ssl=null \
    uml_dir="$D/boots/" </dev/null >"$D/boots/console" 2>&1
  grep -q 'it boots' "$D/boots/console" && return
  tail -n 20 "$D/boots/console" >&2
  return 1
}
if [ -z "${TB_INNER:-}" ]; then
  fetch || no "could not get the packages"
  shim && hint= || hint=" (nor is there a C compiler for uml_xstate.c, which some processors need)"
  [ $FETCH = 0 ] || { boots || no "user-mode Linux does not boot here$hint"; exit 0; }
  # own network, mount and pid namespaces: nothing outlives this run, no address leaks out
  TB_INNER=1 exec timeout -k 1 $((LIMIT+20)) unshare -n -m -p -f --kill-child --mount-proc bash "$SELF" "${ARGS[@]}"
fi
LIBS=$ROOT/usr/lib/x86_64-linux-gnu:$ROOT/lib/x86_64-linux-gnu:$ROOT/usr/lib/ganesha
UML=$ROOT/usr/bin/linux.uml UML_PRELOAD=$(preload)
IP=$(PATH=$PATH:/sbin:/usr/sbin command -v ip) || IP="env LD_LIBRARY_PATH=$LIBS $ROOT/bin/ip"
# The guests' memory is a file that UML maps executable; the state directory where shared memory is
# small (256 MiB a guest, and 512 for a kernel server) or noexec.
SHM=$RUN
[ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR==2{print $4}')" -gt $(((N * MEM + 640) * 1024)) ] 2>/dev/null &&
  ! grep -q '^[^ ]* /dev/shm [^ ]* [^ ]*noexec' /proc/mounts && SHM=/dev/shm
T0=$(date +%s.%N); el() { awk -v a="$T0" -v b="$(date +%s.%N)" 'BEGIN{printf "%.2f",b-a}'; }

# ---- 2. network ------------------------------------------------------------------------
rm -rf "$RUN"; mkdir -p "$RUN"
$IP link set lo up
$IP link add br0 type bridge && $IP link set br0 up || no "no network bridge can be made"
[ "$SRV" = ganesha ] && $IP addr add $SERVER/24 dev br0 || $IP addr add 10.77.0.254/24 dev br0
$IP route replace 10.77.0.0/24 dev br0 rto_min 5ms
tap() { $IP tuntap add dev $1 mode tap && $IP link set $1 master br0 up || no "no tap device can be made"; }

# ---- 3. the guests' init ------------------------------------------------------------------
cat >"$RUN/init" <<'EOS'
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TB_LIB HOME=/tmp
mount -t proc proc /proc
for a in $(</proc/cmdline); do case $a in TB_*) export "$a";; esac; done
ROOT=$TB_ROOT RUN=$TB_RUN
L="$ROOT/usr/lib/x86_64-linux-gnu:$ROOT/lib/x86_64-linux-gnu"
command -v ip tc >/dev/null || export PATH=$PATH:$ROOT/sbin:$ROOT/bin LD_LIBRARY_PATH=$L
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt; mkdir -p /mnt/host_tmp; 
mount -r -t hostfs none /mnt/host_tmp -o /tmp 2>/dev/null
for d in /tmp /run /root /dev/shm; do mkdir -p $d 2>/dev/null; [ -d $d ] && mount -t tmpfs tmpfs $d; done
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
mkdir -p /mnt/out /mnt/efs /tmp/bin /run/lock
mount -t hostfs none /mnt/out -o "$RUN/g$TB_G"
export OUT=/mnt/out GUEST=$TB_G NGUESTS=$TB_N SERVER=$TB_SERVER MY_IP=$TB_IP
exec >>$OUT/init.log 2>&1
hostname g$TB_G
ip link set lo up; ip link set vec0 up; ip addr add $TB_IP/24 dev vec0
# UML's vector driver loses about 1 packet in 1000: retransmit after 5 ms, not 200
ip route replace 10.77.0.0/24 dev vec0 src $TB_IP rto_min 5ms
mp() { LD_LIBRARY_PATH=$L "$ROOT/mod/modprobe" -d "$ROOT/mod" "$@"; }
off() { sync; echo "uptime $(</proc/uptime)"; echo o >/proc/sysrq-trigger; sleep 5; }
trap off EXIT
ulimit -c 0
if [ "$GUEST" = 0 ]; then . "$RUN/knfsd"; exit; fi
mp nfsv4 || exit
for m in sch_netem sch_prio cls_u32; do mp $m; done
cat >/tmp/bin/latency <<'EOM'
#!/bin/bash
# latency MS
tc qdisc del dev vec0 root 2>/dev/null
[ "$1" != 0 ] || exit 0
half=$(awk -v ms="$1" 'BEGIN { print ms / 2 }')
set -e
tc qdisc add dev vec0 root handle 1: prio bands 2 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
tc qdisc add dev vec0 parent 1:1 netem delay "$1ms" limit 10000
tc qdisc add dev vec0 parent 1:2 netem delay "${half}ms" limit 10000
tc filter add dev vec0 parent 1: protocol ip u32 match ip dst 10.77.0.8/29 flowid 1:2
EOM
chmod +x /tmp/bin/latency
[ "$TB_RTT" = 0 ] || /tmp/bin/latency "$TB_RTT" || { echo 98 >$OUT/rc; exit; }
cat >/tmp/bin/efsmount <<EOM
#!/bin/bash
# efsmount DIR [OPTS]
mkdir -p "\$1"
exec mount -i -t nfs4 -o "vers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,addr=$SERVER,clientaddr=$MY_IP\${2:+,\$2}" $SERVER:/ "\$1"
EOM
chmod +x /tmp/bin/efsmount; export PATH=/tmp/bin:$PATH
for i in $(seq 100); do (exec 3<>/dev/tcp/$SERVER/2049) 2>/dev/null && break; sleep .1; done
efsmount /mnt/efs "$TB_OPTS" || { echo 97 >$OUT/rc; exit; }
grep efs /proc/mounts; echo "mounted at $(</proc/uptime)"
cd /mnt/efs
: >$OUT/ready
while [ ! -e "$OUT/go" ]; do sleep .05; done
exec 8>&1 9>&2
bash "$RUN/cmd" >$OUT/stdout 2>$OUT/stderr </dev/null
rc=$?; cd /; umount /mnt/efs; echo $rc >$OUT/rc.new; mv $OUT/rc.new $OUT/rc
EOS
chmod +x "$RUN/init"; printf '%s\n' "$CMD" >"$RUN/cmd"
# (the same address at each boot: the clients' ARP entry of a restarted server would be wrong for 30 s)
boot() { # boot I IP extra...
  local i=$1 ip=$2; shift 2; mkdir -p "$RUN/g$i"; tap tap$i
  TMPDIR=$SHM LD_PRELOAD=$UML_PRELOAD "$UML" mem=${MEM}M root=/dev/root rootfstype=hostfs rootflags=/ ro init="$RUN/init" quiet \
    con=null con0=null,fd:1 ssl=null uml_dir="$RUN/" umid=u$i "vec0:transport=tap,ifname=tap$i,depth=64,gro=1,mac=02:00:0a:4d:00:0$i" \
    TB_G=$i TB_IP=$ip TB_N=$N TB_SERVER=$SERVER TB_ROOT="$ROOT" TB_RTT=$RTT TB_RUN="$RUN" TB_LEASE=$LEASE TB_GRACE=$GRACE \
    "TB_OPTS=$OPTS" "$@" \
    </dev/null >"$RUN/g$i/console" 2>&1 &
  eval "GPID$i=$!; export GPID$i"
}

# a UML kernel and its helper processes (the disk thread would keep the image locked)
children() { grep -lsx "PPid:[[:space:]]*$1" /proc/[0-9]*/status | tr -dc '0-9\n'; }
kill9() { kill -9 "$1" $(children "$1") 2>/dev/null; }
crash() { local g=GPID$1; kill9 ${!g}; }                       # guest N loses power
cut() { $IP link set tap$1 nomaster; }                         # guest N off the network
heal() { $IP link set tap$1 master br0; }
pause() { local g=GPID$1; kill -STOP ${!g}; }
unpause() { local g=GPID$1; kill -CONT ${!g}; }
# ---- 4. the server -------------------------------------------------------------------------
if [ "$SRV" = ganesha ]; then
  [ $KEEP = 1 ] || { [ "$EXPORT" = "$D/export" ] && rm -rf "$EXPORT"; }
  mkdir -p "$EXPORT" "$RUN/ganesha"
  # A file system without file handles (overlay) cannot be exported: an image of one that has them.
  case $(stat -f -c %T "$EXPORT") in
    ext2/ext3|xfs|btrfs) ;;
    *) rm -f "$D/ganesha.img"; truncate -s 4G "$D/ganesha.img"
       PATH=$PATH:/sbin:$ROOT/sbin mkfs.ext4 -q "$D/ganesha.img" && mount -o loop "$D/ganesha.img" "$EXPORT" ||
         no "the state directory is on a file system that cannot be exported, and no image can be mounted";;
  esac
  cat >"$RUN/ganesha.conf" <<EOC
NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Bind_addr = $SERVER; Enable_NLM = false; Enable_RQUOTA = false;
  Plugins_Dir = "$ROOT/usr/lib/x86_64-linux-gnu/ganesha"; }
NFSV4 { Graceless = false; Grace_Period = $GRACE; Lease_Lifetime = $LEASE; Minor_Versions = 1; Delegations = false; Only_Numeric_Owners = true;
  IdmapConf = "$RUN/idmapd.conf"; RecoveryBackend = fs; RecoveryRoot = "$RUN/ganesha"; }
EXPORT_DEFAULTS { SecType = sys; Squash = No_Root_Squash; Access_Type = RW; }
EXPORT { Export_Id = 1; Path = "$EXPORT"; Pseudo = "/"; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
EOC
  printf '[General]\nDomain = localdomain\n[Translation]\nMethod = nsswitch\n' >"$RUN/idmapd.conf"
  # (libnfsidmap looks for its plug-in at a fixed path: overlay it, for the server only)
  A=usr/lib/x86_64-linux-gnu
  server_start() { LD_LIBRARY_PATH=$LIBS unshare -m bash -c "mount -t overlay o -o lowerdir='$ROOT/$A:/$A' /$A; "'exec "$@"' - \
    "$ROOT/usr/bin/ganesha.nfsd" -F -L "$RUN/ganesha.log" -p "$RUN/ganesha.pid" -f "$RUN/ganesha.conf" >>"$RUN/ganesha.out" 2>&1 & SERVER_PID=$!; export SERVER_PID; }
  server_stop() { kill -9 $SERVER_PID; }
  server_start
else
  # guest 0: Linux knfsd on ext4 in an image file; delegations off as on EFS
  [ $KEEP = 1 -a -e "$D/knfsd.img" ] || { rm -f "$D/knfsd.img"; truncate -s 4G "$D/knfsd.img"; PATH=$PATH:/sbin:$ROOT/sbin mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 "$D/knfsd.img" || no "no ext4 image can be made"; }
  cat >"$RUN/knfsd" <<'EOK'
mp nfsd || exit
mount -t nfsd nfsd /proc/fs/nfsd; mkdir -p /mnt/x; mount -t ext4 /dev/ubda /mnt/x || exit
mkdir -p /mnt/x/export /mnt/x/var/v4recovery; chmod 755 /mnt/x/export
mount -t tmpfs tmpfs /var/lib || exit; mkdir -p /var/lib/nfs; mount --bind /mnt/x/var /var/lib/nfs
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
echo 0 >/proc/sys/fs/leases-enable
echo $TB_LEASE >/proc/fs/nfsd/nfsv4leasetime; echo $TB_GRACE >/proc/fs/nfsd/nfsv4gracetime
export LD_LIBRARY_PATH=$L; S=$ROOT/usr/sbin
"$S/exportfs" -i -o rw,sync,no_root_squash,fsid=0,insecure,no_subtree_check,sec=sys '*:/mnt/x/export'
"$S/rpc.mountd" -N 3 -F & sleep .2
echo '-2 -3 +4 -4.0 +4.1 -4.2' >/proc/fs/nfsd/versions; cat /proc/fs/nfsd/versions
echo 1048576 >/proc/fs/nfsd/max_block_size
"$S/rpc.nfsd" -N 3 -N 4.0 -N 4.2 -V 4.1 -U -T -t 8
cat /proc/fs/nfsd/{versions,portlist,threads}
[ -e $OUT/started ] || echo Y >/proc/fs/nfsd/v4_end_grace   # first start only: a restart has a real grace period
: >$OUT/started
while [ ! -e $OUT/stop ]; do sleep .3; done
EOK
  server_start() { MEM=512 boot 0 $SERVER ubd0="$D/knfsd.img"; SERVER_PID=$GPID0; export SERVER_PID; }
  server_stop() { kill9 $SERVER_PID; sleep .3; $IP link del tap0; rm -rf "$RUN/u0"; }
  server_start
fi

# ---- 5. boot, run, collect --------------------------------------------------------------------
for i in $(seq $N); do boot $i 10.77.0.$((10+i)); done
for i in $(seq $N); do
  g=GPID$i; while [ ! -e "$RUN/g$i/ready" ]; do
    kill -0 ${!g} 2>/dev/null && awk -v a="$(el)" 'BEGIN{exit a > 60}' || {
      for log in "$RUN/g$i/console" "$RUN/g$i/init.log"; do tail -n 5 "$log" >&2; done
      echo "testbed: guest $i does not boot, or cannot mount" >&2; exit 1; }
    sleep .05; done
done
echo "testbed: $N guests up with $SRV, mounted, after $(el) s" >&2
for i in $(seq $N); do : >"$RUN/g$i/go"; done
( sleep "$LIMIT"; : >"$RUN/timeout"; for i in $(seq $N); do g=GPID$i; kill9 ${!g}; done ) & # watchdog
export RUN D EXPORT; [ -n "$HOOK" ] && { eval "$HOOK" >"$RUN/hook.log" 2>&1 & HP=$!; }
for i in $(seq $N); do g=GPID$i; wait ${!g}; done 2>/dev/null
[ "$SRV" = knfsd ] && { : >"$RUN/g0/stop"; wait $SERVER_PID; }
RC=0
for i in $(seq $N); do
  r=$(cat "$RUN/g$i/rc" 2>/dev/null || { [ -e "$RUN/timeout" ] && echo 124 || echo 137; }); [ "$r" != 0 ] && [ $RC = 0 ] && RC=$r
  [ $QUIET = 1 ] || { echo "=== guest $i rc=$r"; cat "$RUN/g$i/stdout"; [ -s "$RUN/g$i/stderr" ] && { echo "--- stderr"; cat "$RUN/g$i/stderr"; }; }
done
echo "testbed: finished after $(el) s, rc $RC" >&2
exit $RC
}
