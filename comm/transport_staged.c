/* For a transport that has no wire yet: a piece in device memory is copied to the host and travels
 * over MPI, one that comes is copied from the host when it is through. A buffer in host memory
 * (pinned, where the device has that) goes with each place for an open piece, and grows until it
 * has held the largest one. */
#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/transport.h"

struct staged_place {
    struct transport_piece piece; /* as it was posted */
    void *host;
    size_t room;
};

struct staged {
    const struct device *device;
    void *wire;                 /* MPI's */
    struct staged_place *place; /* (most) */
    int *free_place;            /* a stack */
    int n_free;
    struct transport_end *ended; /* (most) */
    int most;
};

/* For devices whose transport has no messages of its own: MPI from host memory, with copies. Slots
 * on the host are reused. */
static void *staged_open(const struct transport *t, MPI_Comm comm, const struct peers *with,
                         int most)
{
    static const char what[] = "messages by way of the host";
    struct staged *s = memory_take(1, sizeof *s, what);
    s->device = t->device;
    s->wire = transport_mpi.open(&transport_mpi, comm, with, most);
    s->place = memory_take((size_t)most, sizeof *s->place, what);
    s->free_place = memory_take((size_t)most, sizeof *s->free_place, what);
    s->ended = memory_take((size_t)most, sizeof *s->ended, what);
    s->most = s->n_free = most;
    for (int i = 0; i < most; i++) s->free_place[i] = most - 1 - i;
    return s;
}

static void staged_close(void *self)
{
    struct staged *s = self;
    transport_mpi.close(s->wire);
    for (int i = 0; i < s->most; i++) device_pinned_free(s->device, s->place[i].host);
    free(s->place);
    free(s->free_place);
    free(s->ended);
    free(s);
}

/* The host buffer of a slot grows to the largest piece that it had and is kept. */
static void staged_post(void *self, const struct transport_piece *piece)
{
    struct staged *s = self;
    INVARIANT(s->n_free > 0, "more than %d pieces open", s->most);
    int i = s->free_place[--s->n_free];
    struct staged_place *at = &s->place[i];
    if (at->room < piece->bytes) {
        device_pinned_free(s->device, at->host);
        at->host = device_pinned(s->device, piece->bytes, "messages by way of the host");
        at->room = piece->bytes;
    }
    at->piece = *piece;
    if (piece->send) s->device->copy_out(at->host, piece->buf, piece->bytes);
    struct transport_piece host = *piece;
    host.buf = at->host;
    host.owner = i;
    transport_mpi.post(s->wire, &host);
}

/* Owners are translated back: below us a piece is owned by its slot, above by the message. */
static int staged_look(void *self, const struct transport_end **list)
{
    struct staged *s = self;
    const struct transport_end *ended;
    int n = transport_mpi.look(s->wire, &ended);
    *list = s->ended;
    for (int i = 0; i < n; i++) {
        const struct staged_place *at = &s->place[ended[i].owner];
        if (!at->piece.send && !ended[i].why)
            s->device->copy_in(at->piece.buf, at->host, ended[i].bytes);
        s->free_place[s->n_free++] = ended[i].owner;
        s->ended[i] = ended[i];
        s->ended[i].owner = at->piece.owner;
    }
    return n;
}

const struct transport transport_staged = {.name = "staged",
                                           .open = staged_open,
                                           .close = staged_close,
                                           .post = staged_post,
                                           .look = staged_look};
