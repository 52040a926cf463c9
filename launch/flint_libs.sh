#!/bin/sh
# flint_libs.sh: what to link for FLINT: its balls are a library of their own before version 3
# (Debian names it flint-arb, others arb).
if echo '#include <flint/acb.h>' | gcc -E - >/dev/null 2>&1; then
    echo -lflint -lgmp
    exit
fi
for name in flint-arb arb; do
    echo 'int main(void) { return 0; }' | gcc -x c - -l$name -o /dev/null 2>/dev/null || continue
    echo -l$name -lflint -lgmp
    exit
done
echo -lflint -lgmp
