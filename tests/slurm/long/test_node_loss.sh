#!/bin/bash
# test_node_loss.sh DUET: ../test_node_loss.sh, by both launchers.
LAUNCHERS="mpirun srun" exec bash "${BASH_SOURCE%/*}/../test_node_loss.sh" "$@"
