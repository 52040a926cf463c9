/* The rotary embedding in config.json: older files have rope_theta and rope_scaling at the top
 * level, newer ones (Transformers 5) an object rope_parameters. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "trainer/checkpoint/hf/config.h"

struct rope_reader {
    struct hf_config *c;
    const json_t *o; /* rope_scaling or rope_parameters; NULL: neither */
    const char *in;  /* its name */
};

/* --- kinds --- */

static double original_context(const struct rope_reader *r)
{
    static const char name[] = "original_max_position_embeddings";
    double top = hf_whole(r->c, r->c->root, name, 0);
    double all = hf_whole(r->c, r->c->root, "max_position_embeddings", 0);
    return top > 0 ? top : hf_whole(r->c, r->o, name, all);
}

static void take_llama3(const struct rope_reader *r)
{
    struct hf_config *c = r->c;
    hf_take_number(c, "rope_factor", hf_number(c, r->o, "factor", NAN), "factor");
    hf_take_number(c, "rope_low", hf_number(c, r->o, "low_freq_factor", NAN), "low_freq_factor");
    hf_take_number(c, "rope_high", hf_number(c, r->o, "high_freq_factor", NAN), "high_freq_factor");
    hf_take_number(c, "rope_original", original_context(r), "original_max_position_embeddings");
}

static double mscale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

/* What cosines and sines are multiplied by; 0: as follows from the factor. */
static double attention_factor(const struct rope_reader *r, double factor)
{
    double given = hf_number(r->c, r->o, "attention_factor", 0);
    double m = hf_number(r->c, r->o, "mscale", 0), all = hf_number(r->c, r->o, "mscale_all_dim", 0);
    if (given > 0 || !(fabs(m) > 0 && fabs(all) > 0)) return given;
    return mscale(factor, m) / mscale(factor, all);
}

static void take_yarn(const struct rope_reader *r)
{
    struct hf_config *c = r->c;
    double original = original_context(r);
    double all = hf_whole(c, c->root, "max_position_embeddings", 0);
    double factor = hf_number(c, r->o, "factor", original > 0 ? all / original : NAN);
    hf_take_number(c, "rope_factor", factor, "factor");
    hf_take_number(c, "rope_original", original, "original_max_position_embeddings");
    hf_take_number(c, "rope_beta_fast", hf_number(c, r->o, "beta_fast", 32), "beta_fast");
    hf_take_number(c, "rope_beta_slow", hf_number(c, r->o, "beta_slow", 1), "beta_slow");
    hf_take_number(c, "rope_truncate", hf_flag(c, r->o, "truncate", true), "truncate");
    hf_take_number(c, "rope_attention", attention_factor(r, factor), "attention_factor");
}

static const struct rope_kind {
    const char *name, *setting; /* setting: choice of model.rope_scaling; NULL: none */
    void (*take)(const struct rope_reader *r);
    const char *members[10]; /* beside those that every kind has */
} KINDS[] = {
    {"default", NULL, NULL, {NULL}},
    {"llama3",
     "llama3",
     take_llama3,
     {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    {"yarn",
     "yarn",
     take_yarn,
     {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor",
      "mscale", "mscale_all_dim", "truncate"}},
};

/* --- the object --- */

/* As in check_members: what is not known might change the angles. */
static void refuse_others(const struct rope_reader *r, const struct rope_kind *kind)
{
    static const char *const common[] = {"rope_type", "type", "rope_theta",
                                         "partial_rotary_factor"};
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)r->o, name, v)
    {
        bool known = json_is_null(v);
        for (size_t i = 0; i < 4; i++) known |= strcmp(name, common[i]) == 0;
        for (size_t i = 0; i < 10 && kind->members[i]; i++)
            known |= strcmp(name, kind->members[i]) == 0;
        if (!known)
            hf_complain(r->c, r->in, "has a member %.60s, which \"%s\" does not have", name,
                        kind->name);
    }
}

/* Older files call the kind "type"; without either it is the plain embedding. */
static void take_kind(const struct rope_reader *r)
{
    const json_t *v = json_object_get(r->o, "rope_type");
    if (!v || json_is_null(v)) v = json_object_get(r->o, "type");
    const char *name = v && !json_is_null(v) ? json_string_value(v) : "default";
    const struct rope_kind *kind = NULL;
    for (size_t i = 0; name && i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(name, KINDS[i].name) == 0) kind = &KINDS[i];
    if (!kind) {
        hf_complain(r->c, r->in,
                    "its kind is \"%.60s\"; this program computes default, llama3 and yarn",
                    name ? name : "?");
        return;
    }
    refuse_others(r, kind);
    if (kind->setting) hf_take_choice(r->c, "rope_scaling", kind->setting, r->in);
    if (kind->take) kind->take(r);
}

static bool is_object(const struct hf_config *c, const char *member)
{
    const json_t *v = json_object_get(c->root, member);
    if (v && !json_is_null(v) && !json_is_object(v))
        hf_complain(c, member, "is neither null nor an object");
    return json_is_object(v);
}

/* Where a file has both objects rope_scaling is taken, as Transformers does. */
void hf_rope_apply(struct hf_config *c)
{
    struct rope_reader r = {.c = c};
    bool newer = is_object(c, "rope_parameters");
    if (newer) r.in = "rope_parameters";
    if (is_object(c, "rope_scaling")) r.in = "rope_scaling";
    if (r.in) r.o = json_object_get(c->root, r.in);
    double top = hf_number(c, c->root, "rope_theta", 10000);
    hf_take_number(c, "rope_theta", hf_number(c, r.o, "rope_theta", top), "rope_theta");
    double part = hf_number(c, r.o, "partial_rotary_factor",
                            hf_number(c, c->root, "partial_rotary_factor", 1));
    if (part < 1 || part > 1)
        hf_complain(c, "partial_rotary_factor",
                    "is %g; this program rotates all of a head's channels", part);
    if (r.o) take_kind(&r);
}
