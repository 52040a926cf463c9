#include "model/rounds.h"

#include <limits.h>
#include <math.h>

#include "comm/base/die.h"

struct row_room row_room_of(int T, int K, int held, int ep, double share)
{
    double even = (double)T * K, most = (double)T * (ep == 1 || K < held ? K : held) * ep;
    double first = fmax(ceil(share * even), ROUND_UNIT), further = fmax(even, ROUND_UNIT);
    INVARIANT(most <= INT_MAX, "%d rows to %d experts each, of %d ranks", T, K, ep);
    if (share <= 0 || first >= most) return (struct row_room){(int)most, 0};
    return (struct row_room){(int)first, (int)fmin(first, further)};
}

/* Where a round ends that begins at row `from` and has room for `room`. */
static int round_end(const int *first, int held, int from, int room)
{
    int e = 0, to = from + room;
    if (room >= first[held] - from) return first[held];
    while (first[e + 1] <= to) e++;
    return to - (to - first[e]) % ROUND_UNIT;
}

struct row_range round_rows(const int *first, int held, struct row_room room, int round)
{
    struct row_range r = {0, round_end(first, held, 0, room.first)};
    for (int i = 0; i < round; i++)
        r = (struct row_range){r.to, round_end(first, held, r.to, room.further)};
    return r;
}

int round_count(const int *first, int held, struct row_room room)
{
    int n = 1, to = round_end(first, held, 0, room.first);
    for (; to < first[held]; n++) to = round_end(first, held, to, room.further);
    return n;
}
