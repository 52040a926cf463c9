/* ranks: 1 2 */
/* Promise P7: once warm, a step (sampling, then learning with a reference) allocates nothing, on
 * any thread, and memory does not grow over many steps. Every malloc of the process is seen: those
 * that our code makes, directly or through libc, must be none; those that MPI, oneDNN and their
 * kind make for themselves are counted and printed.
 *
 * DUET_TEST_STEPS sets the length of the long run (default 25; by hand 500). */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <unistd.h>

#include "comm/base/environment.h"
#include "tests/support/check_mpi.h"
#include "tests/support/small_answers.h"

/* --- who allocates --- */

/* The sanitizer has its own malloc, and keeps what was freed: then nothing is counted. */
enum { COUNTED = !SANITIZED };

enum { MOST_FRAMES = 24, MOST_PLACES = 8 };

static atomic_bool counting;
static atomic_long ours, theirs;
static void *places[MOST_PLACES]; /* of our first ones, for addr2line */

static const void *file_of(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) ? info.dli_fbase : NULL;
}

/* Where the program, libc and the function of a caller lie. */
static const void *program, *libc;

#if !SANITIZED
static _Thread_local bool inside; /* finding out may itself allocate */

/* The innermost caller outside libc. */
static void *caller_beyond_libc(void *caller)
{
    void *frame[MOST_FRAMES];
    if (file_of(caller) != libc) return caller;
    int n = backtrace(frame, MOST_FRAMES), i = 0;
    while (i < n && frame[i] != caller) i++;
    while (i < n && file_of(frame[i]) == libc) i++;
    return i < n ? frame[i] : caller;
}

static void note(void *caller)
{
    if (!atomic_load(&counting) || inside) return;
    inside = true;
    caller = caller_beyond_libc(caller);
    if (file_of(caller) != program) {
        atomic_fetch_add(&theirs, 1);
    } else {
        long n = atomic_fetch_add(&ours, 1);
        if (n < MOST_PLACES) places[n] = caller;
    }
    inside = false;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

/* The C library names its parameters as nobody else may.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
void *malloc(size_t size)
{
    note(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    note(__builtin_return_address(0));
    *out = __libc_memalign(align, size);
    return *out ? 0 : 12; /* ENOMEM */
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
#endif

static void count_start(void)
{
    void *frame[2];
    program = file_of((const void *)&counting);
    libc = file_of(dlsym(RTLD_NEXT, "strdup"));
    backtrace(frame, 2); /* loads what it needs */
    atomic_store(&ours, 0);
    atomic_store(&theirs, 0);
    memset(places, 0, sizeof places);
    atomic_store(&counting, true);
}

static void count_stop(void)
{
    atomic_store(&counting, false);
}

static void print_places(void)
{
    for (int i = 0; i < MOST_PLACES && places[i]; i++)
        fprintf(stderr, "rank %d allocates at +0x%zx (addr2line)\n", ck_world.rank,
                (size_t)((const char *)places[i] - (const char *)program));
}

/* The counter counts: an allocation of ours, one through libc, one of a library. */
START_TEST(counter_counts)
{
    void *volatile p;
    count_start();
    p = malloc(10);
    count_stop();
    free(p);
    ck_all(atomic_load(&ours) == COUNTED, "malloc: %ld ours", atomic_load(&ours));
    count_start();
    p = strdup("through libc");
    count_stop();
    free(p);
    ck_all(atomic_load(&ours) == COUNTED, "strdup: %ld ours", atomic_load(&ours));
    MPI_Comm dup;
    count_start();
    MPI_OK(MPI_Comm_dup(MPI_COMM_SELF, &dup));
    count_stop();
    MPI_OK(MPI_Comm_free(&dup));
    ck_all(atomic_load(&ours) == 0 && (atomic_load(&theirs) > 0) == COUNTED,
           "MPI: %ld ours, %ld theirs", atomic_load(&ours), atomic_load(&theirs));
}
END_TEST

/* --- steps --- */

enum { ANSWERS = 8, SAMPLES = 4, MAX_NEW = 8, CONTEXT = 32 };

struct trainer {
    struct small small;
    struct rollout *rollout;
    struct small_batch batch;
    int prompt[ANSWERS][CONTEXT];
    struct question question[ANSWERS];
};

static void trainer_make(struct trainer *t, int pp)
{
    struct small_shape shape = {
        .model = "tied: true, qk_norm: true, qkv_bias: true, experts: 5, first_dense: 2",
        .precision = PRECISION_BF16,
        .dp = ck_world.size / pp,
        .pp = pp,
        .schedule = SCHEDULE_AUTO,
        .max_context = CONTEXT,
        .micro_batch_tokens = 64,
        .decode_slots = 8,
        .cache_tokens = 2 * (CONTEXT + 2 * KV_BLOCK), /* answers wait */
        .reference = true};
    small_make(&t->small, &ck_world, shape);
    t->rollout =
        rollout_new(&t->small.stage, &ck_world, (struct rollout_room){ANSWERS, SAMPLES, MAX_NEW});
}

static void trainer_free(struct trainer *t)
{
    rollout_free(t->rollout);
    small_free(&t->small);
}

static const struct answer *sample(struct trainer *t, int step)
{
    for (int q = 0; q < ANSWERS / SAMPLES; q++) {
        int n = 1 + (7 * step + 5 * q) % (CONTEXT - 10); /* every step has other lengths */
        for (int i = 0; i < n; i++) t->prompt[q][i] = (3 * i + q + step) % SMALL_V;
        t->question[q] = (struct question){t->prompt[q], n};
    }
    struct rollout_job job = {.question = t->question,
                              .questions = ANSWERS / SAMPLES,
                              .samples = SAMPLES,
                              .max_new = MAX_NEW,
                              .sampling = {1, 0, 1},
                              .ends = {{SMALL_EOS}, 1},
                              .sampleable = SMALL_V,
                              .seed = 1,
                              .purpose = RNG_SAMPLE,
                              .step = (uint32_t)step};
    return rollout_run(t->rollout, &job, NULL);
}

static void learn(struct trainer *t, const struct answer *a)
{
    struct small_batch *b = &t->batch;
    b->n = ANSWERS;
    for (int i = 0; i < ANSWERS; i++) {
        const struct question *q = &t->question[i / SAMPLES];
        memcpy(b->token[i], q->token, (size_t)q->n * sizeof(int));
        b->weight[i] = 1.0f / 50;
        b->sequence[i] = (struct sequence){.n_prompt = q->n,
                                           .n = q->n + a[i].n,
                                           .token = b->token[i],
                                           .advantage = i % 2 ? 1 : -1};
    }
    struct step_stats stats;
    struct step_job job = small_job(b, &policy_shapes[POLICY_CLIP][0]);
    struct small_source source = {.rollout = t->rollout, .learner = &t->small.learner};
    small_answers_elsewhere(&job, b, &source);
    job.objective.kl = 0.01f;
    job.use_reference = true;
    job.adamw.lr = 1e-4f;
    learner_step(&t->small.learner, &job, &stats);
    ck_all(stats.max_deviation == 0 && !stats.skipped, "deviation %g", stats.max_deviation);
}

static void step(struct trainer *t, int number)
{
    learn(t, sample(t, number));
}

static void check_allocations(int pp)
{
    enum { WARM = 2, STEPS = 3 };
    static struct trainer t;
    trainer_make(&t, pp);
    for (int s = 0; s < WARM; s++) step(&t, s);
    long arenas = arena_allocations();
    count_start();
    for (int s = WARM; s < WARM + STEPS; s++) step(&t, s);
    count_stop();
    if (ck_world.rank == 0)
        printf("%d x %d: libraries allocate %ld times a step, we %ld\n", ck_world.size / pp, pp,
               atomic_load(&theirs) / STEPS, atomic_load(&ours));
    print_places();
    ck_all(atomic_load(&ours) == 0, "%d x %d: %ld allocations in %d steps", ck_world.size / pp, pp,
           atomic_load(&ours), STEPS);
    ck_all(arena_allocations() == arenas, "%ld arenas", arena_allocations() - arenas);
    trainer_free(&t);
}

START_TEST(no_allocation_in_a_step)
{
    size_t before = arena_live_bytes();
    for (int pp = 1; pp <= ck_world.size; pp++)
        if (ck_world.size % pp == 0) check_allocations(pp);
    ck_all(arena_live_bytes() == before, "%zu bytes are left", arena_live_bytes() - before);
}
END_TEST

/* The part is its rank's of the plan. */
static bool same_rows(const struct plan_part *a, const struct plan *plan)
{
    const struct plan_part b = plan_part_of(plan, ck_world.rank);
    return a->of.kind == b.of.kind && a->of.micro_batches == b.of.micro_batches &&
           a->n_rows == b.n_rows && memcmp(a->rows, b.rows, (size_t)b.n_rows * sizeof *b.rows) == 0;
}

/* P7: whatever count of micro-batches a step has, its plan is there or is made in its place:
 * nothing is allocated. */
static void every_count(struct stage *s)
{
    int searched = 0;
    for (int m = stage_least(s); m <= s->max_mb; m += stage_multiple(s)) {
        struct plan made, forwards;
        schedule_plan(&made, s->settings, &s->dims, m);
        plan_forward_only(&forwards, &made);
        count_start();
        const struct plan_part *whole = stage_plan(s, m, false), *forward = stage_plan(s, m, true);
        count_stop();
        ck_all(atomic_load(&ours) == 0, "%d micro-batches: %ld allocations", m, atomic_load(&ours));
        ck_all(same_rows(whole, &made) && same_rows(forward, &forwards), "%d micro-batches", m);
        searched += made.kind == PLAN_AUTO;
        plan_free(&forwards);
        plan_free(&made);
    }
    ck_all(searched == s->n_searched, "%d searched, %d kept", searched, s->n_searched);
}

/* With `schedule: auto` the plans of the first few counts are searched for before the first step.
 */
START_TEST(plans_are_made_before)
{
    static struct small_batch few, many;
    static struct small t;
    struct small_shape shape = {.precision = PRECISION_FP32,
                                .dp = 1,
                                .pp = ck_world.size,
                                .schedule = SCHEDULE_AUTO,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = CONTEXT};
    const struct small_batch *batch[] = {&few, &many};
    int bins[2];
    small_batch_make(&few, 3, CONTEXT, 1);
    small_batch_make(&many, SMALL_SEQUENCES, CONTEXT, 2);
    small_make(&t, &ck_world, shape);
    for (int i = 0; i < 2; i++) {
        struct step_stats stats;
        struct step_job job = small_job(batch[i], &loss_sft);
        learner_step(&t.learner, &job, &stats);
        bins[i] = t.learner.deal.bins;
    }
    ck_all(bins[1] > bins[0], "%d and %d micro-batches", bins[0], bins[1]);
    every_count(&t.stage);
    small_free(&t);
}
END_TEST

/* --- growth --- */

static long resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int long_run_steps(void)
{
    const char *text = environment_text("DUET_TEST_STEPS");
    int n = text ? atoi(text) : 0;
    return n > 20 ? n : 25;
}

START_TEST(memory_is_flat)
{
    static struct trainer t;
    int steps = long_run_steps(), warm = steps / 5;
    trainer_make(&t, ck_world.size);
    for (int s = 0; s < warm; s++) step(&t, s);
    long before = resident_bytes();
    for (int s = warm; s < steps; s++) step(&t, s);
    long grown = resident_bytes() - before;
    if (ck_world.rank == 0)
        printf("%d steps: resident memory grew by %ld KiB after the first %d\n", steps,
               grown / 1024, warm);
    ck_all(before > 0, "no /proc/self/statm");
    ck_all(!COUNTED || grown <= 1 << 20, "%ld bytes in %d steps", grown, steps - warm);
    trainer_free(&t);
}
END_TEST

#define TESTS(X)               \
    X(counter_counts)          \
    X(no_allocation_in_a_step) \
    X(plans_are_made_before)   \
    X(memory_is_flat)

MPI_MAIN("memory")
