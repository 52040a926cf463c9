/* Names of tensors, here and there, and the order of their rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/gguf/hf.h"
#include "trainer/gguf/keys.h"

/* In a layer they begin with "blk.L." and "model.layers.L.". # is an expert's number; the file has
 * all experts of a layer in one tensor. */
static const struct name_row {
    const char *file, *folder;
    bool layer;
    enum gguf_heads heads;
} names[] = {
    {"token_embd.weight", "model.embed_tokens.weight", false, GGUF_PLAIN},
    {"output_norm.weight", "model.norm.weight", false, GGUF_PLAIN},
    {"output.weight", "lm_head.weight", false, GGUF_PLAIN},
    {"attn_norm.weight", "input_layernorm.weight", true, GGUF_PLAIN},
    {"ffn_norm.weight", "post_attention_layernorm.weight", true, GGUF_PLAIN},
    {"attn_q.weight", "self_attn.q_proj.weight", true, GGUF_QUERIES},
    {"attn_k.weight", "self_attn.k_proj.weight", true, GGUF_KEYS},
    {"attn_v.weight", "self_attn.v_proj.weight", true, GGUF_PLAIN},
    {"attn_q.bias", "self_attn.q_proj.bias", true, GGUF_QUERIES},
    {"attn_k.bias", "self_attn.k_proj.bias", true, GGUF_KEYS},
    {"attn_v.bias", "self_attn.v_proj.bias", true, GGUF_PLAIN},
    {"attn_output.weight", "self_attn.o_proj.weight", true, GGUF_PLAIN},
    {"attn_output.bias", "self_attn.o_proj.bias", true, GGUF_PLAIN},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", true, GGUF_PLAIN},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", true, GGUF_PLAIN},
    {"ffn_gate.weight", "mlp.gate_proj.weight", true, GGUF_PLAIN},
    {"ffn_up.weight", "mlp.up_proj.weight", true, GGUF_PLAIN},
    {"ffn_down.weight", "mlp.down_proj.weight", true, GGUF_PLAIN},
    {"ffn_gate.bias", "mlp.gate_proj.bias", true, GGUF_PLAIN},
    {"ffn_up.bias", "mlp.up_proj.bias", true, GGUF_PLAIN},
    {"ffn_down.bias", "mlp.down_proj.bias", true, GGUF_PLAIN},
    {"ffn_gate_inp.weight", "mlp.gate.weight", true, GGUF_PLAIN},
    {"ffn_gate_exps.weight", "mlp.experts.#.gate_proj.weight", true, GGUF_PLAIN},
    {"ffn_up_exps.weight", "mlp.experts.#.up_proj.weight", true, GGUF_PLAIN},
    {"ffn_down_exps.weight", "mlp.experts.#.down_proj.weight", true, GGUF_PLAIN},
};
enum { NAMES = sizeof names / sizeof *names, EXPERTS_MAX = 1 << 16 };

/* What of a name follows "PREFIX.L."; NULL: it does not begin so. */
static const char *behind_layer(const char *name, const char *prefix, int *layer)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9') return NULL;
    char *end;
    long number = strtol(name + n, &end, 10);
    if (*end != '.' || number > 1 << 20) return NULL;
    *layer = (int)number;
    return end + 1;
}

/* --- from the file --- */

static const struct name_row *row_of(const char *name, int *layer)
{
    const char *rest = behind_layer(name, "blk.", layer);
    for (int i = 0; i < NAMES; i++)
        if (names[i].layer == (rest != NULL) && strcmp(names[i].file, rest ? rest : name) == 0)
            return &names[i];
    return NULL;
}

static void folder_name(char out[GGUF_NAME], const struct name_row *row, int layer, int expert)
{
    char prefix[32] = "";
    const char *hash = strchr(row->folder, '#');
    if (row->layer) snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);
    if (hash)
        snprintf(out, GGUF_NAME, "%s%.*s%d%s", prefix, (int)(hash - row->folder), row->folder,
                 expert, hash + 1);
    else
        snprintf(out, GGUF_NAME, "%s%s", prefix, row->folder);
}

/* Rows of a head where the architecture interleaves them. */
static int interleaved(const struct gguf *g, const struct gguf_tensor *t,
                       const struct name_row *row)
{
    if (row->heads == GGUF_PLAIN || !gguf_is(g, "llama")) return 0;
    int head = gguf_head_size(g);
    bool whole = head > 0 && head % 2 == 0 && t->dims > 0 && t->shape[0] % (unsigned)head == 0;
    return whole ? head : 0; /* not whole: its shape is refused when the model's sizes are known */
}

static struct gguf_place whole_place(const struct gguf_tensor *t)
{
    struct gguf_place at = {.tensor = t, .numbers = t->numbers, .dims = t->dims};
    for (int i = 0; i < t->dims && i < 2; i++) at.shape[i] = t->shape[i];
    return at;
}

/* Expert e of a tensor (experts, rows, columns). */
static struct gguf_place expert_place(const struct gguf_tensor *t, int expert)
{
    struct gguf_place at = {.tensor = t, .dims = 2, .shape = {t->shape[1], t->shape[2]}};
    at.numbers = at.shape[0] * at.shape[1];
    at.first = at.numbers * (uint64_t)expert;
    return at;
}

static bool has_experts(const struct name_row *row, const struct gguf_tensor *t)
{
    return strchr(row->folder, '#') && t->dims == 3 && t->numbers > 0 && t->shape[0] <= EXPERTS_MAX;
}

static bool is_left_out(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0; /* config.c takes it */
}

/* A name that is not in the table is passed on as it is, so that hf_folder_check can name it. */
bool gguf_next(struct gguf_names *walk, char name[GGUF_NAME], struct gguf_place *at)
{
    const struct gguf *g = walk->g;
    for (; walk->tensor < g->tensors; walk->tensor++, walk->expert = 0) {
        const struct gguf_tensor *t = &g->tensor[walk->tensor];
        int layer = 0;
        snprintf(name, GGUF_NAME, "%.*s", (int)t->name.n, t->name.at);
        if (is_left_out(name)) continue;
        const struct name_row *row = row_of(name, &layer);
        if (row && has_experts(row, t)) {
            if ((uint64_t)walk->expert >= t->shape[0]) continue;
            *at = expert_place(t, walk->expert);
            folder_name(name, row, layer, walk->expert++);
            return true;
        }
        *at = whole_place(t);
        at->head = row ? interleaved(g, t, row) : 0;
        if (row) folder_name(name, row, layer, 0);
        walk->tensor++;
        return true;
    }
    return false;
}

uint64_t gguf_row(uint64_t row, int head)
{
    uint64_t in = row % (unsigned)head, half = (unsigned)head / 2;
    return row - in + in % half * 2 + in / half;
}

/* Interleaved rows are neighbours here and not in the file: read row by row. */
void gguf_read(const struct gguf_place *at, float *out, uint64_t from, size_t n)
{
    const struct gguf_tensor *t = at->tensor;
    if (at->head == 0) {
        quant_read(t->quant, out, t->at, at->first + from, n);
        return;
    }
    uint64_t width = at->dims == 2 ? at->shape[1] : 1;
    while (n > 0) {
        uint64_t row = from / width, column = from % width;
        size_t some = width - column < n ? (size_t)(width - column) : n;
        quant_read(t->quant, out, t->at, gguf_row(row, at->head) * width + column, some);
        out += some;
        from += some;
        n -= some;
    }
}

/* --- to the file --- */

/* Does the folder's name fit the row, and for which expert? */
static bool fits(const char *name, const char *folder, int *expert)
{
    const char *hash = strchr(folder, '#');
    *expert = -1;
    if (!hash) return strcmp(name, folder) == 0;
    size_t n = (size_t)(hash - folder);
    if (strncmp(name, folder, n) != 0 || name[n] < '0' || name[n] > '9') return false;
    char *end;
    long number = strtol(name + n, &end, 10);
    if (number > 1 << 20 || strcmp(end, hash + 1) != 0) return false;
    *expert = (int)number;
    return true;
}

/* Only the architecture "llama" interleaves the rows of a head; the table says which tensors. */
bool gguf_name_of(char out[GGUF_NAME], int *expert, enum gguf_heads *heads, const char *name,
                  const char *architecture)
{
    int layer = 0;
    const char *rest = behind_layer(name, "model.layers.", &layer);
    for (int i = 0; i < NAMES; i++) {
        const struct name_row *row = &names[i];
        if (row->layer != (rest != NULL) || !fits(rest ? rest : name, row->folder, expert))
            continue;
        if (row->layer)
            snprintf(out, GGUF_NAME, "blk.%d.%s", layer, row->file);
        else
            snprintf(out, GGUF_NAME, "%s", row->file);
        *heads = strcmp(architecture, "llama") == 0 ? row->heads : GGUF_PLAIN;
        return true;
    }
    return false;
}
