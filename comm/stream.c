#include "comm/stream.h"

void stream_begin(struct stream *s, bool ready)
{
    s->pieces = (s->bytes + s->piece_bytes - 1) / s->piece_bytes;
    s->ready = ready ? s->pieces : 0;
    s->posted = s->done = 0;
}

static ticket post_piece(struct stream *s, struct p2p *p, size_t piece)
{
    size_t at = piece * s->piece_bytes, left = s->bytes - at;
    size_t n = left < s->piece_bytes ? left : s->piece_bytes;
    if (!s->send) return p2p_recv(p, s->peer, s->tag, s->buf + at, n);
    if (s->count) *s->count += n;
    return p2p_send(p, s->peer, s->tag, s->buf + at, n);
}

bool stream_move(struct stream *s, struct p2p *p)
{
    size_t before = s->done;
    while (s->done < s->posted && p2p_take(p, s->open[s->done % STREAM_WINDOW])) s->done++;
    if (s->after) s->ready = s->after->done;
    for (; s->posted < s->ready && s->posted < s->done + STREAM_WINDOW; s->posted++)
        s->open[s->posted % STREAM_WINDOW] = post_piece(s, p, s->posted);
    return s->done > before;
}
