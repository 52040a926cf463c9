/* Who needs a grader server is known by the recipe, which is read when MPI is up, and the server
 * is forked before: so its words are looked for here, and what they mean is left to the settings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "comm/base/memory.h"
#include "trainer/reward/server/server.h"

static const char *const words[] = {"reward_code",        "reward_plugin", "graders",
                                    "reward_environment", "environment:",  ".environment=",
                                    "verifier: code",     "verifier=code", "programs"};

static bool has_word(const char *text)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i])) return true;
    return false;
}

/* The first MiB of a recipe: longer ones have been refused by the settings. */
static bool file_has_word(const char *path)
{
    enum { MOST = 1 << 20 };
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    char *text = memory_take(MOST + 1, 1, "a look at the recipe");
    const size_t n = fread(text, 1, MOST, f);
    fclose(f);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\0') text[i] = ' ';
    const bool found = has_word(text);
    free(text);
    return found;
}

/* Whatever it is called. A pipe is not looked into: what is read of it is gone. */
static bool is_file(const char *word)
{
    struct stat s;
    return stat(word, &s) == 0 && S_ISREG(s.st_mode);
}

/* A run folder, or a checkpoint in one. */
static bool folder_has_word(const char *folder)
{
    static const char *const ways[] = {"/recipe.yaml", "/../../recipe.yaml"};
    char path[4096];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const int n = snprintf(path, sizeof path, "%s%s", folder, ways[i]);
        if (n > 0 && (size_t)n < sizeof path && file_has_word(path)) return true;
    }
    return false;
}

bool grade_server_wanted(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (has_word(argv[i]) ||
            (is_file(argv[i]) ? file_has_word(argv[i]) : folder_has_word(argv[i])))
            return true;
    return false;
}
