#include "trainer/planner/layout.h"

#include "pipeline/schedules.h"
#include "trainer/config/settings_table.h"

enum plan_place layout_place(const struct layout *l)
{
    return l->plan ? l->plan->place : plan_kind_place(l->kind);
}

const char *layout_recompute_name(enum recompute recompute)
{
#define NAME(id, name) [id] = name,
    static const char *const names[] = {RECOMPUTE_CHOICES(NAME)};
#undef NAME
    return names[recompute];
}
