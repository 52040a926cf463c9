#include "trainer/data/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

static char *trim(char *s)
{
    while (*s == ' ') s++;
    for (size_t n = strlen(s); n > 0 && s[n - 1] == ' '; n--) s[n - 1] = '\0';
    return s;
}

/* Cuts "=3" off; 0: there is none. */
static double take_weight(char *name)
{
    char *mark = strrchr(name, '='), *end;
    if (!mark || access(name, F_OK) == 0 || strspn(mark + 1, "0123456789.") != strlen(mark + 1))
        return 0;
    double weight = strtod(mark + 1, &end);
    if (end == mark + 1 || *end || !(weight > 0)) return 0;
    *mark = '\0';
    return weight;
}

/* Weight 0: none was given. The first file decides whether all need one. */
static void add(struct file_list *l, char *name, const char *setting, struct problems *p)
{
    name = trim(name);
    double weight = take_weight(name);
    if (!*name)
        problems_add(p, NULL, 0, "%s: a name in its list is empty", setting);
    else if (l->n == FILES_MOST)
        problems_add(p, NULL, 0, "%s: more than %d files", setting, FILES_MOST);
    else if (l->n > 0 && l->weighted != (weight > 0))
        problems_add(p, NULL, 0,
                     "%s: %s has %s weight, the files before it have %s: give all of them one, or "
                     "none",
                     setting, name, weight > 0 ? "a" : "no", weight > 0 ? "none" : "one");
    if (l->n == FILES_MOST) return;
    if (l->n == 0) l->weighted = weight > 0;
    l->weight[l->n] = weight;
    l->path[l->n++] = name;
}

/* A text that is the name of a file is one, even with a comma or = in it. */
bool file_list_parse(struct file_list *l, const char *text, const char *setting, struct problems *p)
{
    int before = p->n;
    *l = (struct file_list){.n = 0};
    if (!text || !*text) return true;
    l->text = memory_copy_text(text, setting);
    if (!strpbrk(text, ",=") || access(text, F_OK) == 0) {
        l->path[l->n++] = l->text;
        return true;
    }
    for (char *rest = l->text; rest && p->n == before;) {
        char *name = rest;
        rest = strchr(rest, ',');
        if (rest) *rest++ = '\0';
        add(l, name, setting, p);
    }
    return p->n == before;
}

void file_list_free(struct file_list *l)
{
    free(l->text);
    *l = (struct file_list){.n = 0};
}

/* Places of a cycle in proportion to the weights: rounded down, what is left goes to the largest
 * remainders, and nobody goes without. */
static void share_out(struct mix *m, const double *weight, int n)
{
    double sum = 0, rest[FILES_MOST];
    int left = MIX_CYCLE;
    for (int i = 0; i < n; i++) sum += weight[i];
    for (int i = 0; i < n; i++) {
        double exact = MIX_CYCLE * weight[i] / sum;
        m->quota[i] = exact < 1 ? weight[i] > 0 : (int)exact;
        rest[i] = exact - m->quota[i];
        left -= m->quota[i];
    }
    for (; left != 0; left += left > 0 ? -1 : 1) {
        int best = 0;
        for (int i = 1; i < n; i++) {
            if (left > 0 ? rest[i] > rest[best] : m->quota[i] > m->quota[best]) best = i;
        }
        m->quota[best] += left > 0 ? 1 : -1;
        rest[best] -= left > 0 ? 1 : 0;
    }
}

/* The next place goes to the file that is furthest behind its share. */
void mix_make(struct mix *m, const double *weight, int n)
{
    int had[FILES_MOST] = {0};
    INVARIANT(n > 0 && n <= FILES_MOST, "%d files", n);
    share_out(m, weight, n);
    for (int place = 0; place < MIX_CYCLE; place++) {
        int best = -1;
        long most = 0;
        for (int i = 0; i < n; i++) {
            long behind = (long)m->quota[i] * (2 * place + 1) - (long)MIX_CYCLE * (2 * had[i]);
            if (had[i] < m->quota[i] && (best < 0 || behind > most)) {
                best = i;
                most = behind;
            }
        }
        INVARIANT(best >= 0, "the shares of %d files do not add up", n);
        m->file[place] = (uint8_t)best;
        m->draw[place] = (uint16_t)had[best]++;
    }
}
