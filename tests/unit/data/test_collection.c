/* Files of problems: several with weights, lines left out, the order of training, and that a file
 * larger than memory should hold costs next to nothing. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "trainer/data/collection.h"
#include "trainer/data/files.h"
#include "trainer/data/lines.h"
#include "tests/support/check_unit.h"

#ifdef __SANITIZE_ADDRESS__
enum { PEAK_MIB = 24 }; /* what was freed is kept for a while */
#else
enum { PEAK_MIB = 8 };
#endif

static char nothing[] = "";

static struct settings settings_of(char *file, char *heldout)
{
    struct settings s = {.run = {.seed = 4}};
    s.data = (struct data_settings){
        .task = TASK_FILE, .file = file, .heldout_file = heldout ? heldout : nothing};
    return s;
}

static void write_text(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/duet-files-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* Lines {"prompt": "NAME0", "answer": "0"}, ... */
static void write_lines(char path[64], const char *name, int n)
{
    static char text[1 << 20];
    size_t used = 0;
    for (int i = 0; i < n; i++)
        used +=
            (size_t)sprintf(text + used, "{\"prompt\":\"%s%d\",\"answer\":\"%d\"}\n", name, i, i);
    write_text(path, text);
}

static struct collection *open_good(const struct settings *set)
{
    struct problems p = {0};
    struct collection *c = collection_open(set, 3, NULL, &p);
    ck_assert_msg(c != NULL, "%s", p.n ? p.text[0] : "no problem");
    return c;
}

/* The prompts that the program trained on before files were read line by line (its 200 lines q0 ...
 * q199, seed 4, a tenth held out): runs of before go on with the same ones. */
START_TEST(the_order_of_before)
{
    static const int then[] = {84, 56, 182, 155, 107, 26, 99, 46, 115, 37, 54, 89};
    char path[64];
    write_lines(path, "q", 200);
    struct settings set = settings_of(path, NULL);
    struct collection *c = open_good(&set);
    for (uint32_t i = 0; i < 12; i++) {
        struct problem p;
        collection_draw(c, SPLIT_TRAIN, 4, i, &p);
        ck_assert_int_eq(atoi(p.answer), then[i]);
    }
    collection_free(c);
    unlink(path);
}
END_TEST

START_TEST(shares)
{
    static const struct {
        double weight[4];
        int n, quota[4];
    } rows[] = {
        {{3, 1}, 2, {3072, 1024}},
        {{1, 1, 1}, 3, {1366, 1365, 1365}},
        {{1e6, 1}, 2, {4095, 1}},
        {{0, 5}, 2, {0, 4096}},
    };
    static struct mix m;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int had[4] = {0};
        mix_make(&m, rows[i].weight, rows[i].n);
        for (int k = 0; k < rows[i].n; k++) ck_assert_int_eq(m.quota[k], rows[i].quota[k]);
        for (uint32_t at = 0; at < 3 * MIX_CYCLE; at++) {
            uint32_t draw;
            int file = mix_file(&m, at, &draw);
            ck_assert_uint_eq(draw, (uint32_t)had[file]++); /* each file's draws, one by one */
            double exact = (double)(at + 1) * m.quota[file] / MIX_CYCLE;
            ck_assert_double_lt(exact - had[file], 2);
            ck_assert_double_lt(had[file] - exact, 2);
        }
    }
}
END_TEST

START_TEST(weighted_files)
{
    char a[64], b[64], both[160];
    write_lines(a, "a", 40);
    write_lines(b, "b", 400);
    snprintf(both, sizeof both, "%s=3, %s=1", a, b);
    struct settings set = settings_of(both, a);
    struct collection *c = open_good(&set);
    int of_a = 0, seen[40] = {0};
    for (uint32_t i = 0; i < 160; i++) {
        struct problem p;
        collection_draw(c, SPLIT_TRAIN, 4, i, &p);
        if (p.prompt[0] == 'a') seen[atoi(p.answer)]++;
        of_a += p.prompt[0] == 'a';
    }
    ck_assert_int_eq(of_a, 120);
    for (int i = 0; i < 40; i++) ck_assert_int_eq(seen[i], 3); /* three times round */
    int line;
    struct problem p;
    collection_take(c, SPLIT_TRAIN, 45, &p);
    ck_assert_str_eq(collection_place(c, &p, &line), b);
    ck_assert_int_eq(line, 6);
    bool keep[440] = {false}; /* nothing of a is left */
    memset(keep + 40, 1, 400);
    collection_keep(c, SPLIT_TRAIN, keep);
    for (uint32_t i = 0; i < 400; i++) {
        collection_draw(c, SPLIT_TRAIN, 4, i, &p);
        ck_assert_int_eq(p.prompt[0], 'b');
    }
    collection_free(c);
    snprintf(both, sizeof both, "%s, %s", a, b); /* as one file */
    struct settings one = settings_of(both, a);
    c = open_good(&one);
    ck_assert_int_eq(collection_count(c, SPLIT_TRAIN), 440);
    collection_free(c);
    unlink(a);
    unlink(b);
}
END_TEST

static void check_mistake(char *file, int bad_lines, const char *says)
{
    struct settings set = settings_of(file, NULL);
    struct problems p = {0};
    set.data.bad_lines = bad_lines;
    struct collection *c = collection_open(&set, 3, NULL, &p);
    ck_assert_ptr_null(c);
    ck_assert_msg(p.n > 0 && strstr(p.text[0], says), "%s", p.n ? p.text[0] : "nothing");
    problems_free(&p);
}

START_TEST(mistaken_lists)
{
    char a[64], text[200];
    write_lines(a, "a", 40);
    snprintf(text, sizeof text, "%s=2, %s", a, a);
    check_mistake(text, 0, "has no weight, the files before it have one");
    snprintf(text, sizeof text, "%s, ,%s", a, a);
    check_mistake(text, 0, "a name in its list is empty");
    snprintf(text, sizeof text, "%s, /tmp/duet-no-such-file", a);
    check_mistake(text, 0, "/tmp/duet-no-such-file: cannot read");
    snprintf(text, sizeof text, "%s=0", a); /* no weight: a name that is not there */
    check_mistake(text, 0, "=0: cannot read");
    unlink(a);
}
END_TEST

/* Refused by default, left out on request; a file of nothing else is refused either way. */
START_TEST(lines_left_out)
{
    char path[64], text[8192];
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, "%s\n{\"prompt\":\"q%d\",\"answer\":\"%d\"}\n",
                             i % 4 ? "" : "{\"prompt\":", i, i);
    write_text(path, text);
    check_mistake(path, BAD_LINES_REFUSE, ":1: not JSON");
    struct settings refuse = settings_of(path, NULL);
    struct problems p_all = {0};
    ck_assert_ptr_null(collection_open(&refuse, 3, NULL, &p_all));
    ck_assert_int_eq(p_all.n, 21);
    ck_assert_ptr_nonnull(strstr(p_all.text[20], "20 bad lines; the rest was not read"));
    problems_free(&p_all);
    struct settings set = settings_of(path, path);
    set.data.bad_lines = BAD_LINES_SKIP;
    struct collection *c = open_good(&set);
    ck_assert_int_eq(collection_count(c, SPLIT_TRAIN), 100);
    struct problem p;
    int line;
    collection_take(c, SPLIT_TRAIN, 7, &p);
    collection_place(c, &p, &line);
    ck_assert_int_eq(line, 16);
    collection_free(c);
    unlink(path);
    write_text(path, "{\n{\n");
    check_mistake(path, BAD_LINES_SKIP, "the file has no problems");
    unlink(path);
}
END_TEST

/* Lines of any length, read from their places, are those of the file. */
START_TEST(lines_of_any_length)
{
    enum { MANY = 64 };
    char path[64];
    snprintf(path, 64, "/tmp/duet-files-XXXXXX");
    FILE *f = fdopen(mkstemp(path), "w");
    fputs("\xef\xbb\xbf", f);
    for (int i = 0; i < MANY; i++) {
        int length = i % 5 == 4 ? 3000000 + i : 40 * i;
        fprintf(f, "{\"prompt\":\"%0*d\",\"answer\":\"%d\"}%s", length, i, i,
                i == MANY - 1 ? ""
                : i % 2       ? "\r\n"
                              : "\n\n");
    }
    fclose(f);
    struct settings set = settings_of(path, path);
    struct collection *c = open_good(&set);
    ck_assert_int_eq(collection_count(c, SPLIT_TRAIN), MANY);
    for (int i = MANY - 1; i >= 0; i--) {
        struct problem p;
        int line;
        collection_take(c, SPLIT_TRAIN, i, &p);
        ck_assert_int_eq(atoi(p.answer), i);
        ck_assert_uint_eq(strlen(p.prompt), i % 5 == 4 ? 3000000 + (size_t)i
                                            : i        ? 40 * (size_t)i
                                                       : 1);
        collection_place(c, &p, &line);
        ck_assert_int_eq(line, 1 + i + (i + 1) / 2);
    }
    collection_free(c);
    unlink(path);
}
END_TEST

/* A file that is written to while a job reads it ends the job, which says so: also where what is
 * read is a record still, but another one. */
START_TEST(a_file_that_changes)
{
    static const struct {
        const char *bytes; /* at the beginning; NULL: a space, and all that was there behind it */
        int take;
    } rows[] = {{"xxxxxxxx", 0}, {"{\"prompt\":\"\n\",\"answer", 5}, {NULL, 5}};
    char path[64], said[4096] = "", told[] = "/tmp/duet-told-XXXXXX";
    int status, to = mkstemp(told);
    write_lines(path, "q", 2000);
    pid_t child = fork();
    if (child == 0) {
        struct settings set = settings_of(path, path);
        struct problem one;
        dup2(to, STDERR_FILENO);
        struct collection *c = open_good(&set);
        int fd = open(path, O_RDWR);
        static char shifted[1 << 17] = " ";
        ssize_t more = pread(fd, shifted + 1, sizeof shifted - 1, 0), n = more + 1;
        const char *bytes = rows[_i].bytes ? rows[_i].bytes : shifted;
        if (rows[_i].bytes) n = (ssize_t)strlen(bytes);
        if (more < 40000 || pwrite(fd, bytes, (size_t)n, 0) != n) _exit(100);
        collection_take(c, SPLIT_TRAIN, rows[_i].take, &one);
        _exit(101);
    }
    waitpid(child, &status, 0);
    ck_assert_int_eq(WEXITSTATUS(status), EXIT_WORLD);
    ck_assert_int_gt((int)pread(to, said, sizeof said - 1, 0), 0);
    ck_assert_msg(strstr(said, "has changed since the job began") != NULL, "%s", said);
    close(to);
    unlink(told);
    unlink(path);
}
END_TEST

static long peak_mib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss >> 10;
}

/* 320 MiB of lines: read in a process of its own, whose memory stays small. */
START_TEST(memory_is_bounded)
{
    enum { PIECE_LINES = 4096 };
    char path[64], *piece = malloc(PIECE_LINES * 600);
    snprintf(path, 64, "/tmp/duet-files-XXXXXX");
    int fd = mkstemp(path), lines = 0;
    for (size_t bytes = 0; bytes < (size_t)320 << 20;) {
        size_t n = 0;
        for (int i = 0; i < PIECE_LINES; i++)
            n += (size_t)sprintf(piece + n,
                                 "{\"question\":\"%d %0400d\",\"answer\":\"so\\n#### %d\"}\n",
                                 lines + i, 0, lines + i);
        ck_assert_int_eq(write(fd, piece, n), (ssize_t)n);
        bytes += n;
        lines += PIECE_LINES;
    }
    close(fd);
    free(piece);
    pid_t child = fork();
    if (child == 0) {
        struct settings set = settings_of(path, NULL);
        struct problems p = {0};
        struct problem one;
        long before = peak_mib();
        struct collection *c = collection_open(&set, 3, NULL, &p);
        if (!c || !collection_is_large(c)) _exit(101);
        if (collection_records(c) != lines) _exit(102);
        for (uint32_t i = 0; i < 10000; i++) {
            collection_draw(c, SPLIT_TRAIN, 1, i, &one);
            if (strtol(one.prompt, NULL, 10) != strtol(one.answer, NULL, 10)) _exit(103);
        }
        if (collection_sum(c, SPLIT_TRAIN) == 0) _exit(104);
        long more = peak_mib() - before;
        collection_free(c);
        _exit(more < 100 ? (int)more : 100);
    }
    int status;
    waitpid(child, &status, 0);
    unlink(path);
    ck_assert(WIFEXITED(status));
    printf("%d lines of 320 MiB: peak %d MiB more\n", lines, WEXITSTATUS(status));
    /* a byte in a thousand, twice for a moment (doubling), some MiB of buffers and hashes */
    ck_assert_int_lt(WEXITSTATUS(status), PEAK_MIB);
}
END_TEST

#define TESTS(X)                    \
    X(the_order_of_before)          \
    X(shares)                       \
    X(weighted_files)               \
    X(mistaken_lists)               \
    X(lines_left_out)               \
    X(lines_of_any_length)          \
    X(a_file_that_changes, .to = 3) \
    X(memory_is_bounded)

UNIT_MAIN("collection", .timeout_s = 120)
