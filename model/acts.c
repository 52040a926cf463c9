#include "model/acts.h"

#include <string.h>

static size_t type_bytes(enum act_type type, size_t real_bytes)
{
    switch (type) {
    case ACT_REAL: return real_bytes;
    case ACT_FLOAT: return sizeof(float);
    case ACT_INT:
    case ACT_HOST: return sizeof(int);
    case ACT_BYTE: break;
    }
    return 1;
}

void acts_place(void *to, const struct act_table *t, const struct act_sizes *r, bool again,
                struct arena *a)
{
    struct act act[PART_ACTS];
    if (t->n > 0) t->list(act, r);
    for (int i = 0; i < t->n; i++) {
        struct arena *from = act[i].type == ACT_HOST ? arena_host(a) : a;
        void *p = NULL;
        if (act[i].again != again) continue;
        if (act[i].n > 0) p = arena_take_n(from, act[i].n, type_bytes(act[i].type, r->real_bytes));
        memcpy((unsigned char *)to + (size_t)i * sizeof p, &p, sizeof p);
    }
}
