/* The model's tensors as a Hugging Face folder has them: one of ours is one of theirs, or several,
 * whose elements follow each other in it (param_hf_name). */
#ifndef DUET_TRAINER_CHECKPOINT_HF_PIECES_H
#define DUET_TRAINER_CHECKPOINT_HF_PIECES_H

#include "model/params.h"

struct hf_piece {
    char name[128];
    size_t lo, n; /* elements [lo, lo + n) of the whole tensor, flattened */
    int rank;     /* 1 or 2 */
    uint64_t shape[2];
};

/* Piece i; lo: the sum of n of those before it. false: there is none. d: the whole model. Local. */
bool hf_piece_of(struct hf_piece *out, const struct param *p, const struct dims *d, int i,
                 size_t lo);

/* All tensors of a model, found by name. */
struct hf_model {
    struct dims dims;
    struct param_list list;
    const struct param **sorted; /* (list.n) */
};
/* d: sizes of the whole model; shares in it are left out. Free it with hf_model_free. Local. */
void hf_model_make(struct hf_model *m, const struct dims *d);
void hf_model_free(struct hf_model *m);
const struct param *hf_model_find(const struct hf_model *m, const char *name);

#endif
