/* data.file as a list: names, and how often the problems of each are drawn. */
#ifndef DUET_TRAINER_DATA_FILES_H
#define DUET_TRAINER_DATA_FILES_H

#include <stdint.h>
#include "comm/base/problems.h"

enum { FILES_MOST = 64 };
struct file_list {
    char *text; /* what the names point into */
    const char *path[FILES_MOST];
    double weight[FILES_MOST];
    int n;
    bool weighted; /* every one has a weight; else none has */
};
/* "a.jsonl", "a.jsonl, b.jsonl" or "a.jsonl=3, b.jsonl=1"; a name that is a file as it stands is
 * one file. "" is an empty list. false and problems that name `setting`. Local. */
bool file_list_parse(struct file_list *l, const char *text, const char *setting,
                     struct problems *p);
void file_list_free(struct file_list *l);

/* Which file the i-th training problem is of, and which of that file's draws it is: over every
 * MIX_CYCLE problems each file has its share of them, spread evenly. */
enum { MIX_CYCLE = 4096 };
struct mix {
    int quota[FILES_MOST]; /* of a cycle; all 0: no mix */
    uint8_t file[MIX_CYCLE];
    uint16_t draw[MIX_CYCLE];
};
/* weight (n), not all 0: a file of weight 0 is never drawn, any other has at least one place of a
 * cycle. Pure. */
void mix_make(struct mix *m, const double *weight, int n);
static inline int mix_file(const struct mix *m, uint32_t i, uint32_t *draw)
{
    int file = m->file[i % MIX_CYCLE];
    *draw = i / MIX_CYCLE * (uint32_t)m->quota[file] + m->draw[i % MIX_CYCLE];
    return file;
}

#endif
