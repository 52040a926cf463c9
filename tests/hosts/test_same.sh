#!/bin/bash
# test_same.sh DUET: promise P4 across hosts. A run on four hosts has the bits of the run on one
# host with the same mesh, and its messages do cross their links.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4

train 4 single
check "one host: exit 0" equal "$code" 0
traffic_of train_hosts 4 hosts
check "four hosts: exit 0" equal "$code" 0
check "the same bits" alike single hosts
check "the pipeline's two halves talk" test "${traffic[1,2]}" -gt 1000000
check "no process is left" nobody_left 5
finish
