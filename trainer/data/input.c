/* See input.h. Most files that are not found were named relative to another folder: the message
 * says where we looked, and where it is when that can be guessed. */
#include "trainer/data/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/file.h"
#include "comm/base/problems.h"
#include "trainer/data/text.h"

enum { HINT_BYTES = 700 };

/* The same name in the folder of the recipe; false when there is none, or it is the file that was
 * tried. */
static bool beside_recipe(const struct input *in, char *out, size_t size)
{
    const char *slash = in->recipe ? strrchr(in->recipe, '/') : NULL;
    struct stat info;
    if (!slash || in->path[0] == '/') return false;
    int n = snprintf(out, size, "%.*s/%s", (int)(slash - in->recipe), in->recipe, in->path);
    return n > 0 && (size_t)n < size && stat(out, &info) == 0 && S_ISREG(info.st_mode);
}

/* How a file that was not found may be found. */
static void hint_write(const struct input *in, struct text *out)
{
    char here[PATH_BYTES], beside[PATH_BYTES];
    if (in->path[0] != '/' && getcwd(here, sizeof here))
        text_add(out, " (tried %s/%s: %s is relative to the working directory)", here, in->path,
                 in->setting);
    if (beside_recipe(in, beside, sizeof beside))
        text_add(out, "; there is one next to the recipe: --set %s=%s", in->setting, beside);
    else
        text_add(out, "; set the file with --set %s=FILE", in->setting);
}

static void say_unread(const struct input *in, const char *why, struct problems *p)
{
    char hint[HINT_BYTES] = "";
    struct text text = {hint, 0, sizeof hint, false};
    if (access(in->path, R_OK) != 0) hint_write(in, &text);
    problems_add(p, in->path, 0, "cannot read: %s%s", why, hint);
}

char *input_read(const struct input *in, size_t *n, struct problems *p)
{
    char why[FILE_WHY];
    char *bytes = file_read(in->path, FILE_REGULAR, SIZE_MAX, n, why);
    if (!bytes) say_unread(in, why, p);
    return bytes;
}

int input_open(const struct input *in, uint64_t *bytes, struct problems *p)
{
    struct stat info;
    /* O_NONBLOCK: a pipe without a writer would be waited for */
    int fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        *bytes = (uint64_t)info.st_size;
        return fd;
    }
    bool none = fd < 0 || fstat(fd, &info) != 0;
    say_unread(in, none ? strerror(errno) : "not a file", p);
    if (fd >= 0) close(fd);
    return -1;
}
