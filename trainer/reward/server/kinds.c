#include "trainer/reward/server/kind.h"

#include "trainer/reward/code/kind.h"
#include "trainer/reward/plugin/kind.h"

static const struct grade_kind none;

/* clang-format off: a row each, so that kinds that come side by side do not meet */
const struct grade_kind *grade_kinds[GRADE_KINDS] = {
    [GRADE_CODE] = &grade_kind_code,
    [GRADE_PLUGIN] = &grade_kind_plugin,
    [GRADE_ENVIRONMENT] = &none,
};
/* clang-format on */
