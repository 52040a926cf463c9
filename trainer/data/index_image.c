/* See index.h: an index as the ranks of a job hold it in common. A head, a row a file, then the
 * lists as they are used: marks of all files, of both splits the words and the counts. */
#include <stdlib.h>
#include <string.h>
#include "trainer/data/index.h"

struct image_head {
    uint64_t records, words[2];
};
struct image_file {
    uint64_t lines, sum, marks;
};

static size_t runs_bytes(uint64_t words)
{
    const size_t counts = number_set_counts((size_t)words);
    return (counts * sizeof(uint32_t) + 7) / 8 * 8; /* lists begin at multiples of 8 */
}

size_t index_image_bytes(const struct data_index *x)
{
    size_t n = sizeof(struct image_head) + (size_t)x->files * sizeof(struct image_file);
    for (int i = 0; i < x->files; i++) n += x->file[i].marks * sizeof(struct line_mark);
    for (int k = 0; k < 2; k++)
        n += x->split[k].words * sizeof(uint64_t) + runs_bytes(x->split[k].words);
    return n;
}

static char *put(char *at, const void *from, size_t n)
{
    if (n > 0) memcpy(at, from, n);
    return at + n;
}

/* The order in which index_lay takes them: head, files, their marks, the parts of the split. */
void index_image_write(const void *index, void *to)
{
    const struct data_index *x = index;
    const struct image_head h = {.records = (uint64_t)x->records,
                                 .words = {x->split[0].words, x->split[1].words}};
    char *at = put(to, &h, sizeof h);
    for (int i = 0; i < x->files; i++) {
        const struct lines *l = &x->file[i];
        at = put(at, &(struct image_file){(uint64_t)l->n, l->sum, l->marks},
                 sizeof(struct image_file));
    }
    for (int i = 0; i < x->files; i++)
        at = put(at, x->file[i].mark, x->file[i].marks * sizeof(struct line_mark));
    for (int k = 0; k < 2; k++) {
        const struct number_set *s = &x->split[k];
        at = put(at, s->word, s->words * sizeof *s->word);
        put(at, s->before, number_set_counts(s->words) * sizeof *s->before);
        at += runs_bytes(s->words);
    }
}

/* Its own lists, where it has any, are given back. */
void index_lay(struct data_index *x, struct host_copy copy)
{
    char *at = copy.at;
    const struct image_head *h = (const void *)at;
    const struct image_file *file = (const void *)(at + sizeof *h);
    at += sizeof *h + (size_t)x->files * sizeof *file;
    x->records = (int)h->records;
    for (int i = 0; i < x->files; i++) {
        lines_lend(&x->file[i], (void *)at, (size_t)file[i].marks);
        x->file[i].n = (int)file[i].lines;
        x->file[i].sum = file[i].sum;
        x->lines[i + 1] = x->lines[i] + file[i].lines;
        at += file[i].marks * sizeof(struct line_mark);
    }
    for (int k = 0; k < 2; k++) {
        const size_t words = (size_t)h->words[k];
        uint64_t *word = (void *)at;
        number_set_lend(&x->split[k], word, words, (void *)(word + words));
        at += words * sizeof *word + runs_bytes(words);
    }
    x->copy = copy;
}
