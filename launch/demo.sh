#!/bin/bash
# demo.sh: run by `make demo` once the program is built: trains launch/recipes/countdown.yaml on
# four ranks, or resumes an earlier demo that was stopped, then shows some answers of the model.
set -u
recipe=launch/recipes/countdown.yaml
run=runs/countdown
cat <<EOT

Duet's demo: a small model learns to reason about "countdown" problems (make a target from three numbers).
  1. supervised start: it reads worked examples of a solver that gives up early, and imitates it;
  2. reinforcement learning: it answers new problems, a rule checks the answers, right ones become more likely;
  3. held-out problems show the difference. Everything is written to $run/.
Four ranks (2 pipelines of 2 stages), about ten minutes on two cores. Ctrl-C saves and stops; make demo resumes.

EOT
launch/run.sh -n 4 build/duet train $recipe --resume auto || exit $?
echo
echo "Some of its answers (more: build/duet sample $run; what it wrote while learning: $run/samples.jsonl):"
launch/run.sh -n 1 build/duet sample $run --problems 3
