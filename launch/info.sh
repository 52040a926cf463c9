#!/bin/bash
# info.sh [COMPILER]: what this machine offers Duet, one line each; missing parts say how to install
# them.
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
row PCRE2 "$(module libpcre2-8)"
row utf8proc "$(module libutf8proc)"
row libseccomp "$(module libseccomp)"
row FLINT "$(header_number flint/flint.h FLINT_VERSION | grep "^\"" | tr -d '"' | grep . || echo "$missing")"
row Check "$(module check)"

# The instruction set that oneDNN uses on this processor, as the library itself reports it, by its
# name in ONEDNN_MAX_CPU_ISA.
onednn_isa() {
    local dir code
    dir=$(mktemp -d) || return
    printf '%s\n' '#include <dnnl.h>' '#include <stdio.h>' 'int main(void) { printf("%x", (unsigned)dnnl_get_effective_cpu_isa()); }' >"$dir/isa.c"
    if "$compiler" "$dir/isa.c" -ldnnl -o "$dir/isa" 2>/dev/null && code=$("$dir/isa"); then
        case $code in
        3e7) echo AVX512_CORE_AMX ;;
        e7) echo AVX512_CORE_BF16 ;;
        67 | 27) echo AVX512_CORE ;;
        7 | 407) echo AVX2 ;;
        *) echo "below AVX2, or unknown to Duet (dnnl_cpu_isa_t 0x$code)" ;;
        esac
    else
        echo "unknown: oneDNN is missing (make setup)"
    fi
    rm -rf "$dir"
}
sets=$("${BASH_SOURCE%/*}/isas.sh")
best=$(awk 'NR == 1 { print $2 }' <<<"$sets")
row "instructions" "$(awk '$1 { printf "%s%s", sep, $1; sep = ", " } END { if (!sep) printf "none that oneDNN has kernels of its own for" }' <<<"$sets") (ONEDNN_MAX_CPU_ISA chooses)"
row "  oneDNN takes" "$(onednn_isa)"
row "  ours" "${best:-base} (DUET_ISA=plain|base|avx2|avx512|amx chooses)"
row cores "$(nproc), $(sed -n 's/^model name[^:]*: *//p;T;q' /proc/cpuinfo)"
row memory "$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 } /^MemAvailable/ { printf ", %.1f GiB available", $2 / 1048576 }' /proc/meminfo)"
row "C++" "$(first_line g++ --version) (tests on an emulated GPU)"
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
row CUDA "$(if [ -n "$nvcc" ]; then echo "nvcc $("$nvcc" --version | sed -n 's/.*release \([^,]*\).*/\1/p')"; else echo "no nvcc"; fi); no recipe runs on a GPU yet (docs/CUDA.md)"
for tool in clang-format clang-tidy cppcheck shellcheck; do
    command -v $tool >/dev/null || row $tool "missing (make setup-dev)"
done
