#!/bin/sh
# setup.sh [--dev|--hosts]: checks that everything needed to build, test and run Duet is installed.
# If not, it says what is missing and why it is needed, installs it (Debian, as root or with a sudo
# that needs no password), or prints the command to run and exits 2. It checks for commands, headers
# and pkg-config modules, so libraries from elsewhere (a cluster's modules) count as well as
# Debian's.
set -u

# Debian package | how to see that it is there | what for
needed='
gcc            | command gcc           | compiles
g++            | command g++           | tests: CUDA sources on an emulated GPU
libc6-dev      | header stdio.h        | the C library
pkg-config     | command pkg-config    | finds the libraries below
openmpi-bin    | command mpirun        | starts the ranks
libopenmpi-dev | command mpicc         | messages between ranks
libdnnl-dev    | header dnnl.h         | matrix products (oneDNN)
libhdf5-dev    | module hdf5-serial    | checkpoints
libyaml-dev    | module yaml-0.1       | recipes
libjansson-dev | module jansson        | JSON: metrics, manifests, tokenizers
libxxhash-dev  | module libxxhash      | checksums
libpcre2-dev   | module libpcre2-8     | splitting patterns of tokenizers
libutf8proc-dev | module libutf8proc   | Unicode normalization of tokenizers
libseccomp-dev | module libseccomp    | the sandbox of programs that are graded
libflint-dev   | header flint/fmpq.h  | the mathematics grader: exact rationals
libflint-arb-dev | header acb.h flint/acb.h | the same: balls (in libflint-dev from FLINT 3 on)
check          | module check          | the tests'"'"' framework
'
for_developers='
clang          | command clang         | second compiler, fuzzers
libclang-rt-14-dev | command clang     | sanitizers and libFuzzer of clang
clang-format   | command clang-format  | make format
clang-tidy     | command clang-tidy    | make tidy
cppcheck       | command cppcheck      | make tidy
shellcheck     | command shellcheck    | make tidy
'

for_hosts='
python3        | command python3       | tests: reads the JSON of duet bench
iproute2       | command tc            | testbed: network namespaces, shaped links
openssh-server | command sshd          | testbed: how mpirun reaches its hosts
openssh-client | command ssh           | the same
iptables       | command iptables      | testbed: delayed links, bytes counted a pair of hosts
libnetfilter-queue-dev | header libnetfilter_queue/libnetfilter_queue.h | testbed: delayed links
slurm-wlm      | command slurmctld     | testbed with Slurm
munge          | command munged        | the same
'

is_there() { # kind name
    case $1 in
    command) command -v "$2" ;;
    header) # any of them
        shift
        for header in "$@"; do echo "#include <$header>" | gcc -E - && return; done
        return 1
        ;;
    module) pkg-config --exists "$2" ;;
    esac >/dev/null 2>&1
}

# One line "package|what for" for each row of stdin that is not there.
missing_of() {
    while IFS='|' read -r package check what; do
        [ -n "$package" ] || continue
        # shellcheck disable=SC2086  # check is two words, package and what lose their blanks
        is_there $check || echo $package '|' $what
    done
}

install_line() { echo "apt-get install -y --no-install-recommends $*"; }

# shellcheck disable=SC2086  # $1 is nothing or "sudo", $2 a list
install() {
    export DEBIAN_FRONTEND=noninteractive
    { $1 apt-get update -qq && $1 apt-get install -y -qq --no-install-recommends $2; } >build/setup.log 2>&1
}

main() {
    table=$needed
    [ "${1:-}" = --dev ] && table=$needed$for_developers
    [ "${1:-}" = --hosts ] && PATH=$PATH:/usr/sbin:/sbin table=$needed$for_hosts
    missing=$(echo "$table" | missing_of)
    if [ -z "$missing" ]; then
        return 0
    fi
    echo "Missing on this machine:"
    echo "$missing" | awk -F' [|] ' '{ printf "  %-20s %s\n", $1, $2 }'
    packages=$(echo "$missing" | sed 's/ |.*//' | tr '\n' ' ')
    sudo='sudo '
    [ "$(id -u)" -eq 0 ] && sudo=
    if ! command -v apt-get >/dev/null; then
        echo "This is not a Debian system: install the equivalents of these packages, then run make again."
        return 2
    fi
    if [ -n "$sudo" ] && ! sudo -n true 2>/dev/null; then
        echo "Run this line as root, then make again:"
        echo "  apt-get update && $(install_line "$packages")"
        return 2
    fi
    echo "Installing them: ${sudo}$(install_line "$packages")"
    mkdir -p build
    install "$sudo" "$packages" || { tail -n 20 build/setup.log; echo "setup: apt-get failed, see build/setup.log"; return 1; }
    left=$(echo "$table" | missing_of)
    [ -z "$left" ] || { echo "setup: installed, but still not found:"; echo "$left"; return 1; }
}
main "$@"
