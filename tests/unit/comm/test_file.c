/* Reading a file whole: its bytes, its bound, and what is no file. Reading and writing that take
 * more than one call of the system. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/file.h"
#include "tests/support/check_unit.h"

static char path[64];

static void write_bytes(size_t bytes)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < bytes; i++) fputc((int)(i % 251), f);
    ck_assert_int_eq(fclose(f), 0);
}

static void check_bytes(const char *bytes, size_t n, size_t expected)
{
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(n, expected);
    size_t same = 0;
    while (same < n && (unsigned char)bytes[same] == same % 251) same++;
    ck_assert_uint_eq(same, n);
    ck_assert_int_eq(bytes[n], 0);
}

static void check_piece(const char *bytes, size_t n, size_t from)
{
    for (size_t i = 0; i < n; i++) ck_assert_uint_eq((unsigned char)bytes[i], (from + i) % 251);
}

static void refused(const char *name, enum file_kind kind, size_t most, const char *expected)
{
    size_t n = 7;
    char why[FILE_WHY] = "";
    ck_assert_ptr_null(file_read(name, kind, most, &n, why));
    ck_assert_str_eq(why, expected);
    ck_assert_uint_eq(n, 0);
}

START_TEST(whole_and_bounded)
{
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 65537, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n, bytes = sizes[i];
        char why[FILE_WHY], too_long[FILE_WHY];
        write_bytes(bytes);
        for (int kind = FILE_ANY; kind <= FILE_REGULAR; kind++) {
            char *text = file_read(path, (enum file_kind)kind, bytes, &n, why);
            check_bytes(text, n, bytes);
            free(text);
            if (bytes == 0) continue;
            snprintf(too_long, sizeof too_long, "longer than %zu bytes", bytes - 1);
            refused(path, (enum file_kind)kind, bytes - 1, too_long);
        }
    }
    unlink(path);
}
END_TEST

/* The size of a pipe's content is not known in advance. */
START_TEST(through_a_pipe)
{
    static const size_t sizes[] = {0, 3, 65535, 65536, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char command[128], why[FILE_WHY];
        size_t n, bytes = sizes[i];
        write_bytes(bytes);
        snprintf(command, sizeof command, "cat %s", path);
        for (size_t less = 0; less < 2 && less <= bytes; less++) {
            FILE *f = popen(command, "r");
            ck_assert_ptr_nonnull(f);
            char *text = file_read_open(fileno(f), bytes - less, &n, why);
            if (less == 0)
                check_bytes(text, n, bytes);
            else
                ck_assert_ptr_null(text);
            free(text);
            pclose(f);
        }
    }
    unlink(path);
}
END_TEST

START_TEST(no_file)
{
    size_t n;
    char why[FILE_WHY];
    refused("/nonexistent/file", FILE_ANY, 9, "No such file or directory");
    refused("/tmp", FILE_ANY, 9, "Is a directory");
    refused("/tmp", FILE_REGULAR, 9, "not a file");
    refused("/dev/null", FILE_REGULAR, 9, "not a file");
    refused("/dev/zero", FILE_ANY, 100000, "longer than 100000 bytes");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused(path, FILE_REGULAR, 9, "not a file"); /* at once: nobody writes to it */
    unlink(path);
    char *text = file_read("/proc/self/status", FILE_REGULAR, SIZE_MAX, &n, why);
    ck_assert_ptr_nonnull(text); /* its size reads 0 */
    ck_assert_uint_gt(n, 0);
    free(text);
}
END_TEST

START_TEST(a_piece)
{
    char bytes[100];
    write_bytes(1000);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(file_read_at(fd, bytes, 100, 502), 100);
    check_piece(bytes, 100, 502);
    ck_assert_int_eq(file_read_at(fd, bytes, 100, 960), 40);
    check_piece(bytes, 40, 960);
    ck_assert_int_eq(file_read_at(fd, bytes, 100, 2000), 0);
    close(fd);
    ck_assert_int_eq(file_read_at(fd, bytes, 100, 0), -1);
    ck_assert_int_eq(errno, EBADF);
    unlink(path);
}
END_TEST

/* At the limit a write is cut short, and only the next one says why. */
START_TEST(short_write_goes_on)
{
    enum { LIMIT = 5000, ALL = 8000 };
    static char bytes[ALL];
    struct stat st;
    for (int i = 0; i < ALL; i++) bytes[i] = (char)(i % 251);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){LIMIT, RLIM_INFINITY}), 0);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert(file_put(fd, bytes, LIMIT - 1000));
    errno = 0;
    ck_assert(!file_put(fd, bytes + LIMIT - 1000, ALL - LIMIT + 1000));
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, LIMIT);
    close(fd);
    unlink(path);
}
END_TEST

static void make_path(void)
{
    snprintf(path, sizeof path, "/tmp/duet-test-file-%ld", (long)getpid());
}

#define TESTS(X)         \
    X(whole_and_bounded) \
    X(through_a_pipe)    \
    X(no_file)           \
    X(a_piece)           \
    X(short_write_goes_on)

UNIT_MAIN("file", .before_all = make_path)
