/* settings_check and mesh_check allow the same meshes: the first speaks of lines of the recipe, the
 * second is what mesh_split relies on. */
#include <string.h>
#include "comm/base/problems.h"
#include "comm/mesh.h"
#include "trainer/config/settings.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

static void compare(int dp, int pp, int tp, int ranks, int layers, int schedule)
{
    struct settings s = recipe_of(0, "phases: [{kind: sft}]\n");
    struct problems p = {0}, q = {0};
    s.mesh.dp = dp;
    s.mesh.pp = pp;
    s.mesh.tp = tp;
    s.model.heads = 4;
    s.model.kv_heads = 2;
    s.model.ffn = 12;
    s.model.layers = layers;
    s.run.schedule = schedule;
    bool ok = settings_check(&s, ranks, &p);
    bool mirrored = s.run.schedule == SCHEDULE_DUALPIPE;
    bool serial_on_many = s.run.schedule == SCHEDULE_SERIAL && pp > 1;
    bool vee_too_thin = s.run.schedule == SCHEDULE_DUALPIPEV && 2 * pp > layers;
    bool mesh_ok = mesh_check(
        (struct mesh_shape){s.mesh.dp, pp, tp, 1, mirrored}, ranks,
        &(struct mesh_limits){
            .layers = layers, .heads = 4, .kv_heads = 2, .ffn = 12, .experts = NO_EXPERTS},
        &q);
    ck_assert_msg(ok == (mesh_ok && !serial_on_many && !vee_too_thin),
                  "dp %d pp %d tp %d ranks %d layers %d schedule %d", dp, pp, tp, ranks, layers,
                  schedule);
    problems_free(&p);
    problems_free(&q);
    settings_free(&s);
}

START_TEST(same_meshes)
{
    for (int ranks = 1; ranks <= 8; ranks++)
        for (int dp = 0; dp <= ranks; dp++)
            for (int pp = 1; pp <= ranks + 1; pp++)
                for (int layers = 1; layers <= 5; layers += 2)
                    for (int schedule = SCHEDULE_AUTO; schedule < SCHEDULES; schedule++)
                        for (int tp = 1; tp <= 4; tp++)
                            compare(dp, pp, tp, ranks, layers, schedule);
}
END_TEST

#define TESTS(X) X(same_meshes)

UNIT_MAIN("settings_mesh")
