#!/bin/bash
# test_results.sh DUET: docs/RESULTS.md says above every table which instruction set it was measured
# with, since results differ between them.
. "${BASH_SOURCE%/*}/common.sh"
page=$root/docs/RESULTS.md
check "every table but the machine's own" equal "$(awk '
    /^## / { section = $0 }
    /^\|---/ && section { tables++; if (above !~ /^\*Instruction set: .+\*$/) print section ": no *Instruction set: …* above " header }
    !/^\|/ && NF { above = $0 }
    { header = $0 }
    END { if (tables < 10) print "only " tables " tables" }' "$page")" ""
finish
