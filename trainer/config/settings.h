/* The resolved recipe: what settings_table.h lists, as structs. */
#ifndef DUET_TRAINER_CONFIG_SETTINGS_H
#define DUET_TRAINER_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "comm/base/problems.h"
#include "comm/mesh.h"
#include "comm/codec.h"
#include "model/dims.h"
#include "model/recompute.h"
#include "trainer/config/model_files.h"
#include "trainer/config/settings_table.h"

#define SETTING_TYPE_INT  int
#define SETTING_TYPE_REAL double
#define SETTING_TYPE_BOOL bool
#define SETTING_TYPE_STR  char * /* malloc'ed, never NULL */
#define SETTING_TYPE_ENUM int

#define SETTING_FIELD(type, name, def, low, high, ...) SETTING_TYPE_##type name;

/* clang-format off */
struct run_settings { RUN_SETTINGS(SETTING_FIELD) };
struct model_settings { MODEL_SETTINGS(SETTING_FIELD) };
struct mesh_settings { MESH_SETTINGS(SETTING_FIELD) };
struct sites_settings { SITES_SETTINGS(SETTING_FIELD) };
struct data_settings { DATA_SETTINGS(SETTING_FIELD) };
struct reduction_settings { REDUCTION_SETTINGS(SETTING_FIELD) };
struct checkpoint_settings { CHECKPOINT_SETTINGS(SETTING_FIELD) };
struct phase_settings { PHASE_SETTINGS(SETTING_FIELD) };

/* Where each value came from, for messages: a line of the recipe, 0 (default), LINE_SET. */
#define SETTING_LINE(type, name, def, low, high, ...) int name;

struct run_lines { RUN_SETTINGS(SETTING_LINE) };
struct model_lines { MODEL_SETTINGS(SETTING_LINE) };
struct mesh_lines { MESH_SETTINGS(SETTING_LINE) };
struct sites_lines { SITES_SETTINGS(SETTING_LINE) };
struct data_lines { DATA_SETTINGS(SETTING_LINE) };
struct reduction_lines { REDUCTION_SETTINGS(SETTING_LINE) };
struct checkpoint_lines { CHECKPOINT_SETTINGS(SETTING_LINE) };
struct phase_lines { PHASE_SETTINGS(SETTING_LINE) };
/* clang-format on */

enum { LINE_SET = -1 };

/* The least temperature that is not 0 (greedy): below it, logits over the temperature leave what
 * single precision holds. */
#define TEMPERATURE_LEAST 1e-3
#define TEMPERATURE_MOST  100.0
/* Every rank knows something of every answer of a step. true: this many can be. */
enum { ANSWERS_MOST = 1 << 22 };
bool settings_can_sample(long prompts, long samples);

/* Values of the ENUM settings, from their lists of choices; those of precision are in model/dims.h,
 * of log in comm/base/log.h, of path in comm/reduce.h, of wire in comm/codec.h. */
#define CHOICE_VALUE(value, name) value,

/* clang-format off */
enum { TASK_CHOICES(CHOICE_VALUE) };
enum { VERIFIER_CHOICES(CHOICE_VALUE) };
enum { BAD_LINES_CHOICES(CHOICE_VALUE) };
enum { DEVICE_CHOICES(CHOICE_VALUE) };
enum { SCHEDULE_CHOICES(CHOICE_VALUE) SCHEDULES };
enum { PHASE_KIND_CHOICES(CHOICE_VALUE) };
enum { SEQUENCE_PARALLEL_CHOICES(CHOICE_VALUE) };
enum { LR_DECAY_CHOICES(CHOICE_VALUE) };
enum { EXPORT_FORMAT_CHOICES(CHOICE_VALUE) };
enum { EXPORT_DTYPE_CHOICES(CHOICE_VALUE) };
enum { EXPORT_TYPE_CHOICES(CHOICE_VALUE) };
enum { ALGORITHM_CHOICES(CHOICE_VALUE) ALGORITHMS };
enum { ADVANTAGE_CHOICES(CHOICE_VALUE) ADVANTAGES };
enum { POLICY_CHOICES(CHOICE_VALUE) POLICIES };
enum { KL_CHOICES(CHOICE_VALUE) };
enum { REWARD_PRESET_CHOICES(CHOICE_VALUE) };
enum { LANGUAGE_CHOICES(CHOICE_VALUE) };
enum { LENGTH_CHOICES(CHOICE_VALUE) };
enum { AGGREGATE_CHOICES(CHOICE_VALUE) };
enum { ZERO_SPREAD_CHOICES(CHOICE_VALUE) };
enum { CODE_SANDBOX_CHOICES(CHOICE_VALUE) };
/* clang-format on */

struct setting_lines {
    struct run_lines run;
    struct model_lines model;
    struct mesh_lines mesh;
    struct sites_lines sites;
    struct data_lines data;
    struct reduction_lines reduction;
    struct checkpoint_lines checkpoint;
    struct phase_lines *phases; /* n_phases */
};

struct cluster; /* trainer/config/cluster.h */

struct settings {
    struct run_settings run;
    struct model_settings model;
    struct mesh_settings mesh;
    struct sites_settings sites;
    struct data_settings data;
    struct reduction_settings reduction;
    struct checkpoint_settings checkpoint;
    struct phase_settings *phases;
    int n_phases;
    int auto_place; /* of schedule auto: enum plan_place, settled by schedule_choose
                       (trainer/schedule/schedule.h) */
    struct cluster
        *cluster; /* of mesh.cluster, owned; NULL: none was read (settings_load_cluster) */
    struct model_files files; /* of the model that is started from or opened; owned */
    char *file;               /* the recipe parsed last, for messages; NULL: none */
    struct setting_lines lines;
};

/* Do its answers have several turns? Zeroed settings have one. */
static inline bool phase_has_turns(const struct phase_settings *k)
{
    return k->environment && *k->environment;
}

/* All defaults, no phases. */
void settings_defaults(struct settings *s);

/* YAML bytes over what s holds; a list of phases replaces the one that was there. Every mistake is
 * added to p with file:line (unknown names with the nearest known one, settings in the wrong
 * section, wrong types, ranges, settings that a phase's kind does not use, duplicate keys). Bounded
 * memory, never crashes (P11). true: no mistake. Either way s can be freed. */
bool settings_parse(struct settings *s, const void *yaml, size_t n, const char *file,
                    struct problems *p);
/* The recipe that a run kept in its folder or checkpoint, resolved: a setting that a phase's kind
 * does not use is passed over, since earlier programs wrote them too. */
bool settings_parse_stored(struct settings *s, const char *yaml, struct problems *p);

/* "model.layers=6", "seed=3", "phases.grpo.lr=1e-4" (by name or number from 0). true: done. */
bool settings_set(struct settings *s, const char *assignment, struct problems *p);

/* Reads and parses a recipe over s (which holds the defaults), then applies the --set assignments
 * in order. Needs no MPI, so every rank may call it; a missing file is a problem like any other.
 * true: no mistake. */
bool settings_load(struct settings *s, const char *path, const char *const *sets, int n_sets,
                   struct problems *p);

/* The run folder where neither recipe nor --set gives one: runs/<recipe's name without folder and
 * ending>. */
void settings_default_out(struct settings *s, const char *recipe);

/* The value of the setting that --set calls `name`, and a newline: text as it is, numbers as --set
 * takes them. "phases": a line each, name and kind. Unknown: a problem, false. */
bool settings_print_named(FILE *out, const struct settings *s, const char *name,
                          struct problems *p);

/* Mistakes between settings (kv_heads divides heads, head_dim even, max_new < max_context, dp * pp
 * ranks, ...), all of them, and what 0 and empty stand for: afterwards ffn, kv_heads, head_dim, dp
 * and the names of the phases hold what is meant, and schedule auto on one stage is serial. Does
 * not look at files. ranks: size of the job; the mesh is that of one of its mesh.sites. Call it
 * once, after the last settings_set. */
bool settings_check(struct settings *s, int ranks, struct problems *p);

/* Reads the file that mesh.cluster names, if it names one, into s->cluster: every rank for itself,
 * after settings_check. false: what is wrong with it. */
bool settings_load_cluster(struct settings *s, struct problems *p);
/* Checksum of that file's bytes; 0: none was read. */
uint64_t settings_cluster_sum(const struct settings *s);
/* A copy of a cluster in its place. */
void settings_take_cluster(struct settings *s, const struct cluster *c);

/* The ranks that the mesh takes, before settings_check gives them to it; an open dp is as small as
 * can be. 1: they are more than a job may have, which settings_check says. */
int settings_ranks(const struct settings *s);

/* The recipe as YAML, malloc'ed: parsing it over the defaults gives the same settings. */
char *settings_yaml(const struct settings *s);

void settings_help(void);     /* every setting, from the table, to stdout */
void settings_markdown(void); /* the same as the tables of docs/SETTINGS.md */
void settings_free(struct settings *s);

/* Name of phase i: its own or, before settings_check, the one it will get: the kind, from the
 * second one of a kind on with a number ("sft", "grpo", "grpo2"). Into out; returns out. */
const char *settings_phase_name(const struct settings *s, int i, char *out, size_t size);

/* The numbers of mesh.split into layers[], at most `room`; returns how many there are, 0 when it is
 * empty, -1 when it is no list of whole numbers. */
int settings_split(const struct settings *s, int *layers, int room);
/* The same of model.dense_layers. */
int settings_dense_layers(const struct settings *s, int *layers, int room);
/* The same of model.end_tokens; longer lists than END_TOKENS_MOST are no such list to anybody. */
enum { END_TOKENS_MOST = 64 };
int settings_end_tokens(const struct settings *s, int *ids, int room);
/* Which layers have experts: expert_step and dense_layers; mistakes in the latter are passed over.
 */
struct expert_layers settings_expert_layers(const struct settings *s);

/* The mesh wished for, and what the model allows but for the vocabulary. dp 0: as many as there are
 * ranks for. */
struct mesh_shape settings_mesh(const struct settings *s);
struct mesh_limits settings_limits(const struct settings *s);

/* dims of the model, after settings_check. V: tokens of the tokenizer, when model.vocabulary leaves
 * it open. */
struct dims settings_dims(const struct settings *s, int V);

#endif
