#include "model/tokenizer/normalize.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/nfc.h"

/* So a text cannot become very long. */
enum { TEXT_MOST = 64, GROWTH_MOST = 4, NORMAL_STEPS_MOST = 4 };

static char *copy_of(const char *text, size_t *n)
{
    *n = strlen(text);
    char *copy = memory_take(*n + 1, 1, "a tokenizer");
    memcpy(copy, text, *n);
    return copy;
}

/* Lengths are bounded, so that the steps together bound how much longer a text becomes (P11). */
static void read_step(struct parse *p, struct normalizer *z, const json_t *step)
{
    static const char *const names[] = {"type", "prepend", "pattern", "content", NULL};
    struct normal_step *s = &z->step[z->n];
    const char *type = type_of(step), *to = NULL, *from = NULL;
    if (strcmp(type, "NFC") == 0) {
        s->kind = NORMAL_NFC;
    } else if (strcmp(type, "Prepend") == 0) {
        s->kind = NORMAL_PREPEND;
        to = text_member(step, "prepend");
        if (!to) refuse(p, "normalizer", "Prepend must have a text \"prepend\"", NULL);
    } else if (strcmp(type, "Replace") == 0) {
        s->kind = NORMAL_REPLACE;
        from = string_pattern(p, "normalizer", step);
        to = text_member(step, "content");
        if (!to) refuse(p, "normalizer", "Replace must have a text \"content\"", NULL);
    } else {
        refuse_kind(p, "normalizer", step, "NFC, Prepend, Replace, or a Sequence of them");
    }
    if ((to && strlen(to) > TEXT_MOST) || (from && strlen(from) > TEXT_MOST))
        refuse(p, "normalizer", "a text of more than 64 bytes in", type);
    if (from && to && strlen(to) > GROWTH_MOST * strlen(from))
        refuse(p, "normalizer", "Replace makes texts more than 4 times as long", NULL);
    check_members(p, "normalizer", step, names);
    if (!p->ok) return;
    if (from) s->from = copy_of(from, &s->n_from);
    if (to) s->to = copy_of(to, &s->n_to);
    z->n++;
}

void normalizer_read(struct parse *p, struct normalizer *z, const json_t *step)
{
    const json_t *steps[STEPS_MOST];
    int n = steps_of(p, "normalizer", step, "normalizers", steps);
    if (n > NORMAL_STEPS_MOST) refuse(p, "normalizer", "has more than 4 steps", NULL);
    for (int i = 0; i < n && p->ok; i++) read_step(p, z, steps[i]);
}

void normalizer_free(struct normalizer *z)
{
    for (int i = 0; i < z->n; i++) {
        free(z->step[i].from);
        free(z->step[i].to);
    }
}

/* memchr for the first byte: it is rare in most texts (U+2581, or a space between words). */
static void replace(struct room *out, const struct normal_step *s, const char *text, size_t n)
{
    const char *end = text + n;
    while (text < end) {
        size_t left = (size_t)(end - text);
        const char *at = memchr(text, s->from[0], left);
        if (!at) {
            room_put(out, text, left);
            return;
        }
        room_put(out, text, (size_t)(at - text));
        left = (size_t)(end - at);
        bool found = left >= s->n_from && memcmp(at, s->from, s->n_from) == 0;
        if (found)
            room_put(out, s->to, s->n_to);
        else
            room_put(out, at, 1);
        text = at + (found ? s->n_from : 1);
    }
}

/* Two rooms in turn: a step reads the one and writes the other. A text that no step changes is not
 * copied. */
const char *normalizer_run(const struct normalizer *z, struct normal_room *room, const char *text,
                           size_t *n)
{
    int which = 0;
    for (int i = 0; i<z->n && * n> 0; i++) {
        const struct normal_step *s = &z->step[i];
        struct room *out = &room->text[which];
        if (s->kind == NORMAL_NFC && nfc_is_plain(text, *n)) continue;
        out->n = 0;
        if (s->kind == NORMAL_NFC) {
            nfc_put(out, &room->points, text, *n);
        } else if (s->kind == NORMAL_PREPEND) {
            room_put(out, s->to, s->n_to);
            room_put(out, text, *n);
        } else {
            replace(out, s, text, *n);
        }
        text = out->at;
        *n = out->n;
        which = !which;
    }
    return text;
}

void normal_room_free(struct normal_room *room)
{
    room_free(&room->text[0]);
    room_free(&room->text[1]);
    room_free(&room->points);
}
