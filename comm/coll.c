/* Collectives in rank order. All of them are rounds of one exchange: a rank sends to a member
 * behind it and receives from the one as far before it, in pieces of 2 MiB of which a few are open.
 */
#include "comm/coll.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/exact.h"
#include "comm/base/memory.h"
#include "comm/world.h"

enum { WINDOW = 4, BLOCK = 1024, EXACT_MAX = 256, TAG = 1 };
static const size_t piece_bytes = (size_t)2 << 20;

/* The slices of a buffer: those given, or, with count NULL, n elements cut into pieces of `even`.
 */
struct slices {
    const size_t *count, *offset;
    size_t even, n;
};

static size_t slice_offset(const struct slices *s, int i)
{
    if (s->count) return s->offset[i];
    size_t at = s->even * (size_t)i;
    return at < s->n ? at : s->n;
}

static size_t slice_count(const struct slices *s, int i)
{
    return s->count ? s->count[i] : slice_offset(s, i + 1) - slice_offset(s, i);
}

struct coll_member {
    int me, size;
};

static struct coll_member member_of(MPI_Comm comm)
{
    struct coll_member m;
    MPI_OK(MPI_Comm_rank(comm, &m.me));
    MPI_OK(MPI_Comm_size(comm, &m.size));
    return m;
}

static size_t piece_at(size_t bytes, size_t at)
{
    if (at >= bytes) return 0;
    return bytes - at < piece_bytes ? bytes - at : piece_bytes;
}

/* Both ways at once; receives are posted before sends. */
static void exchange(int to, const unsigned char *send, size_t send_bytes, int from,
                     unsigned char *recv, size_t recv_bytes, MPI_Comm comm)
{
    for (size_t at = 0; at < send_bytes || at < recv_bytes; at += WINDOW * piece_bytes) {
        MPI_Request request[2 * WINDOW];
        int n = 0;
        for (size_t k = 0; k < WINDOW; k++) {
            size_t b = at + k * piece_bytes, bytes = piece_at(recv_bytes, b);
            if (bytes)
                MPI_OK(MPI_Irecv(recv + b, (int)bytes, MPI_BYTE, from, TAG, comm, &request[n++]));
        }
        for (size_t k = 0; k < WINDOW; k++) {
            size_t b = at + k * piece_bytes, bytes = piece_at(send_bytes, b);
            if (bytes)
                MPI_OK(MPI_Isend(send + b, (int)bytes, MPI_BYTE, to, TAG, comm, &request[n++]));
        }
        world_wait(request, n);
    }
}

/* Slice `me` of member i: mine from `in`, another's from scratch. */
struct terms {
    const float *in, *scratch;
    size_t stride;
    int me, size;
};

static const float *term(const struct terms *t, int i)
{
    return i == t->me ? t->in : t->scratch + t->stride * (size_t)i;
}

/* out = sum over members in the documented order, a block at a time. out may be t->in. */
static void sum_in_order(float *out, const struct terms *t, int inner, size_t count)
{
    float acc[BLOCK], run[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        for (int i = 0; i < t->size; i += inner) {
            float *to = i == 0 ? acc : run;
            memcpy(to, term(t, i) + at, n * sizeof *to);
            for (int k = 1; k < inner; k++) {
                const float *x = term(t, i + k) + at;
                for (size_t j = 0; j < n; j++) to[j] += x[j];
            }
            for (size_t j = 0; i > 0 && j < n; j++) acc[j] += run[j];
        }
        memcpy(out + at, acc, n * sizeof *out);
    }
}

/* Pairwise: in round k each rank sends to the k-th after it and receives from the k-th before it.
 * Terms are stored by rank and summed in rank order at the end (P4). */
static void reduce_scatter(float *out, const float *in, const struct slices *s, int inner,
                           float *scratch, MPI_Comm comm)
{
    struct coll_member m = member_of(comm);
    size_t mine = slice_count(s, m.me);
    INVARIANT(inner >= 1 && m.size % inner == 0, "%d members in runs of %d", m.size, inner);
    for (int k = 1; k < m.size; k++) {
        int to = (m.me + k) % m.size, from = (m.me + m.size - k) % m.size;
        exchange(to, (const unsigned char *)(in + slice_offset(s, to)),
                 slice_count(s, to) * sizeof *in, from,
                 (unsigned char *)(scratch + mine * (size_t)from), mine * sizeof *in, comm);
    }
    struct terms t = {in + slice_offset(s, m.me), scratch, mine, m.me, m.size};
    sum_in_order(out, &t, inner, mine);
}

/* The bytes of n slices up to `last`, which stand one behind the other: those from the beginning of
 * the group on, and those before its end. */
struct stretch {
    size_t at[2], bytes[2];
};
static struct stretch stretch_of(const struct slices *s, const struct coll_member *m, int last,
                                 int n, size_t elem_bytes)
{
    const int first = last + 1 - n, end = m->size - 1;
    const size_t lo = slice_offset(s, first > 0 ? first : 0),
                 hi = slice_offset(s, last) + slice_count(s, last),
                 all = slice_offset(s, end) + slice_count(s, end);
    const size_t before = first < 0 ? slice_offset(s, first + m->size) : all;
    return (struct stretch){{lo * elem_bytes, before * elem_bytes},
                            {(hi - lo) * elem_bytes, (all - before) * elem_bytes}};
}

/* By doubling (Bruck et al., IEEE TPDS 8(11), 1997): in a round of b a member has the slices of the
 * b before it and its own, and gives them to the b-th behind it: few rounds, few peers, no byte
 * more. */
static void all_gather(unsigned char *buf, const struct slices *s, size_t elem_bytes, MPI_Comm comm)
{
    const struct coll_member m = member_of(comm);
    for (int b = 1; b < m.size; b *= 2) {
        const int to = (m.me + b) % m.size, from = (m.me + m.size - b) % m.size;
        const int n = b < m.size - b ? b : m.size - b;
        const struct stretch mine = stretch_of(s, &m, m.me, n, elem_bytes),
                             theirs = stretch_of(s, &m, from, n, elem_bytes);
        for (int k = 0; k < 2; k++)
            exchange(to, buf + mine.at[k], mine.bytes[k], from, buf + theirs.at[k], theirs.bytes[k],
                     comm);
    }
}

void coll_reduce_scatter(float *out, const float *in, const size_t *count, const size_t *offset,
                         int inner, float *scratch, MPI_Comm comm)
{
    struct slices s = {.count = count, .offset = offset};
    reduce_scatter(out, in, &s, inner, scratch, comm);
}

void coll_all_gather(void *buf, const size_t *count, const size_t *offset, size_t elem_bytes,
                     MPI_Comm comm)
{
    struct slices s = {.count = count, .offset = offset};
    all_gather(buf, &s, elem_bytes, comm);
}

void coll_all_reduce(float *buf, size_t n, int inner, float *scratch, MPI_Comm comm)
{
    struct coll_member m = member_of(comm);
    struct slices s = {.even = (n + (size_t)m.size - 1) / (size_t)m.size, .n = n};
    reduce_scatter(buf + slice_offset(&s, m.me), buf, &s, inner, scratch, comm);
    all_gather((unsigned char *)buf, &s, sizeof *buf, comm);
}

/* In rounds, as above: one message each way at a time. */
void coll_all_to_all_v(void *recv, const size_t *recv_count, const size_t *recv_offset,
                       const void *send, const size_t *send_count, const size_t *send_offset,
                       MPI_Comm comm)
{
    struct coll_member m = member_of(comm);
    unsigned char *r = recv;
    const unsigned char *s = send;
    INVARIANT(recv_count[m.me] == send_count[m.me],
              "this rank sends itself %zu bytes and expects %zu", send_count[m.me],
              recv_count[m.me]);
    if (recv_count[m.me]) memcpy(r + recv_offset[m.me], s + send_offset[m.me], recv_count[m.me]);
    for (int k = 1; k < m.size; k++) {
        int to = (m.me + k) % m.size, from = (m.me + m.size - k) % m.size;
        exchange(to, s + send_offset[to], send_count[to], from, r + recv_offset[from],
                 recv_count[from], comm);
    }
}

/* A place in a tree over the members, counted from the root: of two that differ in their lowest bit
 * alone the one without it has what both have. */
struct branch {
    int number, bit, members; /* of the root: bit is as large as all; the tree from here on */
};

static struct branch branch_of(const struct coll_member *m, int root)
{
    struct branch t = {.number = (m->me + m->size - root) % m->size, .bit = 1};
    while (t.bit < m->size && (t.number & t.bit) == 0) t.bit *= 2;
    t.members = t.bit < m->size - t.number ? t.bit : m->size - t.number;
    return t;
}

static size_t sum_of(const uint64_t *each, int first, int n)
{
    size_t sum = 0;
    for (int i = first; i < first + n; i++) sum += (size_t)each[i];
    return sum;
}

/* From the branches into `at`, whose first part is mine, or, with at NULL, to the one above.
 * `each`: bytes of the tree's members. */
static void climb(unsigned char *at, const uint64_t *each, const struct branch *t, int root,
                  const struct coll_member *m, MPI_Comm comm)
{
    size_t have = (size_t)each[0];
    for (int b = 1; b < t->bit && t->number + b < m->size; b *= 2) {
        const int from = (root + t->number + b) % m->size,
                  n = b < t->members - b ? b : t->members - b;
        const size_t bytes = sum_of(each, b, n);
        exchange(from, NULL, 0, from, at + have, bytes, comm);
        have += bytes;
    }
    const int above = (root + t->number - t->bit + m->size) % m->size;
    if (t->number > 0) exchange(above, at, have, above, NULL, 0, comm);
}

/* Up a tree, so that the root has few peers: first how many bytes, then those. They come in the
 * order of numbers, which begins with the root: what stands at the end of the ranks goes there. */
void *coll_gather_bytes(const void *mine, size_t n, size_t *offset, int root, MPI_Comm comm)
{
    static const char what[] = "what ranks gather";
    const struct coll_member m = member_of(comm);
    const struct branch t = branch_of(&m, root);
    const size_t members = (size_t)t.members;
    uint64_t *each = memory_take(2 * members, sizeof *each, what), *one = each + members;
    for (size_t i = 0; i < members; i++) one[i] = sizeof *each;
    each[0] = n;
    climb((unsigned char *)each, one, &t, root, &m, comm);
    const size_t all = sum_of(each, 0, t.members);
    unsigned char *at = memory_take(all + 1, 1, what);
    if (n > 0) memcpy(at, mine, n);
    climb(at, each, &t, root, &m, comm);
    if (m.me == root) {
        const size_t behind = sum_of(each, 0, m.size - root); /* of the root and those behind it */
        unsigned char *turned = root > 0 ? memory_take(all + 1, 1, what) : at;
        if (root > 0) {
            memcpy(turned, at + behind, all - behind);
            memcpy(turned + (all - behind), at, behind);
            free(at);
        }
        at = turned;
        offset[0] = 0;
        for (int r = 0; r < m.size; r++)
            offset[r + 1] = offset[r] + (size_t)each[(r + m.size - root) % m.size];
    } else {
        free(at);
        at = NULL;
    }
    free(each);
    return at;
}

void coll_bcast(void *buf, size_t bytes, int root, MPI_Comm comm)
{
    for (size_t at = 0; at < bytes; at += piece_bytes) {
        MPI_Request request;
        MPI_OK(MPI_Ibcast((unsigned char *)buf + at, (int)piece_at(bytes, at), MPI_BYTE, root, comm,
                          &request));
        world_wait(&request, 1);
    }
}

/* In pieces, as all long messages; whoever is neither of the two has nothing to do. */
void coll_pass(void *buf, size_t bytes, int from, int to, MPI_Comm comm)
{
    int me = 0;
    MPI_OK(MPI_Comm_rank(comm, &me));
    for (size_t at = 0; (me == from || me == to) && at < bytes; at += piece_bytes) {
        MPI_Request request;
        unsigned char *piece = (unsigned char *)buf + at;
        int n = (int)piece_at(bytes, at);
        if (me == from)
            MPI_OK(MPI_Isend(piece, n, MPI_BYTE, to, 0, comm, &request));
        else
            MPI_OK(MPI_Irecv(piece, n, MPI_BYTE, from, 0, comm, &request));
        world_wait(&request, 1);
    }
}

/* Integers associate, so MPI may add in any order: 32-bit limbs leave room for the carries of 2^32
 * members. */
void coll_exact_sum(struct exact_sum *s, int n, MPI_Comm comm)
{
    uint64_t limb[EXACT_MAX][5];
    MPI_Request request;
    INVARIANT(n >= 0 && n <= EXACT_MAX, "%d sums", n);
    for (int i = 0; i < n; i++) {
        uint64_t hi = (uint64_t)s[i].hi;
        uint64_t of[5] = {s[i].lo & 0xffffffffu, s[i].lo >> 32, hi & 0xffffffffu, hi >> 32,
                          s[i].broken};
        memcpy(limb[i], of, sizeof of);
    }
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, limb, 5 * n, MPI_UINT64_T, MPI_SUM, comm, &request));
    world_wait(&request, 1);
    for (int i = 0; i < n; i++) {
        uint64_t carry = 0, word[4];
        for (int k = 0; k < 4; k++) {
            carry += limb[i][k];
            word[k] = carry & 0xffffffffu;
            carry >>= 32;
        }
        s[i].lo = word[0] | word[1] << 32;
        s[i].hi = (int64_t)(word[2] | word[3] << 32);
        s[i].broken = limb[i][4];
    }
}
