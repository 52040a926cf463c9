#!/bin/bash
# test_testbed.sh: the testbed itself: hosts that reach each other, links shaped, delayed, cut and
# counted; who owns it; and that it is removed with its owner, however that one ends.
. "${BASH_SOURCE%/*}/common.sh"
export DUET_TESTBED=self$$
net=/run/duet-testbed-$DUET_TESTBED
hosts_up 3

check "ssh by name" equal "$(on 1 ssh h3 hostname)" h3
check "an unknown host is unknown" grep -q 'resolve hostname' <(on 1 ssh h4 true 2>&1)
check "one's own /dev/shm" on 2 sh -c 'touch /dev/shm/mine && ! ssh h3 test -e /dev/shm/mine'
check "files are common" on 2 sh -c "touch $dir/here && ssh h3 test -e $dir/here"
check "nothing outside" test ! -e /dev/shm/mine

# 4 MB from h1 to h2
send() { on 1 sh -c 'head -c 4000000 /dev/zero | ssh -o Compression=no h2 "cat >/dev/null"'; }
traffic_of send
check "counted where it went" near 5 "${traffic[1,2]}" 4000000
check "not where it did not" test $((traffic[1,3] + traffic[2,3])) -lt 10000
sent_at() { "$tb" bytes 1 | cut -d' ' -f3; }
before=$(sent_at)
traffic_of send
check "the link's own counter agrees" near 5 $(($(sent_at) - before)) "${traffic[1,2]}"
took_ms() { local since; since=$(now_ms); "$@" >said 2>&1; echo $(($(now_ms) - since)); }
shaped() { # 4 MB at 20 Mbit/s take 1.6 s
    local ms
    "$tb" shape 2 20mbit || return
    ms=$(took_ms send)
    "$tb" shape 2 off
    [ "$ms" -ge 1300 ] || { echo "took $ms ms: $(cat said)"; return 1; }
}
check "shaped" shaped
"$tb" shape 2 quickly >said 2>&1
check "an invalid rate" equal "$?" 2
if "$tb" delay 2 100000 2>said; then # ssh goes to and fro more than five times
    check "delayed" test "$(took_ms on 1 ssh h2 true)" -ge 500
    check "no longer delayed" "$tb" delay 2 off
else
    check "no delay, but a reason" test "$(wc -l <said)" -eq 1
fi
"$tb" cut 3
check "cut" equal "$(on 1 ssh -o ConnectTimeout=1 h3 hostname 2>/dev/null)" ""
# shellcheck disable=SC2016  # for the shell inside
on 3 timeout 9 bash -c 'until : <>/dev/tcp/h1/22; do :; done' 2>/dev/null & # what was asked for in vain must not be told afterwards
read -rt 2.5 _ <&"$never"
check "mended" "$tb" mend 3
check "mended: from there" equal "$(on 3 ssh h1 hostname)" h1
check "mended: to there" equal "$(on 1 ssh h3 hostname)" h3

# --- whose it is ---
(exec bash -c '"$0" up; exit $?' "$tb") 2>said
check "somebody else's: exit 75" equal "$?" 75
check "somebody else's: whose" has said "in use: process $$"
check "host 4: there is none" has <("$tb" on 4 true 2>&1) "host 4: there are 1 to 3"
"$tb" down
check "down: no namespaces" hasnt <(ip netns list) "$DUET_TESTBED"
check "down: no state" test ! -e $net
check "none" has <("$tb" on 1 true 2>&1) "there is none; first: launch/testbed/testbed.sh up"
# shellcheck disable=SC2016  # for the shell inside
{ bash -c '"$0" up 2 && { "$0" on 2 sleep 1000 & } && kill -KILL $$' "$tb"; } >/dev/null 2>&1
until_gone() { # SECONDS
    local until=$((SECONDS + $1))
    while [ -e $net ]; do
        [ $SECONDS -lt $until ] || { ip netns list; ls $net; return 1; }
        read -rt 0.1 _ <&"$never"
    done
    return 0
}
check "its owner killed: gone" until_gone 30
check "its owner killed: no namespaces" hasnt <(ip netns list) "$DUET_TESTBED"

# --- refusals ---
cp "$tb" . && chmod 755 "$dir" testbed.sh
setpriv --reuid=65534 --regid=65534 --clear-groups ./testbed.sh up >said 2>&1
check "not root: exit 77" equal "$?" 77
check "not root: reported" has said "needs root, for network namespaces: sudo launch/testbed/testbed.sh up"
mkdir few && ln -s /usr/bin/* few/ && rm -f few/ssh-keygen
sed 's|^PATH=.*|PATH='"$dir/few"'|' "$tb" >lacking.sh
bash lacking.sh up >said 2>&1
check "no sshd: exit 77" equal "$?" 77
check "no sshd: reported" grep -q 'not installed: .*sshd.* ssh-keygen; run: launch/setup.sh --hosts' said
finish
