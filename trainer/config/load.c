/* A recipe from a file, with the assignments of the command line over it. */
#include "comm/base/file.h"
#include "comm/base/problems.h"
#include "trainer/config/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 }; /* schema_parse takes no more either */

/* It may be a pipe. */
char *schema_read(const struct schema *schema, const char *path, size_t *n, struct problems *p)
{
    char why[FILE_WHY], *bytes = file_read(path, FILE_ANY, MAX_BYTES, n, why);
    if (!bytes) problems_add(p, path, 0, "cannot read the %s: %s", schema->noun, why);
    return bytes;
}

/* --set comes after the file and over it; mistakes of both are reported together. */
bool settings_load(struct settings *s, const char *path, const char *const *sets, int n_sets,
                   struct problems *p)
{
    int before = p->n;
    size_t n;
    char *bytes = schema_read(&recipe_schema, path, &n, p);
    if (!bytes) return false;
    settings_parse(s, bytes, n, path, p);
    free(bytes);
    for (int i = 0; i < n_sets; i++) settings_set(s, sets[i], p);
    return p->n == before;
}

void settings_default_out(struct settings *s, const char *recipe)
{
    if (s->run.out[0]) return;
    const char *base = strrchr(recipe, '/') ? strrchr(recipe, '/') + 1 : recipe;
    size_t n = strcspn(base, ".");
    char *out = malloc(n + 6);
    SYS_OK(out, "free memory", "no memory for a path");
    snprintf(out, n + 6, "runs/%.*s", (int)n, base);
    free(s->run.out);
    s->run.out = out;
}
