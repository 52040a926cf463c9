/* Sources of problems and what is read out of a completion: the form, the answer, the reward; files
 * with their splits, their order and their mistakes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/problems.h"
#include "trainer/data/completion.h"
#include "trainer/data/heldout.h"
#include "trainer/data/source.h"
#include "trainer/reward/verdict.h"
#include "tests/support/check_unit.h"

static char nothing[] = "";
static const struct source_needs all_asked = {SPLITS_BOTH, SPLITS_BOTH};

static struct settings settings_of(int task, char *file, char *heldout)
{
    struct settings s = {.run = {.seed = 4}};
    s.data = (struct data_settings){.task = task,
                                    .difficulty = 3,
                                    .give_up = 0.3,
                                    .file = file ? file : nothing,
                                    .heldout_file = heldout ? heldout : nothing};
    return s;
}

/* A temporary file of that text; the name is overwritten. */
static void write_file(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/duet-source-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *f = fdopen(fd, "w");
    fputs(text, f);
    fclose(f);
}

static struct source *open_good(const struct settings *set)
{
    struct problems p = {0};
    struct source *s = source_open(set, all_asked, NULL, &p);
    ck_assert_msg(s != NULL, "%s", p.n ? p.text[0] : "no problem");
    ck_assert_int_eq(p.n, 0);
    return s;
}

/* completion, the answer in it (NULL: none), is it in form */
START_TEST(forms)
{
    static const struct {
        const char *completion, *answer;
        int form;
    } rows[] = {
        {"why</think><answer>4</answer>", "4", 1},
        {"</think><answer></answer>", "", 1},
        {"</think>\n<answer>4</answer>\n", "4", 1},
        {"a</think><answer>4</answer><eos>", "4", 1},
        {"a</think>so <answer>4</answer>", "4", 0},
        {"a</think><answer>4</answer>.", "4", 0},
        {"a</think><answer>4</answer><eos><eos>", "4", 0},
        {"a</think><answer>4</answer><answer>5</answer>", "5", 0},
        {"a</think><answer>4<answer>5</answer>", "5", 0},
        {"a</think><answer>4</answer></answer>", "4", 0},
        {"a</think></think><answer>4</answer>", "4", 0},
        {"a<think>b</think><answer>4</answer>", "4", 0},
        {"<answer>4</answer></think>", NULL, 0},
        {"<answer>3</answer></think><answer>4</answer>", "4", 0},
        {"a</think></answer>4<answer>", NULL, 0},
        {"a</think><answer>4", NULL, 0},
        {"a</think><answer>4</answer><answer>5", NULL, 0}, /* the last is not closed */
        {"a<answer>4</answer>", NULL, 0},
        {"a</think>4", NULL, 0},
        {"", NULL, 0},
        {"<eos>", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span c = {rows[i].completion, strlen(rows[i].completion)}, a = completion_answer(c);
        ck_assert_msg(completion_in_form(c) == rows[i].form, "%s", rows[i].completion);
        ck_assert_msg((a.at != NULL) == (rows[i].answer != NULL), "%s", rows[i].completion);
        ck_assert_msg(!a.at || span_is(a, rows[i].answer), "%s", rows[i].completion);
    }
}
END_TEST

START_TEST(equal_answers)
{
    static const struct {
        const char *a, *b;
        int equal;
    } rows[] = {
        {"4", "4", 1},
        {" 4\n", "4", 1},
        {"04", "4.0", 1},
        {"+4", "4.", 1},
        {"-0", "0.00", 1},
        {".5", "0.50", 1},
        {"-.5", "-0.5", 1},
        {"4", "5", 0},
        {"4", "-4", 0},
        {"0.1", "0.10000000000000000000000001", 0},
        {"9007199254740993", "9007199254740992", 0},
        {"1e3", "1000", 0},
        {"0x4", "4", 0},
        {"4 4", "44", 0},
        {"4,0", "40", 0},
        {".", "0", 0},
        {"", "0", 0},
        {"", "", 1},
        {"-", "-", 1},
        {"Paris", "Paris ", 1},
        {"Paris", "paris", 0},
        {"1/2", "0.5", 0},
        {"--4", "4", 0},
        {"4", "\xd9\xa4", 0},
        {"nan", "nan", 1},
        {"1.2.3", "1.2.3", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span a = {rows[i].a, strlen(rows[i].a)}, b = {rows[i].b, strlen(rows[i].b)};
        ck_assert_msg(answer_equal(a, b) == rows[i].equal, "\"%s\" and \"%s\"", rows[i].a,
                      rows[i].b);
        ck_assert_int_eq(answer_equal(b, a), rows[i].equal);
    }
    ck_assert(!answer_equal((struct span){"4\0", 2}, (struct span){"4", 1}));
}
END_TEST

START_TEST(generators)
{
    static const char *const names[] = {"countdown", "arithmetic", "equations", "arithmetic_words",
                                        "calculation"};
    for (int task = 0; task < 5; task++) {
        struct settings set = settings_of(task, NULL, NULL);
        struct source *s = open_good(&set);
        ck_assert_str_eq(source_name(s), names[task]);
        ck_assert_ptr_eq(source_task(s), task_find(task));
        struct problem p;
        char bytes[1024], given[256];
        struct text text = {bytes, 0, sizeof bytes, false};
        source_problem(s, SPLIT_TRAIN, 11, &p);
        ck_assert(source_demonstrate(s, &p, 11, &text));
        ck_assert(completion_in_form((struct span){bytes, text.n}));
        int n = snprintf(given, sizeof given, "</think>\n<answer>%s</answer>", p.answer);
        struct span right = {given, (size_t)n}, cut = {given, (size_t)n - 1};
        ck_assert_int_eq(verdict_of(source_task(s), &p, right, false).why, REASON_RIGHT);
        ck_assert_int_eq(verdict_of(source_task(s), &p, cut, true).why, REASON_TRUNCATED);
        ck_assert(completion_in_form(right) && !completion_in_form(cut));
        struct text again = {given, 0, sizeof given, false};
        ck_assert(source_demonstrate(s, &p, 11, &again)); /* pure */
        ck_assert_str_eq(bytes, given);
        source_free(s);
    }
}
END_TEST

/* The question in words says the numbers that the answer is of; every operation comes up, and a
 * demonstration that does not give up shows working and is right. */
START_TEST(arithmetic_in_words)
{
    const struct task *task = task_find(TASK_ARITHMETIC_WORDS);
    const struct task_options o = {.difficulty = 2, .give_up = 0, .seed = 3};
    int met[128] = {0};
    for (uint32_t i = 0; i < 300; i++) {
        struct problem p;
        char op, end[2], demonstration[256];
        long a, b;
        task->make(&p, &o, i % 2 ? SPLIT_HELDOUT : SPLIT_TRAIN, i);
        ck_assert_int_eq(sscanf(p.prompt, "What is %ld %c %ld%1[?]", &a, &op, &b, end), 4);
        ck_assert_int_eq(strtol(p.answer, NULL, 10), op == '+' ? a + b : op == '-' ? a - b : a * b);
        met[op & 127]++;
        struct text text = {demonstration, 0, sizeof demonstration, false};
        struct rng_stream rng = problem_draws(&o, SPLIT_TRAIN, i);
        task->demonstrate(&text, &p, &o, &rng);
        struct span answer = completion_answer((struct span){demonstration, text.n});
        ck_assert_msg(span_is(answer, p.answer) && demonstration[0] != '<', "%s", demonstration);
    }
    ck_assert(met['+'] > 50 && met['-'] > 50 && met['*'] > 50);
}
END_TEST

/* Held-out problems that a source gives are distinct; returns how many of `want` there are. */
static int distinct_heldout(struct source *s, int want)
{
    struct hashes met = {0};
    int n = source_heldout(s, want);
    for (int i = 0; i < n; i++) {
        struct problem p;
        source_problem(s, SPLIT_HELDOUT, (uint32_t)i, &p);
        ck_assert_msg(hashes_add(&met, problem_hash(p.prompt)), "%s twice", p.prompt);
        if (source_task(s)) ck_assert_int_eq(problem_split(p.prompt), SPLIT_HELDOUT);
    }
    hashes_free(&met);
    return n;
}

/* How many there are was counted over 100,000 draws; training problems are drawn as before. */
START_TEST(generators_hold_out_each_problem_once)
{
    static const struct {
        int task, difficulty, want, have;
    } rows[] = {
        {TASK_COUNTDOWN, 2, 256, 9},   {TASK_COUNTDOWN, 3, 256, 196},
        {TASK_COUNTDOWN, 3, 100, 100}, {TASK_COUNTDOWN, 4, 500, 500},
        {TASK_ARITHMETIC, 1, 256, 16}, {TASK_ARITHMETIC, 9, 300, 300},
        {TASK_EQUATIONS, 1, 256, 3},   {TASK_ARITHMETIC_WORDS, 2, 256, 256},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int seed = 1; seed < 3; seed++) {
            struct settings set = settings_of(rows[i].task, NULL, NULL);
            struct problem p, drawn;
            set.data.difficulty = rows[i].difficulty;
            set.run.seed = seed;
            struct source *s = open_good(&set);
            ck_assert_int_eq(distinct_heldout(s, rows[i].want), rows[i].have);
            ck_assert_int_eq(distinct_heldout(s, rows[i].want), rows[i].have); /* once more */
            ck_assert_int_eq(source_heldout(s, 1), 1);
            struct task_options o = {rows[i].difficulty, 0.3, (uint64_t)seed};
            source_task(s)->make(&drawn, &o, SPLIT_TRAIN, 70000);
            source_problem(s, SPLIT_TRAIN, 70000, &p);
            ck_assert_str_eq(p.prompt, drawn.prompt);
            source_free(s);
        }
}
END_TEST

START_TEST(files_hold_out_each_problem_once)
{
    char train[64], heldout[64];
    write_file(train, "{\"prompt\":\"2+2\",\"answer\":\"4\"}\n");
    write_file(heldout, "{\"prompt\":\"1+1\",\"answer\":\"2\"}\n"
                        "{\"prompt\":\"1+2\",\"answer\":\"3\"}\n"
                        "{\"prompt\":\"1+1\",\"answer\":\"2\"}\n"
                        "{\"prompt\":\"1+3\",\"answer\":\"4\"}\n");
    struct settings set = settings_of(TASK_FILE, train, heldout);
    struct source *s = open_good(&set);
    ck_assert_int_eq(distinct_heldout(s, 4), 3);
    ck_assert_int_eq(distinct_heldout(s, 2), 2);
    source_free(s);
    unlink(train);
    unlink(heldout);
}
END_TEST

START_TEST(file_with_a_held_out_tenth)
{
    enum { N = 200 };
    char path[64], text[N * 64];
    int used = 0, seen[N] = {0}, first[N];
    for (int i = 0; i < N; i++)
        used += sprintf(text + used, "{\"prompt\":\"q%d\",\"answer\":\"%d\"}\n", i, i);
    write_file(path, text);
    struct settings set = settings_of(TASK_FILE, path, NULL);
    struct source *s = open_good(&set);
    ck_assert_ptr_null(source_task(s));
    ck_assert_str_eq(source_name(s), path + 5);
    struct problem p;
    int heldout = 0;
    for (int i = 0; i < N; i++) {
        char prompt[16];
        sprintf(prompt, "q%d", i);
        heldout += problem_hash(prompt) % 10 == 0;
    }
    ck_assert_int_gt(heldout, 5);
    for (int epoch = 0; epoch < 2;
         epoch++) { /* each record of the split once an epoch, in another order */
        int same = 0, train = N - heldout;
        for (int i = 0; i < train; i++) {
            source_problem(s, SPLIT_TRAIN, (uint32_t)(epoch * train + i), &p);
            ck_assert_int_eq(problem_split(p.prompt), SPLIT_TRAIN);
            int record = atoi(p.answer);
            ck_assert_int_eq(seen[record]++, epoch);
            if (epoch == 0) first[i] = record;
            same += first[i] == record;
            ck_assert_int_eq(source_place(s, &p).line, record + 1);
            ck_assert_int_eq(record, atoi(p.prompt + 1));
        }
        ck_assert(epoch == 0 || same < train / 4);
    }
    for (int i = 0; i < heldout; i++) {
        source_problem(s, SPLIT_HELDOUT, (uint32_t)i, &p);
        ck_assert_int_eq(seen[atoi(p.answer)]++, 0);
    }
    const struct span seven = {"</think><answer> 007 </answer>", 30};
    ck_assert_int_eq(verdict_of(source_task(s), &p, seven, false).why == REASON_RIGHT,
                     atoi(p.answer) == 7);
    source_free(s);
    unlink(path);
}
END_TEST

START_TEST(file_demonstrations)
{
    char train[64], heldout[64], bytes[256];
    struct problem p;
    write_file(train, "{\"prompt\":\"2+2\",\"answer\":\"4\",\"demonstration\":\"two and two\"}\n");
    write_file(heldout, "{\"prompt\":\"2+3\",\"answer\":\"5\",\"demonstration\":\"hm</"
                        "think><answer>five</answer>\"}\n"
                        "{\"prompt\":\"2+4\",\"answer\":\"6\"}\n");
    struct settings set = settings_of(TASK_FILE, train, heldout);
    struct source *s = open_good(&set);
    struct text text = {bytes, 0, sizeof bytes, false};
    source_problem(s, SPLIT_TRAIN, 3, &p);
    ck_assert(source_demonstrate(s, &p, 3, &text));
    ck_assert_str_eq(bytes, "two and two</think><answer>4</answer>");
    for (uint32_t i = 0; i < 2; i++) {
        text.n = 0;
        source_problem(s, SPLIT_HELDOUT, i, &p);
        bool first = strcmp(p.prompt, "2+3") == 0;
        ck_assert(source_demonstrate(s, &p, i, &text) == first);
        if (first) ck_assert_str_eq(bytes, "hm</think><answer>five</answer>");
    }
    source_free(s);
    unlink(train);
    unlink(heldout);
}
END_TEST

static void check_mistake(const struct settings *set, const char *says)
{
    struct problems p = {0};
    ck_assert_ptr_null(source_open(set, all_asked, NULL, &p));
    ck_assert_msg(p.n > 0 && strstr(p.text[0], says), "%s, not %s", p.n ? p.text[0] : "no problem",
                  says);
    problems_free(&p);
}

START_TEST(mistakes)
{
    static char folder[] = "/tmp", missing[] = "/tmp/duet-no-such-file";
    char path[64];
    struct settings set = settings_of(TASK_FILE, NULL, NULL);
    check_mistake(&set, "set data.file to a JSON Lines file");
    set.data.file = missing;
    check_mistake(&set, "/tmp/duet-no-such-file: cannot read: No such file");
    set.data.file = folder;
    check_mistake(&set, "/tmp: cannot read: not a file");
    set = settings_of(TASK_COUNTDOWN, NULL, NULL);
    set.data.difficulty = 7;
    check_mistake(&set, "data.difficulty is 7, but countdown has 2 to 6");
    const char *const rows[][2] = {
        {"", "the file has no problems"},
        {"{\"prompt\":\"p\"}", ":1: no \"answer\""},
        {"{\"prompt\":\"p\",\"answer\":\"a</answer>\"}", ":1: answer may not contain </answer>"},
        {"{\"prompt\":\"p\",\"answer\":\"a<eos>\"}", ":1: answer may not contain <eos>"},
        {"{\"prompt\":\"p\",\"answer\":\"a\",\"demonstration\":\"<think>a\"}",
         ":1: demonstration may not contain <think>"},
        {"{\"prompt\":\"p\",\"answer\":\"a\",\"demonstration\":\"a</think>\"}",
         ":1: demonstration with </think> must read"},
        {"{\"prompt\":\"q0\",\"answer\":\"a\"}", "held-out tenth"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file(path, rows[i][0]);
        set = settings_of(TASK_FILE, path, NULL);
        check_mistake(&set, rows[i][1]);
        unlink(path);
    }
}
END_TEST

/* Texts of any length are taken as they are, and many bad records do not fill the screen. */
START_TEST(long_records)
{
    enum { LONG = 100000, MANY = 60 };
    char path[64], *text = malloc(2 * LONG);
    struct problem one;
    struct problems p = {0};
    snprintf(text, 2 * LONG, "{\"prompt\":\"%0*d\",\"answer\":\"%0*d\"}", LONG, 0, LONG / 2, 7);
    write_file(path, text);
    struct settings set = settings_of(TASK_FILE, path, path);
    struct source *s = open_good(&set);
    source_problem(s, SPLIT_TRAIN, 0, &one);
    ck_assert_uint_eq(strlen(one.prompt), LONG);
    ck_assert_uint_eq(strlen(one.answer), LONG / 2);
    const struct span seven = {"</think><answer>7</answer>", 26};
    ck_assert_int_eq(verdict_of(source_task(s), &one, seven, false).why, REASON_RIGHT);
    source_free(s);
    unlink(path);
    for (int i = 0, used = 0; i < MANY; i++)
        used += sprintf(text + used, "{\"prompt\":\"p\",\"answer\":\"<eos>\"}\n");
    write_file(path, text);
    ck_assert_ptr_null(source_open(&set, all_asked, NULL, &p));
    set.data.heldout_file = nothing;
    ck_assert_int_le(p.n, 42);
    ck_assert_ptr_nonnull(strstr(p.text[20], "20 bad lines; the rest was not read"));
    problems_free(&p);
    unlink(path);
    free(text);
}
END_TEST

/* What is not needed is not opened: a model is evaluated where its training data are not. */
START_TEST(only_what_is_asked_for)
{
    static char missing[] = "/tmp/duet-no-such-file";
    char path[64];
    struct problems p = {0};
    write_file(path,
               "{\"prompt\":\"q0\",\"answer\":\"a\"}\n"); /* one that is not held out by hash */
    struct settings set = settings_of(TASK_FILE, missing, path);
    const struct source_needs heldout = {SPLITS_HELDOUT, SPLITS_HELDOUT};
    struct source *s = source_open(&set, heldout, NULL, &p);
    ck_assert_msg(s && p.n == 0, "%s", p.n ? p.text[0] : "no source");
    struct problem problem;
    source_problem(s, SPLIT_HELDOUT, 0, &problem);
    ck_assert_str_eq(problem.prompt, "q0");
    source_free(s);
    set = settings_of(TASK_FILE, path, NULL); /* no evaluation: no tenth is needed */
    s = source_open(&set, (struct source_needs){SPLITS_BOTH, 1 << SPLIT_TRAIN}, NULL, &p);
    ck_assert_msg(s && p.n == 0, "%s", p.n ? p.text[0] : "no source");
    source_free(s);
    unlink(path);
}
END_TEST

/* Where it was looked for, and where it is. */
START_TEST(missing_file_is_explained)
{
    char folder[] = "/tmp/duet-recipe-XXXXXX", recipe[64], data[64], says[600], here[256];
    static char name[] = "duet-problems.jsonl";
    struct problems p = {0};
    ck_assert(mkdtemp(folder) && getcwd(here, sizeof here));
    snprintf(recipe, sizeof recipe, "%s/r.yaml", folder);
    snprintf(data, sizeof data, "%s/%s", folder, name);
    struct settings set = settings_of(TASK_FILE, name, NULL);
    set.file = recipe;
    snprintf(says, sizeof says,
             "%s: cannot read: No such file or directory (tried %s/%s: data.file is relative to "
             "the working directory); set the file with --set data.file=FILE",
             name, here, name);
    check_mistake(&set, says);
    fclose(fopen(data, "w"));
    snprintf(says, sizeof says, "; there is one next to the recipe: --set data.file=%s", data);
    check_mistake(&set, says);
    unlink(data);
    rmdir(folder);
    problems_free(&p);
}
END_TEST

#define TESTS(X)                             \
    X(forms)                                 \
    X(equal_answers)                         \
    X(generators)                            \
    X(arithmetic_in_words)                   \
    X(generators_hold_out_each_problem_once) \
    X(files_hold_out_each_problem_once)      \
    X(file_with_a_held_out_tenth)            \
    X(file_demonstrations)                   \
    X(mistakes)                              \
    X(long_records)                          \
    X(only_what_is_asked_for)                \
    X(missing_file_is_explained)

UNIT_MAIN("source")
