#include "trainer/checkpoint/hf/export_gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "trainer/checkpoint/files.h"
#include "trainer/checkpoint/hf/pieces.h"
#include "trainer/checkpoint/hf/side_files.h"
#include "trainer/gguf/describe.h"
#include "trainer/gguf/hf.h"

enum { BLOCK = 8 << 20 }; /* numbers */

/* A tensor of the file: one of the folder's, or those of all experts behind each other. */
struct gguf_entry {
    char name[GGUF_NAME];
    const struct param *param;
    const struct quant *quant;
    size_t lo, step; /* where the first one's numbers begin in `param`, and the next one's */
    uint64_t parts;
    int dims; /* of a part */
    uint64_t shape[2];
    int head; /* rows of a head that are interleaved; 0: none */
};

struct gguf_exporter {
    const struct hf_export *x;
    const struct quant *matrices;
    struct hf_model model;
    struct gguf_described described;
    struct gguf_head *head;
    struct gguf_entry *entry;
    size_t n;
    float *block, *ordered;
    unsigned char *out;
    int fd;
    struct failure f;
    struct problems *p;
};

/* --- which tensors --- */

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);
    return n >= k && strcmp(name + n - k, with) == 0;
}

static const struct quant *format_of(const struct gguf_exporter *e, const struct gguf_entry *t)
{
    bool end = strcmp(t->name, "token_embd.weight") == 0 || strcmp(t->name, "output.weight") == 0;
    bool four = strncmp(e->matrices->name, "q4", 2) == 0;
    const struct quant *q = end && four ? quant_named("q8_0") : e->matrices;
    if (t->dims < 2 || ends(t->name, "ffn_gate_inp.weight")) return quant_named("f32");
    return t->shape[1] % (unsigned)q->numbers == 0 ? q : quant_named("bf16");
}

static struct gguf_entry *entry_named(struct gguf_exporter *e, const char *name)
{
    for (size_t i = e->n; i > 0; i--) /* the experts of a layer follow each other */
        if (strcmp(e->entry[i - 1].name, name) == 0) return &e->entry[i - 1];
    return NULL;
}

static int heads_of(const struct gguf_exporter *e, enum gguf_heads heads)
{
    return heads == GGUF_PLAIN ? 0 : e->described.head;
}

/* The file has the experts of a layer in one tensor: the first makes the entry, the second says how
 * far apart they lie in `param`, the others only count. */
static void add_piece(struct gguf_exporter *e, const struct param *q, const struct hf_piece *piece)
{
    char name[GGUF_NAME];
    int expert = -1;
    enum gguf_heads heads = GGUF_PLAIN;
    bool known = gguf_name_of(name, &expert, &heads, piece->name, e->described.architecture);
    if (!known) {
        problems_add(e->p, e->x->to, 0, "tensor \"%s\": llama.cpp has no name for it", piece->name);
        return;
    }
    struct gguf_entry *t = expert > 0 ? entry_named(e, name) : NULL;
    if (t) {
        if (t->parts == 1) t->step = piece->lo - t->lo;
        t->parts++;
        return;
    }
    t = &e->entry[e->n++];
    *t = (struct gguf_entry){.param = q,
                             .lo = piece->lo,
                             .parts = 1,
                             .dims = piece->rank,
                             .shape = {piece->shape[0], piece->rank > 1 ? piece->shape[1] : 1},
                             .head = heads_of(e, heads)};
    memcpy(t->name, name, sizeof t->name);
    t->quant = format_of(e, t);
}

/* Room for an entry a piece: more than needed, since experts share theirs. */
static void list_entries(struct gguf_exporter *e)
{
    size_t room = 0;
    struct hf_piece piece;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < e->model.list.n; i++) {
            const struct param *q = &e->model.list.p[i];
            size_t lo = 0;
            for (int k = 0; !q->tied_copy && hf_piece_of(&piece, q, &e->model.dims, k, lo); k++) {
                lo += piece.n;
                if (pass)
                    add_piece(e, q, &piece);
                else
                    room++;
            }
        }
        if (!pass) e->entry = memory_take(room + 1, sizeof *e->entry, "tensors to export");
    }
}

/* --- keys --- */

static const char *attached_text(const struct hf_export *x, const char *name)
{
    const struct attachment *a = attachments_find(&x->from->files, name);
    return a ? a->bytes : NULL;
}

/* The last part of a path without its ".gguf", for people. */
static void name_of(char out[PATH_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');
    path_make(out, "%s", slash && slash[1] ? slash + 1 : path);
    size_t n = strlen(out);
    if (n > 5 && strcmp(out + n - 5, ".gguf") == 0) out[n - 5] = 0;
}

/* An imported model keeps the config.json it came with; for one born here it is made from its dims.
 * */
static bool put_keys(struct gguf_exporter *e)
{
    const struct hf_export *x = e->x;
    char name[PATH_BYTES];
    name_of(name, x->to);
    const char *imported = attached_text(x, HF_SIDE_PREFIX "config.json");
    char *made = imported ? NULL : hf_config_text(x, e->p),
         *generation = imported ? NULL : hf_generation_text(x),
         *tokenizer = imported ? NULL : hf_tokenizer_config_text(x);
    const struct gguf_folder folder = {
        .name = name,
        .config = imported ? imported : made,
        .tokenizer = x->from->tokenizer,
        .generation =
            imported ? attached_text(x, HF_SIDE_PREFIX "generation_config.json") : generation,
        .tokenizer_config =
            imported ? attached_text(x, HF_SIDE_PREFIX "tokenizer_config.json") : tokenizer,
        .chat_template = attached_text(x, HF_SIDE_PREFIX "chat_template.jinja")};
    bool ok = folder.config && folder.tokenizer &&
              gguf_describe(&e->described, e->head, &folder, e->matrices, e->p);
    free(made);
    free(generation);
    free(tokenizer);
    return ok;
}

static void put_entry(struct gguf_exporter *e, const struct gguf_entry *t)
{
    uint64_t shape[3] = {t->parts, t->shape[0], t->shape[1]};
    bool experts = ends(t->name, "_exps.weight");
    gguf_put_tensor(e->head, t->name, t->dims + experts, experts ? shape : shape + 1, t->quant);
}

static void put_rope_factors(struct gguf_exporter *e)
{
    const uint64_t n = (uint64_t)e->described.rope_factors;
    if (n > 0) gguf_put_tensor(e->head, "rope_freqs.weight", 1, &n, quant_named("f32"));
}

/* --- numbers --- */

static bool put_in_gguf(struct gguf_exporter *e, const void *bytes, size_t n)
{
    bool ok = file_put(e->fd, bytes, n);
    if (!ok) failure_note(&e->f, strerror(errno), "writing %s", e->x->to);
    return ok;
}

static bool pad(struct gguf_exporter *e, uint64_t bytes)
{
    static const char zeros[64];
    return put_in_gguf(e, zeros, (size_t)(gguf_padded(bytes) - bytes));
}

/* Rows of `block` in the order of the file, into `ordered`. */
static const float *in_order(struct gguf_exporter *e, const struct gguf_entry *t, uint64_t rows)
{
    if (t->head == 0) return e->block;
    for (uint64_t r = 0; r < rows; r++)
        memcpy(e->ordered + gguf_row(r, t->head) * t->shape[1], e->block + r * t->shape[1],
               (size_t)t->shape[1] * sizeof(float));
    return e->ordered;
}

/* Rows that are written at once: whole heads. */
static uint64_t rows_of_block(const struct gguf_entry *t)
{
    uint64_t rows = BLOCK / t->shape[1], unit = t->head ? (unsigned)t->head : 1;
    rows = rows / unit * unit;
    return rows > 0 ? rows : unit;
}

/* Rows change their order only inside a head, so blocks of whole heads can be written one by one.
 * */
static bool put_part(struct gguf_exporter *e, const struct gguf_entry *t, size_t lo)
{
    uint64_t most = rows_of_block(t);
    for (uint64_t row = 0; row < t->shape[0]; row += most) {
        uint64_t rows = t->shape[0] - row < most ? t->shape[0] - row : most;
        size_t from = lo + (size_t)(row * t->shape[1]), n = (size_t)(rows * t->shape[1]);
        if (!hf_export_read(e->x, t->param, from, from + n, e->block, e->p)) return false;
        quant_write(t->quant, e->out, in_order(e, t, rows), n);
        if (!put_in_gguf(e, e->out, n / (unsigned)t->quant->numbers * (unsigned)t->quant->bytes))
            return false;
    }
    return true;
}

static bool put_tensor(struct gguf_exporter *e, const struct gguf_entry *t)
{
    uint64_t part = gguf_tensor_bytes(t->quant, 2, t->shape);
    for (uint64_t i = 0; i < t->parts; i++)
        if (!put_part(e, t, t->lo + (size_t)i * t->step)) return false;
    return pad(e, part * t->parts);
}

/* Tensors in the order in which the head lists them, each padded: their places were fixed there. */
static bool put_all(struct gguf_exporter *e)
{
    size_t n, most = BLOCK;
    const void *head = gguf_head_bytes(e->head, &n);
    for (size_t i = 0; i < e->n; i++) { /* one head's rows may be more */
        size_t least = (size_t)(rows_of_block(&e->entry[i]) * e->entry[i].shape[1]);
        most = least > most ? least : most;
    }
    e->block = memory_take(most, sizeof *e->block, "a block of a tensor");
    e->ordered = memory_take(most, sizeof *e->ordered, "a block of a tensor");
    e->out = memory_take(most, sizeof(float), "a block of a tensor");
    bool ok = put_in_gguf(e, head, n);
    for (size_t i = 0; i < e->n && ok; i++) ok = put_tensor(e, &e->entry[i]);
    n = (size_t)e->described.rope_factors * sizeof(float);
    quant_write(quant_named("f32"), e->out, e->described.rope_factor,
                (size_t)e->described.rope_factors);
    ok = ok && put_in_gguf(e, e->out, n) && pad(e, n);
    free(e->block);
    free(e->ordered);
    free(e->out);
    return ok;
}

/* --- the file --- */

/* Under another name until it is whole: no program loads half a model. */
static bool write_gguf(struct gguf_exporter *e)
{
    char partial[PATH_BYTES], folder[PATH_BYTES];
    path_make(partial, "%s.partial", e->x->to);
    path_make(folder, "%s", e->x->to);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    e->fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (e->fd < 0) {
        failure_note(&e->f, strerror(errno), "making %s", partial);
        return false;
    }
    bool ok = put_all(e);
    if (ok && fsync(e->fd) != 0) failure_note(&e->f, strerror(errno), "writing %s", partial);
    if (close(e->fd) != 0) failure_note(&e->f, strerror(errno), "writing %s", partial);
    ok = ok && !failed(&e->f) && path_rename(partial, e->x->to, slash ? folder : ".", &e->f);
    if (!ok) unlink(partial);
    return ok;
}

static bool is_free(struct gguf_exporter *e)
{
    if (!hf_export_has_room(e->x->to, e->p)) return false;
    enum path_kind kind = path_look(e->x->to, &e->f);
    if (kind != PATH_ABSENT)
        problems_add(e->p, e->x->to, 0,
                     "is there already: give another name (nothing is "
                     "overwritten)");
    return kind == PATH_ABSENT;
}

/* All names are found before the first byte is written. */
static bool describe(struct gguf_exporter *e)
{
    int before = e->p->n;
    if (put_keys(e)) {
        list_entries(e);
        for (size_t i = 0; i < e->n; i++) put_entry(e, &e->entry[i]);
        put_rope_factors(e);
    }
    if (e->p->n > before)
        problems_add(e->p, e->x->to, 0,
                     "llama.cpp does not have this model: export it as a Hugging Face folder "
                     "(--format hf)");
    return e->p->n == before;
}

static struct gguf_exporter exporter_of(const struct hf_export *x, const struct quant *matrices,
                                        struct problems *p)
{
    struct gguf_exporter e = {.x = x, .matrices = matrices, .head = gguf_head_new(), .p = p};
    const struct dims d = hf_export_dims(x);
    hf_model_make(&e.model, &d);
    return e;
}

static void exporter_free(struct gguf_exporter *e)
{
    gguf_head_free(e->head);
    hf_model_free(&e->model);
    free(e->entry);
}

bool hf_export_gguf_check(const struct hf_export *x, const struct quant *matrices,
                          struct problems *p)
{
    struct gguf_exporter e = exporter_of(x, matrices, p);
    bool ok = describe(&e);
    exporter_free(&e);
    return ok;
}

/* `bytes` counts numbers, without the padding. */
bool hf_export_gguf(struct hf_exported *done, const struct hf_export *x,
                    const struct quant *matrices, struct problems *p)
{
    struct gguf_exporter e = exporter_of(x, matrices, p);
    bool said = is_free(&e) && describe(&e), ok = said && write_gguf(&e);
    *done = (struct hf_exported){.tensors = e.n, .files = 1, .broken = failed(&e.f) || said != ok};
    for (size_t i = 0; i < e.n; i++)
        done->bytes += gguf_tensor_bytes(e.entry[i].quant, 2, e.entry[i].shape) * e.entry[i].parts;
    if (failed(&e.f)) hf_export_say_failure(x, &e.f, done->bytes, p);
    exporter_free(&e);
    return ok;
}
