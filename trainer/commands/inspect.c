/* duet inspect: what a checkpoint holds, and whether all of it is there and undamaged. */
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/run/position.h"

/* The run's own check of the state is handed in: checkpoint/ does not know what stands in it. */
int cmd_inspect(int argc, char **argv)
{
    const char *args[1];
    struct options o = {
        .command = "inspect",
        .summary =
            "Lists the tensors, shards and state of a checkpoint and verifies every checksum.\n"
            "CHECKPOINT is a checkpoint's folder, a run's folder or its folder of checkpoints\n"
            "(then the newest one).",
        .usage = "CHECKPOINT",
        .args = args,
        .min_args = 1,
        .max_args = 1,
    };
    int code = options_parse(&o, argc, argv);
    return code >= 0 ? code
                     : checkpoint_inspect(args[0], (struct checkpoint_check){position_check, NULL});
}
