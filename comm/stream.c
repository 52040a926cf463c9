#include "comm/stream.h"

void stream_begin(struct stream *s, bool ready)
{
    s->pieces = (s->bytes + s->piece_bytes - 1) / s->piece_bytes;
    s->ready = ready ? s->pieces : 0;
    s->posted = s->done = 0;
    stream_wake(s);
}

void stream_wake(struct stream *s)
{
    if (s->listed) return;
    s->listed = true;
    s->behind = NULL;
    if (s->list->first)
        s->list->last->behind = s;
    else
        s->list->first = s;
    s->list->last = s;
}

struct stream *stream_next(struct stream_list *l)
{
    struct stream *s = l->first;
    if (!s) return NULL;
    l->first = s->behind;
    s->listed = false;
    return s;
}

void stream_follow(struct stream *s, struct stream *after)
{
    s->after = after;
    s->beside = after->followers;
    after->followers = s;
}

static ticket post_piece(struct stream *s, struct p2p *p, size_t piece)
{
    size_t at = piece * s->piece_bytes, left = s->bytes - at;
    size_t n = left < s->piece_bytes ? left : s->piece_bytes;
    if (!s->send) return p2p_recv(p, s->peer, s->tag, s->buf + at, n);
    if (s->count) *s->count += n;
    return p2p_send(p, s->peer, s->tag, s->buf + at, n);
}

/* To the next that has pieces left. Depends on lengths and on what was posted before, not on time:
 * both sides pass it alike. */
static void pass_turn(struct stream *s)
{
    struct stream *to = s->next;
    while (to != s && to->posted == to->pieces) to = to->next;
    s->turn = false;
    to->turn = true;
    stream_wake(to);
}

static bool may_post(const struct stream *s)
{
    return s->posted < s->ready && s->posted < s->done + STREAM_WINDOW && (!s->next || s->turn);
}

void stream_ring(struct stream *first, size_t n)
{
    for (size_t i = 0; i < n; i++) first[i].next = &first[(i + 1) % n];
    first->turn = true;
    if (first->pieces == 0) pass_turn(first);
}

static bool take_through(struct stream *s, struct p2p *p)
{
    size_t before = s->done;
    while (s->done < s->posted && p2p_take(p, s->open[s->done % STREAM_WINDOW])) s->done++;
    if (s->done == before) return false;
    for (struct stream *f = s->followers; f; f = f->beside) stream_wake(f);
    return true;
}

/* Who passes the turn on has moved something. */
bool stream_move(struct stream *s, struct p2p *p)
{
    bool moved = take_through(s, p);
    if (s->after) s->ready = s->after->done;
    while (may_post(s)) {
        ticket t = s->open[s->posted % STREAM_WINDOW] = post_piece(s, p, s->posted);
        s->posted++;
        p2p_tell(p, t, s->owner);
        if (s->next) {
            pass_turn(s);
            moved = true;
        }
    }
    return moved;
}
