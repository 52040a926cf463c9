/* config.json of a Hugging Face folder turned into settings of the model. Every member is used,
 * passed over on purpose, held to the one value that this program computes, or refused by name: one
 * table in config.c, listed in docs/HUGGINGFACE.md. Local; takes any bytes (P11). */
#ifndef DUET_TRAINER_CHECKPOINT_HF_CONFIG_H
#define DUET_TRAINER_CHECKPOINT_HF_CONFIG_H

#include <jansson.h>
#include "trainer/config/settings.h"

enum { HF_MOST_CONFIG = 1 << 20 }; /* bytes of config.json */

enum hf_family { HF_LLAMA, HF_MISTRAL, HF_QWEN2, HF_QWEN3, HF_QWEN3_MOE, HF_FAMILIES };
struct hf_family_row {
    const char *architecture, *model_type;
};
extern const struct hf_family_row hf_families[HF_FAMILIES];

/* A row of THE table of members (config.c): a setting comes of it; it changes nothing that this
 * program computes; it must have the value that this program computes. */
enum hf_member_use { HF_USED, HF_PASSED_OVER, HF_MUST };
struct hf_member {
    const char *name;
    unsigned families; /* bits 1 << HF_...; in others it is refused */
    enum hf_member_use use;
    const char *must[2]; /* values as JSON; null and absent always pass */
};
/* Row i; NULL: there are no more. */
const struct hf_member *hf_member_at(int i);

/* config.json while it is read. */
struct hf_config {
    json_t *root;
    const char *file;
    enum hf_family family;
    struct settings *s;
    struct problems *p;
};

/* Settings of the model that the recipe leaves open take the file's values; one that the recipe
 * gives otherwise is a problem that names both. `file` is for messages. Also of the same kind: the
 * tokens that end an answer. */
bool hf_config_apply(struct settings *s, const void *json, size_t n, const char *file,
                     struct problems *p);
/* model.end_tokens from eos_token_id of generation_config.json, which may be a list; before
 * hf_config_apply, whose file stands in for it. */
bool hf_generation_apply(struct settings *s, const void *json, size_t n, const char *file,
                         struct problems *p);
/* The rotary embedding's members, in either spelling (rope.c). */
void hf_rope_apply(struct hf_config *c);

/* --- for the files that read config.json (take.c) --- */

__attribute__((format(printf, 3, 4))) void hf_complain(const struct hf_config *c,
                                                       const char *member, const char *fmt, ...);
/* A member of an object: `otherwise` where it is absent or null; NAN: it is needed, a problem. NAN
 * also when it is there and no number in [low, high]. */
double hf_number(struct hf_config *c, const json_t *object, const char *member, double otherwise);
double hf_whole(struct hf_config *c, const json_t *object, const char *member, double otherwise);
bool hf_flag(struct hf_config *c, const json_t *object, const char *member, bool otherwise);
/* A value for the setting model.`name`. A setting that the recipe gives stays, and must be equal.
 * NAN is passed over: it was complained of. A choice goes by its name, a text is copied. */
void hf_take_number(struct hf_config *c, const char *name, double value, const char *member);
void hf_take_choice(struct hf_config *c, const char *name, const char *choice, const char *member);
void hf_take_text(struct settings *s, const char *name, const char *value, const char *from,
                  struct problems *p);
/* A true or false whose setting this program may not have; then only false is taken. */
void hf_take_flag(struct hf_config *c, const char *name, bool value, const char *member);

#endif
