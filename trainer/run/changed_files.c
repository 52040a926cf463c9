#include "trainer/run/changed_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/problems.h"
#include "model/tokenizer.h"
#include "trainer/config/table.h"
#include "trainer/data/model_template.h"

/* Into one cell of a table. */
static void token_text(const struct tokenizer *t, int id, char text[48])
{
    tokenizer_decode(t, &id, 1, text, 48);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = '?';
}

/* The first id that stands for another text, or the smaller size; -1: all are the same. */
static int first_other_id(const struct tokenizer *was, const struct tokenizer *is, char text[2][48])
{
    int n[2] = {tokenizer_size(was), tokenizer_size(is)}, least = n[0] < n[1] ? n[0] : n[1];
    for (int id = 0; id < least; id++) {
        token_text(was, id, text[0]);
        token_text(is, id, text[1]);
        if (strcmp(text[0], text[1]) != 0) return id;
    }
    return n[0] == n[1] ? -1 : least;
}

/* Compared by ids: another file with the same ids leaves the weights valid. */
static void add_tokenizer(struct changes *c, const struct tokenizer *was,
                          const struct tokenizer *is)
{
    char text[2][48], then[64], now[64];
    int sizes[2] = {tokenizer_size(was), tokenizer_size(is)}, id = first_other_id(was, is, text);
    if (sizes[0] != sizes[1]) {
        snprintf(then, sizeof then, "%d tokens", sizes[0]);
        snprintf(now, sizeof now, "%d tokens", sizes[1]);
    } else if (id >= 0) {
        snprintf(then, sizeof then, "%d is \"%.40s\"", id, text[0]);
        snprintf(now, sizeof now, "%d is \"%.40s\"", id, text[1]);
    } else {
        changes_add(c, false, "model.tokenizer", "another file", "the same ids",
                    "the weights stay valid; text may be split into other tokens");
        return;
    }
    changes_add(c, true, "model.tokenizer", then, now, "the weights were trained with the old ids");
}

void changed_tokenizer(struct changes *c, const char *was, const char *json)
{
    struct problems ignored = {0};
    if (!was || strcmp(was, json) == 0) return;
    struct tokenizer *then = tokenizer_parse(was, strlen(was), "", &ignored),
                     *now = tokenizer_parse(json, strlen(json), "", &ignored);
    if (then && now) add_tokenizer(c, then, now);
    tokenizer_free(then);
    tokenizer_free(now);
    problems_free(&ignored);
}

/* "problems.jsonl, 0123456789abcdef" */
static void describe_file(char out[64], const char *path, uint64_t sum)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    snprintf(out, 64, "%.40s%s%016" PRIx64, base, *base ? ", " : "", sum);
}

/* A file that a setting names: then and now. A sum of 0 is not known. */
struct named_file {
    const char *path[2];
    uint64_t sum[2];
};

static const char *path_text(const char *path)
{
    return *path ? path : "\"\"";
}

/* By checksum: a file that moved is the same file. `same` says of what. */
static void compare_file(struct changes *c, const char *name, const struct named_file *f,
                         bool refused, const char *means, const char *same)
{
    char then[64], now[64];
    bool known = f->sum[0] && f->sum[1], gone = !*f->path[0] != !*f->path[1];
    if (known && f->sum[0] != f->sum[1]) {
        describe_file(then, f->path[0], f->sum[0]);
        describe_file(now, f->path[1], f->sum[1]);
        changes_add(c, refused, name, then, now, means);
    } else if (strcmp(f->path[0], f->path[1]) != 0) {
        bool lost = gone && !known;
        changes_add(c, refused && lost, name, path_text(f->path[0]), path_text(f->path[1]),
                    lost    ? means
                    : known ? same
                            : "not compared: what was in the old one is not recorded");
    }
}

/* "other problems: ..." of what the position counts. true: that is refused. */
static bool other_inputs(const struct settings *then, struct standing at, const char *what,
                         char means[128])
{
    bool inside = at.step > 0 && at.phase < then->n_phases;
    if (inside)
        snprintf(means, 128,
                 "other %s: the position, step %ld of phase %s, is counted in the old ones", what,
                 at.step, then->phases[at.phase].name);
    else
        snprintf(means, 128, "other %s from here on", what);
    return inside;
}

/* A generator's problems follow from settings: their rows say it, unless the program itself has
 * changed. */
void changed_data(struct changes *c, const struct run *r, const struct settings *then,
                  const struct position *q, struct standing at)
{
    const struct data_settings *was = &then->data, *is = &r->settings.data;
    bool told = changes_name(c, "seed") || changes_name(c, "data.");
    char means[128];
    const struct named_file train = {{was->file, is->file},
                                     {q->data_train, r->data_sum[SPLIT_TRAIN]}},
                            held = {{was->heldout_file, is->heldout_file},
                                    {q->data_heldout, r->data_sum[SPLIT_HELDOUT]}};
    const struct named_file preferred = {{was->preferences, is->preferences},
                                         {q->data_preferences, r->preferences_sum}};
    bool inside = other_inputs(then, at, "preferences", means);
    if (*was->preferences || *is->preferences)
        compare_file(c, "data.preferences", &preferred, inside, means, "the same preferences");
    if (r->settings.data.task != TASK_FILE && told) return;
    inside = other_inputs(then, at, "problems", means);
    compare_file(c, "data.file", &train, inside, means, "the same problems");
    compare_file(c, "data.heldout_file", &held, false,
                 "scores before and after this step are of other problems", "the same problems");
}

/* The setting may also be a template itself: then it is compared as a text. */
void changed_template(struct changes *c, const struct run *r, const struct settings *then,
                      const struct position *q, struct standing at)
{
    char means[128];
    const struct settings *now = &r->settings;
    const struct named_file f = {{then->data.template, now->data.template},
                                 {q->chat_template, chat_sum(r->chat)}};
    if (!model_template_wanted(then) || !model_template_wanted(now)) {
        changes_compare_data(c, "template", then, now, at);
        return;
    }
    bool inside = other_inputs(then, at, "prompts", means);
    compare_file(c, "data.template", &f, inside, means, "the same template");
}

/* Where a chunk lies and when its passes run changes no bit (P4), and nothing else follows from the
 * costs: schedule_sums and schedule_least are the same for every placement that auto may choose.
 * Only which gradients are added before they are rounded for another host does. */
static void cluster_means(const struct settings *now, char means[128])
{
    const struct setting *k = setting_find(&sections[SECTION_RUN], "schedule");
    if (now->run.schedule != SCHEDULE_AUTO)
        snprintf(means, 128, "no effect: schedule is %s, and only auto reads it",
                 choice_of(k, now->run.schedule)->name);
    else
        snprintf(means, 128, "schedule auto may choose another plan: another speed, %s",
                 now->reduction.wire == CODEC_FP32 ? "the same bits"
                                                   : "and reduction.wire may round other sums");
}

void changed_cluster(struct changes *c, const struct run *r, const struct settings *then,
                     const struct position *q)
{
    char means[128];
    const struct named_file f = {{then->mesh.cluster, r->settings.mesh.cluster},
                                 {q->cluster, settings_cluster_sum(&r->settings)}};
    cluster_means(&r->settings, means);
    compare_file(c, "mesh.cluster", &f, false, means, "the same costs");
}
