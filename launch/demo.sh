#!/bin/bash
# demo.sh: what `make demo` runs once the program is built: trains launch/recipes/countdown.yaml on four ranks, or goes on where an
# earlier demo was stopped, then shows some of what the model writes.
set -u
recipe=launch/recipes/countdown.yaml
run=runs/countdown
cat <<EOT

Duet's demo: a small model learns to reason about "countdown" problems (make a target from three numbers).
  1. it reads worked examples of a solver that gives up early, and copies that habit;
  2. reinforcement learning: it answers new problems, a rule checks the answers, what was right becomes likelier;
  3. held-out problems show what that changed. Everything is written to $run/.
Four ranks (2 pipelines of 2 stages), about ten minutes on two cores. Ctrl-C saves and stops; make demo goes on.

EOT
launch/run.sh -n 4 build/duet train $recipe --resume auto || exit $?
echo
echo "Some of its answers (more: build/duet sample $run; what it wrote while learning: $run/samples.jsonl):"
launch/run.sh -n 1 build/duet sample $run --problems 3
