#!/bin/sh
# hdf5_libs.sh: prints what to link for HDF5: its archive where that links with two libraries beside
# it, else whatever pkg-config says. Debian's shared library brings along some thirty others (curl,
# TLS, Kerberos, LDAP) for files in S3: every start of every rank would load them.
set -u
folder=$(pkg-config --libs-only-L hdf5-serial | sed 's/^ *-L//; s/ .*//')
archive=${folder:-/usr/lib}/libhdf5.a
with="$archive -lsz -lz"
# shellcheck disable=SC2086  # words
if [ -e "$archive" ] && echo 'int H5open(void); int main(void) { return H5open(); }' |
    gcc -x c - -x none $with -lm -ldl -o /dev/null 2>/dev/null; then
    echo "$with"
else
    pkg-config --libs hdf5-serial
fi
