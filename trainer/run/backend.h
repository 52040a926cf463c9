/* Which device a rank computes on: its operations, and the transport of its messages. */
#ifndef DUET_TRAINER_RUN_BACKEND_H
#define DUET_TRAINER_RUN_BACKEND_H

#include "comm/transport.h"
#include "comm/world.h"
#include "model/ops.h"
#include "trainer/config/settings.h"

struct backend {
    const struct ops *ops; /* NULL: there is none, and a problem says why */
    const struct transport *transport;
};
/* Collective over w. */
struct backend backend_find(const struct settings *s, const struct world *w, struct problems *p);
/* Bytes that a rank may take of its device (of the host: limits_memory). Local. */
size_t backend_memory(const struct settings *s, const struct world *w,
                      const struct transport *transport);

#endif
