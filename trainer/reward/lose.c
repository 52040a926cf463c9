/* For graders that are served: rewards.c calls them, so what they call stands here. */
#include "trainer/reward/rewards.h"

void rewards_lose(struct rewards *r, int row, int i)
{
    r->value[row][i] = 0;
    r->lost[row]++;
}
