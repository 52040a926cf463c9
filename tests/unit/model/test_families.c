/* on each instruction set */
/* Small random models of every family that can be imported against transformers
 * (tests/golden/family_*.txt, made by tests/oracle/families.py, which says what weights, prompts
 * and lines are).
 *
 * fp32: logits of the prompt and of the last token of a continuation within 1e-5 of the largest;
 * 128 greedy tokens, decoded one by one over the cache, identical. bf16: the error against the
 * model in double no larger than transformers' own, over all models of a family; of one model, of
 * which there are 300 values, up to a fifth more by chance. With experts a row may go to others
 * where two are nearly equal, by chance here or there, and rows behind it differ: half as much
 * more of one model, a tenth over all. */
#include <stdio.h>

#include "model/block.h"
#include "model/rope.h"
#include "tests/support/tiny_model.h"
#include "tests/support/check_unit.h"
#include "tests/support/rope_key.h"

static const struct {
    const char *name;
    int models;
    double one, all; /* bounds of the error in bf16, in units of transformers' */
} FAMILY[] = {{"llama", 14, 1.2, 1},
              {"qwen2", 5, 1.2, 1},
              {"qwen3", 5, 1.2, 1},
              {"qwen3moe", 7, 1.5, 1.1},
              {"mistral", 4, 1.2, 1}};
enum { FAMILIES = sizeof FAMILY / sizeof *FAMILY, MOST_ROWS = 48, PIECE = 64, GREEDY = 128 };

/* What a section of a file says. */
struct section {
    char name[32];
    struct dims d;
    uint64_t salt;
    int prompt;
    double scale;
    struct rope_mscale m;
    int rows, row[MOST_ROWS], first[MOST_ROWS], step[MOST_ROWS];
    float logits[MOST_ROWS][32];
    int greedy[GREEDY];
    double bf16; /* transformers' error */
};

/* --- inputs --- */

static uint64_t splitmix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t fnv1a(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static float weight_at(const struct param *p, size_t i, uint64_t salt)
{
    uint64_t h = splitmix64(fnv1a(param_saved_name(p)) + i + (salt << 32)) >> 40;
    double u = (double)h * 0x1p-23 - 1;
    if (p->role == ROLE_NORM) return tiny_round((float)(1 + 0.3 * u));
    if (p->role == ROLE_BIAS) return tiny_round((float)(0.5 * u));
    if (p->role == ROLE_EMBEDDING || p->tied_copy) return tiny_round((float)u);
    return tiny_round((float)(sqrt(3.0 / p->cols) * (p->role == ROLE_ROUTER ? 4 : 1.5) * u));
}

static int prompt_token(const struct section *s, int t)
{
    return (int)(splitmix64((uint64_t)t + s->salt) % (uint64_t)s->d.V);
}

/* --- reading --- */

static bool read_size(struct section *s, const char *key, double value)
{
    struct dims *d = &s->d;
    const struct {
        const char *key;
        int *to;
    } ints[] = {{"V", &d->V},
                {"L", &d->L},
                {"C", &d->C},
                {"F", &d->F},
                {"Hq", &d->Hq},
                {"Hkv", &d->Hkv},
                {"D", &d->D},
                {"context", &d->max_context},
                {"E", &d->E},
                {"K", &d->K},
                {"Fe", &d->Fe},
                {"expert_step", &d->expert_layers.step},
                {"original", &d->rope.original},
                {"prompt", &s->prompt}};
    const struct {
        const char *key;
        bool *to;
    } switches[] = {{"qkv_bias", &d->qkv_bias},     {"o_bias", &d->o_bias},
                    {"mlp_bias", &d->mlp_bias},     {"qk_norm", &d->qk_norm},
                    {"route_norm", &d->route_norm}, {"tied", &d->tied},
                    {"whole", &d->rope.whole}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (strcmp(key, ints[i].key) == 0) return *ints[i].to = (int)value, true;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (strcmp(key, switches[i].key) == 0) return *switches[i].to = value != 0, true;
    return false;
}

static void read_dim(struct section *s, const char *key, double value)
{
    struct dims *d = &s->d;
    if (read_size(s, key, value) || rope_key_read(&s->d.rope, &s->m, key, value)) return;
    if (strcmp(key, "salt") == 0)
        s->salt = (uint64_t)value;
    else if (strcmp(key, "theta") == 0)
        d->rope_theta = (float)value;
    else if (strcmp(key, "eps") == 0)
        d->norm_eps = (float)value;
    else if (strcmp(key, "scaling") == 0)
        d->rope.scaling = (enum rope_scaling)(int)value;
    else if (strcmp(key, "dense_layers") == 0)
        d->expert_layers.dense[0] |= (uint64_t)1 << (int)value;
    else
        ck_abort_msg("%s: unknown dim %s", s->name, key);
}

static void read_logits(struct section *s, const char *at)
{
    int used = 0, i = s->rows++;
    ck_assert_int_lt(i, MOST_ROWS);
    ck_assert_int_eq(sscanf(at, "%d %d %d%n", &s->row[i], &s->first[i], &s->step[i], &used), 3);
    at += used;
    for (int k = 0; sscanf(at, "%f%n", &s->logits[i][k], &used) == 1; k++) at += used;
}

static void read_greedy(struct section *s, const char *at)
{
    for (int i = 0, used; i < GREEDY; i++, at += used)
        ck_assert_int_eq(sscanf(at, "%d%n", &s->greedy[i], &used), 1);
}

/* The next section of a file; false behind the last. */
static bool read_section(struct section *s, FILE *f)
{
    char line[4096], key[32];
    double value;
    *s = (struct section){
        .d.rope = {.angles = ROPE_FP32, .low = 1, .high = 4, .fast = 32, .slow = 1, .whole = true}};
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "dim %31s %lf", key, &value) == 2) read_dim(s, key, value);
        sscanf(line, "model %31s", s->name);
        sscanf(line, "scale %lf", &s->scale);
        if (strncmp(line, "logits ", 7) == 0) read_logits(s, line + 7);
        if (strncmp(line, "greedy ", 7) == 0) read_greedy(s, line + 7);
        if (sscanf(line, "bf16 %lf", &s->bf16) == 1) {
            struct rope *r = &s->d.rope;
            if (r->attention == 0) r->attention = rope_attention(r->factor, s->m.mscale, s->m.all);
            return true;
        }
    }
    return false;
}

/* --- a model that decodes --- */

struct decoder {
    const struct section *s;
    struct dims d;
    struct arena arena;
    struct chunk *chunk;
    struct cache cache;
    void *weights;
    float *logits; /* (PIECE, V) of the last call */
    int done;      /* positions */
};

static void *weights_make(const struct param_list *l, const struct ops *ops, uint64_t salt)
{
    float *w = calloc(l->total, sizeof *w);
    void *out = calloc(l->total, ops->real_bytes);
    for (int i = 0; i < l->n; i++)
        for (size_t e = 0; e < l->p[i].n; e++) w[l->p[i].offset + e] = weight_at(&l->p[i], e, salt);
    ops->to_real(out, w, l->total);
    free(w);
    return out;
}

static void decoder_make(struct decoder *m, const struct section *s, const struct ops *ops)
{
    *m = (struct decoder){.s = s, .d = s->d};
    m->d.precision = ops->precision;
    struct chunk_span all = chunk_span_of(&m->d, 1, 0);
    struct param_list l;
    param_list_make(&l, &m->d, all);
    m->weights = weights_make(&l, ops, s->salt);
    param_list_free(&l);
    for (int round = 0; round < 2; round++) {
        chunk_free(m->chunk);
        struct chunk_setup setup = {.dims = &m->d,
                                    .span = all,
                                    .ops = ops,
                                    .weights = m->weights,
                                    .T_max = PIECE,
                                    .slots = 1};
        m->chunk = chunk_new(&setup, &m->arena);
        cache_place(&m->cache, &m->d, ops, all, 1, m->d.max_context / KV_BLOCK + 1,
                    m->d.max_context, &m->arena);
        if (round == 0) arena_back(&m->arena, &device_host, m->arena.used);
    }
    m->logits = calloc((size_t)PIECE * (size_t)m->d.V, sizeof *m->logits);
}

static void decoder_free(struct decoder *m)
{
    chunk_free(m->chunk);
    arena_free(&m->arena);
    free(m->weights);
    free(m->logits);
}

/* What is "drawn" does not matter here. */
static void keep_logits(void *ctx, const float *logits, int from, int n)
{
    struct decoder *m = ctx;
    size_t V = (size_t)m->d.V;
    memcpy(m->logits + (size_t)from * V, logits, (size_t)n * V * sizeof *logits);
}

static void decode(struct decoder *m, const int *token, int T)
{
    int pos[PIECE], target[PIECE] = {0};
    float logp[PIECE], entropy[PIECE];
    const int *table[PIECE];
    for (int t = 0; t < T; t++) {
        pos[t] = m->done++;
        ck_assert(cache_extend(&m->cache, 0, pos[t]));
        table[t] = cache_table(&m->cache, 0);
    }
    struct decode_rows rows = {.T = T, .token = token, .kv = {pos, table}};
    const struct head_draw draw = {.draw = keep_logits,
                                   .ctx = m,
                                   .target = target,
                                   .logp = logp,
                                   .entropy = entropy,
                                   .inv_temperature = 1};
    chunk_decode(m->chunk, &rows, &m->cache, NULL, NULL, &draw);
}

/* --- comparing --- */

struct errors {
    int rows;
    double most[MOST_ROWS], square[MOST_ROWS]; /* the largest of each row, the mean square */
};

/* The logits in m of positions [from, m->done) against those that the file has of them. */
static void compare(struct errors *e, const struct decoder *m, int from)
{
    const struct section *s = m->s;
    for (int i = 0; i < s->rows; i++) {
        if (s->row[i] < from || s->row[i] >= m->done) continue;
        const float *ours = m->logits + (size_t)(s->row[i] - from) * (size_t)m->d.V;
        double *most = &e->most[e->rows], *square = &e->square[e->rows++];
        int k = 0;
        for (int v = s->first[i]; v < m->d.V; v += s->step[i], k++) {
            double error = ((double)ours[v] - (double)s->logits[i][k]) / s->scale;
            *most = fmax(*most, fabs(error));
            *square += error * error;
        }
        *square /= k;
    }
}

static void read_prompt(struct errors *e, struct decoder *m)
{
    for (int from = 0, T; from < m->s->prompt; from += T) {
        int token[PIECE];
        T = m->s->prompt - from < PIECE ? m->s->prompt - from : PIECE;
        for (int t = 0; t < T; t++) token[t] = prompt_token(m->s, from + t);
        decode(m, token, T);
        compare(e, m, from);
    }
}

static int likeliest(const float *logits, int V)
{
    int best = 0;
    for (int v = 1; v < V; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

static void continue_greedily(struct errors *e, struct decoder *m)
{
    const struct section *s = m->s;
    int last = (s->prompt - 1) % PIECE;
    for (int i = 0; i < GREEDY; i++, last = 0) {
        int token = likeliest(m->logits + (size_t)last * (size_t)m->d.V, m->d.V);
        ck_assert_msg(token == s->greedy[i], "%s: greedy token %d is %d, should be %d", s->name, i,
                      token, s->greedy[i]);
        if (i + 1 < GREEDY) decode(m, &token, 1);
    }
    compare(e, m, m->done - 1);
}

/* The plain table is the slow one. */
static bool takes_too_long(const struct section *s, const struct ops *ops)
{
    return s->prompt > 1000 && strcmp(ops->isa, "plain") == 0;
}

static void for_each_section(int family, const struct ops *ops,
                             void (*check)(void *ctx, struct section *s, const struct ops *ops),
                             void *ctx)
{
    char path[64];
    struct section *s = malloc(sizeof *s);
    int n = 0;
    snprintf(path, sizeof path, "tests/golden/family_%s.txt", FAMILY[family].name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f && s, "%s: run this test from the root of the tree", path);
    for (; read_section(s, f); n++)
        if (!takes_too_long(s, ops)) check(ctx, s, ops);
    fclose(f);
    free(s);
    ck_assert_int_eq(n, FAMILY[family].models);
}

static void check_fp32(void *ctx, struct section *s, const struct ops *ops)
{
    (void)ctx;
    struct decoder m;
    struct errors e = {0};
    double worst = 0;
    decoder_make(&m, s, ops);
    read_prompt(&e, &m);
    continue_greedily(&e, &m);
    ck_assert_int_eq(e.rows, s->rows);
    for (int i = 0; i < e.rows; i++) worst = fmax(worst, e.most[i]);
    ck_assert_msg(worst <= 1e-5, "%s: logits are off by %.2g of the largest", s->name, worst);
    decoder_free(&m);
}

START_TEST(logits_and_greedy_tokens_are_transformers)
{
    for_each_section(_i % FAMILIES, tiny_ops(_i / FAMILIES * 2), check_fp32, NULL);
}
END_TEST

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Squares of errors, in units of transformers'. */
struct sum {
    double squares, most; /* most: of one model, the bound */
    int n;
};

static void check_bf16(void *ctx, struct section *s, const struct ops *ops)
{
    struct sum *sum = ctx;
    struct decoder m;
    struct errors e = {0};
    double mean = 0;
    decoder_make(&m, s, ops);
    read_prompt(&e, &m);
    qsort(e.square, (size_t)e.rows, sizeof *e.square, rising);
    for (int i = 0; i < e.rows / 2; i++) mean += e.square[i] / (e.rows / 2);
    double error = sqrt(mean);
    ck_assert_msg(error <= sum->most * s->bf16, "%s: in bf16 off by %.2g, transformers by %.2g",
                  s->name, error, s->bf16);
    sum->squares += mean / (s->bf16 * s->bf16);
    sum->n++;
    decoder_free(&m);
}

START_TEST(bf16_is_no_worse_than_transformers)
{
    struct sum sum = {.most = FAMILY[_i % FAMILIES].one};
    for_each_section(_i % FAMILIES, tiny_ops(_i / FAMILIES * 2 + 1), check_bf16, &sum);
    ck_assert_msg(sqrt(sum.squares / sum.n) <= FAMILY[_i % FAMILIES].all,
                  "in bf16 off by %.2g of transformers' error", sqrt(sum.squares / sum.n));
}
END_TEST

#define TESTS(X)                                                     \
    X(logits_and_greedy_tokens_are_transformers, .to = 2 * FAMILIES) \
    X(bf16_is_no_worse_than_transformers, .to = 2 * FAMILIES)

UNIT_MAIN("families", .timeout_s = 60)
