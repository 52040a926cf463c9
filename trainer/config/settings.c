/* The settings as a whole: made, freed, and the cluster file that they name. */
#include "trainer/config/settings.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/config/cluster.h"
#include "trainer/config/table.h"

void settings_defaults(struct settings *s)
{
    memset(s, 0, sizeof *s);
    for (int id = 0; id < SECTION_PHASE; id++) {
        struct place at = settings_place(s, (enum section_id)id, 0);
        place_defaults(&at);
    }
}

static void free_cluster(struct settings *s)
{
    if (s->cluster) cluster_free(s->cluster);
    free(s->cluster);
    s->cluster = NULL;
}

void settings_free(struct settings *s)
{
    phases_replace(s, 0);
    for (int id = 0; id < SECTION_PHASE; id++) {
        struct place at = settings_place(s, (enum section_id)id, 0);
        place_free(&at);
    }
    free_cluster(s);
    model_files_free(&s->files);
    free(s->file);
    s->file = NULL;
}

bool settings_load_cluster(struct settings *s, struct problems *p)
{
    free_cluster(s);
    if (!*s->mesh.cluster) return true;
    s->cluster = memory_take(1, sizeof *s->cluster, "a cluster");
    cluster_defaults(s->cluster);
    return cluster_load(s->cluster, s->mesh.cluster, p) &&
           cluster_serves(s->cluster, (enum precision)s->run.precision, p);
}

uint64_t settings_cluster_sum(const struct settings *s)
{
    return s->cluster ? s->cluster->sum : 0;
}

void settings_take_cluster(struct settings *s, const struct cluster *c)
{
    free_cluster(s);
    s->cluster = memory_take(1, sizeof *s->cluster, "a cluster");
    cluster_copy(s->cluster, c);
}
