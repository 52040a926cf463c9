/* Memory in one piece; see the header for how it is used twice. */
#include "comm/base/arena.h"

#include <stdatomic.h>
#include <stdint.h>

#include "comm/base/die.h"
#include "comm/base/touch.h"

enum { LINE_BYTES = 64 };

static atomic_size_t live_bytes;
static atomic_long allocations;

void *arena_take(struct arena *a, size_t bytes)
{
    INVARIANT(bytes <= SIZE_MAX - LINE_BYTES - a->used, "%zu bytes after %zu", bytes, a->used);
    size_t at = a->used, need = (bytes + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    INVARIANT(!a->base || need <= a->size - at, "%zu bytes wanted, %zu of %zu left", bytes,
              a->size - at, a->size);
    a->used = at + need;
    a->of[a->kind] += need;
    return a->base ? a->base + at : NULL;
}

void *arena_take_n(struct arena *a, size_t n, size_t size)
{
    INVARIANT(size == 0 || n <= SIZE_MAX / size, "%zu items of %zu bytes", n, size);
    return arena_take(a, n * size);
}

enum arena_kind arena_kind(struct arena *a, enum arena_kind kind)
{
    enum arena_kind before = a->kind;
    a->kind = kind;
    return before;
}

const char *arena_kind_name(enum arena_kind kind)
{
    static const char *const name[ARENA_KINDS] = {"buffers",   "parameters",  "gradients",
                                                  "optimizer", "activations", "caches"};
    return name[kind];
}

void arena_beside(struct arena *a, const struct device *device, struct arena *host)
{
    a->host = device == &device_host ? NULL : host;
}

/* What is promised here the kernel may give later: who reserves also touches. */
void arena_reserve(struct arena *a, const struct device *device, size_t bytes)
{
    static const char *fix =
        "use more ranks or hosts, or a smaller model, batch or mesh.decode_slots";
    INVARIANT(!a->base, "an arena is backed once; this one already has %zu bytes", a->size);
    size_t free_bytes = device_room(device);
    if (bytes == 0) bytes = LINE_BYTES;
    SYS_OK(bytes <= free_bytes, fix, "%.1f MiB wanted, %.1f MiB free on %s",
           (double)bytes / 1048576.0, (double)free_bytes / 1048576.0, device->place);
    void *memory = device->alloc(bytes);
    SYS_OK(memory, fix, "no room for %.1f MiB on %s", (double)bytes / 1048576.0, device->place);
    *a = (struct arena){.device = device, .base = memory, .size = bytes, .host = a->host};
    atomic_fetch_add(&live_bytes, bytes);
    atomic_fetch_add(&allocations, 1);
}

/* The host's pages come in half the time where a second core has nothing else to do. */
static void clear(const struct arena *a)
{
    struct touch t = {0};
    if (a->device != &device_host) {
        device_clear(a->device, a->base, a->size);
        return;
    }
    touch_begin(&t, a->base, a->size);
    touch_end(&t);
}

/* The memory is filled with zeros so that every page is touched here: a lack of memory shows before
 * step 1, not in the middle of it. */
void arena_back(struct arena *a, const struct device *device, size_t bytes)
{
    arena_reserve(a, device, bytes);
    clear(a);
    if (a->host) arena_back(a->host, &device_host, a->host->used);
}

size_t arena_mark(const struct arena *a)
{
    return a->used;
}

void arena_release(struct arena *a, size_t mark)
{
    INVARIANT(mark <= a->used, "mark %zu, used %zu", mark, a->used);
    a->used = mark;
}

void arena_free(struct arena *a)
{
    if (!a) return;
    arena_free(a->host);
    if (a->base) {
        atomic_fetch_sub(&live_bytes, a->size);
        a->device->release(a->base);
    }
    *a = (struct arena){0};
}

size_t arena_live_bytes(void)
{
    return atomic_load(&live_bytes);
}
long arena_allocations(void)
{
    return atomic_load(&allocations);
}
