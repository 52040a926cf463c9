/* The resolved recipe: what knobs.h lists, as structs. */
#ifndef DUET_TRAINER_CONFIG_SETTINGS_H
#define DUET_TRAINER_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include "comm/base/die.h"
#include "model/dims.h"
#include "trainer/config/knobs.h"

#define KNOB_TYPE_INT int
#define KNOB_TYPE_REAL double
#define KNOB_TYPE_BOOL bool
#define KNOB_TYPE_STR char * /* malloc'ed, never NULL */
#define KNOB_TYPE_ENUM int
#define KNOB_FIELD(type, name, def, low, high, help) KNOB_TYPE_##type name;

struct run_knobs { RUN_KNOBS(KNOB_FIELD) };
struct model_knobs { MODEL_KNOBS(KNOB_FIELD) };
struct mesh_knobs { MESH_KNOBS(KNOB_FIELD) };
struct data_knobs { DATA_KNOBS(KNOB_FIELD) };
struct checkpoint_knobs { CHECKPOINT_KNOBS(KNOB_FIELD) };
struct phase_knobs { PHASE_KNOBS(KNOB_FIELD) };

enum { TASK_COUNTDOWN, TASK_ARITHMETIC, TASK_EQUATIONS, TASK_FILE };
enum { SCHEDULE_AUTO, SCHEDULE_SERIAL, SCHEDULE_1F1B, SCHEDULE_DUALPIPE };
enum { PHASE_SFT, PHASE_GRPO, PHASE_EVAL };
enum { LR_CONSTANT, LR_LINEAR, LR_COSINE };
enum { ADVANTAGE_STD, ADVANTAGE_MEAN };
enum { AGGREGATE_TOKEN, AGGREGATE_SEQUENCE, AGGREGATE_CONSTANT };

struct settings {
    struct run_knobs run;
    struct model_knobs model;
    struct mesh_knobs mesh;
    struct data_knobs data;
    struct checkpoint_knobs checkpoint;
    struct phase_knobs *phases;
    int n_phases;
};

/* All defaults, no phases. */
void settings_defaults(struct settings *s);
/* YAML bytes over what s holds. Every mistake is added to p with file:line (unknown names with the nearest known one, wrong types,
 * ranges, settings that a phase's kind does not use, duplicate keys). Bounded memory, never crashes (P11). true: no mistake. */
bool settings_parse(struct settings *s, const void *yaml, size_t n, const char *file, struct problems *p);
/* "model.layers=6", "seed=3", "phases.grpo.lr=1e-4" (by name or number from 0). true: done. */
bool settings_set(struct settings *s, const char *assignment, struct problems *p);
/* Mistakes between settings (kv_heads divides heads, head_dim even, max_new < max_context, micro_batch_tokens >= max_context,
 * sft of a file without demonstrations, ...); fills in what 0 stands for. ranks: size of the world. */
bool settings_check(struct settings *s, int ranks, struct problems *p);
/* The resolved recipe as YAML, malloc'ed: parsing it gives the same settings. */
char *settings_yaml(const struct settings *s);
void settings_help(void);   /* every setting, from the table, to stdout */
void settings_free(struct settings *s);

/* dims of the model for a vocabulary of V. */
struct dims settings_dims(const struct settings *s, int V);

#endif
