#!/bin/bash
# info.sh [COMPILER]: what this machine offers Duet, one line each; what is missing says how to get it.
set -u
row() { printf '  %-14s %s\n' "$1" "$2"; }
missing="missing (make setup)"
first_line() { command -v "$1" >/dev/null && "$@" 2>&1 | head -n 1 || echo "$missing"; }
header_number() { # header macro
    echo "#include <$1>
$2" | "${compiler}" -E -P - 2>/dev/null | tail -n 1
}
module() { pkg-config --modversion "$1" 2>/dev/null || echo "$missing"; }

compiler=${1:-gcc}
row compiler "$(first_line "$compiler" --version)"
[ "$compiler" = clang ] || row "second" "$(command -v clang >/dev/null && clang --version | head -n 1 || echo "no clang (make setup-dev): no fuzzers")"
row MPI "$(first_line mpirun --version)"
row oneDNN "$(if v=$(header_number oneapi/dnnl/dnnl_version.h 'DNNL_VERSION_MAJOR DNNL_VERSION_MINOR DNNL_VERSION_PATCH') && [[ $v =~ ^[0-9] ]]; then echo "${v// /.}"; else echo "$missing"; fi)"
row HDF5 "$(module hdf5-serial)"
row libyaml "$(module yaml-0.1)"
row jansson "$(module jansson)"
row Check "$(module check)"

flags=" $(sed -n 's/^flags[^:]*: *//p;T;q' /proc/cpuinfo 2>/dev/null) "
best="base (no vector extension that we use)"
case $flags in *" avx2 "*) best=avx2 ;; esac
case $flags in *" avx512f "*) [[ $flags == *" avx512bw "* && $flags == *" avx512vl "* ]] && best=avx512 ;; esac
case $flags in *" avx512_bf16 "*) best+=", bf16 products" ;; esac
case $flags in *" amx_bf16 "*) best+=", AMX" ;; esac
row instructions "$best (DUET_ISA=plain|base|avx2|avx512 chooses)"
row cores "$(nproc), $(sed -n 's/^model name[^:]*: *//p;T;q' /proc/cpuinfo)"
row memory "$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 } /^MemAvailable/ { printf ", %.1f GiB available", $2 / 1048576 }' /proc/meminfo)"
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
    row CUDA "nvcc $("$nvcc" --version | sed -n 's/.*release \([^,]*\).*/\1/p') found; CUDA backend: not part of this build yet"
else
    row CUDA "no nvcc; CUDA backend: not part of this build yet"
fi
for tool in clang-format clang-tidy cppcheck shellcheck; do
    command -v $tool >/dev/null || row $tool "missing (make setup-dev)"
done
