#include "trainer/run/position.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/files.h"
#include "trainer/observe/metrics.h"
#include "trainer/phase.h"
#include "trainer/reward/tally.h"

/* --- members --- */

enum { NEEDED = 1 };
/* Steps, updates and the like stay far below: they are printed and multiplied. */
static const json_int_t MOST = (json_int_t)1 << 48;

struct state_member {
    const char *name;
    bool needed, hex;
    json_int_t high;    /* of a whole number, from 0; 0: MOST */
    size_t offset, has; /* has: of a bool that is set when it is there; 0: none */
};
#define AT(name) offsetof(struct position, name)
static const struct state_member MEMBERS[] = {
    {"phase", NEEDED, false, 1 << 20, AT(phase), 0},
    {"phase_step", NEEDED, false, 1000000000, AT(phase_step), 0},
    {"step", NEEDED, false, 0, AT(step), 0},
    {"updates", NEEDED, false, 0, AT(updates), 0},
    {"tokens", NEEDED, false, 0, AT(tokens), 0},
    {"metrics_bytes", NEEDED, false, 0, AT(metrics_bytes), 0},
    {"samples_bytes", NEEDED, false, 0, AT(samples_bytes), 0},
    {"exchange_began", false, false, 0, AT(exchange_began), 0},
    {"skipped_in_row", false, false, 1000000000, AT(skipped_in_row), 0},
    {"skipped_since", false, false, 0, AT(skipped_since), 0},
    {"skipped_saved", false, false, 0, AT(skipped_saved), AT(has_skipped_saved)},
    {"without_spread", false, false, 0, AT(without_spread), 0},
    {"metrics_xxh64", false, true, 0, AT(metrics_xxh64), AT(has_sums)},
    {"samples_xxh64", false, true, 0, AT(samples_xxh64), AT(has_sums)},
    {"data_heldout", false, true, 0, AT(data_heldout), 0},
    {"data_train", false, true, 0, AT(data_train), AT(has_data_train)},
    {"data_preferences", false, true, 0, AT(data_preferences), 0},
    {"chat_template", false, true, 0, AT(chat_template), AT(has_template)},
    {"cluster", false, true, 0, AT(cluster), AT(has_cluster)},
    {"residuals", false, true, 0, AT(residuals), 0},
};

static bool read_hex(const json_t *v, uint64_t *out)
{
    const char *text = json_string_value(v);
    *out = 0;
    if (!text || json_string_length(v) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    return sscanf(text, "%16" SCNx64, out) == 1;
}

static bool read_whole(const json_t *v, json_int_t high, long *out)
{
    json_int_t n = json_integer_value(v);
    *out = (long)n;
    return json_is_integer(v) && n >= 0 && n <= high;
}

/* Quotes the value: damage is often visible in it. */
static void bad_member(const struct state_member *m, const json_t *v, const char *file,
                       struct problems *p)
{
    char *is = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (m->hex)
        problems_add(p, file, 0, "damaged: %s in its state is %.40s, not 16 hexadecimal digits",
                     m->name, is ? is : "?");
    else
        problems_add(
            p, file, 0,
            "damaged: %s in its state is %.40s, not a whole number from 0 to %" JSON_INTEGER_FORMAT,
            m->name, is ? is : "?", m->high ? m->high : MOST);
    free(is);
}

/* Members that earlier versions did not write may be missing: `has` says whether they are there. */
static bool read_member(struct position *q, const struct state_member *m, const json_t *state,
                        const char *file, struct problems *p)
{
    const json_t *v = json_object_get(state, m->name);
    void *at = (char *)q + m->offset;
    if (!v && m->needed) problems_add(p, file, 0, "damaged: its state has no %s", m->name);
    if (!v) return !m->needed;
    if (m->has) *(bool *)((char *)q + m->has) = true;
    if (m->hex ? read_hex(v, at) : read_whole(v, m->high ? m->high : MOST, at)) return true;
    bad_member(m, v, file, p);
    return false;
}

/* Evaluations of the past: each has a step that was made. */
static bool check_milestones(const json_t *list, long step, const char *file, struct problems *p)
{
    bool ok = json_is_array(list);
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        const json_t *at = json_object_get(v, "step");
        ok = ok && json_is_string(json_object_get(v, "phase")) && json_is_integer(at) &&
             json_integer_value(at) >= 0 && json_integer_value(at) <= step;
    }
    if (!ok)
        problems_add(p, file, 0,
                     "damaged: milestones in its state is not a list of evaluations up to step %ld",
                     step);
    return ok;
}

/* Skipped updates belong to a step that was made, the last good checkpoint is not a later one. */
static bool check_skips(const struct position *q, const char *file, struct problems *p)
{
    if (q->skipped_in_row == 0 || (q->skipped_since < q->step && q->skipped_saved <= q->step))
        return true;
    problems_add(p, file, 0,
                 "damaged: its state has updates skipped since step %ld after a checkpoint of step "
                 "%ld, but its step is %ld",
                 q->skipped_since, q->skipped_saved, q->step);
    return false;
}

/* An evaluation that was stopped, and the line of metrics that waits for it when it is a step's. */
static bool check_evaluation(const struct position *q, const json_t *state, const char *file,
                             struct problems *p)
{
    struct tally t;
    const json_t *o = json_object_get(state, "evaluation"), *line = json_object_get(state, "line");
    const char *text = json_string_value(line);
    bool needed = o && q->phase_step > 0;
    if (o && !tally_read(&t, o))
        problems_add(p, file, 0, "damaged: evaluation in its state is impossible");
    else if ((needed || line) && !(text && metrics_is_beginning(text)))
        problems_add(p, file, 0,
                     "damaged: line in its state is not the beginning of a line of metrics");
    else
        return true;
    return false;
}

bool position_read(struct position *q, const json_t *state, const char *file, struct problems *p)
{
    bool ok = true;
    *q = (struct position){.metrics_bytes = -1, .samples_bytes = -1};
    for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++)
        ok = read_member(q, &MEMBERS[i], state, file, p) && ok;
    return ok && check_milestones(json_object_get(state, "milestones"), q->step, file, p) &&
           check_skips(q, file, p) && check_evaluation(q, state, file, p);
}

void position_put_sum(json_t *state, const char *name, uint64_t sum)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, sum);
    json_object_set_new(state, name, json_string(hex));
}

/* --- against the recipe --- */

bool position_recipe(struct settings *then, const struct checkpoint *c)
{
    struct problems ignored = {0};
    settings_defaults(then);
    bool ok = c->recipe && settings_parse_stored(then, c->recipe, &ignored);
    problems_free(&ignored);
    return ok;
}

/* As many a step as the ranges of mini_batches and epochs allow, which may have been others before:
 * of the phase under way, or, where it makes none or has none yet, of any. Divided, since the
 * product may be beyond a long. */
static bool can_have_made(const struct position *q, const struct settings *then, long updates)
{
    bool own = q->phase_step > 0 && phase_takes(&then->phases[q->phase], "lr");
    long steps = q->phase_step > 0 ? q->phase_step : q->step, each = 1;
    for (int i = 0; i < then->n_phases; i++) {
        long most = phase_most_updates(&then->phases[i]);
        if ((!own || i == q->phase) && most > each) each = most;
    }
    return (updates + each - 1) / each <= steps;
}

/* The position must be one that a run of the stored recipe can have reached. */
static bool check_recipe(const struct position *q, const struct settings *then, const char *file,
                         struct problems *p)
{
    const struct phase_settings *k = then->phases;
    long phases = then->n_phases, steps = 0;
    if (q->phase < phases) steps = phase_steps(&k[q->phase]);
    if (q->phase > phases)
        problems_add(p, file, 0, "damaged: phase in its state is %ld, its recipe has %ld phases",
                     q->phase, phases);
    else if (q->phase_step > steps)
        problems_add(
            p, file, 0,
            "damaged: phase_step in its state is %ld, phase %ld of its recipe has %ld steps",
            q->phase_step, q->phase, steps);
    else if (!can_have_made(q, then, q->updates))
        problems_add(
            p, file, 0,
            "damaged: updates in its state is %ld, more than step %ld of phase %ld can have made",
            q->updates, q->phase_step, q->phase);
    else
        return true;
    return false;
}

/* --- against the run folder --- */

/* A file that is not there, or too short, is told later (record_file_check); it is no fault of
 * the checkpoint. */
static bool ends_a_line(const char *folder, const char *name, long bytes, const char *file,
                        struct problems *p)
{
    char path[PATH_BYTES], last = '\n';
    path_make(path, "%s/%s", folder, name);
    int fd = bytes > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return true;
    bool inside = pread(fd, &last, 1, bytes - 1) == 1;
    close(fd);
    if (!inside || last == '\n') return true;
    problems_add(p, file, 0,
                 "damaged: its state says that %s had %ld bytes, but no line ends there; the state "
                 "or %s was changed afterwards",
                 name, bytes, path);
    return false;
}

/* Called for every checkpoint that is considered: a damaged one is passed over for the one before.
 */
bool position_check(const struct checkpoint *c, void *run_folder, struct problems *p)
{
    struct position q;
    struct settings then;
    char file[PATH_BYTES];
    path_make(file, "%s/manifest.json", c->folder);
    bool ok = position_read(&q, c->state, file, p);
    if (ok && q.step != c->step) {
        problems_add(p, file, 0, "damaged: step in its state is %ld, the checkpoint is of step %ld",
                     q.step, c->step);
        ok = false;
    }
    if (ok && q.phase_step > q.step) {
        problems_add(p, file, 0,
                     "damaged: phase_step in its state is %ld, but only %ld steps were made in all",
                     q.phase_step, q.step);
        ok = false;
    }
    if (position_recipe(&then, c) && ok) ok = check_recipe(&q, &then, file, p);
    settings_free(&then);
    if (ok && run_folder)
        ok = ends_a_line(run_folder, "metrics.jsonl", q.metrics_bytes, file, p) &&
             ends_a_line(run_folder, "samples.jsonl", q.samples_bytes, file, p);
    return ok;
}
