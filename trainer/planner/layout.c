#include "trainer/planner/layout.h"

#include "pipeline/schedules.h"

enum plan_place layout_place(const struct layout *l)
{
    return l->plan ? l->plan->place : plan_kind_place(l->kind);
}
