/* See input.h. Most files that are not found were named relative to another folder: the message says where we looked, and where it
 * is when that can be guessed. */
#include "trainer/data/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/problems.h"
#include "trainer/data/task.h"

enum { PATH_BYTES = 4096, HINT_BYTES = 700 };

/* The same name in the folder of the recipe; false when there is none, or it is the file that was tried. */
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
        text_add(out, "; it stands beside the recipe: --set %s=%s", in->setting, beside);
    else
        text_add(out, "; name the file with --set %s=FILE", in->setting);
}

char *input_read(const struct input *in, size_t *n, struct problems *p)
{
    struct stat info = {0};
    char hint[HINT_BYTES] = "", *bytes = NULL;
    struct text text = {hint, 0, sizeof hint, false};
    FILE *f = fopen(in->path, "rb");
    const char *why = f ? NULL : strerror(errno);
    *n = 0;
    if (!f) hint_write(in, &text);
    if (f && (fstat(fileno(f), &info) || !S_ISREG(info.st_mode))) why = "not a file";
    if (!why) {
        bytes = malloc((size_t)info.st_size + 1);
        SYS_OK(bytes, "give the job more memory, or a smaller file", "no memory for %s", in->path);
        *n = fread(bytes, 1, (size_t)info.st_size, f);
        bytes[*n] = '\0';
        if (ferror(f)) why = strerror(errno);
    }
    if (f) fclose(f);
    if (!why) return bytes;
    problems_add(p, in->path, 0, "cannot read: %s%s", why, hint);
    free(bytes);
    return NULL;
}
