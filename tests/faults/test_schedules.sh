#!/bin/bash
# test_schedules.sh DUET: promises P4 and P5 across schedules and layouts. A run that is killed
# twice and resumed each time with another schedule and another split of layers writes the metrics,
# answers and tensors of a run with one schedule, bit for bit.
. "${BASH_SOURCE%/*}/common.sh"
here=(--set mesh.dp=1 --set mesh.micro_batches=4)

train 2 whole "${here[@]}" --set schedule=dualpipe
check "dualpipe: exit 0" equal "$code" 0

# turn SCHEDULE LINES ARGUMENTS...: resumes until there are LINES lines, then is killed
turn() {
    local schedule=$1 lines=$2
    shift 2
    start 2 turns "${here[@]}" --resume auto --set "schedule=$schedule" "$@"
    ready
    check "$schedule: gets on" until_true lines "$lines" turns && kill -KILL "${pids[@]}"
    ended
}
turn dualpipev 25
turn zb1p 66 --set mesh.split=3,1
train 2 turns "${here[@]}" --resume auto --set schedule=dualpipe
check "dualpipe again: exit 0" equal "$code" 0
check "dualpipev, zb1p on 3,1 and dualpipe: as dualpipe all along" alike whole turns
finish
