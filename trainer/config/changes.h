/* What a recipe says otherwise than the one that a checkpoint was saved with, as rows of one table:
 * setting, then, now, what it means. Which changes are refused follows from the settings' column of
 * changes (enum setting_change in table.h) and from the position. */
#ifndef DUET_TRAINER_CONFIG_CHANGES_H
#define DUET_TRAINER_CONFIG_CHANGES_H

#include "trainer/config/settings.h"

struct change {
    char name[96], then[64], now[64], means[176];
    bool refused;
};
struct changes {
    struct change *row;
    int n, refused;
    int unknown; /* settings that the former recipe does not mention: compared with their defaults
                  */
};

/* Where the run of the former recipe stands: `step` steps of phase `phase` are done. Step 0: the
 * phase has not begun, and phase may be the number of phases: all are finished. */
struct standing {
    int phase;
    long step;
};

/* True when with more steps than before in the phase that ended last, no other having learned
 * since, that phase goes on: *at is then inside it. Evaluations behind it are made again. Local. */
bool changes_extend(struct standing *at, const struct settings *then, const struct settings *now);
/* Every difference; `then` is a resolved recipe as it was parsed, `now` is checked. Local. */
void changes_compare(struct changes *c, const struct settings *then, const struct settings *now,
                     struct standing at);
/* One setting of the data as a text, which changes_compare leaves to those who read files. Local.
 */
void changes_compare_data(struct changes *c, const char *name, const struct settings *then,
                          const struct settings *now, struct standing at);
/* Only what gives weights their meaning. Local. */
void changes_compare_model(struct changes *c, const struct settings *then,
                           const struct settings *now);
/* Finished phases get, in `now`, the settings that they ran with. Local. */
void changes_keep_past(struct settings *now, const struct settings *then, struct standing at);
/* A row from elsewhere; cut to what fits. Local. */
void changes_add(struct changes *c, bool refused, const char *name, const char *then,
                 const char *now, const char *means);
/* Those rows of another table that are refused. Local. */
void changes_add_refused(struct changes *c, const struct changes *from);
/* The table as text, malloc'ed, a line a row. Local. */
char *changes_text(const struct changes *c);
/* Is there a row whose name begins so? */
bool changes_name(const struct changes *c, const char *name);
/* "phases.sft.lr, seed": the rows that are refused. */
void changes_refused(const struct changes *c, char *out, size_t size);
void changes_free(struct changes *c);

#endif
