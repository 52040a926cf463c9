#include "trainer/reward/majority.h"

/* Ties go to the answer sampled first; a vote of 0 is no answer. */
bool majority_right(const uint64_t *vote, const float *right, int n)
{
    int best = -1, best_count = 0;
    for (int i = 0; i < n; i++) {
        int count = 0;
        for (int j = 0; j < n; j++) count += vote[j] == vote[i];
        if (vote[i] != 0 && count > best_count) {
            best = i;
            best_count = count;
        }
    }
    return best >= 0 && right[best] > 0;
}
