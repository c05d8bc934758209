/* SPDX-License-Identifier: Apache-2.0
 *
 * The sliding window of a session's counters. Bit c of the ring says that counter c was used; the
 * ring holds twice the window, so a word that is entered anew has left the window long before and
 * is cleared whole. A second ring says of which a write has used them. */
#include "auth/auth_private.h"

#define WORDS WFL_COUNT(((struct counter_window *)0)->words)

/* Clear the words that lie behind that of `highest`, up to that of `counter`. */
static void enter_words(struct counter_window *w, uint64_t counter)
{
    uint64_t from = w->highest / 64, to = counter / 64;

    if (to - from > WORDS) from = to - WORDS;
    for (uint64_t i = from + 1; i <= to; i++)
        w->words[i % WORDS] = w->writes[i % WORDS] = 0;
}

bool counter_window_spend(struct counter_window *w, uint64_t counter)
{
    uint64_t *word = &w->words[counter / 64 % WORDS], bit = UINT64_C(1) << (counter % 64);

    if (counter == 0 || counter > WFL_SESSION_COUNTER_MAX) return false;
    if (counter > w->highest) {
        enter_words(w, counter);
        w->highest = counter;
    } else if (w->highest - counter >= COUNTER_WINDOW || (*word & bit) != 0) {
        return false;
    }
    *word |= bit;
    return true;
}

enum counter_use counter_window_claim(struct counter_window *w, uint64_t counter)
{
    uint64_t *word = &w->writes[counter / 64 % WORDS], bit = UINT64_C(1) << (counter % 64);

    if (counter_window_spend(w, counter)) {
        *word |= bit;
        return COUNTER_FRESH;
    }
    if (counter == 0 || counter > WFL_SESSION_COUNTER_MAX) return COUNTER_READ;
    if (w->highest - counter >= COUNTER_WINDOW) return COUNTER_BELOW;
    return (*word & bit) != 0 ? COUNTER_WRITTEN : COUNTER_READ;
}

void counter_window_return(struct counter_window *w, uint64_t counter)
{
    uint64_t at = counter / 64 % WORDS, bit = UINT64_C(1) << (counter % 64);

    if (w->highest - counter >= COUNTER_WINDOW) return; /* the ring has gone on */
    w->words[at] &= ~bit;
    w->writes[at] &= ~bit;
}
