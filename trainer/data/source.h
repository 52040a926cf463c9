/* Where problems come from: a generator (task.h) or the user's JSON Lines. */
#ifndef DUET_TRAINER_DATA_SOURCE_H
#define DUET_TRAINER_DATA_SOURCE_H

#include "model/tokenizer.h"
#include "trainer/config/settings.h"
#include "trainer/data/example.h"
#include "trainer/data/task.h"
#include "trainer/data/together.h"

/* Sets of splits. */
enum { SPLITS_NONE = 0, SPLITS_HELDOUT = 1 << SPLIT_HELDOUT, SPLITS_BOTH = 3 };
static inline bool splits_have(unsigned splits, enum split split)
{
    return (splits >> split & 1) != 0;
}
struct source_needs {
    unsigned read;  /* splits whose files are opened: of the others there are no problems */
    unsigned asked; /* splits that must not be empty */
};

struct source;
/* Goes through files when there are any (collection.h); every bad line is a problem with file:line.
 * NULL on problems, of this rank or another. Collective over t->world, where each rank reads its
 * part of the files; with t NULL local. */
struct source *source_open(const struct settings *s, struct source_needs needs,
                           const struct together *t, struct problems *p);
/* data.preferences, every line of them a preference; NULL as well where there are none. The
 * recipe's data.fields are those of its problems, where these are of a file, too. Collective over
 * t->world, or local. */
struct source *source_open_preferences(const struct settings *s, const struct together *t,
                                       struct problems *p);
/* For the next start, once the folder of t->index is there (collection_keep_index). Rank 0. */
void source_keep_index(struct source *s, const char *path);
void source_free(struct source *s);
/* "countdown", or the file's base name: one line of UTF-8, in which JSON would escape a character.
 */
enum { SOURCE_NAME = 256 };
const char *source_name(const struct source *s);
/* How many of `want` held-out problems there are: each counts once, in a file also when several
 * lines hold it. Those of a generator are looked for here (heldout.h), so ask before the first
 * source_problem, for as many as will be used. Local. */
int source_heldout(struct source *s, int want);
/* Which problems are held out, for people: "held-out problems of countdown", "all 16 of h.jsonl",
 * "the held-out tenth of p.jsonl: 5 of 48". Counts what was opened. */
void source_describe_heldout(const struct source *s, char *out, size_t size);
/* Problem number `index` of a split. Training problems never end (a generator may draw one
 * again, a file is walked in a keyed shuffle of each epoch, index / records); held-out ones are
 * distinct, and index is below what source_heldout said. Pure. The text of a file's problem stays
 * while at most PROBLEMS_HELD - 1 others are taken after it. */
void source_problem(const struct source *s, enum split split, uint32_t index, struct problem *out);
/* For looking through a whole source (screen.h): how many problems of a split can be gone through
 * one by one (the records of a file, the held-out problems found of a generator; 0: there is no end
 * of them), and number i of them, which is not source_problem's. */
int source_count(const struct source *s, enum split split);
void source_look(const struct source *s, enum split split, int i, struct problem *out);
/* More than can be looked through before each run (collection.h). */
bool source_is_large(const struct source *s);
/* Large, and its index was kept by an earlier start. */
bool source_is_known(const struct source *s);
/* Where a problem stands, for messages: the file as the settings name it and the line, which is
 * counted on demand; of a generator its name and 0. */
struct source_place {
    const char *file;
    int line;
};
struct source_place source_place(const struct source *s, const struct problem *p);
/* Goes on without those whose keep[i] is false: problem numbers count what is left. */
void source_keep(struct source *s, enum split split, const bool *keep);
/* The conversation of a record that is one (p->turns of them), valid until a problem is next taken.
 */
const struct turn *source_turns(const struct source *s, const struct problem *p);
/* false: this record has no demonstration, or is a conversation. */
bool source_demonstrate(const struct source *s, const struct problem *p, uint32_t index,
                        struct text *out);
/* What is preferred: of a pair of completions of a problem's prompt one side, the better or the
 * other; or one completion, and what it is worth. */
enum side { SIDE_CHOSEN, SIDE_REJECTED };
struct preference {
    bool pair;
    const char *text; /* (n) in `out`, or valid until a problem is next taken */
    size_t n;
    float label; /* where it is no pair: 0 to 1 */
};
/* Those of a record that has one. From a generator's problem the first right, or the first wrong,
 * of some demonstrations drawn for `index`. false: there is none. */
bool source_preference(const struct source *s, const struct problem *p, enum split split,
                       uint32_t index, enum side side, struct preference *to, struct text *out);
/* A checksum of the problems of a split: of all records of a file, in their order; of a generator's
 * first ones, 0 for its held-out ones and for a split that was not read. Equal sums: problem number
 * i is the same. Pure. */
uint64_t source_sum(const struct source *s, enum split split);
/* A checksum of all bytes of the files, 0 of a generator: equal where the files are. Local, pure.
 */
uint64_t source_bytes_sum(const struct source *s);
const struct task *source_task(const struct source *s); /* NULL for a file */

#endif
